package codegen

import (
	"bytes"
	"errors"
	"fmt"
	"go/build"
	"go/token"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/smf-go/smf/go/codegen/internal/golang"
	"github.com/smf-go/smf/go/codegen/internal/model"
)

const tablesSuffix = ".fb.go"

// goLanguage writes Go: one package for each namespace of a folder.
type goLanguage struct{ packages *goPackages }

func (*goLanguage) suffixes() []string { return []string{tablesSuffix, ".smf.go", ".bfbs.go"} }

func (l *goLanguage) home(r *run, s *schema, d *model.Declaration) string {
	stem := strings.TrimSuffix(filepath.Base(s.file(d.File)), schemaSuffix)
	return filepath.Join(l.packages.of(r, s, d).folder.shown, stem+tablesSuffix)
}

func (l *goLanguage) generate(r *run) {
	for _, s := range r.schemas {
		if err := checkFileName(s); err != nil {
			r.fail(s, err)
		}
	}
	l.packages = newGoPackages(r)
	l.packages.check(r)
	if len(r.problems) > 0 {
		return
	}
	var units []*goUnit
	for _, s := range r.schemas {
		first := binaryHolder(s)
		for _, namespace := range s.namespaces() {
			binary := s.binary
			if namespace != first {
				binary = nil
			}
			if unit := l.prepare(r, s, namespace, binary); unit != nil {
				units = append(units, unit)
			}
		}
	}
	for _, unit := range units {
		files, err := unit.Files()
		if err != nil {
			r.fail(unit.schema, err)
		}
		for _, file := range files {
			r.write(unit.base+file.Suffix, file.Content)
		}
	}
	l.packages.warnOfOthers(r)
}

// goUnit is what of a schema goes into one package.
type goUnit struct {
	*golang.Prepared
	schema *schema
	base   string // what the files' paths begin with
}

// prepare prepares a schema's namespace; nil: something is wrong.
func (l *goLanguage) prepare(r *run, s *schema, namespace string, binary []byte) *goUnit {
	p := l.packages.of(r, s, &model.Declaration{Namespace: namespace, File: s.model.Main})
	base := filepath.Join(p.folder.shown, s.stem())
	if !r.claim(l, s, base) {
		return nil
	}
	prepared, err := golang.Prepare(&golang.Unit{
		Schema: s.model, Namespace: namespace,
		Package: p.Package, Names: &p.names, Binary: binary,
		PackageOf: func(d *model.Declaration) golang.Package { return l.packages.of(r, s, d).Package },
	})
	if err != nil {
		r.fail(s, err)
		return nil
	}
	return &goUnit{prepared, s, base}
}

// namespaces lists the namespaces in which the schema itself declares something.
func (s *schema) namespaces() []string {
	var out []string
	for _, d := range s.model.Declarations() {
		if d.File == s.model.Main {
			out = append(out, d.Namespace)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// binaryHolder is the namespace whose package gets the binary schema: that of the first service or, where
// there is none, the first by name.
func binaryHolder(s *schema) string {
	if len(s.model.Services) > 0 {
		return s.model.Services[0].Namespace
	}
	if all := s.namespaces(); len(all) > 0 {
		return all[0]
	}
	return ""
}

// checkFileName refuses schemas whose generated files the go command would pass over: a name like
// events_linux.fbs would make them code for one operating system.
func checkFileName(s *schema) error {
	context := build.Context{
		GOOS: "none", GOARCH: "none", Compiler: "gc",
		OpenFile: func(string) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader([]byte("package p\n"))), nil
		},
	}
	match, err := context.MatchFile("", s.stem()+tablesSuffix)
	if err != nil || !match {
		name := s.stem() + tablesSuffix
		if at := strings.LastIndexByte(s.stem(), '_'); at > 0 {
			return fmt.Errorf("the go command would take %s for code of %s alone; rename the schema", name, s.stem()[at+1:])
		}
		return fmt.Errorf("the go command would ignore %s; rename the schema", name)
	}
	return nil
}

func checkPackageName(name string) error {
	switch {
	case name == "":
		return errors.New("a Go package needs a name: declare a namespace, or give the name with --package")
	case !token.IsIdentifier(name) || name == "_" || name == "main":
		return fmt.Errorf("%q cannot be the name of a Go package; give one with --package", name)
	}
	return nil
}
