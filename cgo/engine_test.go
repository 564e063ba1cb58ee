package native

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const small = 8 << 20

func entries(t *testing.T, folder string) int {
	list, err := os.ReadDir(folder)
	require.NoError(t, err)
	return len(list)
}

// The linked library is the one that this code was written for.
func TestLayoutFits(t *testing.T) {
	require.NoError(t, checkLayout())
	require.NotEmpty(t, Version())
}

// Every single value that differs is found, and the error says what to do.
func TestLayoutThatDoesNotFit(t *testing.T) {
	library := make([]uint32, 0, 64)
	for _, v := range layoutOfGo() {
		library = append(library, v.value)
	}
	require.NoError(t, compareLayout(library))
	for i, v := range layoutOfGo() {
		other := append([]uint32(nil), library...)
		other[i] += 8
		var e *LayoutError
		require.ErrorAs(t, compareLayout(other), &e)
		require.Equal(t, LayoutError{What: v.what, Want: v.value, Got: v.value + 8}, *e)
		require.Contains(t, e.Error(), "run ./build.sh build")
		require.NotContains(t, e.Error(), "\n")
	}
	for _, other := range [][]uint32{nil, library[1:], append(library, 0)} {
		var e *LayoutError
		require.ErrorAs(t, compareLayout(other), &e)
		require.Equal(t, "number of layout values", e.What)
	}
}

func TestConfigsThatCanNotBe(t *testing.T) {
	for _, test := range []struct {
		config Config
		status Status
		says   string
	}{
		{Config{Net: "carrier pigeon"}, StatusUnsupported, "carrier pigeon"},
		{Config{Cores: -1}, StatusInvalid, "negative"},
		{Config{MemoryBytes: -1}, StatusInvalid, "negative"},
		{Config{HeaderTimeoutMs: -1}, StatusInvalid, "negative"},
		{Config{Cores: 257}, StatusInvalid, "256"},
		{Config{MemoryBytes: small - 1}, StatusInvalid, "memory_bytes"},
		{Config{SpinMicros: -3}, StatusInvalid, "spin_us"},
		{Config{InFlightMax: 1 << 32}, StatusInvalid, "4294967295"},
		{Config{SpinMicros: 1 << 31}, StatusInvalid, "2147483647"},
	} {
		engine, err := Open(test.config)
		require.Nil(t, engine)
		var e *Error
		require.ErrorAs(t, err, &e, "%+v", test.config)
		require.Equal(t, test.status, e.Status, "%+v: %v", test.config, err)
		require.Contains(t, e.Error(), test.says)
		require.NotContains(t, e.Error(), "\n")
	}
}

func TestErrorsHaveTheSystemsNumber(t *testing.T) {
	engine, err := Open(Config{Cores: 1, MemoryBytes: small})
	require.NoError(t, err)
	defer engine.Close()
	bound, err := engine.Listen("127.0.0.1:0")
	require.NoError(t, err)
	other, err := Open(Config{Cores: 1, MemoryBytes: small})
	require.NoError(t, err)
	defer other.Close()
	_, err = other.Listen(bound)
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, StatusAddrInUse, e.Status)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.NotErrorIs(t, err, syscall.ENOENT)
	_, err = other.Listen("nonsense")
	require.ErrorAs(t, err, &e)
	require.Equal(t, StatusAddress, e.Status)
	require.NoError(t, errors.Unwrap(e))
	_, err = other.Listen("127.0.0.1:0\x00")
	require.ErrorAs(t, err, &e)
	require.Equal(t, StatusAddress, e.Status)
}

// A hundred engines, each with threads, sockets and memory: nothing is left of them.
func TestEnginesLeaveNothingBehind(t *testing.T) {
	open := func() {
		engine, err := Open(Config{Cores: 2, MemoryBytes: small, Baton: true, Pin: true})
		require.NoError(t, err)
		_, err = engine.Listen("127.0.0.1:0")
		require.NoError(t, err)
		require.Len(t, engine.Cores(), 2)
		require.NotEmpty(t, engine.Describe())
		for _, core := range engine.Cores() {
			require.True(t, core.HasBaton())
			require.Zero(t, core.Poll(WaitNone))
			core.Stop()
			require.Equal(t, -1, core.Poll(WaitForever))
			require.Equal(t, BatonClosed, core.BatonWait())
		}
		engine.Close()
	}
	open()
	files, threads := entries(t, "/proc/self/fd"), entries(t, "/proc/self/task")
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	for range 100 {
		open()
	}
	require.LessOrEqual(t, entries(t, "/proc/self/fd"), files)
	require.LessOrEqual(t, entries(t, "/proc/self/task"), threads+4, "a few may be Go's own")
	after, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	require.Less(t, strings.Count(string(after), "\n"), strings.Count(string(maps), "\n")+100)
}

// Ring ends a wait, from any goroutine, and is not lost when it comes before the wait.
func TestRingEndsAWait(t *testing.T) {
	engine, err := Open(Config{Cores: 1, MemoryBytes: small, SpinMicros: -1})
	require.NoError(t, err)
	defer engine.Close()
	core := engine.Cores()[0]
	core.Ring()
	require.Zero(t, core.Poll(WaitForever))
	require.True(t, core.Pending())
	core.ClearPending()
	require.False(t, core.Pending())
	for range 1000 {
		go core.Ring()
		require.Zero(t, core.Poll(WaitForever))
		core.ClearPending()
	}
}

// A driver that goes to sleep and a goroutine that rings at the same moment always see each other: the
// ringer aims at the moment, from early to late and back.
func TestRingMeetsFallingAsleep(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 || runtime.NumCPU() < 2 {
		t.Skip("needs two CPUs: one goroutine aims while the other falls asleep")
	}
	engine, err := Open(Config{Cores: 1, MemoryBytes: small, SpinMicros: -1})
	require.NoError(t, err)
	defer engine.Close()
	core := engine.Cores()[0]
	const rounds, aimFor = 200_000, 10 * time.Second
	var asked, answered atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer core.Stop() // ends the driver, however this ends
		end := time.Now().Add(aimFor)
		for n := int64(1); n <= rounds && time.Now().Before(end); n++ {
			asked.Store(n)
			core.Ring()
			for since, looks := time.Now(), 1; answered.Load() < n; looks++ {
				if looks%1024 == 0 {
					runtime.Gosched()
				}
				if time.Since(since) > 20*time.Second {
					t.Error("the driver sleeps although somebody rang")
					return
				}
			}
			for range n % 512 {
				answered.Load()
			}
		}
	}()
	for core.Poll(WaitForever) >= 0 {
		core.ClearPending()
		answered.Store(asked.Load())
	}
	<-done
}

// Two cores speak with each other: a request, its reply, and the end.
func TestAnEngineServesAndCalls(t *testing.T) {
	engine, err := Open(Config{Cores: 2, MemoryBytes: small, SpinMicros: -1})
	require.NoError(t, err)
	defer engine.Close()
	server := engine.Cores()[0]
	bound, err := engine.Listen("unix:@smf-native-test")
	require.NoError(t, err)
	other, err := Open(Config{Cores: 1, MemoryBytes: small, SpinMicros: -1})
	require.NoError(t, err)
	defer other.Close()
	client := other.Cores()[0]
	conn, err := client.Connect(bound, 77)
	require.NoError(t, err)
	require.True(t, client.Send(&Reply{Conn: conn, Session: 5, Status: 99, Payload: []byte("question")}))

	var seen []string
	for end := time.Now().Add(30 * time.Second); len(seen) < 3 && time.Now().Before(end); {
		for _, core := range []*Core{client, server, engine.Cores()[1]} {
			for i := range core.Poll(1000) {
				e := &core.Events()[i]
				switch e.Kind {
				case EventConnected:
					require.EqualValues(t, 77, e.User)
					seen = append(seen, "connected")
				case EventRequest:
					require.EqualValues(t, 99, e.Meta)
					seen = append(seen, string(e.Payload()))
					require.True(t, core.Send(&Reply{Conn: e.Conn, Session: e.Session, Status: 200, Payload: []byte("answer")}))
				case EventReply:
					require.EqualValues(t, 5, e.Session)
					require.EqualValues(t, 200, e.Meta)
					seen = append(seen, string(e.Payload()))
				}
			}
		}
	}
	require.Equal(t, []string{"connected", "question", "answer"}, seen)
}

func TestCloseReasonsHaveNames(t *testing.T) {
	names := map[string]bool{}
	for reason := range CloseReason(CloseReasons) {
		require.NotEqual(t, "unknown", reason.String())
		require.False(t, names[reason.String()])
		names[reason.String()] = true
	}
	require.Equal(t, "unknown", CloseReason(CloseReasons).String())
}
