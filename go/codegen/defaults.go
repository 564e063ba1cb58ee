package codegen

import (
	"math"
	"strconv"
	"strings"

	"github.com/smf-go/smf/go/codegen/internal/model"
)

// restoreDefaults gives a schema's fields the defaults that flatc loses: its binary schemas have zeros for
// those that an int64 can't hold. The schema's text has them.
func (r *run) restoreDefaults(s *schema) {
	for _, t := range s.model.Tables {
		for _, f := range t.Fields {
			if f.Type.Kind != model.Plain || f.Type.Scalar != model.ULong || f.Optional || f.Default.Integer != 0 {
				continue
			}
			if index := r.index(s.file(t.File)); index != nil {
				if n := written(f.Type.Enum, index.Default(t.FullName(), f.Name)); n > math.MaxInt64 {
					f.Default.Integer = int64(n)
				}
			}
		}
	}
}

// written is the value of a default as it is written: a number, or names of an enum's values. 0: it is neither.
func written(e *model.Enum, text string) uint64 {
	out := uint64(0)
	for word := range strings.FieldsSeq(text) {
		n, err := strconv.ParseUint(word, 0, 64)
		if err == nil {
			out |= n
			continue
		}
		if e == nil {
			return 0
		}
		word = word[strings.LastIndexByte(word, '.')+1:]
		for _, v := range e.Values {
			if v.Name == word {
				out |= uint64(v.Number)
			}
		}
	}
	return out
}
