// Package engines holds the pins of the third-party engines that the process driver runs.
//
// Each engine is a folder beside this file: an engine.json that describes it, and a Go module of its own (go.mod and
// go.sum, which are the checksums) or an npm package with its lock file, which holds the checksum. Go cannot embed
// files of nested modules, so that `go generate` packs the folders into engines.txtar, which is embedded.
package engines

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/tools/txtar"
)

//go:generate go run ./internal/pack

//go:embed engines.txtar
var archive []byte

// Description is the file that describes an engine, in its folder.
const Description = "engine.json"

// Engine is one pinned engine. It is a Go program, which has a Package, or comes from NPM.
type Engine struct {
	Name    string `json:"name"`    // also its folder
	Version string `json:"version"` // as templates name it, without a leading v
	Package string `json:"package"` // what `go build` builds
	LDFlags string `json:"ldflags"` // beside -s -w
	// Vendored are files, by their path below vendor/, that are put into the vendored dependencies before the build.
	Vendored map[string]string `json:"vendored"`
	NPM      *NPM              `json:"npm"`
	Binary   string            `json:"binary"` // path of the program in the engine's folder, which is below a store's

	files map[string][]byte // of its folder, by file name
}

// NPM is an engine that an npm package holds: a folder tree, made for one architecture.
type NPM struct {
	Package string `json:"package"`
	Folder  string `json:"folder"` // of the package, which becomes the engine's
	// Links is a file in Folder that lists the symbolic links, which npm packages cannot hold. Its paths begin at
	// the package.
	Links string `json:"links"`
	Arch  string `json:"arch"`  // as GOARCH has it
	Bytes int64  `json:"bytes"` // of the package when it is unpacked, for the progress that is shown
}

// ID is the engine's folder in a store of built engines, such as "nats-2.15.2".
func (e Engine) ID() string { return e.Name + "-" + e.Version }

// WriteModule writes the engine's Go module or npm package into the folder dir, ready to be built or installed there.
func (e Engine) WriteModule(dir string) error {
	for name, data := range e.files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return fmt.Errorf("writing the module of engine %s: %w", e.Name, err)
		}
	}
	return nil
}

// All are the pinned engines, by name.
func All() ([]Engine, error) { return parse(archive) }

// Find gives the engine of that name and version; false when it is not pinned.
func Find(name, version string) (Engine, bool, error) {
	all, err := All()
	for _, e := range all {
		if e.Name == name && e.Version == version {
			return e, true, nil
		}
	}
	return Engine{}, false, err
}

func parse(data []byte) ([]Engine, error) {
	var names []string
	folders := map[string]map[string][]byte{}
	for _, f := range txtar.Parse(data).Files {
		folder, name := path.Split(f.Name)
		folder = strings.TrimSuffix(folder, "/")
		if folders[folder] == nil {
			folders[folder] = map[string][]byte{}
			names = append(names, folder)
		}
		folders[folder][name] = f.Data
	}
	var all []Engine
	for _, folder := range names {
		e := Engine{files: folders[folder]}
		if err := json.Unmarshal(e.files[Description], &e); err != nil {
			return nil, fmt.Errorf("engines/%s/%s: %w", folder, Description, err)
		}
		if e.Name != folder || e.Version == "" || !filepath.IsLocal(e.Binary) {
			return nil, fmt.Errorf("engines/%s/%s: name must be %q, and version and binary (a relative path) set", folder, Description, folder)
		}
		if (e.Package == "") == (e.NPM == nil) {
			return nil, fmt.Errorf("engines/%s/%s: either package or npm must be set", folder, Description)
		}
		all = append(all, e)
	}
	return all, nil
}
