package rpc

import (
	"context"
	"fmt"
	"sync"
)

var calls = sync.Pool{New: func() any { return &Call{side: SideClient} }}

// callFiltered makes a client's call through filters. run is one that ends in exchange; m is nil for a
// method of which only the id is known.
func callFiltered(ctx context.Context, run Next, caller Caller, service string, m *Method, methodID uint32, payload []byte) (*Message, error) {
	c := calls.Get().(*Call)
	returned := false
	defer func() { c.giveBack(returned) }()
	if m == nil {
		c.plain.ID, c.plain.Streaming = methodID, StreamingNone
		m = &c.plain
	}
	c.method, c.service, c.payload = m, service, payload
	c.caller = caller
	c.tell(ctx)
	result, err := c.result(run(ctx, c))
	returned = true
	return result, err
}

// oneWayFiltered is Client.OneWay through filters.
func oneWayFiltered(ctx context.Context, run Next, client *Client, methodID uint32, payload []byte) error {
	c := calls.Get().(*Call)
	returned := false
	defer func() { c.giveBack(returned) }()
	c.plain.ID, c.plain.Streaming = methodID, StreamingNone
	c.method, c.service, c.payload = &c.plain, "", payload
	c.caller, c.oneWay = client, true
	c.tell(ctx)
	err := run(ctx, c)
	c.drop()
	returned = true
	return err
}

// giveBack is the end of a client's call, whether it has returned or not.
func (c *Call) giveBack(returned bool) {
	if returned {
		c.reset()
		calls.Put(c)
	} else { // a filter panics, or ends its goroutine: somebody may still use the call
		_ = c.finish(0, &Error{Code: CodeInternal, Message: "a filter panicked, or ended its goroutine", MayHaveRun: true})
	}
}

// exchange is what is inside of a client's filters.
func exchange(ctx context.Context, c *Call) (err error) {
	if c.opening != nil {
		return c.opening.exchange(ctx, c)
	}
	c.drop()
	c.replyMetadata.Reset()
	client, direct := c.caller.(*Client)
	switch {
	case direct && c.oneWay:
		return client.sendOneWay(ctx, c.method.ID, c.payload, c)
	case direct:
		c.answer, err = client.exchange(ctx, c.method.ID, c.payload, c)
	case c.compression != CompressionNone:
		return &Error{Code: CodeNotImplemented, Message: fmt.Sprintf(
			"a filter has compressed the request of %s (%s), and what it is called through, a %T, takes payloads as they are; give the filter to ClientOptions.Filters",
			c.Name(), c.compression, c.caller)}
	default:
		c.answer, err = c.caller.Call(c.passOn(ctx), c.method.ID, c.payload)
	}
	if err != nil {
		c.answer = nil
		return err
	}
	if !direct {
		c.replyMetadata.append(c.answer.Metadata()) // as filters further in have left it
	}
	c.reply, c.replyCompression = c.answer.payload, c.answer.compression
	return nil
}

// drop gives the reply of an earlier attempt back.
func (c *Call) drop() {
	if c.answer != nil {
		c.answer.Release()
		c.answer = nil
	}
	c.reply, c.replyCompression = nil, CompressionNone
}

// result is what the call returns to who made it.
func (c *Call) result(err error) (*Message, error) {
	switch {
	case err != nil:
	case len(c.reply) == 0:
		err = &Error{Code: CodeInternal, Message: fmt.Sprintf(
			"a filter ended the call of %s without an error and without a reply; call next, or SetReply", c.Name())}
	case c.replyCompression != CompressionNone:
		err = &Error{Code: CodeNotImplemented, MayHaveRun: true, Message: fmt.Sprintf(
			"the reply is compressed (%s), and no filter of %s decompresses it", c.replyCompression, c.Name())}
	default:
		return c.message(), nil
	}
	c.drop()
	return nil, err
}

// message is the reply as a message of its own.
func (c *Call) message() *Message {
	m := c.answer
	if c.answer = nil; m == nil {
		m = newMessage(c.method.ID)
	}
	if c.replyMetadata.Len() > 0 || len(m.block) > 0 || m.read { // as filters have left it
		m.read = true
		m.metadata.Reset()
		for key, value := range c.replyMetadata.All() {
			m.metadata.add(key, value)
		}
	}
	m.compression = CompressionNone // filters have seen to it
	if samePlace(c.reply, m.payload) {
		return m
	}
	for i := range c.buffers[:c.used] {
		if b := c.buffers[i]; len(b) > 0 && &b[:1][0] == &c.reply[0] { // give memory for memory
			c.buffers[i], m.payload = m.payload, b[:len(c.reply)]
			m.large = nil // it is the filters' now
			return m
		}
	}
	m.payload = append(m.payload[:0], c.reply...)
	return m
}

// stubFilters are what runs around the calls of a stub.
type stubFilters struct {
	service string
	methods map[uint32]stubMethod
	rest    Next  // for methods that are not described
	wrong   error // what every call fails with
}

type stubMethod struct {
	*Method
	run Next
}

// newStub makes a stub for a service; there are no methods where it is not known.
func newStub(c Caller, service string, methods []Method, options []ServiceOption) Stub {
	s := Stub{caller: c, unverified: anyUnverified(options)}
	inside, some := Next(exchange), false
	if client, ok := c.(*Client); ok && client != nil && client.run != nil {
		inside, some = client.run, true
	}
	for i := range options {
		some = some || len(options[i].filters) > 0 || options[i].method != ""
	}
	if !some {
		return s
	}
	ofAll, ofMethod := filtersOf(options)
	f := &stubFilters{service: service, methods: map[uint32]stubMethod{}, rest: around(ofAll, inside),
		wrong: knownMethods(ofMethod, methods)}
	for i := range methods {
		m := &methods[i]
		f.methods[m.ID] = stubMethod{m, around(ofMethod[m.Name], f.rest)}
	}
	s.filters = f
	return s
}

func (s *Stub) call(ctx context.Context, methodID uint32, payload []byte) (*Message, error) {
	f := s.filters
	if f == nil {
		return s.caller.Call(ctx, methodID, payload)
	}
	if f.wrong != nil {
		return nil, f.wrong
	}
	if m, ok := f.methods[methodID]; ok {
		return callFiltered(ctx, m.run, s.caller, f.service, m.Method, methodID, payload)
	}
	return callFiltered(ctx, f.rest, s.caller, f.service, nil, methodID, payload)
}
