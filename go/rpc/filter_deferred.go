package rpc

import "sync"

// deferredFilters keep a promised reply until the filters have returned, and run what they have left to
// be run when it is known.
type deferredFilters struct {
	server *Server

	mu      sync.Mutex
	through bool      // the filters have returned
	call    *Call     // for the hooks; nil: there are none
	early   *promised // the answer that came before
}

// promised is what a token has answered with.
type promised struct {
	err     error
	flags   uint8
	payload []byte
}

// returned lets the token answer. The call's hooks and metadata go on without it.
func (f *deferredFilters) returned(c *Call, d *Deferred) {
	var kept *Call
	if len(c.hooks) > 0 || c.replyMetadata.Len() > 0 {
		kept = c.detach()
	}
	f.mu.Lock()
	f.through, f.call = true, kept
	early := f.early
	f.mu.Unlock()
	if early != nil {
		d.finish(kept, early)
	}
}

// keep keeps an answer while the filters have not returned. False: they have.
func (f *deferredFilters) keep(p *promised) (call *Call, kept bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.through {
		return f.call, false
	}
	f.early = p
	return nil, true
}

// detach makes a call that outlives its worker's, of which it takes the hooks and the metadata.
func (c *Call) detach() *Call {
	if c.served != nil && len(c.served.req.call.Metadata) > 0 {
		c.RequestMetadata() // the block goes with the request
	}
	d := &Call{method: c.method, service: c.service, side: c.side, accepts: c.accepts, deferred: true, hooks: c.hooks,
		requestMetadata: c.requestMetadata, replyMetadata: c.replyMetadata}
	c.hooks, c.requestMetadata, c.replyMetadata = nil, Metadata{}, Metadata{}
	return d
}
