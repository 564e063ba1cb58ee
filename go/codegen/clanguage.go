package codegen

import (
	"path"
	"path/filepath"
	"strings"

	"github.com/smf-go/smf/go/codegen/internal/c"
	"github.com/smf-go/smf/go/codegen/internal/model"
)

const headerSuffix = ".smf.h"

// cLanguage writes C: a header and a source for each schema.
type cLanguage struct{}

func (cLanguage) suffixes() []string { return []string{headerSuffix, ".smf.c"} }

func (cLanguage) home(r *run, s *schema, d *model.Declaration) string {
	return filepath.Join(r.folderOf(s, d.File).shown, stemOf(d.File)+headerSuffix)
}

// stemOf is a file's name without folder and suffix.
func stemOf(f *model.File) string { return strings.TrimSuffix(path.Base(f.Name), schemaSuffix) }

func (l cLanguage) generate(r *run) {
	names := make(c.Names)
	for _, s := range r.schemas {
		if s.declared() {
			l.generateOne(r, s, names)
		}
	}
}

func (l cLanguage) generateOne(r *run, s *schema, names c.Names) {
	folder := r.folderOf(s, s.model.Main)
	base := filepath.Join(folder.shown, s.stem())
	if !r.claim(l, s, base) {
		return
	}
	header, source, err := c.Emit(s.model, c.Options{
		Stem: s.stem(), Names: names,
		Include: func(f *model.File) string {
			name := filepath.Join(r.folderOf(s, f).path, stemOf(f)+headerSuffix)
			if relative, err := filepath.Rel(folder.path, name); err == nil {
				name = relative
			}
			return filepath.ToSlash(name)
		},
	})
	if err != nil {
		r.fail(s, err)
		return
	}
	r.write(base+headerSuffix, header)
	r.write(base+".smf.c", source)
}
