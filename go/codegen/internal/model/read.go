package model

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/smf-go/smf/go/internal/bfbs"
)

// Read resolves a binary schema, which source is the base name of. What it can't make sense of is an
// error of one line; where it is a declaration's, an *Error. Of services, it is all that is wrong, joined.
func Read(in *bfbs.Schema, source string) (*Schema, error) {
	r := &reader{in: in, out: &Schema{Source: source, Identifier: in.Identifier}, files: make(map[string]*File)}
	if err := r.readFiles(); err != nil {
		return nil, err
	}
	// Declarations first, because they refer to each other.
	for i := range in.Objects {
		r.declareObject(&in.Objects[i])
	}
	for i := range in.Enums {
		if err := r.declareEnum(&in.Enums[i]); err != nil {
			return nil, err
		}
	}
	for i := range in.Enums {
		if err := r.readValues(&in.Enums[i], r.enums[i]); err != nil {
			return nil, err
		}
	}
	for i := range in.Objects {
		if err := r.readFields(&in.Objects[i], r.objects[i]); err != nil {
			return nil, err
		}
	}
	var problems []error
	for i := range in.Services {
		problems = append(problems, r.readService(&in.Services[i])...)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	r.findMisplaced()
	r.out.Root = r.table(in.Root)
	return r.out, nil
}

// object is a table or a struct.
type object struct {
	table     *Table
	structure *Struct
}

func (o *object) declaration() *Declaration {
	if o.table != nil {
		return &o.table.Declaration
	}
	return &o.structure.Declaration
}

type reader struct {
	in      *bfbs.Schema
	out     *Schema
	files   map[string]*File
	objects []object // as in.Objects
	enums   []*Enum  // as in.Enums
}

func (r *reader) readFiles() error {
	for _, f := range r.in.Files {
		file := &File{Name: strings.TrimPrefix(f.Name, "//")}
		r.files[f.Name] = file
		r.out.Files = append(r.out.Files, file)
	}
	for i, f := range r.in.Files {
		for _, name := range f.Includes {
			if included := r.files[name]; included != nil {
				r.out.Files[i].Includes = append(r.out.Files[i].Includes, included)
			}
		}
	}
	r.out.Main = r.files["//"+r.out.Source]
	if r.out.Main == nil {
		return errors.New("flatc does not list the schema itself among the schema's files")
	}
	return nil
}

func (r *reader) declaration(full, file string, doc []string, attributes bfbs.Attributes) Declaration {
	d := Declaration{Name: full, File: r.files[file], Doc: doc, Attributes: attributes}
	if dot := strings.LastIndexByte(full, '.'); dot >= 0 {
		d.Namespace, d.Name = full[:dot], full[dot+1:]
	}
	if d.File == nil { // a file that flatc does not list
		d.File = r.out.Main
	}
	return d
}

func (r *reader) declareObject(o *bfbs.Object) {
	d := r.declaration(o.Name, o.File, o.Doc, o.Attributes)
	if o.IsStruct {
		s := &Struct{Declaration: d, Size: o.Size, Align: o.Align}
		r.out.Structs = append(r.out.Structs, s)
		r.objects = append(r.objects, object{structure: s})
		return
	}
	t := &Table{Declaration: d}
	r.out.Tables = append(r.out.Tables, t)
	r.objects = append(r.objects, object{table: t})
}

func (r *reader) declareEnum(e *bfbs.Enum) error {
	out := &Enum{Declaration: r.declaration(e.Name, e.File, e.Doc, e.Attributes), IsUnion: e.IsUnion}
	_, out.BitFlags = e.Attributes["bit_flags"]
	var err error
	if out.Scalar, err = scalar(e.Underlying.Base); err != nil {
		return wrong(&out.Declaration, "", "enum "+e.Name, err)
	}
	r.out.Enums = append(r.out.Enums, out)
	r.enums = append(r.enums, out)
	return nil
}

func (r *reader) readValues(in *bfbs.Enum, out *Enum) error {
	for _, v := range in.Values {
		value := &Value{Name: v.Name, Number: v.Value, Doc: v.Doc}
		switch v.Union.Base {
		case bfbs.None:
		case bfbs.Obj:
			value.Member = r.object(v.Union.Index)
		case bfbs.String:
			value.Member = Type{Kind: Text}
		default:
			return wrong(&out.Declaration, v.Name, "union "+in.Name,
				fmt.Errorf("member %s has base type %d, which is not supported", v.Name, v.Union.Base))
		}
		out.Values = append(out.Values, value)
	}
	return nil
}

func (r *reader) readFields(in *bfbs.Object, out object) error {
	var fields []*Field
	fail := func(field string, err error) error {
		return wrong(out.declaration(), field, "field "+in.Name+"."+field, err)
	}
	for i := range in.Fields {
		f, err := r.readField(in, &in.Fields[i])
		if err != nil {
			return fail(in.Fields[i].Name, err)
		}
		fields = append(fields, f)
	}
	for _, f := range fields {
		if t := f.Type; t.Kind == Union || t.Kind == Vector && t.Elem.Kind == Union {
			f.Tag = tagOf(fields, f)
			if f.Tag == nil {
				return fail(f.Name, errors.New("flatc lists no field with the union's type"))
			}
			f.Tag.TagOf = f
		}
	}
	if out.table != nil {
		out.table.Fields = fields
	} else {
		out.structure.Fields = fields
	}
	return nil
}

// tagOf finds the field that says what a union is: it is in the slot before.
func tagOf(fields []*Field, union *Field) *Field {
	for _, f := range fields {
		if f.Slot == union.Slot-2 {
			return f
		}
	}
	return nil
}

func (r *reader) readField(o *bfbs.Object, in *bfbs.Field) (*Field, error) {
	out := &Field{
		Name: in.Name, Doc: in.Doc, Required: in.Required, Deprecated: in.Deprecated, Key: in.Key,
		Default: Default{Integer: in.Integer, Real: in.Real},
	}
	if in.Offset64 {
		return nil, errors.New("offsets of 64 bits are not supported")
	}
	if o.IsStruct {
		out.Offset = in.Offset
	} else {
		out.Slot = in.Offset
	}
	var err error
	if out.Type, err = r.typ(in.Type); err != nil {
		return nil, err
	}
	out.Optional = in.Optional && out.Type.Kind == Plain
	if name, nested := in.Attributes["nested_flatbuffer"]; nested {
		if out.Nested = r.nested(o.Name, name); out.Nested == nil {
			return nil, fmt.Errorf("nested_flatbuffer: there is no table %s", name)
		}
	}
	return out, nil
}

func (r *reader) typ(t bfbs.Type) (Type, error) {
	if t.Base == bfbs.Vector || t.Base == bfbs.Array {
		elem, err := r.single(t.Element, t.Index)
		if err != nil {
			return Type{}, err
		}
		if t.Base == bfbs.Array {
			return Type{Kind: Array, Elem: &elem, Length: t.Length}, nil
		}
		return Type{Kind: Vector, Elem: &elem}, nil
	}
	return r.single(t.Base, t.Index)
}

// single is a type that is neither a vector nor an array.
func (r *reader) single(base bfbs.Base, index int) (Type, error) {
	switch base {
	case bfbs.String:
		return Type{Kind: Text}, nil
	case bfbs.Obj:
		return r.object(index), nil
	case bfbs.Union:
		return Type{Kind: Union, Enum: r.enums[index]}, nil
	}
	out := Type{Kind: Plain}
	if index >= 0 {
		out.Enum = r.enums[index]
	}
	var err error
	out.Scalar, err = scalar(base)
	return out, err
}

func (r *reader) object(index int) Type {
	if o := r.objects[index]; o.table != nil {
		return Type{Kind: TableKind, Table: o.table}
	}
	return Type{Kind: StructOf, Struct: r.objects[index].structure}
}

// table finds a table by its full name; nil: there is none.
func (r *reader) table(full string) *Table {
	i := slices.IndexFunc(r.out.Tables, func(t *Table) bool { return t.FullName() == full })
	if i < 0 {
		return nil
	}
	return r.out.Tables[i]
}

// nested finds the table that an attribute in an object names, in the object's namespace or in one around
// it.
func (r *reader) nested(object, name string) *Table {
	space := object
	for {
		dot := strings.LastIndexByte(space, '.')
		if dot < 0 {
			return r.table(name)
		}
		space = space[:dot]
		if t := r.table(space + "." + name); t != nil {
			return t
		}
	}
}

func scalar(base bfbs.Base) (Scalar, error) {
	switch base {
	case bfbs.UType:
		return UByte, nil
	case bfbs.Bool, bfbs.Byte, bfbs.UByte, bfbs.Short, bfbs.UShort, bfbs.Int, bfbs.UInt, bfbs.Long, bfbs.ULong,
		bfbs.Float, bfbs.Double:
		return Scalar(base-bfbs.Bool) + Bool, nil
	default:
		return 0, fmt.Errorf("base type %d is not supported", base)
	}
}

func (r *reader) readService(in *bfbs.Service) (problems []error) {
	s := &Service{Declaration: r.declaration(in.Name, in.File, in.Doc, in.Attributes)}
	if s.File != r.out.Main {
		return nil
	}
	if s.Name == ReservedService {
		return []error{wrongService(s, "", "service "+in.Name, errors.New("the name is reserved for the protocol itself"))}
	}
	for _, name := range ofMethods {
		if _, set := s.Attributes[name]; set {
			problems = append(problems, wrongService(s, "", "service "+in.Name,
				fmt.Errorf("(%s) is an attribute of methods; write it behind each that it is for", name)))
		}
	}
	s.CRC = crc(s.Name)
	for i := range in.Calls {
		m, err := r.readMethod(s, &in.Calls[i])
		if err != nil {
			name := in.Calls[i].Name
			problems = append(problems, wrongService(s, name, "method "+s.Name+"."+name, err))
			continue
		}
		s.Methods = append(s.Methods, m)
	}
	r.out.Services = append(r.out.Services, s)
	return problems
}

// ofMethods are the attributes that methods may have.
var ofMethods = []string{"slow", "idempotent", "timeout", "streaming"}

// findMisplaced notes attributes of methods at what is none, in the schema itself.
func (r *reader) findMisplaced() {
	note := func(d *Declaration, member, what string, attributes bfbs.Attributes) {
		for _, name := range ofMethods {
			if _, set := attributes[name]; set && d.File == r.out.Main {
				r.out.Misplaced = append(r.out.Misplaced, wrong(d, member, what,
					fmt.Errorf("(%s) is an attribute of methods, and means nothing here", name)))
			}
		}
	}
	for i := range r.in.Objects {
		in, d := &r.in.Objects[i], r.objects[i].declaration()
		kind := "table "
		if in.IsStruct {
			kind = "struct "
		}
		note(d, "", kind+in.Name, in.Attributes)
		for j := range in.Fields {
			note(d, in.Fields[j].Name, "field "+in.Name+"."+in.Fields[j].Name, in.Fields[j].Attributes)
		}
	}
	for i := range r.in.Enums {
		in := &r.in.Enums[i]
		kind := "enum "
		if in.IsUnion {
			kind = "union "
		}
		note(&r.enums[i].Declaration, "", kind+in.Name, in.Attributes)
	}
}

func (r *reader) readMethod(s *Service, in *bfbs.Call) (*Method, error) {
	m := &Method{Name: in.Name, Doc: in.Doc, In: r.table(in.Request), Out: r.table(in.Response)}
	if m.In == nil || m.Out == nil {
		return nil, fmt.Errorf("%s or %s is no table", in.Request, in.Response)
	}
	m.Signature = signature(m.Name, m.In, m.Out)
	m.CRC = crc(m.Signature)
	m.ID = s.CRC ^ m.CRC
	var err error
	if m.Slow, err = mark(in.Attributes, "slow"); err != nil {
		return nil, err
	}
	if m.Idempotent, err = mark(in.Attributes, "idempotent"); err != nil {
		return nil, err
	}
	if text, set := in.Attributes["timeout"]; set {
		if m.Timeout, err = time.ParseDuration(text); err != nil || m.Timeout <= 0 {
			if text == noValue {
				return nil, errors.New(`timeout wants a duration, as in (timeout: "250ms")`)
			}
			return nil, fmt.Errorf("timeout %q is not a duration like \"250ms\"", text)
		}
	}
	mode := in.Attributes["streaming"]
	at := slices.Index(streamings, mode)
	if at < 0 && mode != "" {
		return nil, fmt.Errorf("streaming %q is none of \"none\", \"client\", \"server\" and \"bidi\"", mode)
	}
	m.Streaming = Streaming(max(at, 0))
	return m, nil
}

// noValue is what flatc says of an attribute that has none.
const noValue = "0"

// mark says whether there is an attribute that has no value.
func mark(attributes bfbs.Attributes, name string) (bool, error) {
	text, set := attributes[name]
	if set && text != noValue {
		return false, fmt.Errorf("%s has no value: (%s), or nothing, instead of (%s: %q)", name, name, name, text)
	}
	return set, nil
}
