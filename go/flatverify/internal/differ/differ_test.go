package differ

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/flatverify"
	"github.com/smf-go/smf/go/schema"
)

const (
	batchSize   = 512 // buffers that the C++ program judges at once
	goodSize    = 64  // of them, made from one good buffer
	countUsual  = 100_000
	countShort  = 10_000
	shownLength = 4096 // bytes of a buffer that a failure shows
)

// number is a setting of a run.
func number(t testing.TB, name string, usual uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	var out uint64
	_, err := fmt.Sscan(text, &out)
	require.NoError(t, err, "%s", name)
	return out
}

// comparison is what all workers share.
type comparison struct {
	documents []*document
	seed      uint64
	batches   uint64
	next      atomic.Uint64
	mutex     sync.Mutex
	counts    counts
	failures  []string
}

// counts are of buffers.
type counts struct {
	all, bytes, accepted, refused, onlyStock int
	rules                                    [ruleCount]int
}

func (c *counts) add(other counts) {
	c.all += other.all
	c.bytes += other.bytes
	c.accepted += other.accepted
	c.refused += other.refused
	c.onlyStock += other.onlyStock
	for i, n := range other.rules {
		c.rules[i] += n
	}
}

// Whatever is done to a buffer, flatverify accepts it only if the stock verifier does, and only if
// every field can be read. What it refuses alone breaks one of its own rules.
//
// SMF_SEED repeats a run, SMF_BUFFERS says how many buffers there are.
func TestAgreesWithTheStockVerifier(t *testing.T) {
	folder := t.TempDir()
	documents := compileSchemas(t, folder)
	program := buildStock(t, folder, documents)
	t.Run("at the limits", func(t *testing.T) { testLimits(t, documents, program) })
	t.Run("on changed buffers", func(t *testing.T) { testChanged(t, documents, program) })
}

func testChanged(t *testing.T, documents []*document, program string) {
	count := uint64(countUsual)
	if testing.Short() {
		count = countShort
	}
	count = max(1, number(t, "SMF_BUFFERS", count))
	c := &comparison{
		documents: documents, seed: number(t, "SMF_SEED", uint64(time.Now().UnixNano())),
		batches: (count + batchSize - 1) / batchSize,
	}
	t.Logf("again with SMF_SEED=%d SMF_BUFFERS=%d", c.seed, count)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		s := startStock(t, program)
		workers.Go(func() {
			if err := c.work(s); err != nil {
				c.fail("the C++ program: %v", err)
			}
		})
	}
	workers.Wait()
	require.Empty(t, c.failures)
	n := c.counts
	t.Logf("%d buffers of %d schemas, of %d bytes on average: both accept %d, both refuse %d, only the stock verifier accepts %d",
		n.all, len(documents), n.bytes/n.all, n.accepted, n.refused, n.onlyStock)
	for r, count := range n.rules {
		t.Logf("  %8d  %s", count, ruleNames[r])
	}
	// Else the mutations are too wild, or too tame.
	require.Greater(t, n.accepted, n.all/10)
	require.Greater(t, n.refused, n.all/10)
}

func (c *comparison) fail(format string, args ...any) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if len(c.failures) < 8 {
		c.failures = append(c.failures, fmt.Sprintf(format, args...))
	}
	c.next.Store(c.batches) // the others end, too
}

func (c *comparison) work(s *stock) error {
	for {
		batch := c.next.Add(1) - 1
		if batch >= c.batches {
			return nil
		}
		subjects := c.batch(batch)
		asked := make(chan error, 1)
		go func() { asked <- s.ask(subjects) }()
		var n counts
		verdicts := make([]verdict, len(subjects))
		for i := range subjects {
			verdicts[i] = judge(&subjects[i])
		}
		if err := <-asked; err != nil {
			return err
		}
		answers, err := s.answer(len(subjects))
		if err != nil {
			return err
		}
		for i := range subjects {
			n.bytes += len(subjects[i].buffer)
			if problem := n.compare(&verdicts[i], answers[i]); problem != "" {
				c.fail("batch %d, buffer %d of %s: %s\n%s\n%x", batch, i, subjects[i].table.name(), problem,
					subjects[i].made, subjects[i].buffer[:min(len(subjects[i].buffer), shownLength)])
			}
		}
		c.mutex.Lock()
		c.counts.add(n)
		c.mutex.Unlock()
	}
}

// batch makes buffers: the same ones for the same seed, whichever worker does it.
func (c *comparison) batch(number uint64) []subject {
	r := rand.New(rand.NewPCG(c.seed, number))
	var out []subject
	for len(out) < batchSize {
		tables := c.documents[r.IntN(len(c.documents))].tables
		m := newMutator(r, tables[r.IntN(len(tables))])
		out = append(out, m.unchanged())
		for len(out)%goodSize != 0 {
			out = append(out, m.next())
		}
	}
	return out
}

// verdict is what there is to say about a buffer without the stock verifier.
type verdict struct {
	ours, generated error // what flatverify says, and what generated code says
	known           bool  // there is generated code
	good            bool  // it has to be accepted
	stock           bool  // what the model says that the stock verifier does
	both            bool  // what it says that flatverify does
	lenient         bool  // the same without a look at deprecated fields, as generated code and C do it
	broken          [ruleCount]bool
	problem         string // something panicked, or what was accepted could not be read
}

func judge(s *subject) (v verdict) {
	v.good = s.good
	v.stock, v.broken = s.table.judge(s.buffer)
	broken := v.broken
	v.both = v.stock && broken == [ruleCount]bool{}
	broken[deprecatedField] = false
	v.lenient = v.stock && broken == [ruleCount]bool{}
	v.problem = try(func() error {
		if v.ours = s.table.layout.Verify(s.buffer); v.ours == nil {
			return s.read()
		}
		return nil
	})
	code, known := generatedCode[s.table.name()]
	v.known = known
	if !known || v.problem != "" {
		return v
	}
	v.problem = try(func() error {
		if v.generated = code.verify(s.buffer); v.generated == nil {
			code.read(s.buffer)
		}
		return nil
	})
	return v
}

// try says what goes wrong in a function.
func try(f func() error) (problem string) {
	defer func() {
		if panicked := recover(); panicked != nil {
			problem = fmt.Sprintf("panic: %v\n%s", panicked, debug.Stack())
		}
	}()
	if err := f(); err != nil {
		return err.Error()
	}
	return ""
}

// read reads every field of what flatverify accepted.
func (s *subject) read() error {
	if err := s.table.read(s.buffer); err != nil {
		return err
	}
	// JSON may end with a string that is not UTF-8, or a union of something unknown.
	_, err := s.table.layout.ToJSON(s.buffer, schema.JSONOptions{Defaults: true})
	var refused *flatverify.Error
	if errors.As(err, &refused) {
		return err
	}
	return nil
}

// compare counts a buffer, or says what is wrong with the verdicts.
func (c *counts) compare(v *verdict, a answer) (problem string) {
	stock := a.stock
	c.all++
	var rules []string
	for r, broken := range v.broken {
		if broken {
			rules = append(rules, ruleNames[r])
		}
	}
	switch {
	case v.problem != "":
		return v.problem
	case !stock && a.native:
		return "the stock verifier refuses it, the one in C does not"
	case !stock && (v.ours == nil || v.known && v.generated == nil):
		return "the stock verifier refuses it, flatverify does not"
	case v.good && v.ours != nil:
		return "well-formed, but: " + v.ours.Error()
	case stock != v.stock:
		return fmt.Sprintf("the stock verifier says %t, the model of it %t", stock, v.stock)
	case v.both != (v.ours == nil), v.known && v.lenient != (v.generated == nil):
		return fmt.Sprintf("flatverify says %v, generated code %v; broken rules: %s",
			v.ours, v.generated, strings.Join(rules, ", "))
	case v.lenient != a.native:
		return fmt.Sprintf("flatverify says %v, the verifier in C %t; broken rules: %s",
			v.ours, a.native, strings.Join(rules, ", "))
	}
	switch {
	case v.ours == nil:
		c.accepted++
	case !stock:
		c.refused++
	default:
		c.onlyStock++
		for r := range v.broken {
			if v.broken[r] {
				c.rules[r]++
			}
		}
	}
	return ""
}
