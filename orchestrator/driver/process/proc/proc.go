// Package proc reads the processes of this Linux machine and signals them by pidfds.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/orchestrator/driver/machine"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/folders"
)

// ReadEnv reads the environment that a process was started with; nil if it may not be read or is empty.
func ReadEnv(pid int) []string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
}

// Process is one process with the uid that it runs under and the environment of ReadEnv.
type Process struct {
	machine.Stat
	UID uint32
	Env []string
}

// List returns the living processes, except this one, whose uid want accepts.
func List(want func(uid uint32) bool) ([]Process, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("looking for processes: %w", err)
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return nil, fmt.Errorf("looking for processes: %w", err)
	}
	var found []Process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() {
			continue
		}
		uid, err := UID(pid)
		if err != nil || !want(uid) {
			continue
		}
		st, err := machine.Linux.Stat(pid)
		if err != nil || st.Dead() {
			continue // it has ended
		}
		found = append(found, Process{st, uid, ReadEnv(pid)})
	}
	return found, nil
}

// Stopped reports whether all threads of a process are stopped by a signal or a debugger, or have ended, and whether one of them waits
// in the kernel, where it cannot be stopped.
func Stopped(pid int) (stopped, waits bool) {
	dir, err := os.Open("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		return true, false // it has ended
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrNotExist), false
	}
	stopped = true
	for _, name := range names {
		thread, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if st, err := machine.Linux.Stat(thread); err == nil && !st.Paused() && !st.Dead() {
			stopped = false
			waits = waits || st.State == 'D'
		}
	}
	return stopped, waits
}

// UID returns the effective uid of a process. The owner of its folder in /proc is not enough: it is root for a process
// that may not be traced.
func UID(pid int) (uint32, error) {
	path := "/proc/" + strconv.Itoa(pid)
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	if uid := folders.Owner(info); uid != 0 {
		return uid, nil
	}
	data, err := os.ReadFile(path + "/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(data, []byte("\nUid:"))
	f := bytes.Fields(rest[:max(0, bytes.IndexByte(rest, '\n'))])
	if len(f) < 2 {
		return 0, fmt.Errorf("no uid in %s/status", path)
	}
	uid, err := strconv.ParseUint(string(f[1]), 10, 32)
	return uint32(uid), err
}
