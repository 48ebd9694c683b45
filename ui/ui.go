// Package ui holds the pages that the server shows to people. With the build tag `ui` they are the dashboard and the
// playground, which npm builds into dist/; without it, pages that say how to get them: so nothing but Go is needed to
// build and test.
package ui

import "io/fs"

func within(fsys fs.FS, dir string) fs.FS {
	sub, err := fs.Sub(fsys, dir)
	if err != nil {
		panic(err) // only for a dir that is no valid path
	}
	return sub
}
