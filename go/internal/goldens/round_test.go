package goldens_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/codegen/testdata/nested"
	"github.com/smf-go/smf/go/internal/bfbs"
	"github.com/smf-go/smf/go/internal/flatmake"
	"github.com/smf-go/smf/go/internal/goldens"
	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/schema"
)

// payloads is how many random payloads of each table are tried, and walkMax how many values of each are read
// through the accessors.
const (
	payloads = 200
	walkMax  = 20_000
)

// object is the index of a table in a binary schema.
func object(t *testing.T, s *bfbs.Schema, name string) int {
	for i, o := range s.Objects {
		if o.Name == name {
			return i
		}
	}
	t.Fatalf("no table %s", name)
	return 0
}

// What the generated code reads of a payload and packs again says the same, as package schema reads it, which
// has no line in common with generated code. And what is read can be read by every accessor.
func TestRoundTrips(t *testing.T) {
	for _, table := range goldens.Tables {
		t.Run(table.Name, func(t *testing.T) {
			parsed, err := bfbs.Parse([]byte(table.Schema))
			require.NoError(t, err)
			root := object(t, parsed, table.Name)
			compiled, err := schema.Read([]byte(table.Schema))
			require.NoError(t, err)
			reader, err := compiled.Table(table.Name)
			require.NoError(t, err)
			dropped := deprecated(parsed)
			read := 0
			for seed := range uint64(payloads) {
				payload := flatmake.Make(rand.New(rand.NewPCG(seed, 0)), parsed, root, false)
				require.NoError(t, table.Verify(payload), "seed %d", seed)
				read += goldens.Walk(table.Root(payload), walkMax)
				again := pack(table.UnPack(payload))
				require.NoError(t, table.Verify(again), "seed %d", seed)
				require.Equal(t, says(t, reader, payload, dropped), says(t, reader, again, dropped), "seed %d", seed)
			}
			if len(parsed.Objects[root].Fields) > 0 {
				require.Positive(t, read)
			}
		})
	}
}

// An empty plain struct makes a payload, unless something is required that it can't have.
func TestEmptyObjects(t *testing.T) {
	for _, table := range goldens.Tables {
		payload := pack(table.Empty())
		if err := table.Verify(payload); err != nil {
			require.ErrorContains(t, err, "required field is missing", table.Name)
		}
	}
}

func pack(object rpc.Packer) []byte {
	b := flatbuffers.NewBuilder(64)
	b.Finish(object.Pack(b))
	return bytes.Clone(b.FinishedBytes())
}

// deprecated are the names of the fields that generated code does not know.
func deprecated(s *bfbs.Schema) map[string]bool {
	names := make(map[string]bool)
	for _, o := range s.Objects {
		for _, f := range o.Fields {
			if f.Deprecated {
				names[f.Name] = true
			}
		}
	}
	return names
}

// says is a payload as JSON, without some fields. An empty string is like none.
func says(t *testing.T, reader *schema.Table, payload []byte, without map[string]bool) string {
	text, err := reader.ToJSON(payload, schema.JSONOptions{Defaults: true})
	require.NoError(t, err)
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	require.NoError(t, decoder.Decode(&value))
	drop(value, without)
	out, err := json.Marshal(value)
	require.NoError(t, err)
	return string(out)
}

func drop(value any, without map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for key, member := range v {
			if member == "" || without[key] {
				delete(v, key)
			}
			drop(member, without)
		}
	case []any:
		for _, element := range v {
			drop(element, without)
		}
	}
}

// No bytes are no nested payload: a vector without any is refused.
func TestEmptyNestedPayload(t *testing.T) {
	require.NoError(t, nested.VerifyEnvelope(pack(&nested.EnvelopeT{Body: []byte{}, Other: nil})))
}
