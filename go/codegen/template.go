package codegen

import (
	"bytes"
	_ "embed"
	"fmt"
	"go/format"
	"go/parser"
	"go/token"
	"strings"
	"text/template"
)

//go:embed smf.go.tmpl
var callsText string

var callsTemplate = template.Must(template.New("smf.go").Funcs(template.FuncMap{
	"doc": docLines,
}).Parse(callsText))

// executeTemplate makes the servers, clients, verifiers and writers of a schema. It does so twice:
// writers only get names that nothing else has.
func executeTemplate(m *model, declared names) ([]byte, error) {
	source, err := render(m, declared)
	if err != nil {
		return nil, err
	}
	if m.claimWriters(declared); m.HasWriters() {
		if source, err = render(m, make(names)); err != nil {
			return nil, err
		}
	}
	return format.Source(source)
}

// render executes the template and notes what its result declares.
func render(m *model, declared names) ([]byte, error) {
	var out bytes.Buffer
	if err := callsTemplate.Execute(&out, m); err != nil {
		return nil, err
	}
	file, err := parser.ParseFile(token.NewFileSet(), m.Source, out.Bytes(), parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("smfc made Go code that does not compile: %w", err)
	}
	return out.Bytes(), declared.add(file)
}

// docLines writes a schema's documentation as a comment behind the sentence that is there already.
func docLines(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "//\n" + commentLines(lines)
}

// commentLines writes a schema's documentation as a comment.
func commentLines(lines []string) string {
	var out strings.Builder
	for _, line := range lines {
		out.WriteString(strings.TrimRight("// "+strings.TrimPrefix(line, " "), " \t\r") + "\n")
	}
	return out.String()
}
