package flatverify_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/flatverify"
	"github.com/smf-go/smf/go/internal/sourcetree"
)

// buildNative compiles the C verifier into a program that speaks over pipes.
func buildNative(t *testing.T) string {
	root, err := sourcetree.Root()
	require.NoError(t, err)
	program := filepath.Join(t.TempDir(), "flat_peer")
	output, err := exec.Command("cc", "-std=gnu11", "-O2", "-I", filepath.Join(root, "native/include"),
		"-I", filepath.Join(root, "native/src"), "-o", program, filepath.Join(root, "native/test/flat_peer.c"),
		filepath.Join(root, "native/src/flat/flat_verify.c")).CombinedOutput()
	require.NoError(t, err, "%s", output)
	return program
}

// question is a payload for the verifiers.
type question struct {
	table   int
	payload []byte
}

// askNative returns what the C verifier says of each payload: "ok", or an error.
func askNative(t *testing.T, program string, schema flatverify.Schema, questions []question) []string {
	command := exec.Command(program)
	in, err := command.StdinPipe()
	require.NoError(t, err)
	out, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	go func() {
		w := bufio.NewWriterSize(in, 1<<16)
		put := func(values ...uint32) { _ = binary.Write(w, binary.NativeEndian, values) }
		put(uint32(len(schema)))
		for _, table := range schema {
			put(uint32(len(table.Fields)))
			for _, f := range table.Fields {
				required := uint32(0)
				if f.Required {
					required = 1
				}
				put(uint32(f.Slot), uint32(f.Kind), uint32(f.Align), required, f.Size, uint32(f.Table))
			}
		}
		for _, q := range questions {
			put(uint32(q.table), uint32(len(q.payload)))
			_, _ = w.Write(q.payload)
		}
		_ = w.Flush()
		_ = in.Close()
	}()
	text, err := io.ReadAll(out)
	require.NoError(t, err)
	require.NoError(t, command.Wait())
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// schemaMaker makes schemas by chance, and payloads of them.
type schemaMaker struct {
	*rand.Rand
	schema flatverify.Schema
	tables int // how many are tables; unions are behind them
}

func newSchema(random *rand.Rand) *schemaMaker {
	m := &schemaMaker{Rand: random, tables: 1 + random.IntN(4)}
	m.schema = make(flatverify.Schema, m.tables)
	for i := range m.tables {
		slot := uint16(4)
		for range m.IntN(8) {
			f := m.field(&slot)
			f.Name, f.Slot = fmt.Sprintf("F%d", len(m.schema[i].Fields)), slot
			m.schema[i].Fields = append(m.schema[i].Fields, f)
			slot += 2 * uint16(1+m.IntN(2)) // deprecated fields leave gaps
		}
	}
	for i := range m.schema {
		m.schema[i].Name = fmt.Sprintf("T%d", i)
	}
	return m
}

func (m *schemaMaker) inline() (size uint32, align uint8) {
	align = 1 << m.IntN(4)
	return uint32(align) * uint32(1+m.IntN(3)), align
}

func (m *schemaMaker) field(slot *uint16) flatverify.Field {
	f := flatverify.Field{Kind: flatverify.Kind(1 + m.IntN(int(flatverify.UnionVector))), Required: m.IntN(4) == 0}
	switch f.Kind {
	case flatverify.Inline, flatverify.InlineVector:
		f.Size, f.Align = m.inline()
	case flatverify.SubTable, flatverify.TableVector, flatverify.Nested:
		f.Table = m.IntN(m.tables)
	case flatverify.Union, flatverify.UnionVector:
		*slot += 2 // the type's
		f.Table = len(m.schema)
		union := flatverify.Table{}
		for i := range 1 + m.IntN(4) {
			member := flatverify.Field{Name: fmt.Sprintf("F%d", i), Slot: uint16(1 + i), Kind: flatverify.SubTable, Table: m.IntN(m.tables)}
			switch m.IntN(3) {
			case 0:
				member.Kind = flatverify.String
			case 1:
				member.Kind = flatverify.Inline
				member.Size, member.Align = m.inline()
			}
			union.Fields = append(union.Fields, member)
		}
		m.schema = append(m.schema, union)
	}
	return f
}

func (m *schemaMaker) place(b *flatbuffers.Builder, size, align int) {
	b.Prep(align, size)
	for range size {
		b.PlaceByte(byte(m.Uint32()))
	}
}

// filled is a field that was built: what add does puts it into the table that is open.
type filled struct {
	slot uint16
	add  func(b *flatbuffers.Builder)
}

func offsetTo(to flatbuffers.UOffsetT) func(b *flatbuffers.Builder) {
	return func(b *flatbuffers.Builder) { b.PrependUOffsetT(to) }
}

func (m *schemaMaker) table(b *flatbuffers.Builder, table, depth int) flatbuffers.UOffsetT {
	var fields []filled
	top := uint16(4)
	for _, f := range m.schema[table].Fields {
		top = f.Slot + 2
		if depth > 4 && f.Kind != flatverify.Inline || !f.Required && m.IntN(3) == 0 {
			continue
		}
		fields = m.fill(b, f, depth, fields)
	}
	m.Shuffle(len(fields), func(i, k int) { fields[i], fields[k] = fields[k], fields[i] })
	b.StartObject(int(top-4) / 2)
	for _, f := range fields {
		f.add(b)
		b.Slot(int(f.slot-4) / 2)
	}
	return b.EndObject()
}

func (m *schemaMaker) fill(b *flatbuffers.Builder, f flatverify.Field, depth int, fields []filled) []filled {
	add := func(slot uint16, add func(b *flatbuffers.Builder)) { fields = append(fields, filled{slot, add}) }
	count := m.IntN(4)
	switch f.Kind {
	case flatverify.Inline:
		add(f.Slot, func(b *flatbuffers.Builder) { m.place(b, int(f.Size), int(f.Align)) })
	case flatverify.InlineVector:
		b.StartVector(int(f.Size), count, int(f.Align))
		for range count * int(f.Size) {
			b.PlaceByte(byte(m.Uint32()))
		}
		add(f.Slot, offsetTo(b.EndVector(count)))
	case flatverify.Nested:
		inner := flatbuffers.NewBuilder(0)
		inner.Finish(m.table(inner, f.Table, depth+1))
		add(f.Slot, offsetTo(b.CreateByteVector(inner.FinishedBytes())))
	case flatverify.Union:
		member := m.schema[f.Table].Fields[m.IntN(len(m.schema[f.Table].Fields))]
		add(f.Slot, offsetTo(m.target(b, member, depth)))
		add(f.Slot-2, func(b *flatbuffers.Builder) { b.PrependByte(byte(member.Slot)) })
	case flatverify.UnionVector:
		members := m.schema[f.Table].Fields
		types := make([]byte, count)
		targets := make([]flatbuffers.UOffsetT, count)
		for i := range count {
			member := members[m.IntN(len(members))]
			types[i], targets[i] = byte(member.Slot), m.target(b, member, depth)
		}
		add(f.Slot-2, offsetTo(b.CreateByteVector(types)))
		add(f.Slot, offsetTo(vectorOf(b, targets)))
	case flatverify.StringVector, flatverify.TableVector:
		targets := make([]flatbuffers.UOffsetT, count)
		for i := range count {
			targets[i] = m.target(b, f, depth)
		}
		add(f.Slot, offsetTo(vectorOf(b, targets)))
	default:
		add(f.Slot, offsetTo(m.target(b, f, depth)))
	}
	return fields
}

// target builds what an offset leads to.
func (m *schemaMaker) target(b *flatbuffers.Builder, f flatverify.Field, depth int) flatbuffers.UOffsetT {
	switch f.Kind {
	case flatverify.String, flatverify.StringVector:
		return b.CreateString(strings.Repeat("s", m.IntN(6)))
	case flatverify.Inline:
		m.place(b, int(f.Size), int(f.Align))
		return b.Offset()
	default:
		return m.table(b, f.Table, depth+1)
	}
}

func vectorOf(b *flatbuffers.Builder, targets []flatbuffers.UOffsetT) flatbuffers.UOffsetT {
	b.StartVector(4, len(targets), 4)
	for _, target := range slices.Backward(targets) {
		b.PrependUOffsetT(target)
	}
	return b.EndVector(len(targets))
}

// mutate changes some bytes of a payload, or cuts it.
func (m *schemaMaker) mutate(payload []byte) []byte {
	payload = slices.Clone(payload)
	for range 1 + m.IntN(3) {
		at := m.IntN(len(payload))
		switch m.IntN(6) {
		case 0:
			payload[at] = byte(m.Uint32())
		case 1:
			payload[at] ^= 1 << m.IntN(8)
		case 2:
			payload[at] += byte(4 * (m.IntN(8) - 4))
		case 3:
			binary.LittleEndian.PutUint32(payload[min(at&^3, len(payload)-4):], uint32(m.IntN(len(payload)+8)))
		case 4:
			payload = payload[:max(at, 4)]
		default:
			payload[at] = []byte{0, 1, 0x7f, 0x80, 0xff}[m.IntN(5)]
		}
	}
	return payload
}

// Of any payload of any schema, both verifiers say the same: the verdict, the table, the field, the
// position and the sentence.
func TestGoAndCAgree(t *testing.T) {
	program := buildNative(t)
	schemas := 60
	if testing.Short() {
		schemas = 15
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	said := make(map[string]int)
	for i := range schemas {
		m := newSchema(rand.New(rand.NewPCG(seed, uint64(i))))
		var questions []question
		for len(questions) < 2000 {
			table := m.IntN(m.tables)
			b := flatbuffers.NewBuilder(0)
			b.Finish(m.table(b, table, 1))
			payload := slices.Clone(b.FinishedBytes())
			questions = append(questions, question{table, payload})
			for range 40 {
				questions = append(questions, question{table, m.mutate(payload)})
			}
		}
		answers := askNative(t, program, m.schema, questions)
		require.Len(t, answers, len(questions))
		for k, q := range questions {
			want, problem := "ok", ""
			if err := m.schema.Verify(q.table, q.payload); err != nil {
				want = err.Error()
				problem = err.(*flatverify.Error).Problem
			}
			require.Equal(t, want, answers[k], "table %d of %+v: %x", q.table, m.schema, q.payload)
			said[problem]++
		}
	}
	t.Logf("%d different sentences, %d payloads were good", len(said)-1, said[""])
	require.Greater(t, len(said), 15)
	require.Greater(t, said[""], 100*schemas)
}
