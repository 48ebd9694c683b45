// Package proc reads the processes of this Linux machine and signals them by pidfds.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver/process/folders"
)

// ticksPerSecond is the unit of times in /proc/PID/stat, which is the same on every Linux that Go runs on.
const ticksPerSecond = 100

// Stat is a part of /proc/PID/stat.
type Stat struct {
	PID     int
	State   byte // R, S, D, Z, T (stopped), t (traced), X
	Parent  int
	Session int
	CPU     time.Duration // of the process itself
	Waited  time.Duration // of its children that have ended
	Start   uint64        // ticks after boot
	RSS     int64         // bytes
}

// Paused reports whether the process is stopped by a signal or a debugger.
func (s Stat) Paused() bool { return s.State == 'T' || s.State == 't' }

// Dead reports whether the process has ended.
func (s Stat) Dead() bool { return s.State == 'Z' || s.State == 'X' }

// ReadStat reads /proc/PID/stat.
// Errors: [fs.ErrNotExist] if there is no such process.
func ReadStat(pid int) (Stat, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		if errors.Is(err, syscall.ESRCH) {
			err = fs.ErrNotExist
		}
		return Stat{}, fmt.Errorf("reading the state of process %d: %w", pid, err)
	}
	// The name is in brackets and may contain any characters. Field n of proc(5) is f[n-3].
	f := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(f) < 22 {
		return Stat{}, fmt.Errorf("reading the state of process %d: only %d fields", pid, len(f))
	}
	n := func(field int) int64 {
		v, _ := strconv.ParseInt(string(f[field-3]), 10, 64) // always a number, see proc(5)
		return v
	}
	ticks := func(field int) time.Duration { return time.Duration(n(field)) * (time.Second / ticksPerSecond) }
	return Stat{
		PID: pid, State: f[0][0], Parent: int(n(4)), Session: int(n(6)),
		CPU: ticks(14) + ticks(15), Waited: ticks(16) + ticks(17),
		Start: uint64(n(22)), RSS: n(24) * int64(os.Getpagesize()), //nolint:gosec // not negative
	}, nil
}

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
	Stat
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
		st, err := ReadStat(pid)
		if err != nil || st.Dead() {
			continue // it has ended
		}
		found = append(found, Process{st, uid, ReadEnv(pid)})
	}
	return found, nil
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
