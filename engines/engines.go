// Package engines holds the pinned versions of the third-party engines that the process driver runs.
//
// Each engine is a folder beside this file. It contains an engine.json that describes the engine, and either a Go
// module (go.mod, and go.sum with the checksums) or an npm package with its lock file, which has the checksum. Go
// cannot embed files of nested modules, so `go generate` packs the folders into engines.txtar, which is embedded.
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

// Description is the name of the file that describes an engine.
const Description = "engine.json"

// Engine is one pinned engine. It is a Go program, which has a Package, or an npm package, which has an NPM.
type Engine struct {
	Name    string `json:"name"`    // also the name of its folder
	Version string `json:"version"` // as in templates, without a leading v
	Package string `json:"package"` // argument of `go build`
	LDFlags string `json:"ldflags"` // in addition to -s -w
	// Vendored maps paths below vendor/ to files that are added to the vendored dependencies before the build.
	Vendored map[string]string `json:"vendored"`
	NPM      *NPM              `json:"npm"`
	Binary   string            `json:"binary"` // path of the program in the engine's folder

	files map[string][]byte // files of its folder, by name
}

// NPM is an engine that is distributed as an npm package: a folder tree for one architecture.
type NPM struct {
	Package string `json:"package"`
	Folder  string `json:"folder"` // folder in the package that becomes the engine's folder
	// Links is a file in Folder that lists symbolic links, which npm packages cannot contain. Its paths are relative to
	// the package.
	Links string `json:"links"`
	Arch  string `json:"arch"`  // in the form of GOARCH
	Bytes int64  `json:"bytes"` // size of the unpacked package, for showing progress
}

// ID returns the name of the engine's folder in a store of built engines, such as "nats-2.15.2".
func (e Engine) ID() string { return e.Name + "-" + e.Version }

// WriteModule writes the engine's Go module or npm package to dir, ready to be built or installed there.
func (e Engine) WriteModule(dir string) error {
	for name, data := range e.files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return fmt.Errorf("writing the module of engine %s: %w", e.Name, err)
		}
	}
	return nil
}

// All returns the pinned engines, sorted by name.
func All() ([]Engine, error) { return parse(archive) }

// Find returns the engine with the given name and version. It returns false if that is not pinned.
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
