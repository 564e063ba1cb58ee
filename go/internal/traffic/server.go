package traffic

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/filters/compress"
	"github.com/smf-go/smf/go/rpc/filters/compress/lz4"
	"github.com/smf-go/smf/go/rpc/filters/compress/zstd"
	"github.com/smf-go/smf/schema/demo"
)

// Settings are those of a server, in either language.
type Settings struct {
	Address      string // to listen on
	MemoryBytes  int64  // of its only core
	InFlight     int    // calls of a connection
	Running      int    // calls of the core
	MessageBytes int64  // of a message in slices
}

// What a server in Go decompresses, of one request and of all at one time.
const (
	InflatedBytes    = 4 << 20
	InflatedBytesAll = 8 << 20
)

// Stats are a server's own figures. Those that the language does not have are 0.
type Stats struct {
	Running     int64  `json:"running"`     // handlers, now
	RunningMax  int64  `json:"running_max"` // at any time
	Connections uint64 `json:"connections"` // now
	InFlight    uint64 `json:"in_flight"`   // calls that are not answered, now
	Memory      uint64 `json:"memory"`      // bytes of the core, now
	MemoryMax   uint64 `json:"memory_max"`  // at any time
	Requests    uint64 `json:"requests"`    // handed out
	Cancels     uint64 `json:"cancels"`     // of calls that ran
	Flooded     uint64 `json:"closed_flood"`
	Broken      uint64 `json:"closed_bad"` // connections that were closed for a frame that breaks a rule of level 2
	TooMany     uint64 `json:"too_many"`   // calls that were refused with 429
	Goroutines  int    `json:"goroutines"`
	Heap        uint64 `json:"heap"` // bytes of Go's objects that are in use, behind a collection
	Late        int64  `json:"late"` // handlers that lost the loop and still run
}

// storage is what bench/c/load.c calls.
type storage struct {
	demo.UnimplementedSmfStorageServer
}

func (storage) Get(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
	return demo.ReplyResponse(reply, req.Name())
}

// NewServer makes the server in Go: the service, with compress around it, and the one that is measured.
func NewServer(s Settings, service *Service) (*rpc.Server, error) {
	fast, err := zstd.New(zstd.LevelDefault)
	if err != nil {
		return nil, err
	}
	faster, err := lz4.New(lz4.LevelFast)
	if err != nil {
		return nil, err
	}
	inflate, err := compress.New(compress.Options{Accept: []compress.Codec{fast, faster}, MaxBytes: InflatedBytes, TotalBytes: InflatedBytesAll})
	if err != nil {
		return nil, err
	}
	server, err := rpc.NewServer(rpc.ServerOptions{
		Cores: 1, MemoryBytes: s.MemoryBytes, Filters: []rpc.Filter{inflate}, Logger: slog.New(slog.DiscardHandler),
		Compressions: []rpc.Compression{rpc.CompressionZstd, rpc.CompressionLZ4},
		Limits:       rpc.Limits{InFlight: s.InFlight, Running: s.Running, MessageBytes: s.MessageBytes},
	})
	if err != nil {
		return nil, err
	}
	if err = errors.Join(service.Register(server), demo.RegisterSmfStorageServer(server, storage{})); err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return server, nil
}

// StatsOf are the figures of a server in Go.
func StatsOf(server *rpc.Server, service *Service) (s Stats) {
	s.Running, s.RunningMax = service.Running()
	for _, c := range server.Stats().Cores {
		s.Connections += c.ConnectionsOpen
		s.InFlight += c.InFlight
		s.Memory += c.MemoryBytes
		s.MemoryMax += c.MemoryMax
		s.Requests += c.Requests
		s.Cancels += c.Cancels
		s.Flooded += c.Closed["flood"]
		s.Broken += c.Closed["bad frame"] + c.Closed["bad stream"]
		s.TooMany += c.RefusedTooMany
		s.Late += c.HandlersLate
	}
	return s
}

// Serve is the process of a server in Go: says where it listens, and answers lines of its input: "stats" with
// Stats as one line of JSON, "drain" by draining, which ends it. It ends with its input, too.
func Serve(s Settings, in io.Reader, out io.Writer) error {
	service := new(Service)
	server, err := NewServer(s, service)
	if err != nil {
		return err
	}
	address, err := server.Listen(s.Address)
	if err != nil {
		return errors.Join(err, server.Close())
	}
	fmt.Fprintln(out, address)
	go func() {
		for lines := bufio.NewScanner(in); lines.Scan(); {
			switch lines.Text() {
			case "stats":
				runtime.GC()
				var memory runtime.MemStats
				runtime.ReadMemStats(&memory)
				stats := StatsOf(server, service)
				stats.Goroutines, stats.Heap = runtime.NumGoroutine(), memory.HeapAlloc
				_ = json.NewEncoder(out).Encode(stats)
			case "drain":
				go drain(server)
			}
		}
		_ = server.Close()
	}()
	if err = server.Serve(); errors.Is(err, rpc.ErrClosed) {
		return nil
	}
	return err
}

// drainPatience is for streams that nobody ends.
const drainPatience = 5 * time.Second

func drain(server *rpc.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), drainPatience)
	defer cancel()
	_ = server.Drain(ctx)
	_ = server.Close()
}

// Arguments are the settings as a command line, for either language; ReadArguments reads them.
func (s Settings) Arguments() []string {
	return []string{s.Address, fmt.Sprint(s.MemoryBytes), fmt.Sprint(s.InFlight), fmt.Sprint(s.Running), fmt.Sprint(s.MessageBytes)}
}

// ReadArguments reads what Arguments has written.
func ReadArguments(arguments []string) (s Settings, err error) {
	if len(arguments) != 5 || slices.Contains(arguments, "") {
		return s, errors.New("traffic: not ADDRESS MEMORY_BYTES IN_FLIGHT RUNNING MESSAGE_BYTES")
	}
	s.Address = arguments[0]
	for i, field := range []any{&s.MemoryBytes, &s.InFlight, &s.Running, &s.MessageBytes} {
		if _, err := fmt.Sscan(arguments[i+1], field); err != nil {
			return s, fmt.Errorf("traffic: %q: %w", arguments[i+1], err)
		}
	}
	return s, nil
}

// ServeProcess is the main function of a process that serves by Serve.
func ServeProcess(arguments []string) int {
	s, err := ReadArguments(arguments)
	if err == nil {
		err = Serve(s, os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "traffic:", err)
		return 1
	}
	return 0
}
