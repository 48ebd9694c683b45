package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/orchestrator/driver/process/folders"
)

// Boot returns the id of this boot of the machine.
func Boot() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("reading the boot id: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// CheckKernel returns an error if the kernel lacks what Handle needs.
func CheckKernel() error {
	fd, err := unix.PidfdOpen(os.Getpid(), unix.PIDFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("this kernel has no non-blocking pidfd, Linux 5.10 or newer is needed: %w", err)
	}
	return unix.Close(fd)
}

// RunsIn returns the pid of a process that runs a program of that name in the folder dir; 0 if there is none. It skips
// processes that uws may not inspect: they belong to other users, who cannot enter the folder.
func RunsIn(dir, program string) (int, error) {
	want, err := folders.At(dir)
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
		if in, err := folders.At(filepath.Join("/proc", e.Name(), "cwd")); err == nil && in == want {
			return pid, nil
		}
	}
	return 0, nil
}

// CloseOnExec sets the close-on-exec flag of all descriptors that this process was started with. Go sets it on those that
// it opens itself.
func CloseOnExec() error {
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
