package codegen

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/smf-go/smf/go/codegen/internal/golang"
	"github.com/smf-go/smf/go/codegen/internal/model"
)

// goPackages are the Go packages that a run generates code into, and those that this code imports. The
// schemas of one folder share a beginning of their namespaces, the longest that all have: it stands for the
// folder, and what is left of a namespace for the folder below it.
type goPackages struct {
	common map[string][]string // by folder: what all namespaces begin with
	all    map[space]*goPackage
	order  []*goPackage // as they are found
}

// space is a namespace of the schemas in a folder.
type space struct{ folder, namespace string }

// goPackage is one package.
type goPackage struct {
	golang.Package
	folder    folder
	names     golang.Names
	generated bool // in this run
	noPath    error

	schema *schema // for messages: where the first declaration of it is
	first  *model.Declaration
}

func newGoPackages(r *run) *goPackages {
	p := &goPackages{common: make(map[string][]string), all: make(map[space]*goPackage)}
	p.each(r, func(s *schema, d *model.Declaration) {
		folder, parts := r.folderOf(s, d.File).path, splitNamespace(d.Namespace)
		if common, known := p.common[folder]; known {
			parts = parts[:commonLength(common, parts)]
		}
		p.common[folder] = parts
	})
	p.each(r, func(s *schema, d *model.Declaration) {
		added := p.of(r, s, d)
		if added.first == nil {
			added.schema, added.first = s, d
			p.order = append(p.order, added)
		}
		added.generated = added.generated || d.File == s.model.Main
	})
	p.name(r)
	modules := &modules{}
	for _, one := range p.order {
		one.Path, one.noPath = importPath(r, one.folder, modules)
	}
	return p
}

// each visits all that the run's schemas declare and include.
func (p *goPackages) each(r *run, visit func(*schema, *model.Declaration)) {
	for _, s := range r.schemas {
		for _, d := range s.model.Declarations() {
			visit(s, d)
		}
	}
}

// of is the package of a declaration.
func (p *goPackages) of(r *run, s *schema, d *model.Declaration) *goPackage {
	home := r.folderOf(s, d.File)
	at := space{home.path, d.Namespace}
	found := p.all[at]
	if found == nil {
		parts := splitNamespace(d.Namespace)
		found = &goPackage{folder: home.below(parts[len(p.common[home.path]):]...)}
		if len(parts) > 0 {
			found.Name = parts[len(parts)-1]
		}
		p.all[at] = found
	}
	return found
}

func splitNamespace(namespace string) []string {
	if namespace == "" {
		return nil
	}
	return strings.Split(namespace, ".")
}

// commonLength is how many parts a and b begin with that are the same.
func commonLength(a, b []string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// name gives the one package that is generated the name that the user wants.
func (p *goPackages) name(r *run) {
	if r.options.Package == "" {
		return
	}
	var generated []*goPackage
	for _, one := range p.order {
		if one.generated {
			generated = append(generated, one)
		}
	}
	if len(generated) > 1 {
		var names []string
		for _, one := range generated {
			names = append(names, one.folder.shown)
		}
		r.problems.add(&OptionError{fmt.Sprintf("--package %s names one package, and these schemas make %d: %s;"+
			" leave it out", r.options.Package, len(names), strings.Join(names, ", "))})
		return
	}
	for _, one := range generated {
		one.Name = r.options.Package
	}
}

// check notes what can't be Go packages.
func (p *goPackages) check(r *run) {
	folders := make(map[string]*goPackage)
	for _, one := range p.order {
		at := r.atNamespace(one.schema, one.first)
		if err := checkPackageName(one.Name); err != nil && one.generated {
			r.problems.add(fmt.Errorf("%s: %w", at, err))
		}
		folded := strings.ToLower(one.folder.path)
		other := folders[folded]
		if other == nil {
			folders[folded] = one
		} else if one.generated || other.generated {
			what := fmt.Sprintf("the Go packages of %s and of %s would ", one.first.FullName(), other.first.FullName())
			if one.folder.path == other.folder.path {
				what += "both be in the folder " + one.folder.shown
			} else {
				what += fmt.Sprintf("be in the folders %s and %s, which are one for the go command: it does not tell"+
					" capital letters from small ones there", one.folder.shown, other.folder.shown)
			}
			r.problems.add(fmt.Errorf("%s: %s; rename one of the namespaces", at, what))
		}
	}
	p.checkImports(r)
}

// goImport is a reference from one package into another.
type goImport struct {
	from, to *goPackage
	schema   *schema
	model.Reference
}

func (i *goImport) String() string {
	return fmt.Sprintf("%s.%s is of %s", i.From.FullName(), i.Member, i.To.FullName())
}

func (i *goImport) place() model.Place {
	return i.schema.place(i.From, i.Member)
}

// imports lists the first reference from each package into each other.
func (p *goPackages) imports(r *run) []*goImport {
	type edge struct{ from, to *goPackage }
	var out []*goImport
	seen := make(map[edge]bool)
	for _, s := range r.schemas {
		for _, reference := range s.model.References() {
			i := &goImport{p.of(r, s, reference.From), p.of(r, s, reference.To), s, reference}
			if i.from != i.to && !seen[edge{i.from, i.to}] {
				seen[edge{i.from, i.to}] = true
				out = append(out, i)
			}
		}
	}
	return out
}

// importable says why a package can't be imported.
func (p *goPackage) importable() error {
	if p.noPath != nil {
		return p.noPath
	}
	return checkPackageName(p.Name)
}

// checkImports notes imports that have no path, and packages that import each other.
func (p *goPackages) checkImports(r *run) {
	imports := p.imports(r)
	for _, i := range imports {
		if !i.from.generated {
			continue
		}
		if err := i.to.importable(); err != nil {
			r.fail(i.schema, &model.Error{Place: i.place(), What: i.String() + ", of another Go package: " + err.Error()})
			return // the others say the same
		}
	}
	if circle := findCircle(imports); circle != nil {
		first := circle[0]
		text := "Go packages cannot import each other: " + first.String()
		for _, i := range circle[1:] {
			text += ", and " + i.String() + " (" + r.at(i.schema, i.place()) + ")"
		}
		r.fail(first.schema, &model.Error{Place: first.place(), What: text + "; declare them in one namespace"})
	}
}

// findCircle finds imports of which each leads to the next one's package, and the last to the first one's.
func findCircle(imports []*goImport) []*goImport {
	var path []*goImport
	done := make(map[*goPackage]bool)
	var visit func(p *goPackage) []*goImport
	visit = func(p *goPackage) []*goImport {
		if n := slices.IndexFunc(path, func(i *goImport) bool { return i.from == p }); n >= 0 {
			return slices.Clone(path[n:])
		}
		if done[p] {
			return nil
		}
		for _, i := range imports {
			if i.from != p {
				continue
			}
			path = append(path, i)
			if circle := visit(i.to); circle != nil {
				return circle
			}
			path = path[:len(path)-1]
		}
		done[p] = true
		return nil
	}
	for _, i := range imports {
		if circle := visit(i.from); circle != nil {
			return circle
		}
	}
	return nil
}

// importPath is how a package in a folder is imported.
func importPath(r *run, to folder, modules *modules) (string, error) {
	find := modules.importPath
	if r.options.GoImport != "" {
		find = func(string) (string, error) { return givenPath(r, to) }
	}
	text, err := find(to.shown)
	if err != nil {
		return "", err
	}
	return text, module.CheckImportPath(text)
}

// givenPath is the import path of a folder, where that of the folder of all is given.
func givenPath(r *run, to folder) (string, error) {
	root := r.folderOf(r.schemas[0], r.schemas[0].model.Main)
	for _, s := range r.schemas {
		if r.folderOf(s, s.model.Main).path != root.path {
			return "", errors.New("--go-import is the import path of the folder that --out names: give that, too")
		}
	}
	relative, err := filepath.Rel(root.path, to.path)
	if err != nil {
		return "", err
	}
	return path.Join(r.options.GoImport, filepath.ToSlash(relative)), nil
}
