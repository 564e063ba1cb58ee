package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"

	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/smf-go/smf/go/load"
	"github.com/smf-go/smf/go/schema"
	"github.com/smf-go/smf/schema/demo"
)

const (
	payloadsMax    = 4096 // random payloads that are made before a run
	payloadsBytes  = 256 << 20
	lookAtOneIn    = 1024 // replies: each is looked at once in so many
	payloadFileMax = 1 << 30
)

// requestOf is a request of the demo service.
func requestOf(name string) []byte {
	b := flatbuffers.NewBuilder(len(name) + 64)
	b.Finish((&demo.RequestT{Name: name}).Pack(b))
	return b.FinishedBytes()
}

// payloadSource makes what methods are called with.
type payloadSource struct {
	options   *loadOptions
	random    bool
	documents [][]byte // of a file, when it was read
}

// of is what a method is called with, and how its replies are looked at.
func (p *payloadSource) of(method *schema.Method) (load.Payloads, func([]byte) error, error) {
	check := sampled(func(reply []byte) error {
		if err := method.Out.Verify(reply); err != nil {
			return fmt.Errorf("the reply is malformed: %w", err)
		}
		return nil
	})
	switch o := p.options; {
	case p.random:
		payloads, err := randomPayloads(method, o.seed)
		return payloads, check, err
	case strings.HasPrefix(o.payload, "@"):
		payloads, err := p.ofFile(method, o.payload[1:])
		return payloads, check, err
	case o.payload != "":
		payload, err := method.In.FromJSON([]byte(o.payload))
		return load.Fixed(payload), check, err
	case o.schema.schema != "":
		return nil, nil, errors.New("--payload is missing: JSON, @FILE, or random")
	}
	name := strings.Repeat("x", p.options.nameBytes)
	return load.Fixed(requestOf(name)), sampled(func(reply []byte) error { return checkDemo(method, name, reply) }), nil
}

// checkDemo looks whether a reply is one: a table, and from Get the name that was sent.
func checkDemo(method *schema.Method, name string, reply []byte) error {
	if err := demo.VerifyResponse(reply); err != nil {
		return fmt.Errorf("the reply is malformed: %w", err)
	}
	if method.ID != demo.SmfStorageGetMethodID {
		return nil
	}
	if got := demo.GetRootAsResponse(reply, 0).Name(); string(got) != name {
		return fmt.Errorf("the reply has a name of %d bytes that is not the one that was sent", len(got))
	}
	return nil
}

// sampled looks at the first reply, and then now and then: looking at all of them is not what is measured.
func sampled(check func([]byte) error) func([]byte) error {
	var replies atomic.Uint64
	return func(reply []byte) error {
		if replies.Add(1)%lookAtOneIn != 1 {
			return nil
		}
		return check(reply)
	}
}

// ofFile is a payload for each document of a file.
func (p *payloadSource) ofFile(method *schema.Method, path string) (load.OneOf, error) {
	if p.documents == nil {
		if err := p.read(path); err != nil {
			return nil, err
		}
	}
	var out load.OneOf
	for i, document := range p.documents {
		payload, err := method.In.FromJSON(document)
		if err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", path, i+1, err)
		}
		out = append(out, payload)
	}
	return out, nil
}

func (p *payloadSource) read(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	documents := newDocuments(io.LimitReader(file, payloadFileMax))
	for {
		document, line, err := documents.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: line %d: %w", path, line, err)
		}
		p.documents = append(p.documents, document)
	}
	if len(p.documents) == 0 {
		return fmt.Errorf("%s has no document: write one JSON document a line", path)
	}
	return nil
}

// randomPayloads are some that the schema allows.
func randomPayloads(method *schema.Method, seed uint64) (load.OneOf, error) {
	random := rand.New(rand.NewPCG(seed, uint64(method.ID)))
	var out load.OneOf
	for size := 0; len(out) < payloadsMax && size < payloadsBytes; {
		payload := method.In.Random(random)
		if len(payload) > requestMax {
			continue
		}
		size += len(payload)
		out = append(out, payload)
	}
	return out, nil
}
