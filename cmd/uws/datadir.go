package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// dataFlag is the data folder that a short command works on, whether or not a uws serves it.
type dataFlag struct {
	DataDir string `placeholder:"DIR" env:"UWS_DATA_DIR" help:"Data folder with a store. Default: data-dir in the configuration file, else ./data or ${unitdata}, whichever has a store."`
	Config  string `placeholder:"FILE" env:"UWS_CONFIG" help:"The configuration file of uws serve."`
}

// unitDataDir is the data folder of deploy/uws.service.
const unitDataDir = "/var/lib/uws"

// find returns the data folder: the given one, else one that has a store, preferably one that is served.
func (d dataFlag) find() (string, error) {
	candidates, err := d.candidates(commandNamed("serve"))
	if err != nil {
		return "", err
	}
	var looked, found []string
	for _, dir := range candidates {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("data folder %s: %w", dir, err)
		}
		looked = append(looked, abs)
		if !store.Exists(abs) {
			continue
		}
		if store.Served(abs) {
			return abs, nil
		}
		found = append(found, abs)
	}
	if len(found) > 0 {
		return found[0], nil
	}
	return "", fmt.Errorf("there is no store in %s; name the data folder of uws serve with --data-dir or UWS_DATA_DIR", strings.Join(looked, " or "))
}

// candidates returns the folders in which to look for a store.
func (d dataFlag) candidates(serve *kong.Node) ([]string, error) {
	if d.DataDir != "" {
		return []string{d.DataDir}, nil
	}
	if d.Config != "" {
		file, err := readConfig(d.Config, settingsOf(serve))
		if err != nil {
			return nil, err
		}
		if entry, ok := file.entries["data-dir"]; ok {
			return []string{entry.value}, nil
		}
	}
	return []string{"./data", unitDataDir}, nil
}
