package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// removeStale removes the lock and pid files that a crash left in a volume. An engine compares the pid in such a file
// with the processes that run now, and after a reboot that pid can be any program's. No instance of the service runs. The
// files stay if the same program, started by somebody else, runs in the volume.
func (d *Driver) removeStale(id, program string, spec plan) error {
	if len(spec.Stale) == 0 {
		return nil
	}
	root, err := os.OpenRoot(d.volumeDir(spec.Volume))
	if err != nil {
		return fmt.Errorf("looking for stale files: %w", err)
	}
	defer root.Close()
	for _, name := range spec.Stale {
		if _, err := root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return fmt.Errorf("looking for stale files: %w", err)
		}
		user, err := runsIn(d.volumeDir(spec.Volume), filepath.Base(program))
		if err != nil {
			return err
		}
		if user != 0 {
			d.opt.Log.Warn("a process that uws did not start uses the data", "service", id, "pid", user)
			return nil
		}
		if err := root.Remove(name); err != nil {
			return fmt.Errorf("removing a stale file: %w", err)
		}
		d.opt.Log.Info("removed a stale file", "service", id, "file", name)
	}
	return nil
}

// runsIn returns the pid of a process that runs a program of that name in the folder dir; 0 if there is none. Processes
// that uws may not look at belong to other users, who cannot enter the folder.
func runsIn(dir, program string) (int, error) {
	want, err := folderAt(dir)
	if err != nil {
		return 0, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("looking for processes: %w", err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		exe, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		if err != nil || filepath.Base(exe) != program {
			continue
		}
		if in, err := folderAt(filepath.Join("/proc", e.Name(), "cwd")); err == nil && in == want {
			return pid, nil
		}
	}
	return 0, nil
}

// closeOnExec keeps the descriptors that this process was started with from the programs that it starts. Go sets the
// flag on all that it opens itself.
func closeOnExec() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("looking at the open descriptors: %w", err)
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}
