package load

import (
	"errors"
	"fmt"
	"math/rand/v2"
)

// Method is one of those that a run calls.
type Method struct {
	Name   string  // for reports, and for targets that know methods by name: "SmfStorage.Get"
	ID     uint32  // for targets that know methods by number
	Weight float64 // its share of all calls is this over the sum of all; 0: 1
	// Payloads are what is sent.
	Payloads Payloads
	// Check looks at a reply's payload, which is lent; its error counts the call as failed. nil: every reply is right. It
	// runs in the client and takes its time.
	Check func(reply []byte) error
}

// Payloads are what calls send. Any goroutine.
type Payloads interface {
	// Payload is that of one call. The random numbers come from the run's seed and the call's number alone, so that a
	// run can be repeated. What it returns is not changed by the run, and may be returned again.
	Payload(random *rand.Rand) []byte
}

// Fixed is always the same payload.
type Fixed []byte

// Payload is the payload.
func (f Fixed) Payload(*rand.Rand) []byte { return f }

// OneOf takes any of the payloads, all of them equally often.
type OneOf [][]byte

// Payload is one of them.
func (o OneOf) Payload(random *rand.Rand) []byte { return o[random.IntN(len(o))] }

// Generate makes each payload by calling the function, from many goroutines at once. What that costs is the
// client's, and comes before a call is sent: OneOf of a few thousand of its payloads is free.
type Generate func(random *rand.Rand) []byte

// Payload calls the function.
func (g Generate) Payload(random *rand.Rand) []byte { return g(random) }

// mix chooses methods by their weights.
type mix struct {
	methods []Method
	until   []float64 // sums of the weights
}

func newMix(methods []Method) (*mix, error) {
	if len(methods) == 0 {
		return nil, errors.New("there is no method to call (Options.Methods)")
	}
	m := &mix{methods: methods}
	sum := 0.0
	for _, method := range methods {
		weight := method.Weight
		if weight == 0 {
			weight = 1
		}
		if !(weight > 0 && weight < 1e12) {
			return nil, fmt.Errorf("the weight of %s is %v: weights are more than 0 and at most 1e12", method.Name, method.Weight)
		}
		if method.Payloads == nil {
			return nil, fmt.Errorf("%s has no payloads (Method.Payloads)", method.Name)
		}
		if all, ok := method.Payloads.(OneOf); ok && len(all) == 0 {
			return nil, fmt.Errorf("%s has no payloads: OneOf of none", method.Name)
		}
		sum += weight
		m.until = append(m.until, sum)
	}
	return m, nil
}

// choose returns a method's index.
func (m *mix) choose(random *rand.Rand) int {
	if len(m.methods) == 1 {
		return 0
	}
	at := random.Float64() * m.until[len(m.until)-1]
	for i, until := range m.until {
		if at < until {
			return i
		}
	}
	return len(m.until) - 1
}
