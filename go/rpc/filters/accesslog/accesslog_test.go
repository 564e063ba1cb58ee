package accesslog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/filters/accesslog"
	"github.com/smf-go/smf/go/rpc/filters/internal/filtertest"
	"github.com/smf-go/smf/schema/demo"
)

// lines collects what is logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// take waits for so many lines, and returns all there are. Replies may reach their callers before the line is written.
func (l *lines) take(t *testing.T, count int) []map[string]any {
	t.Helper()
	var all []string
	require.Eventually(t, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		all = strings.Split(strings.TrimSpace(l.text.String()), "\n")
		return len(all) >= count && all[0] != ""
	}, filtertest.Patience, time.Millisecond)
	l.mu.Lock()
	l.text.Reset()
	l.mu.Unlock()
	var parsed []map[string]any
	for _, line := range all {
		fields := map[string]any{}
		require.NoError(t, json.Unmarshal([]byte(line), &fields), line)
		parsed = append(parsed, fields)
	}
	return parsed
}

func start(t *testing.T, o accesslog.Options, store *filtertest.Store) (*rpc.Client, *lines) {
	l := new(lines)
	o.Logger = slog.New(slog.NewJSONHandler(l, nil))
	return filtertest.Dial(t, filtertest.Serve(t, store, accesslog.New(o))), l
}

// One call in a million fails, in the middle of all that succeed: it is in the log, and they are not.
func TestTheCallThatFailedIsInTheLog(t *testing.T) {
	store := &filtertest.Store{OnGet: func(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
		switch string(req.Name()) {
		case "fail":
			return rpc.Errorf(rpc.CodeConflict, "the shelf is full")
		case "panic":
			panic("as it was asked to")
		case "later":
			d := reply.Defer()
			time.AfterFunc(20*time.Millisecond, func() { d.Fail(rpc.Errorf(rpc.CodeConflict, "later")) })
			return nil
		}
		return demo.ReplyResponse(reply, req.Name())
	}}
	client, l := start(t, accesslog.Options{Every: -1, Slow: -1}, store)
	for range 200 {
		_, err := filtertest.Get(t, client, "x")
		require.NoError(t, err)
	}
	_, err := filtertest.Get(t, client, "fail")
	require.Error(t, err)
	got := l.take(t, 1)
	require.Len(t, got, 1)
	require.Equal(t, "SmfStorage.Get", got[0]["method"])
	require.Equal(t, "server", got[0]["side"])
	require.EqualValues(t, rpc.CodeConflict, got[0]["status"])
	require.Contains(t, got[0]["error"], "the shelf is full")
	require.Equal(t, "INFO", got[0]["level"])
	require.Greater(t, got[0]["request_bytes"], 0.0)

	_, err = filtertest.Get(t, client, "panic")
	require.Error(t, err)
	got = l.take(t, 1)
	require.EqualValues(t, rpc.CodeInternal, got[0]["status"])
	require.Equal(t, "WARN", got[0]["level"])

	_, err = filtertest.Get(t, client, "later") // and its time is that of the reply
	require.Error(t, err)
	got = l.take(t, 1)
	require.Equal(t, true, got[0]["deferred"])
	require.GreaterOrEqual(t, got[0]["duration"], float64(20*time.Millisecond))
}

func TestSlowCallsAreInTheLog(t *testing.T) {
	store := &filtertest.Store{OnGet: func(context.Context, *demo.Request, *rpc.Reply) error {
		time.Sleep(30 * time.Millisecond)
		return nil
	}}
	client, l := start(t, accesslog.Options{Every: -1, Slow: 30 * time.Millisecond}, store)
	_, err := filtertest.Get(t, client, "x")
	require.NoError(t, err)
	got := l.take(t, 1)
	require.Equal(t, "WARN", got[0]["level"])
	require.EqualValues(t, rpc.CodeOK, got[0]["status"])
}

func TestASampleOfTheRest(t *testing.T) {
	client, l := start(t, accesslog.Options{Every: 10, Slow: -1}, &filtertest.Store{})
	for range 2000 {
		_, err := filtertest.Put(t, client, "x")
		require.NoError(t, err)
	}
	require.InDelta(t, 200, len(l.take(t, 1)), 100, "seven times the deviation that is to be expected")
	client, l = start(t, accesslog.Options{Every: 1, Slow: -1}, &filtertest.Store{})
	for range 20 {
		_, err := filtertest.Put(t, client, "x")
		require.NoError(t, err)
	}
	require.Len(t, l.take(t, 20), 20)
}

// An attack does not fill the disk, and what was left out is counted.
func TestAFloodOfFailures(t *testing.T) {
	store := &filtertest.Store{OnGet: func(context.Context, *demo.Request, *rpc.Reply) error { return rpc.ErrNotFound }}
	client, l := start(t, accesslog.Options{Every: -1, LinesPerSecond: 2}, store)
	start := time.Now()
	for range 500 {
		_, err := filtertest.Get(t, client, "x")
		require.Error(t, err)
	}
	require.LessOrEqual(t, len(l.take(t, 2)), 3+int(2*time.Since(start).Seconds()))
	time.Sleep(600 * time.Millisecond)
	_, err := filtertest.Get(t, client, "x")
	require.Error(t, err)
	got := l.take(t, 1)
	require.Greater(t, got[len(got)-1]["left_out"], 400.0)
}
