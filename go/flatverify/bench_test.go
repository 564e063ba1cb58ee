package flatverify_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/schema"
)

// message is one that a service of realistic size sends.
type message struct {
	name  string
	table *schema.Table
	bytes []byte
}

// octets is a vector of bytes in JSON.
func octets(size int) string { return list(size, func(i int) string { return fmt.Sprint(i % 251) }) }

func list(count int, element func(i int) string) string {
	elements := make([]string, count)
	for i := range elements {
		elements[i] = element(i)
	}
	return "[" + strings.Join(elements, ",") + "]"
}

func entries(count, size int) string {
	return `{"route":{"group":1,"from":2,"to":3},"term":7,"previous":{"term":6,"index":99},"commit":98,"sent_ns":5,"round":4,"entries":` +
		list(count, func(i int) string {
			return fmt.Sprintf(`{"term":7,"index":%d,"data":%s,"session":5,"sequence":%d}`, 100+i, octets(size), 1+i)
		}) + "}"
}

func records(count, size int) string {
	return `{"client":"c","acks":"Leader","partitions":[{"id":{"topic":1,"partition":2},"leader_epoch":3,"batches":[{"header":` +
		`{"first_offset":1,"first_time_ns":2,"last_time_ns":3,"producer":4,"sequence":5,"epoch":6,"flags":"First","count":7,` +
		`"checksum":8,"compression":"None"},"records":` + list(count, func(i int) string {
		return fmt.Sprintf(`{"offset_delta":%d,"time_delta_ns":%d,"key":%s,"value":%s}`, 1+i, 1+i, octets(8), octets(size))
	}) + "}]}]}"
}

func beats(count int) string {
	return `{"from":1,"beats":` + list(count, func(i int) string {
		return fmt.Sprintf(`{"group":%d,"term":2,"commit":%d}`, 1+i, 1+i)
	}) + "}"
}

// vectors has one of each kind, together a KiB.
func vectors() string {
	numbers := func(count int) string { return list(count, func(i int) string { return fmt.Sprint(i % 100) }) }
	return `{"on":[true,false],"octets":` + octets(64) + `,"low":` + numbers(32) + `,"ports":` + numbers(32) +
		`,"offsets":` + numbers(32) + `,"totals":` + numbers(16) + `,"exact":` + numbers(16) + `,"colors":["Red","Blue"],"names":` +
		list(16, func(i int) string { return fmt.Sprintf(`"name %d"`, i) }) + `,"points":` +
		list(4, func(i int) string { return fmt.Sprintf(`{"x":%d,"y":2}`, i) }) + `,"items":` +
		list(4, func(i int) string { return fmt.Sprintf(`{"name":"item %d","tags":["a","b"]}`, i) }) + "}"
}

func status() string {
	members := list(5, func(i int) string {
		return fmt.Sprintf(`{"id":%d,"address":"10.0.0.%d:11225","role":"Follower","uuid":{"high":1,"low":%d},"zone":"z%d"}`, 1+i, i, i, i)
	})
	return `{"role":"Leader","term":7,"vote":1,"commit":99,"applied":98,"last":{"term":7,"index":100},"configuration":{"members":` +
		members + `,"at":{"term":1,"index":2}},"progress":` + list(5, func(i int) string {
		return fmt.Sprintf(`{"id":%d,"match":99,"next":100,"lag_us":%d,"active":true}`, 1+i, i)
	}) + "}"
}

// messages are made with flatc's binary schemas of the generator's test cases.
func messages(t testing.TB) []message {
	if _, err := exec.LookPath("flatc"); err != nil {
		require.Empty(t, os.Getenv("CI"), "CI has flatc")
		t.Skip("flatc is missing: ./build.sh deps")
	}
	folder := t.TempDir()
	var out []message
	for _, one := range []struct{ name, file, table, text string }{
		{"request", "../../schema/demo/smf_demo.fbs", "Request", `{"name":"Hello, smf-world!"}`},
		{"64 entries of 16 B", "consensus", "AppendEntriesRequest", entries(64, 16)},
		{"64 entries of 128 B", "consensus", "AppendEntriesRequest", entries(64, 128)},
		{"64 entries of 1 KiB", "consensus", "AppendEntriesRequest", entries(64, 1024)},
		{"64 records of 100 B", "log", "AppendRequest", records(64, 100)},
		{"status", "consensus", "StatusReply", status()},
		{"vectors", "vectors", "Vectors", vectors()},
		{"1000 tables of 24 B", "consensus", "HeartbeatsRequest", beats(1000)},
		{"1000 tables of 2 fields", "keys", "Index", `{"ids":` + list(1000, func(i int) string { return fmt.Sprintf(`{"id":%d}`, 1+i) }) + "}"},
		{"1000 empty tables of 2 fields", "nested_tables", "Tree", `{"children":` + list(1000, func(int) string { return "{}" }) + "}"},
		{"1000 empty tables of 18 fields", "vectors", "Vectors", `{"more":` + list(1000, func(int) string { return "{}" }) + "}"},
	} {
		path := one.file
		if !strings.Contains(path, "/") {
			path = filepath.Join("../codegen/testdata", path, path+".fbs")
		}
		output, err := exec.Command("flatc", "--binary", "--schema", "--bfbs-builtins", "-o", folder, path).CombinedOutput()
		require.NoError(t, err, "%s", output)
		p, err := os.ReadFile(filepath.Join(folder, strings.TrimSuffix(filepath.Base(path), ".fbs")+".bfbs"))
		require.NoError(t, err)
		s, err := schema.Read(p)
		require.NoError(t, err)
		table, err := s.Table(one.table)
		require.NoError(t, err)
		payload, err := table.FromJSON([]byte(one.text))
		require.NoError(t, err)
		out = append(out, message{one.name, table, payload})
	}
	return out
}

func TestNoAllocations(t *testing.T) {
	for _, m := range messages(t) {
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if m.table.Verify(m.bytes) != nil {
				t.Fail()
			}
		}), "%s", m.name)
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, m := range messages(b) {
		b.Run(m.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := m.table.Verify(m.bytes); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(m.bytes)), "B")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(m.bytes)), "ns/B")
		})
	}
}
