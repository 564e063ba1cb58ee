package conformance

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	rowsFile = "../../../schema/conformance/rows.txt"
	rawFile  = "../../../schema/conformance/raw.txt"
)

// row is a line of rows.txt.
type row struct {
	name    string
	clients []string          // "1", "2", "any1"
	own     bool              // has a server of its own
	packs   string            // how both sides compress; "": they do not
	steps   string            // as a client gets them, but for $
	want    string            // what it prints
	except  map[string]string // who does not run it: why
}

// skippers are those who may be excepted.
var skippers = []string{"go-client", "c-client", "go-server", "c-server", "sim"}

// table reads a file of lines with fields between bars.
func table(t *testing.T, path string, fields int) [][]string {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var lines [][]string
	for i, line := range strings.Split(string(text), "\n") {
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "@") || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.Split(line, "|")
		for k := range parts {
			parts[k] = strings.TrimSpace(parts[k])
		}
		require.GreaterOrEqual(t, len(parts), fields, "%s:%d has too few fields", path, i+1)
		lines = append(lines, append(parts, "", "")) // what is optional
	}
	require.NotEmpty(t, lines)
	return lines
}

func rows(t *testing.T) []row {
	var all []row
	names := map[string]bool{}
	for _, parts := range table(t, rowsFile, 4) {
		r := row{name: parts[0], steps: tidySteps(parts[2]), want: parts[3], except: map[string]string{}}
		require.False(t, names[r.name], "two rows are called %q", r.name)
		names[r.name] = true
		for _, word := range strings.Fields(parts[1]) {
			if word == "own" {
				r.own = true
				continue
			}
			if word == "zstd" || word == "lz4" {
				r.packs = word
				continue
			}
			require.Contains(t, []string{"1", "2", "any1"}, word, r.name)
			r.clients = append(r.clients, word)
		}
		require.NotEmpty(t, r.clients, r.name)
		for _, exception := range strings.Split(parts[4], ";") {
			if exception == "" {
				continue
			}
			who, why, _ := strings.Cut(exception, ":")
			require.Contains(t, skippers, strings.TrimSpace(who), r.name)
			require.NotEmpty(t, strings.TrimSpace(why), "%s: why does %s not run it?", r.name, who)
			r.except[strings.TrimSpace(who)] = strings.TrimSpace(why)
		}
		if r.packs != "" && !hasCompressionInC() {
			r.except["c-client"], r.except["c-server"] = noCompressionInC, noCompressionInC
		}
		all = append(all, r)
	}
	return all
}

func tidySteps(text string) string {
	steps := strings.Split(text, ";")
	for i := range steps {
		steps[i] = strings.TrimSpace(steps[i])
	}
	return strings.Join(steps, ";")
}

// level is what a client is told to be.
func (r *row) level(how string) string {
	if r.packs == "" {
		return how
	}
	return how + "+" + r.packs
}

// skipped is why a row is not run by a combination; empty: it is.
func (r *row) skipped(parties ...string) string {
	for _, party := range parties {
		if why := r.except[party]; why != "" {
			return party + ": " + why
		}
	}
	return ""
}

var combinations = []struct{ server, client string }{{"go", "go"}, {"go", "c"}, {"c", "go"}, {"c", "c"}}

// Every row, with every server and every client.
func TestRows(t *testing.T) {
	all := rows(t)
	for _, pair := range combinations {
		t.Run(pair.client+" calls "+pair.server, func(t *testing.T) {
			t.Parallel()
			servers := serversIn(pair.server)
			client := startClient(t, pair.client)
			ran, left, leftOut := 0, 0, map[string][]string{}
			for i := range all {
				r := &all[i]
				if why := r.skipped(pair.client+"-client", pair.server+"-server"); why != "" {
					leftOut[why] = append(leftOut[why], r.name)
					left += len(r.clients)
					continue
				}
				for _, how := range r.clients {
					ran++
					level, serverLevel := how, 2
					if how == "any1" {
						level, serverLevel = "any", 1
					}
					address := ""
					if r.own {
						address = serve(t, pair.server, serverLevel, r.packs)
					} else {
						address = servers.address(t, serverLevel, r.packs)
					}
					steps := strings.ReplaceAll(r.steps, "$", fmt.Sprintf("%s-%d-%s", pair.client, i, how))
					got := client.ask(t, r.level(level)+" "+address+" "+steps)
					if got != r.want {
						t.Errorf("%s, client %s:\n  does %s\n  want %s\n  got  %s", r.name, how, r.steps, r.want, got)
					}
				}
			}
			t.Logf("%d rows ran, %d did not: %q", ran, left, leftOut)
			require.Greater(t, ran, 60)
		})
	}
}

// Every row on the simulated network, with the client and the server in C; each has a world of its own.
func TestRowsOnSimulatedNetwork(t *testing.T) {
	t.Parallel()
	worlds := map[string]*peer{}
	all := rows(t)
	ran, left, leftOut := 0, 0, map[string][]string{}
	for i := range all {
		r := &all[i]
		if why := r.skipped("c-client", "c-server", "sim"); why != "" {
			leftOut[why] = append(leftOut[why], r.name)
			left += len(r.clients)
			continue
		}
		for _, how := range r.clients {
			ran++
			level, serverLevel := how, 2
			if how == "any1" {
				level, serverLevel = "any", 1
			}
			steps := strings.ReplaceAll(r.steps, "$", fmt.Sprintf("sim-%d-%s", i, how))
			world := strings.TrimSpace(fmt.Sprint(serverLevel, " ", r.packs))
			if worlds[world] == nil {
				worlds[world] = start(t, "c", "sim", strings.Fields(world)...)
			}
			if got := worlds[world].ask(t, r.level(level)+" server "+steps); got != r.want {
				t.Errorf("%s, client %s:\n  does %s\n  want %s\n  got  %s", r.name, how, r.steps, r.want, got)
			}
		}
	}
	t.Logf("%d rows ran, %d did not: %q", ran, left, leftOut)
	require.Greater(t, ran, 60)
}

// Each status of docs/wire.md is answered in some row at either level.
func TestEveryStatusHasRows(t *testing.T) {
	wire, err := os.ReadFile("../../../docs/wire.md")
	require.NoError(t, err)
	_, chapter, found := strings.Cut(string(wire), "### Status\n")
	require.True(t, found)
	chapter, _, _ = strings.Cut(chapter, "A status other than 200")
	statuses := strings.FieldsFunc(chapter, func(r rune) bool { return r < '0' || r > '9' })
	require.Contains(t, statuses, "507")
	for _, status := range statuses {
		for _, level := range []string{"1", "2"} {
			require.True(t, slices.ContainsFunc(rows(t), func(r row) bool {
				return slices.Contains(r.clients, level) && strings.HasPrefix(r.want, status)
			}), "no row says what status %s looks like at level %s", status, level)
		}
	}
}
