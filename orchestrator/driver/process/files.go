package process

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// The state folder. As root, the folders that engines must pass through have mode 0711, so that no engine can list them.
//
//	engines/<name>-<version>/   a program and its SHA256SUMS
//	services/<service>/         state.json, config/ and tmp/ (owned by the engine's uid), log/
//	volumes/<volume>/           data; its owner is the uid that the engine runs under
func (d *Driver) enginesDir() string { return filepath.Join(d.opt.Dir, "engines") }
func (d *Driver) serviceDir(service string) string {
	return filepath.Join(d.opt.Dir, "services", service)
}
func (d *Driver) configDir(service string) string {
	return filepath.Join(d.serviceDir(service), "config")
}
func (d *Driver) tempDir(service string) string {
	return filepath.Join(d.serviceDir(service), "tmp")
}
func (d *Driver) logDir(service string) string {
	return filepath.Join(d.serviceDir(service), "log")
}
func (d *Driver) stateFile(service string) string {
	return filepath.Join(d.serviceDir(service), "state.json")
}
func (d *Driver) volumesDir() string { return filepath.Join(d.opt.Dir, "volumes") }

// checkReachable refuses a folder that unprivileged uids cannot reach because of the mode of a folder above it.
func checkReachable(dir string) error {
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("resolving the state folder: %w", err)
	}
	for _, path := range []string{dir, resolved} {
		for path != "/" {
			path = filepath.Dir(path)
			info, err := os.Stat(path)
			if err != nil {
				return fmt.Errorf("checking the state folder's ancestors: %w", err)
			}
			if info.Mode().Perm()&0o001 == 0 {
				return driver.Errorf(driver.Invalid, "engines run under unprivileged uids, which cannot reach %s: its ancestor %s has mode %04o; "+
					"choose another --data-dir, or run `chmod o+x %s`, or run uws as an ordinary user", dir, path, info.Mode().Perm(), path)
			}
		}
	}
	return nil
}
