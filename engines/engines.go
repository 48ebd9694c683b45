// Package engines holds the pins of the third-party engines that the process driver runs.
//
// Each engine is a folder beside this file: a module of its own (go.mod, go.sum, which are the
// checksums) and an engine.json that describes it. Go cannot embed files of nested modules, so that
// `go generate` packs the folders into engines.txtar, which is embedded.
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

// Engine is one pinned engine.
type Engine struct {
	Name    string `json:"name"`    // also its folder
	Version string `json:"version"` // as templates name it, without a leading v
	Package string `json:"package"` // what `go build` builds
	LDFlags string `json:"ldflags"` // beside -s -w
	Binary  string `json:"binary"`  // file name of the program

	files map[string][]byte // of its folder, by file name
}

// ID is the engine's folder in a store of built engines, such as "nats-2.15.2".
func (e Engine) ID() string { return e.Name + "-" + e.Version }

// WriteModule writes the engine's module into the folder dir, ready to be built there.
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
		if e.Name != folder || e.Version == "" || e.Package == "" || e.Binary == "" || e.Binary != path.Base(e.Binary) {
			return nil, fmt.Errorf("engines/%s/%s: name must be %q, and version, package and binary (a file name) set", folder, Description, folder)
		}
		all = append(all, e)
	}
	return all, nil
}
