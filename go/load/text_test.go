package load_test

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/load"
	"github.com/smf-go/smf/go/rpc"
)

func TestProfilesInText(t *testing.T) {
	const s = time.Second
	for text, want := range map[string]load.Profile{
		"10000":                load.Constant(10_000),
		"2.5k":                 load.Constant(2500),
		"1M/3s":                {{3 * s, 1e6, 1e6}},
		"100-50k/30s":          load.Ramp(100, 50_000, 30*s),
		"1k/5s, 2k/5s, 5k":     {{5 * s, 1000, 1000}, {5 * s, 2000, 2000}, {0, 5000, 5000}},
		"2x(1k/9s,20k/1s)":     {{9 * s, 1000, 1000}, {s, 20_000, 20_000}, {9 * s, 1000, 1000}, {s, 20_000, 20_000}},
		"0/1s,2x(1/1s),1-2/1s": {{s, 0, 0}, {s, 1, 1}, {s, 1, 1}, {s, 1, 2}},
	} {
		got, err := load.ParseProfile(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for text, problem := range map[string]string{
		"":                  "there is no rate",
		"fast":              `"fast" is no rate`,
		"-5":                `"" is no rate`,
		"NaN":               `"NaN" is no rate`,
		"1e300":             "is no rate",
		"1k/soon":           `"soon" is no duration`,
		"1k,2k":             `"1k" has no duration`,
		"1-2":               "has no duration: write 1-2/30s",
		"x(1/1s)":           `"" is no number of repetitions`,
		"2x(1/1s":           "is not closed",
		"2x(1)":             "has no duration",
		"2x(2x(1/1s))":      "is no duration",
		"1/-1s":             "it can't be less than nothing",
		"100001x(1/1s)":     "more than 100000 segments",
		"99999x(1/1s,2/1s)": "more than 100000 segments",
	} {
		_, err := load.ParseProfile(text)
		require.ErrorContains(t, err, problem, text)
	}
}

func TestTracesInText(t *testing.T) {
	got, err := load.ReadTrace(strings.NewReader("# when\n0\n0.001 # a comment\n\n1e-2\n"))
	require.NoError(t, err)
	require.Equal(t, []time.Duration{0, time.Millisecond, 10 * time.Millisecond}, got)
	for text, problem := range map[string]string{
		"":        "the trace is empty",
		"0\nsoon": `line 2 of the trace: "soon" is no time`,
		"-1":      "is no time",
		"2\n1":    "line 2 of the trace: 1s comes after 2s",
	} {
		_, err := load.ReadTrace(strings.NewReader(text))
		require.ErrorContains(t, err, problem, text)
	}
}

func TestWhatIsWritten(t *testing.T) {
	r := run(t, load.Options{Target: load.Server(serve(t, nil), rpc.ClientOptions{}), Methods: []load.Method{get("me")}, Outstanding: 2,
		Duration: 100 * time.Millisecond, Interval: 50 * time.Millisecond})
	var b bytes.Buffer
	require.NoError(t, r.WriteCSV(&b))
	rows, err := csv.NewReader(&b).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 3)
	require.Equal(t, "0.05", rows[1][0])
	h, err := r.Latencies()
	require.NoError(t, err)
	b.Reset()
	require.NoError(t, load.WriteHGRM(&b, h))
	require.Regexp(t, `^ +Value\tPercentile\tTotalCount\t1/\(1-Percentile\)\n`, b.String())
	require.Contains(t, b.String(), "\n#[Mean    = ")
}
