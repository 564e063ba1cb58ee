package wal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/wal"
)

// A log in a process of its own, so that it can be killed: this program once more. It is told what to do
// in JSON on its standard input, does it in this order, and answers on its standard output.

// childFolder has the log's folder in the environment of such a process.
const childFolder = "SMF_WAL_CHILD"

func TestMain(m *testing.M) {
	if folder := os.Getenv(childFolder); folder != "" {
		serve(folder)
		return
	}
	os.Exit(m.Run())
}

// patience is how long a test waits for what has to come.
const patience = 60 * time.Second

// What a child can be told to do.
type deed string

const (
	doOpen        deed = "open"
	doClose       deed = "close"
	doReopen      deed = "reopen"
	doCreate      deed = "create a topic"
	doAppend      deed = "append"
	doAppendAsync deed = "append without waiting"
	doAppendByKey deed = "append by key"
	doRead        deed = "read"
	doReadAll     deed = "read all"
	doPeek        deed = "read what can be seen"
	doFindTime    deed = "find a time"
	doCutHead     deed = "truncate the head"
	doCutTail     deed = "truncate the tail"
	doSync        deed = "sync"
	doTellState   deed = "tell the state"
	doTellAll     deed = "tell everything"
)

type order struct {
	Number    int
	Do        deed
	Topic     string          `json:",omitzero"`
	Partition int             `json:",omitzero"`
	Config    wal.TopicConfig `json:",omitzero"`
	Options   wal.Options     `json:",omitzero"`
	Ack       wal.Ack         `json:",omitzero"` // also what a peek sees
	Batch     wal.Batch       `json:",omitzero"`
	Offset    uint64          `json:",omitzero"`
	Limit     int             `json:",omitzero"`
	Micros    int64           `json:",omitzero"`
}

type answer struct {
	Number     int
	Error      string               `json:",omitzero"`
	Exists     bool                 `json:",omitzero"` // the error is ErrExists
	Range      *wal.RangeError      `json:",omitzero"` // the error
	Partition  int                  `json:",omitzero"`
	Offset     uint64               `json:",omitzero"`
	State      state                `json:",omitzero"`
	Records    wal.Batch            `json:",omitzero"`
	Everything map[string][]content `json:",omitzero"`
}

// state is a wal.Info as it travels.
type state struct {
	Head, Next, Written, Durable uint64
	Error                        string `json:",omitzero"`
}

// content is all that is in a partition.
type content struct {
	state
	Records wal.Batch
}

// serve is the child, until its input ends.
func serve(folder string) {
	c := &child{folder: folder, answers: make(chan answer, 1024)}
	go c.tell()
	in := json.NewDecoder(os.Stdin)
	for {
		var o order
		if in.Decode(&o) != nil {
			return
		}
		c.obey(&o)
	}
}

type child struct {
	folder  string
	log     *wal.Log
	answers chan answer
}

// tell writes answers, which callbacks of appends must not do: it blocks.
func (c *child) tell() {
	out := json.NewEncoder(os.Stdout)
	for a := range c.answers {
		if out.Encode(&a) != nil {
			os.Exit(1) // nobody listens any more
		}
	}
}

func (c *child) answer(a *answer, err error) {
	if err != nil {
		a.Error, a.Exists = err.Error(), errors.Is(err, wal.ErrExists)
		if errors.As(err, &a.Range) && !errors.Is(err, wal.ErrOutOfRange) {
			a.Error = "a RangeError that is not ErrOutOfRange"
		}
	}
	c.answers <- *a
}

func (c *child) obey(o *order) {
	a := answer{Number: o.Number}
	var err error
	switch o.Do {
	case doOpen:
		c.log, err = wal.Open(c.folder, o.Options)
	case doClose:
		err = c.log.Close()
	case doReopen:
		if err = c.log.Close(); err == nil {
			c.log, err = wal.Open(c.folder, o.Options)
		}
	case doCreate:
		err = c.log.CreateTopic(o.Topic, o.Config)
	case doAppendByKey:
		var topic *wal.Topic
		if topic, err = c.log.Topic(o.Topic); err == nil {
			var p *wal.Partition
			p, a.Offset, err = topic.Append(context.Background(), o.Batch[0], o.Ack)
			a.Partition = p.Number()
		}
	case doTellAll:
		a.Everything, err = everything(c.log)
	default:
		var p *wal.Partition
		if p, err = c.log.Partition(o.Topic, o.Partition); err == nil {
			if o.Do == doAppendAsync {
				c.appendAsync(p, o)
				return
			}
			err = obeyIn(p, o, &a)
		}
	}
	c.answer(&a, err)
}

func (c *child) appendAsync(p *wal.Partition, o *order) {
	a := answer{Number: o.Number}
	err := p.AppendAsync(context.Background(), o.Batch, o.Ack, func(first uint64, err error) {
		a.Offset = first
		c.answer(&a, err)
	})
	if err != nil {
		c.answer(&a, err)
	}
}

// obeyIn does what concerns one partition. Who is to read what was appended has to make it durable first.
func obeyIn(p *wal.Partition, o *order, a *answer) (err error) {
	ctx := context.Background()
	switch o.Do {
	case doRead, doReadAll, doFindTime:
		if err := p.Sync(ctx); err != nil {
			return err
		}
	}
	switch o.Do {
	case doAppend:
		a.Offset, err = p.Append(ctx, o.Batch, o.Ack)
	case doRead:
		a.Records, err = p.Read(ctx, o.Offset, o.Limit)
	case doReadAll:
		a.Records, err = readAll(p.View(wal.Durable), o.Offset)
	case doPeek:
		a.Records, err = readAll(p.View(o.Ack), o.Offset)
	case doFindTime:
		a.Offset, err = p.OffsetForTime(ctx, time.UnixMicro(o.Micros))
	case doCutHead:
		err = p.TruncateHead(ctx, o.Offset)
	case doCutTail:
		err = p.TruncateTail(ctx, o.Offset)
	case doSync:
		err = p.Sync(ctx)
	case doTellState:
		a.State, err = stateOf(p)
	default:
		err = errors.New("no such order: " + string(o.Do))
	}
	return err
}

func readAll(v wal.View, from uint64) (read wal.Batch, err error) {
	for batch, err := range v.Records(context.Background(), from) {
		if err != nil {
			return nil, err
		}
		for _, r := range batch {
			read = append(read, r.Clone())
		}
	}
	return read, nil
}

func stateOf(p *wal.Partition) (state, error) {
	info, err := p.Info()
	s := state{Head: info.Head, Next: info.Next, Written: info.Written, Durable: info.Durable}
	if info.Err != nil {
		s.Error = info.Err.Error()
	}
	return s, err
}

// everything reads what can be read of a log.
func everything(log *wal.Log) (map[string][]content, error) {
	topics, err := log.Topics()
	all := map[string][]content{}
	for _, topic := range topics {
		for i := range topic.Partitions {
			p, err := log.Partition(topic.Name, i)
			if err != nil {
				return nil, err
			}
			s, err := stateOf(p)
			if err != nil {
				return nil, err
			}
			records, err := readAll(p.View(wal.Durable), s.Head)
			if err != nil {
				return nil, err
			}
			all[topic.Name] = append(all[topic.Name], content{s, records})
		}
	}
	return all, err
}

// --- the test's side -------------------------------------------------------------------------------

// process is a child, as its parent sees it.
type process struct {
	t       require.TestingT
	command *exec.Cmd
	in      io.WriteCloser
	orders  *json.Encoder
	answers chan answer // closed at the end of the process
	stderr  bytes.Buffer
	gone    chan struct{}
}

func startChild(t require.TestingT, folder string) *process {
	p := &process{t: t, answers: make(chan answer, 1024), gone: make(chan struct{})}
	p.command = exec.Command(os.Args[0])
	p.command.Env = append(os.Environ(), childFolder+"="+folder)
	p.command.Stderr = &p.stderr
	in, err := p.command.StdinPipe()
	require.NoError(t, err)
	p.in, p.orders = in, json.NewEncoder(in)
	out, err := p.command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.command.Start())
	go func() {
		answers := json.NewDecoder(out)
		for {
			var a answer
			if answers.Decode(&a) != nil {
				break // the end; a process that was killed may leave half an answer
			}
			p.answers <- a
		}
		_ = p.command.Wait()
		close(p.gone)
		close(p.answers)
	}()
	return p
}

// next is the next answer. The process has to be alive.
func (p *process) next() answer {
	select {
	case a, ok := <-p.answers:
		require.True(p.t, ok, "the process has ended: %s\n%s", p.command.ProcessState, &p.stderr)
		return a
	case <-time.After(patience):
		_ = p.command.Process.Signal(syscall.SIGQUIT) // it says where its goroutines are
		<-p.gone
		require.Fail(p.t, "no answer", "%s", &p.stderr)
		return answer{}
	}
}

// do has one thing done that has to succeed.
func (p *process) do(o order) answer {
	require.NoError(p.t, p.orders.Encode(&o))
	a := p.next()
	require.Empty(p.t, a.Error, "%s", o.Do)
	return a
}

// kill ends the process where it is, and returns the answers that it had still written.
func (p *process) kill() (last []answer) {
	_ = p.command.Process.Signal(syscall.SIGKILL)
	for a := range p.answers {
		last = append(last, a)
	}
	_ = p.in.Close()
	return last
}
