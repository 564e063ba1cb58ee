package golang

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/smf-go/smf/go/codegen/internal/model"
)

// callsView is what the template of a unit's services, verifiers and writers needs to know.
type callsView struct {
	Stem      string // of unexported names: "smfDemo"
	Source    string // "smf_demo.fbs"
	Schema    string // the constant with the binary schema; empty: it is not in this package
	Namespace string
	Tables    []*tableView  // the unit's own
	Layouts   []*layoutView // of them and of what they lead to, for the verifier
	Services  []serviceView
}

// tableView is a table as verifiers and writers see it.
type tableView struct {
	GoName   string // "Request"
	FullName string // "smf_gen.demo.Request"
	Fields   []fieldView
	Writer   *writerView // nil: none, see claimWriters
	Replies  bool        // a method of the schema answers with it
	layout   *layoutView
}

// Index is the name of the table's index in the verifier's schema.
func (t *tableView) Index() string { return t.layout.Const }

// fieldView is a field as verifiers and writers see it.
type fieldView struct {
	Name        string
	Slot        int
	Kind        string // a Kind of package flatverify
	Size, Align int    // of Inline and InlineVector
	Required    bool
	Layout      *layoutView // what a SubTable, TableVector, Nested, Union or UnionVector leads to

	GoType      string // of a scalar or an enum
	Bool, Float bool   // of a scalar or an enum
	Optional    bool   // of a scalar: may be null. Strings always may
}

// layoutView is a table, or a union's list of members, in the verifier's schema.
type layoutView struct {
	Name   string // for errors
	Const  string // of its index
	Fields []fieldView
}

type serviceView struct {
	*model.Service
	GoName    string
	Namespace string
	Methods   []methodView
}

type methodView struct {
	*model.Method
	GoName              string
	GoIn, GoOut         string // "Request", "units.Length"
	GoInT, GoOutT       string // of the object API
	VerifyIn, VerifyOut string
	Timeout             string // a Go expression; empty: none
	FullName            string // "SmfStorage.Get"
}

// Streams is the streaming mode's constant of package rpc; empty: none.
func (m *methodView) Streams() string {
	return [...]string{
		model.NoStreaming: "", model.ClientStreaming: "StreamingClient",
		model.ServerStreaming: "StreamingServer", model.BidiStreaming: "StreamingBidi",
	}[m.Streaming]
}

// Parameters are those of the server's method behind its context; ParameterTypes are their types.
func (m *methodView) Parameters() string {
	switch m.Streaming {
	case model.ClientStreaming:
		return "in *rpc.Receiver[" + m.GoIn + "], reply *rpc.Reply"
	case model.ServerStreaming:
		return "req *" + m.GoIn + ", out *rpc.Sender[" + m.GoOut + "]"
	case model.BidiStreaming:
		return "in *rpc.Receiver[" + m.GoIn + "], out *rpc.Sender[" + m.GoOut + "]"
	}
	return "req *" + m.GoIn + ", reply *rpc.Reply"
}

// ParameterTypes is Parameters without their names.
func (m *methodView) ParameterTypes() string {
	var types []string
	for _, parameter := range strings.Split(m.Parameters(), ", ") {
		_, t, _ := strings.Cut(parameter, " ")
		types = append(types, t)
	}
	return strings.Join(types, ", ")
}

// Streaming says whether one of the methods streams.
func (s *serviceView) Streaming() bool {
	return slices.ContainsFunc(s.Methods, func(m methodView) bool { return m.Streams() != "" })
}

// Streaming says whether one of the services has a method that streams.
func (v *callsView) Streaming() bool {
	return slices.ContainsFunc(v.Services, func(s serviceView) bool { return s.Streaming() })
}

// makeViews prepares the tables of the unit. Views of types that they lead to are made on the way.
func (g *generator) makeViews() {
	g.views = make(map[*model.Table]*tableView)
	g.layouts = make(map[any]*layoutView)
	answers := make(map[*model.Table]bool)
	for _, s := range g.services {
		for _, m := range s.Methods {
			answers[m.Out] = true
		}
	}
	for _, t := range g.tables {
		layout := g.tableLayout(t)
		g.views[t] = &tableView{
			GoName: typeName(t.Name), FullName: t.FullName(), Fields: layout.Fields, Replies: answers[t],
			layout: layout,
		}
	}
}

// tableLayout is the layout of a table, made once.
func (g *generator) tableLayout(t *model.Table) *layoutView {
	if known := g.layouts[t]; known != nil {
		return known
	}
	l := g.newLayout(t, &t.Declaration, "Table")
	for _, f := range t.Fields {
		if !f.Deprecated {
			l.Fields = append(l.Fields, g.fieldView(f))
		}
	}
	return l
}

// unionLayout is the list of a union's members, made once.
func (g *generator) unionLayout(e *model.Enum) *layoutView {
	if known := g.layouts[e]; known != nil {
		return known
	}
	l := g.newLayout(e, &e.Declaration, "Union")
	for _, v := range e.Values {
		if v.Member.Kind == model.None {
			continue
		}
		field := fieldView{Name: v.Name, Slot: int(uint8(v.Number)), Kind: "SubTable"}
		switch v.Member.Kind {
		case model.Text:
			field.Kind = "String"
		case model.StructOf:
			field.Kind, field.Size, field.Align = "Inline", v.Member.Size(), v.Member.Align()
		default:
			field.Layout = g.tableLayout(v.Member.Table)
		}
		l.Fields = append(l.Fields, field)
	}
	return l
}

func (g *generator) newLayout(key any, d *model.Declaration, kind string) *layoutView {
	name := typeName(d.Name)
	constant := g.stem + kind + name
	// Tables of other packages may have the same name.
	for n := 2; slices.ContainsFunc(g.order, func(l *layoutView) bool { return l.Const == constant }); n++ {
		constant = fmt.Sprintf("%s%s%s%d", g.stem, kind, name, n)
	}
	l := &layoutView{Name: name, Const: constant}
	g.layouts[key] = l
	g.order = append(g.order, l)
	return l
}

func (g *generator) fieldView(f *model.Field) fieldView {
	out := fieldView{Name: f.Name, Slot: f.Slot, Required: f.Required, Optional: f.Optional}
	t := &f.Type
	switch t.Kind {
	case model.Plain:
		out.Kind, out.Size, out.Align = "Inline", t.Size(), t.Align()
		out.GoType, out.Bool, out.Float = g.plain(t), t.Scalar == model.Bool, t.Scalar.IsFloat()
	case model.StructOf:
		out.Kind, out.Size, out.Align = "Inline", t.Size(), t.Align()
	case model.Text:
		out.Kind = "String"
	case model.TableKind:
		out.Kind, out.Layout = "SubTable", g.tableLayout(t.Table)
	case model.Union:
		out.Kind, out.Layout = "Union", g.unionLayout(t.Enum)
	case model.Vector:
		g.vectorView(&out, f)
	}
	return out
}

func (g *generator) vectorView(out *fieldView, f *model.Field) {
	switch elem := f.Type.Elem; {
	case f.Nested != nil:
		out.Kind, out.Layout = "Nested", g.tableLayout(f.Nested)
	case elem.Kind == model.Text:
		out.Kind = "StringVector"
	case elem.Kind == model.TableKind:
		out.Kind, out.Layout = "TableVector", g.tableLayout(elem.Table)
	case elem.Kind == model.Union:
		out.Kind, out.Layout = "UnionVector", g.unionLayout(elem.Enum)
	default:
		out.Kind, out.Size, out.Align = "InlineVector", elem.Size(), elem.Align()
	}
}

func (g *generator) serviceViews() []serviceView {
	var out []serviceView
	for _, s := range g.services {
		view := serviceView{Service: s, GoName: camel(s.Name), Namespace: s.Namespace}
		names := methodNames(s)
		for i, m := range s.Methods {
			method := methodView{
				Method: m, GoName: names[i], FullName: s.Name + "." + m.Name,
				GoIn: g.ref(&m.In.Declaration), GoOut: g.ref(&m.Out.Declaration),
				GoInT:  g.qualify(&m.In.Declaration, "", "T"),
				GoOutT: g.qualify(&m.Out.Declaration, "", "T"),

				VerifyIn:  g.qualify(&m.In.Declaration, "Verify", ""),
				VerifyOut: g.qualify(&m.Out.Declaration, "Verify", ""),
			}
			if m.Timeout > 0 {
				method.Timeout = durationExpression(m.Timeout)
			}
			view.Methods = append(view.Methods, method)
		}
		out = append(out, view)
	}
	return out
}

// durationExpression writes a duration as a programmer would: 250 * time.Millisecond.
func durationExpression(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{
		{time.Hour, "Hour"}, {time.Minute, "Minute"}, {time.Second, "Second"},
		{time.Millisecond, "Millisecond"}, {time.Microsecond, "Microsecond"},
	} {
		if d%unit.length == 0 {
			return fmt.Sprintf("%d * time.%s", d/unit.length, unit.name)
		}
	}
	return fmt.Sprintf("%d * time.Nanosecond", d)
}
