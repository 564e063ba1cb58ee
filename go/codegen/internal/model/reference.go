package model

// Reference says that a declaration uses another one.
type Reference struct {
	From   *Declaration
	Member string // which of From's
	To     *Declaration
}

// References lists who uses whom directly, in all files: fields, members of unions, and the tables of
// methods.
func (s *Schema) References() []Reference {
	var out []Reference
	add := func(from *Declaration, member string, t *Type) {
		if to := t.Declaration(); to != nil {
			out = append(out, Reference{from, member, to})
		}
	}
	fields := func(from *Declaration, fields []*Field) {
		for _, f := range fields {
			add(from, f.Name, &f.Type)
			if f.Nested != nil {
				out = append(out, Reference{from, f.Name, &f.Nested.Declaration})
			}
		}
	}
	for _, t := range s.Tables {
		fields(&t.Declaration, t.Fields)
	}
	for _, t := range s.Structs {
		fields(&t.Declaration, t.Fields)
	}
	for _, e := range s.Enums {
		for _, v := range e.Values {
			add(&e.Declaration, v.Name, &v.Member)
		}
	}
	for _, service := range s.Services {
		for _, m := range service.Methods {
			out = append(out, Reference{&service.Declaration, m.Name, &m.In.Declaration},
				Reference{&service.Declaration, m.Name, &m.Out.Declaration})
		}
	}
	return out
}

// Declarations lists everything that is declared in all files, sorted by kind and then as in the schema.
func (s *Schema) Declarations() []*Declaration {
	var out []*Declaration
	for _, t := range s.Tables {
		out = append(out, &t.Declaration)
	}
	for _, t := range s.Structs {
		out = append(out, &t.Declaration)
	}
	for _, e := range s.Enums {
		out = append(out, &e.Declaration)
	}
	for _, service := range s.Services {
		out = append(out, &service.Declaration)
	}
	return out
}

// Declaration is what the type, or its elements, are called by; nil: scalars and strings have no name.
func (t *Type) Declaration() *Declaration {
	switch {
	case t.Enum != nil:
		return &t.Enum.Declaration
	case t.Table != nil:
		return &t.Table.Declaration
	case t.Struct != nil:
		return &t.Struct.Declaration
	case t.Elem != nil:
		return t.Elem.Declaration()
	}
	return nil
}
