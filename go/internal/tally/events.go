package main

import (
	"bufio"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

type counts struct{ passed, failed, skipped int }

func (c counts) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", c.passed, c.failed, c.skipped)
}

// event is what go test -json writes, one per line.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build-output and build-fail
	Test       string // empty: the package as a whole
	Output     string
}

// testKey names a test within a run; Test is empty for the package itself.
type testKey struct{ Package, Test string }

func eachEvent(r io.Reader, visit func(event)) error {
	decoder := json.NewDecoder(bufio.NewReader(r))
	for {
		var e event
		switch err := decoder.Decode(&e); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("not the output of go test -json: %w", err)
		}
		visit(e)
	}
}

// show prints what go test without -json prints: a line for each package, and all about failures.
func show(events io.Reader, out io.Writer) error {
	pending := map[testKey][]string{}
	return eachEvent(events, func(e event) {
		key := testKey{e.Package, e.Test}
		switch e.Action {
		case "build-output":
			fmt.Fprint(out, e.Output)
		case "output":
			if !strings.HasPrefix(e.Output, "=== ") {
				pending[key] = append(pending[key], e.Output)
			}
		case "pass", "skip":
			for _, line := range pending[key] {
				if e.Test == "" && (strings.HasPrefix(line, "ok") || strings.HasPrefix(line, "?")) {
					fmt.Fprint(out, line)
				}
			}
			delete(pending, key)
		case "fail":
			fmt.Fprint(out, strings.Join(pending[key], ""))
			delete(pending, key)
		}
	})
}

// countGo counts tests and subtests. A package that failed outside its tests (it does not compile,
// its TestMain failed) counts as one failure.
func countGo(events io.Reader) (counts, error) {
	var total counts
	failedIn := map[string]bool{}
	err := eachEvent(events, func(e event) {
		switch {
		case e.Test == "" && e.Action == "fail":
			if !failedIn[e.Package] {
				total.failed++
			}
		case e.Test == "":
		case e.Action == "pass":
			total.passed++
		case e.Action == "skip":
			total.skipped++
		case e.Action == "fail":
			total.failed++
			failedIn[e.Package] = true
		}
	})
	return total, err
}

// countCTest counts the test cases of a report by ctest --output-junit.
func countCTest(report io.Reader) (counts, error) {
	var suite struct {
		Cases []struct {
			Status string `xml:"status,attr"`
		} `xml:"testcase"`
	}
	if err := xml.NewDecoder(report).Decode(&suite); err != nil {
		return counts{}, fmt.Errorf("not a report of ctest --output-junit: %w", err)
	}
	var total counts
	for _, c := range suite.Cases {
		switch c.Status {
		case "run":
			total.passed++
		case "notrun", "disabled":
			total.skipped++
		default:
			total.failed++
		}
	}
	return total, nil
}
