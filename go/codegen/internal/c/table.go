package c

import (
	"fmt"
	"strings"

	"github.com/smf-go/smf/go/codegen/internal/model"
)

func (v *view) addTable(n Names, s *model.Schema, t *model.Table) error {
	out := tableView{Table: t, C: cName(&t.Declaration), Identifier: "NULL"}
	if err := n.claimAll(out.C, thingOf("table", &t.Declaration, ""), tableEndings); err != nil {
		return err
	}
	if t == s.Root && s.Identifier != "" {
		out.Identifier = quote(s.Identifier)
	}
	for _, f := range t.Fields {
		out.SlotsSize = max(out.SlotsSize, f.Slot-2)
		if f.Deprecated {
			continue
		}
		out.Lines = append(out.Lines, describe(f).String())
		if f.TagOf != nil { // read and written with the union
			continue
		}
		if f.Required {
			out.Required = append(out.Required, requiredView{f.Slot, t.Name + "." + f.Name + ": required field is missing"})
		}
		field, err := v.field(n, &out, f)
		if err != nil {
			return err
		}
		out.Readers = append(out.Readers, field)
	}
	v.Tables = append(v.Tables, out)
	return nil
}

// describe is what the verifier has to know of a field.
func describe(f *model.Field) row {
	r := row{name: f.Name, slot: f.Slot, required: f.Required}
	switch t := &f.Type; t.Kind {
	case model.Text:
		r.kind = "STRING"
	case model.TableKind:
		r.kind, r.table = "TABLE", cName(&t.Table.Declaration)+"_layout"
	case model.Union:
		r.kind, r.table = "UNION", cName(&t.Enum.Declaration)+"_members"
	case model.Vector:
		switch e := t.Elem; {
		case f.Nested != nil:
			r.kind, r.table = "NESTED", cName(&f.Nested.Declaration)+"_layout"
		case e.Kind == model.Text:
			r.kind = "STRING_VECTOR"
		case e.Kind == model.TableKind:
			r.kind, r.table = "TABLE_VECTOR", cName(&e.Table.Declaration)+"_layout"
		case e.Kind == model.Union:
			r.kind, r.table = "UNION_VECTOR", cName(&e.Enum.Declaration)+"_members"
		default:
			r.kind, r.size, r.align = "INLINE_VECTOR", e.Size(), e.Align()
		}
	default:
		r.kind, r.size, r.align = "INLINE", t.Size(), t.Align()
	}
	return r
}

// field decides how a field is read and written.
func (v *view) field(n Names, t *tableView, f *model.Field) (fieldView, error) {
	out := fieldView{Field: f, Table: t.C, C: member(t.C, f.Name, tableEndings), Add: t.C + "_add_" + f.Name}
	what := thingOf("field", &t.Declaration, f.Name)
	if err := n.claim(out.C, what); err != nil {
		return out, err
	}
	if err := n.claim(out.Add, what.its("writer")); err != nil {
		return out, err
	}
	present := false
	switch typ := &f.Type; typ.Kind {
	case model.Plain:
		out.Part, out.Type, out.Scalar, out.Absent = "scalar", plain(typ), scalars[typ.Scalar].name, v.constant(f)
		present = f.Optional
	case model.Text:
		out.Part, present = "string", true
	case model.StructOf:
		out.Part, out.Type, present = "struct", cName(&typ.Struct.Declaration), true
	case model.TableKind:
		out.Part, out.Type = "table", cName(&typ.Table.Declaration)
		out.Ref = out.Type + "_ref"
	case model.Union:
		out.Part, out.Type = "union", cName(&typ.Enum.Declaration)
		out.Ref = out.Type + "_ref"
	case model.Vector:
		out.vector(typ.Elem)
	default:
		return out, fmt.Errorf("%s: a table can't hold an array", what.what)
	}
	if f.Nested != nil {
		out.Nested, out.AsRoot = cName(&f.Nested.Declaration), out.C+"_as_root"
		if err := n.claim(out.AsRoot, what.its("root")); err != nil {
			return out, err
		}
	}
	if !present || f.Required {
		return out, nil
	}
	out.Present = out.C + "_is_present"
	return out, n.claim(out.Present, what.its("presence"))
}

// vector decides how a vector of elem is read and written.
func (f *fieldView) vector(elem *model.Type) {
	f.Part = "vector"
	switch elem.Kind {
	case model.Plain:
		f.Vector = "smf_flat_" + scalars[elem.Scalar].name + "_vector"
	case model.Text:
		f.Vector = "smf_flat_string_vector"
	case model.Union:
		f.Part, f.Vector = "unions", cName(&elem.Enum.Declaration)+"_vector"
	default:
		f.Part, f.Vector = "blocks", cName(elem.Declaration())+"_vector"
	}
	f.Ref = f.Vector + "_ref"
}

// Get is the function of <smf/flat.h> that reads a vector.
func (f fieldView) Get() string {
	return strings.Replace(f.Vector, "smf_flat_", "smf_flat_get_", 1)
}

func (v *view) addService(n Names, s *model.Service) error {
	out := serviceView{Service: s, C: cName(&s.Declaration)}
	what := thingOf("service", &s.Declaration, "")
	for _, ending := range serviceEndings {
		if err := n.claim(out.C+"_"+ending, what.its(ending)); err != nil {
			return err
		}
	}

	members := Names{"context": what, "unverified": what, "problem": what}
	for i, m := range s.Methods {
		method := methodView{Method: m, Index: i, C: member(out.C, m.Name, serviceEndings), InC: cName(&m.In.Declaration), OutC: cName(&m.Out.Declaration),
			Member: free(m.Name), Micros: m.Timeout.Microseconds()}
		if _, taken := members[method.Member]; taken {
			method.Member += "_"
		}
		if err := members.claim(method.Member, thingOf("method", &s.Declaration, m.Name)); err != nil {
			return err
		}
		method.CRCName, method.IDName = method.C+"_CRC", method.C+"_ID"
		method.ManyIn = m.Streaming == model.ClientStreaming || m.Streaming == model.BidiStreaming
		method.ManyOut = m.Streaming == model.ServerStreaming || m.Streaming == model.BidiStreaming
		endings := []string{"CRC", "ID", "deliver", "with"}
		if method.Streams() {
			endings = []string{"CRC", "ID", "handler", "caller", "serve", "receive"}
		}
		if err := n.claimAll(method.C, thingOf("method", &s.Declaration, m.Name), endings); err != nil {
			return err
		}
		var flags []string
		if m.Slow {
			flags = append(flags, "SMF_METHOD_SLOW")
		}
		if m.Idempotent {
			flags = append(flags, "SMF_METHOD_IDEMPOTENT")
		}
		if method.ManyIn {
			flags = append(flags, "SMF_METHOD_STREAM_IN")
		}
		if method.ManyOut {
			flags = append(flags, "SMF_METHOD_STREAM_OUT")
		}
		method.Flags = "0"
		if len(flags) > 0 {
			method.Flags = strings.Join(flags, " | ")
		}
		out.Methods = append(out.Methods, method)
	}
	v.Services = append(v.Services, out)
	return nil
}
