package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const goEvents = `{"Action":"run","Package":"a","Test":"TestGood"}
{"Action":"output","Package":"a","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"output","Package":"a","Test":"TestGood","Output":"chatter\n"}
{"Action":"pass","Package":"a","Test":"TestGood"}
{"Action":"skip","Package":"a","Test":"TestLater"}
{"Action":"output","Package":"a","Output":"PASS\n"}
{"Action":"output","Package":"a","Output":"ok  \ta\t0.1s\n"}
{"Action":"pass","Package":"a"}
{"Action":"output","Package":"b","Test":"TestBad","Output":"    b_test.go:3: broken\n"}
{"Action":"fail","Package":"b","Test":"TestBad"}
{"Action":"output","Package":"b","Output":"FAIL\tb\t0.1s\n"}
{"Action":"fail","Package":"b"}
{"Action":"build-output","ImportPath":"c","Output":"c.go:1: does not compile\n"}
{"Action":"build-fail","ImportPath":"c"}
{"Action":"output","Package":"c","Output":"FAIL\tc [build failed]\n"}
{"Action":"fail","Package":"c"}
`

const ctestReport = `<?xml version="1.0"?>
<testsuite name="x" tests="4" failures="1" disabled="1" skipped="1">
	<testcase name="a" status="run"/>
	<testcase name="b" status="fail"><failure message=""/></testcase>
	<testcase name="c" status="disabled"/>
	<testcase name="d" status="notrun"/>
</testsuite>`

func TestShowPrintsPackagesAndFailuresOnly(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, show(strings.NewReader(goEvents), &out))
	require.Equal(t, "ok  \ta\t0.1s\n    b_test.go:3: broken\nFAIL\tb\t0.1s\n"+
		"c.go:1: does not compile\nFAIL\tc [build failed]\n", out.String())
}

func TestCountsOfGo(t *testing.T) {
	total, err := countGo(strings.NewReader(goEvents))
	require.NoError(t, err)
	require.Equal(t, counts{passed: 1, failed: 2, skipped: 1}, total)
}

func TestCountsOfCTest(t *testing.T) {
	total, err := countCTest(strings.NewReader(ctestReport))
	require.NoError(t, err)
	require.Equal(t, counts{passed: 1, failed: 1, skipped: 2}, total)
}

func TestSumAddsBothLanguages(t *testing.T) {
	folder := t.TempDir()
	goPath, ctestPath := filepath.Join(folder, "go.json"), filepath.Join(folder, "native.xml")
	require.NoError(t, os.WriteFile(ctestPath, []byte(ctestReport), 0o600))
	var out bytes.Buffer
	require.NoError(t, run([]string{"show", goPath}, strings.NewReader(goEvents), &out))

	out.Reset()
	require.ErrorContains(t, run([]string{"sum", goPath, ctestPath}, nil, &out), "some tests failed")
	require.Equal(t, "2 passed, 3 failed, 3 skipped\n", out.String())
}

func TestSumOfNothingIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "empty.json")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	var out bytes.Buffer
	require.ErrorContains(t, run([]string{"sum", path}, nil, &out), "no test ran")
	require.Equal(t, "0 passed, 0 failed, 0 skipped\n", out.String())
}

func TestOtherInputIsAnError(t *testing.T) {
	require.Error(t, show(strings.NewReader("ok a 0.1s\n"), &bytes.Buffer{}))
	_, err := countCTest(strings.NewReader("ok"))
	require.Error(t, err)
}
