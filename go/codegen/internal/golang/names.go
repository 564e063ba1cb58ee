package golang

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/smf-go/smf/go/codegen/internal/model"
)

// camel makes an exported Go name of a schema's name: smf_storage and smfStorage become
// SmfStorage.
func camel(name string) string {
	var out strings.Builder
	upper := true
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			upper = true
		case upper:
			out.WriteRune(unicode.ToUpper(r))
			upper = false
		default:
			out.WriteRune(r)
		}
	}
	if text := out.String(); text != "" && unicode.IsLetter([]rune(text)[0]) {
		return text
	}
	return "X" + out.String()
}

// lowerCamel is camel with a small first letter.
func lowerCamel(name string) string {
	out := []rune(camel(name))
	out[0] = unicode.ToLower(out[0])
	return string(out)
}

// stem makes the beginning of unexported names of a schema file's name.
func stem(source string) string {
	name := strings.TrimSuffix(source, ".fbs")
	if out := camel(name); strings.HasPrefix(out, "X") && !strings.HasPrefix(strings.ToUpper(name), "X") {
		return "schema" + out[1:]
	}
	return lowerCamel(name)
}

// typeName is the Go name of a table, struct, enum or union: its own, with a capital letter.
func typeName(name string) string {
	name = strings.TrimLeft(name, "_")
	if name == "" || !unicode.IsLetter(rune(name[0])) {
		return "X" + name
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// valueName is the end of the name of an enum's constant, as flatc has it: a keyword gets a line.
func valueName(v *model.Value) string {
	if token.IsKeyword(v.Name) {
		return v.Name + "_"
	}
	return v.Name
}

// methods are the methods that every table, struct or their object types have.
var methods = map[string]bool{
	"Init": true, "Table": true, "Pack": true, "UnPack": true, "UnPackTo": true, "LookupByKey": true,
}

// fieldName is the Go name of a field's accessor. One that every table has a method of gets a line at
// its end.
func fieldName(f *model.Field) string {
	name := camel(f.Name)
	if methods[name] {
		name += "_"
	}
	return name
}

// methodNames are the Go names of a service's methods. One whose names would be others that the service or
// another method has anyway gets a line at its end, because it can't be renamed: its name is its id.
func methodNames(s *model.Service) []string {
	names := make([]string, len(s.Methods))
	for i, m := range s.Methods {
		names[i] = camel(m.Name)
	}
	out := slices.Clone(names)
	for i, name := range names {
		short, into := strings.CutSuffix(name, "Into")
		if name == "Service" || into && slices.Contains(names, short) {
			out[i] += "_"
		}
	}
	return out
}

// locals are the names of parameters and variables in what we generate; a package must not have one.
var locals = regexp.MustCompile(`^(rcv|obj|builder|buf|offset|table|payload|dst|reply|size|pad|begin|` +
	`key|compare|start|span|middle|value|vectorLocation|root|message|result|impl|service|handlers|handler|` +
	`ctx|req|out|err|item|ok|[a-z]|(at|bit)\d+|.*(Offset|Offsets|Tags|Table))$`)

// The names of what else there is in functions whose parameters are fields.
var (
	builderLocals = regexp.MustCompile(`^(builder|j)$`)
	writerLocals  = regexp.MustCompile(`^(dst|reply|size|pad|begin|payload|(at|bit)\d+)$`)
)

// isReserved says whether Go or a package of ours has a name already.
func isReserved(name string) bool {
	return token.IsKeyword(name) || ourImports[name] != "" || types.Universe.Lookup(name) != nil
}

// parameter is the name of a function's parameter for a field: like its accessor's, with a small first
// letter. Taken are the names that there are already, and those that match others.
func (g *generator) parameter(name string, taken map[string]bool, others *regexp.Regexp) string {
	name = lowerCamel(name)
	for taken[name] || others.MatchString(name) || isReserved(name) || g.isAlias(name) {
		name += "_"
	}
	taken[name] = true
	return name
}

// an is a name behind its article.
func an(name string) string {
	if strings.ContainsRune("AEIOaeio", rune(name[0])) {
		return "an " + name
	}
	return "a " + name
}

func (g *generator) isAlias(name string) bool {
	for _, alias := range g.local {
		if alias == name {
			return true
		}
	}
	return false
}

// Names are the names that a Go package declares, over all schemas that are generated into it: "Request",
// and "Request.Name" for fields and methods. The zero value is ready.
type Names struct {
	origins map[string]origin // what of a schema a name was made from
}

func (n *Names) taken(name string) bool { _, taken := n.origins[name]; return taken }

// add notes everything that a file declares. Two things of one name are an error here, so that a clash
// between a schema's names and ours is a sentence instead of code that does not compile.
func (n *Names) add(file *ast.File, origin func(token.Pos) origin) error {
	for _, declaration := range file.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				name = receiver(d) + "." + name
			}
			if err := n.declare(name, origin(d.Pos())); err != nil {
				return err
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if err := n.addSpec(spec, origin); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (n *Names) addSpec(spec ast.Spec, origin func(token.Pos) origin) error {
	switch s := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if err := n.declare(name.Name, origin(name.Pos())); err != nil {
				return err
			}
		}
	case *ast.TypeSpec:
		if err := n.declare(s.Name.Name, origin(s.Pos())); err != nil {
			return err
		}
		return n.addMembers(s, origin)
	}
	return nil
}

// addMembers notes a struct's fields or an interface's methods.
func (n *Names) addMembers(s *ast.TypeSpec, origin func(token.Pos) origin) error {
	var members []*ast.Field
	switch t := s.Type.(type) {
	case *ast.StructType:
		members = t.Fields.List
	case *ast.InterfaceType:
		members = t.Methods.List
	}
	for _, member := range members {
		for _, name := range member.Names {
			if err := n.declare(s.Name.Name+"."+name.Name, origin(name.Pos())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *Names) declare(name string, from origin) error {
	if name == "_" || name == "init" {
		return nil
	}
	other, taken := n.origins[name]
	if !taken {
		if n.origins == nil {
			n.origins = make(map[string]origin)
		}
		n.origins[name] = from
		return nil
	}
	if other == from {
		return &model.Error{
			Place: from.place(), What: fmt.Sprintf("%s: its Go code would declare %s twice", from, name),
			Hint: "rename it",
		}
	}
	place, hint := other.place(), "rename one of them"
	if from.kind == "union" && other.kind == "value" && other.declaration == from.declaration {
		hint = fmt.Sprintf("give the member another name, like Other%s: %s", other.member, other.member)
	}
	return &model.Error{
		Place: from.place(), What: fmt.Sprintf("%s: its Go code would declare %s, as does that of %s", from, name, other),
		Other: &place, Hint: hint,
	}
}

func receiver(d *ast.FuncDecl) string {
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if name, ok := t.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}
