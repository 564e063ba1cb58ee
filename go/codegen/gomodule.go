package codegen

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/mod/modfile"
)

// modules are the Go modules of folders, as go.mod files say. The zero value is ready.
type modules struct {
	paths map[string]string // by folder; empty: no go.mod there
}

// importPath is how a package in a folder is imported, which need not be there yet.
func (m *modules) importPath(folder string) (string, error) {
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	for at, below := absolute, ""; ; {
		root, err := m.at(at)
		if err != nil {
			return "", err
		}
		if root != "" {
			return path.Join(root, below), nil
		}
		parent := filepath.Dir(at)
		if parent == at {
			return "", fmt.Errorf("its import path is not known, because no go.mod is in %s or above: run go mod init"+
				" where the module begins, or give the import path of the output folder with --go-import", folder)
		}
		at, below = parent, path.Join(filepath.Base(at), below)
	}
}

// at is the module whose go.mod is in a folder; empty: there is none.
func (m *modules) at(folder string) (string, error) {
	if root, known := m.paths[folder]; known {
		return root, nil
	}
	file := filepath.Join(folder, "go.mod")
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	root := modfile.ModulePath(text)
	if err == nil && root == "" {
		return "", fmt.Errorf("%s names no module: add a line like: module example.com/shop", file)
	}
	if m.paths == nil {
		m.paths = make(map[string]string)
	}
	m.paths[folder] = root
	return root, nil
}
