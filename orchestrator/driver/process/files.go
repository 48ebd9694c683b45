package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// The state folder. As root, what engines must pass through is 0711, so that no engine can list it.
//
//	engines/<name>-<version>/   a program and its SHA256SUMS
//	services/<service>/         state.json, config/ and tmp/ (the engine's), log/ (ours)
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
func (d *Driver) logFile(service string) string {
	return filepath.Join(d.serviceDir(service), "log", "engine.log")
}
func (d *Driver) stateFile(service string) string {
	return filepath.Join(d.serviceDir(service), "state.json")
}
func (d *Driver) volumesDir() string             { return filepath.Join(d.opt.Dir, "volumes") }
func (d *Driver) volumeDir(volume string) string { return filepath.Join(d.volumesDir(), volume) }

// checkReachable refuses a folder below an ancestor that an unprivileged uid cannot pass.
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

// checkUIDs refuses a user namespace that does not know the uids of volumes.
func checkUIDs(base uint32) error {
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return fmt.Errorf("reading the user namespace's uids: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		var inside, outside, count uint64
		if _, err := fmt.Sscan(line, &inside, &outside, &count); err != nil {
			return fmt.Errorf("reading the user namespace's uids: %w", err)
		}
		if inside <= uint64(base) && uint64(base)+uidBlock <= inside+count {
			return nil
		}
	}
	return driver.Errorf(driver.Invalid, "engines run under uids from %d to %d, which this user namespace does not have; run uws as an ordinary user", base, base+uidBlock-1)
}
