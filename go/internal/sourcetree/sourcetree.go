// Package sourcetree finds the files of this repository, for tests that look at the tree itself.
package sourcetree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Root returns the repository's folder: the nearest one, from the working directory upwards, that
// holds build.sh and go.mod.
func Root() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		_, errScript := os.Stat(filepath.Join(folder, "build.sh"))
		_, errModule := os.Stat(filepath.Join(folder, "go.mod"))
		if errScript == nil && errModule == nil {
			return folder, nil
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", errors.New("not inside the repository: no build.sh and go.mod above here")
		}
		folder = parent
	}
}

// Files lists the regular files below root, as slash-separated paths relative to it, without version
// control and without what a build makes.
func Files(root string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		switch {
		case entry.IsDir() && (relative == ".git" || relative == "build"):
			return filepath.SkipDir
		case relative == ".git": // of a work tree beside the repository
			return nil
		case !entry.Type().IsRegular() || relative == "cgo/link_tree.go":
			return nil
		}
		files = append(files, relative)
		return nil
	})
	return files, err
}
