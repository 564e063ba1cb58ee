// Command tally shows and counts test results of both languages for build.sh.
//
//	go test -json ./... | tally show FILE   show what go test would have shown, keep the events in FILE
//	tally sum FILE...                       count kept events (.json) and ctest's reports (.xml)
//
// sum ends with a line "N passed, N failed, N skipped" and with status 1 when something failed, or
// when nothing passed.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader, stdout io.Writer) error {
	switch {
	case len(args) == 2 && args[0] == "show":
		return showAndKeep(stdin, args[1], stdout)
	case len(args) >= 2 && args[0] == "sum":
		return sum(args[1:], stdout)
	}
	return fmt.Errorf("usage: tally show FILE, or tally sum FILE and more")
}

func showAndKeep(events io.Reader, path string, stdout io.Writer) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := show(io.TeeReader(events, file), stdout); err != nil {
		return err
	}
	return file.Close()
}

func sum(paths []string, stdout io.Writer) error {
	var total counts
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		count := countGo
		if filepath.Ext(path) == ".xml" {
			count = countCTest
		}
		one, err := count(file)
		file.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		total.passed += one.passed
		total.failed += one.failed
		total.skipped += one.skipped
	}
	fmt.Fprintln(stdout, total)
	if total.failed > 0 {
		return fmt.Errorf("some tests failed")
	}
	if total.passed == 0 {
		return fmt.Errorf("no test ran")
	}
	return nil
}
