package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

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

// passable is the mode of folders that engines must pass through.
func passable() fs.FileMode {
	if asRoot() {
		return 0o711
	}
	return 0o700
}

// makeFolder makes a folder of exactly that mode, or gives that mode to the one that exists.
func makeFolder(dir string, mode fs.FileMode) error {
	if err := os.MkdirAll(dir, mode); err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	if err := os.Chmod(dir, mode); err != nil {
		return fmt.Errorf("setting a folder's mode: %w", err)
	}
	return nil
}

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

// replaceFile writes a file so that a reader, and a crash of uws, sees the old or the new one. durable makes
// that true of a power cut as well.
func replaceFile(path string, data []byte, mode fs.FileMode, durable bool) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(path), err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("writing %s: %w", filepath.Base(path), err), os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil && durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	if durable {
		return syncFolder(filepath.Dir(path))
	}
	return nil
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// ownerOf is the uid of a file or folder.
func ownerOf(info fs.FileInfo) uint32 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Uid
	}
	return 0
}
