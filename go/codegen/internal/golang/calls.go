package golang

import (
	_ "embed"
	"strings"
	"text/template"
)

//go:embed smf.go.tmpl
var callsText string

var callsTemplate = template.Must(template.New("smf.go").Funcs(template.FuncMap{
	"doc": docLines,
	"an":  an,
}).Parse(callsText))

// docLines writes a schema's documentation as a comment behind the sentence that is there already.
func docLines(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "//\n" + commentLines(lines)
}

// callsView is what the template needs of the unit, without writers; nil: the unit has neither tables nor
// services.
func (g *generator) callsView() *callsView {
	if len(g.tables) == 0 && len(g.services) == 0 {
		return nil
	}
	view := &callsView{
		Stem: g.stem, Source: g.Schema.Source, Namespace: g.Namespace,
		Schema: g.schemaName(), Layouts: g.order, Services: g.serviceViews(),
	}
	for _, t := range g.tables {
		view.Tables = append(view.Tables, g.views[t])
	}
	return view
}

// callsFile makes the servers, clients, verifiers and writers of a unit, and notes its names unless names is
// nil.
func (g *generator) callsFile(view *callsView, names *Names) (*File, error) {
	content, err := g.render(view, names)
	return &File{".smf.go", content}, err
}

// completeCalls adds to a file of calls what only gets names that nothing else in the package has.
func (g *generator) completeCalls(view *callsView, file *File) (*File, error) {
	if view == nil {
		return nil, nil
	}
	schema := view.Schema
	view.Schema = g.schemaName()
	if !g.claimWriters(view) && view.Schema == schema {
		return file, nil
	}
	return g.callsFile(view, nil)
}

// render executes the template and notes what its result declares, unless names is nil. In the template,
// a line like "//from: method a.S Go" says what follows is made from.
func (g *generator) render(view *callsView, names *Names) ([]byte, error) {
	var text strings.Builder
	if err := callsTemplate.Execute(&text, view); err != nil {
		return nil, err
	}
	p := &printer{}
	for line := range strings.Lines(text.String()) {
		if origin, found := strings.CutPrefix(line, "//from:"); found {
			words := append(strings.Fields(origin), "", "")
			p.from(words[0], words[1], words[2])
		} else {
			p.WriteString(line)
		}
	}
	return g.finish(p, names)
}

// claimWriters gives writers to the tables that can have them and whose functions' names are free: a
// schema may well have a table ReplyRequest beside its Request. It says whether there are any.
func (g *generator) claimWriters(view *callsView) bool {
	any := false
	for _, t := range view.Tables {
		if !t.writable() {
			continue
		}
		claimed := []string{t.GoName + "Bytes"}
		if t.Replies {
			claimed = append(claimed, "Reply"+t.GoName)
		}
		free := true
		for _, name := range claimed {
			free = free && !g.Names.taken(name)
		}
		if !free {
			continue
		}
		for _, name := range claimed {
			_ = g.Names.declare(name, origin{"table", t.FullName, "", g.Schema.Main}) // is free
		}
		t.Writer = g.newWriter(t)
		any = true
	}
	return any
}
