package codegen

import (
	"fmt"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// warnOfOthers says where a folder that the run writes to has code of another Go package already: of a main.go
// beside the schema, or of a run for another schema. The go command takes no such folder.
func (p *goPackages) warnOfOthers(r *run) {
	for _, one := range p.order {
		if !one.generated {
			continue
		}
		if file, name := r.otherPackage(one); file != "" {
			r.warn(fmt.Sprintf("%s: warning: the Go package %s is generated into the folder %s, where %s is of package %s,"+
				" and a folder is one package: choose another one with --out, or generate all schemas of the folder in"+
				" one call", r.atNamespace(one.schema, one.first), one.Name, one.folder.shown, file, name))
		}
	}
}

// otherPackage finds a Go file in a package's folder that is neither of this run's schemas nor of the package.
func (r *run) otherPackage(p *goPackage) (file, name string) {
	entries, err := os.ReadDir(p.folder.shown)
	if err != nil {
		return "", "" // it is not there yet, or writing to it fails
	}
	for _, entry := range entries {
		path := filepath.Join(p.folder.shown, entry.Name())
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") ||
			slices.ContainsFunc(r.result.Files, func(f File) bool { return f.Path == path }) {
			continue
		}
		if match, err := build.Default.MatchFile(p.folder.shown, entry.Name()); err != nil || !match {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil || r.result.isSource(p.folder.shown, generatedFrom(content)) {
			continue // left over: see LeftOver
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, content, parser.PackageClauseOnly)
		if err == nil && parsed.Name.Name != p.Name {
			return entry.Name(), parsed.Name.Name
		}
	}
	return "", ""
}
