package load

import (
	"context"
	"errors"
	"fmt"

	"github.com/smf-go/smf/go/rpc"
)

// Target is what is measured.
type Target interface {
	// Dial opens a connection. It is called once for each, one after the other, before anything is measured.
	Dial(ctx context.Context) (Conn, error)
	// String is the target's name for reports: an address.
	String() string
}

// Conn is a connection to a target.
type Conn interface {
	// Call makes a call and waits for its reply. It returns the reply's size in bytes. Any number of goroutines call at
	// once. The payload is the caller's and does not change until Call returns.
	//
	// Errors: a *Failure says what was answered; every other one is counted as "error".
	Call(ctx context.Context, method *Method, payload []byte) (replyBytes int, err error)
	// Close ends the connection, and the calls on it.
	Close() error
}

// Failure is a call that failed.
type Failure struct {
	Status  string // for counting: "503 unavailable", "HTTP 404"; few different ones
	Message string // for people, or ""
}

func (f *Failure) Error() string {
	if f.Message == "" {
		return f.Status
	}
	return f.Status + ": " + f.Message
}

// statusOf is what a failed call is counted as, and what there is to say of it.
func statusOf(err error) (status, message string) {
	var failure *Failure
	if errors.As(err, &failure) {
		return failure.Status, failure.Message
	}
	return "error", err.Error()
}

// Server is a server of this library. Its address is that of rpc.Dial.
func Server(address string, options rpc.ClientOptions) Target {
	return &server{address, options}
}

type server struct {
	address string
	options rpc.ClientOptions
}

func (s *server) String() string { return s.address }

func (s *server) Dial(ctx context.Context) (Conn, error) {
	client, err := rpc.Dial(ctx, s.address, s.options)
	if err != nil {
		return nil, err
	}
	return serverConn{client}, nil
}

type serverConn struct{ *rpc.Client }

// Call calls, and lets the method look at the reply. Cost: that of rpc.Client.Call; no allocation.
func (c serverConn) Call(ctx context.Context, method *Method, payload []byte) (int, error) {
	m, err := c.Client.Call(ctx, method.ID, payload)
	if err != nil {
		return 0, failureOf(err)
	}
	defer m.Release()
	reply := m.Payload()
	if method.Check != nil {
		if err := method.Check(reply); err != nil {
			return len(reply), &Failure{Status: statusWrong, Message: err.Error()}
		}
	}
	return len(reply), nil
}

// Statuses that no server has sent.
const (
	statusWrong      = "wrong reply"
	statusUnanswered = "no reply"
	statusUnsent     = "not sent"
)

func failureOf(err error) error {
	var e *rpc.Error
	if !errors.As(err, &e) {
		return err
	}
	return &Failure{Status: fmt.Sprintf("%d %s", uint32(e.Code), e.Code), Message: e.Message}
}
