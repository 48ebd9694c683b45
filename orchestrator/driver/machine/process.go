package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// Stat is a part of /proc/PID/stat.
type Stat struct {
	PID     int
	State   byte // R, S, D, Z, T (stopped), t (traced), X
	Parent  int
	Session int
	CPU     time.Duration // of the process itself
	Waited  time.Duration // of its children that have ended, and of theirs
	Start   uint64        // ticks after boot
}

// Paused reports whether the process is stopped by a signal or a debugger.
func (s Stat) Paused() bool { return s.State == 'T' || s.State == 't' }

// Dead reports whether the process has ended.
func (s Stat) Dead() bool { return s.State == 'Z' || s.State == 'X' }

// Stat reads /proc/PID/stat.
// Errors: [fs.ErrNotExist] if there is no such process.
func (f Files) Stat(pid int) (Stat, error) {
	data, err := os.ReadFile(f.process(pid, "stat"))
	if err != nil {
		return Stat{}, fmt.Errorf("reading the state of process %d: %w", pid, ended(err))
	}
	// The name is in brackets and may contain any characters. Field n of proc(5) is fields[n-3].
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 20 {
		return Stat{}, fmt.Errorf("reading the state of process %d: only %d fields", pid, len(fields))
	}
	n := func(field int) int64 { return number(fields[field-3]) }
	return Stat{
		PID: pid, State: fields[0][0], Parent: int(n(4)), Session: int(n(6)),
		CPU: duration(n(14) + n(15)), Waited: duration(n(16) + n(17)),
		Start: uint64(n(22)), //nolint:gosec // not negative
	}, nil
}

// ended turns the error of a process that ended while its files were read into [fs.ErrNotExist].
func ended(err error) error {
	if errors.Is(err, syscall.ESRCH) {
		return fs.ErrNotExist
	}
	return err
}

// Memory returns the resident memory of a process in bytes: its own, and what is mapped from files or shared with other processes.
func (f Files) Memory(pid int) (own, shared int64, err error) {
	data, err := os.ReadFile(f.process(pid, "statm"))
	if err != nil {
		return 0, 0, fmt.Errorf("reading the memory of process %d: %w", pid, ended(err))
	}
	fields := bytes.Fields(data) // in pages: size resident shared text lib data dt
	if len(fields) < 3 {
		return 0, 0, fmt.Errorf("reading the memory of process %d: %q", pid, data)
	}
	resident, shared := number(fields[1]), number(fields[2])
	page := int64(os.Getpagesize())
	return max(0, resident-shared) * page, shared * page, nil
}

// Descriptors returns how many descriptors processes have open together; nil if one of them may not be looked into. Those that have
// ended have none.
func (f Files) Descriptors(pids []int) *int {
	sum := 0
	for _, pid := range pids {
		path := f.process(pid, "fd")
		info, err := os.Stat(path)
		if err == nil && info.Size() > 0 { // Linux 6.2 and newer tell it without a list
			sum += int(info.Size())
			continue
		}
		var entries []os.DirEntry
		if err == nil {
			entries, err = os.ReadDir(path)
		}
		if err != nil && !errors.Is(ended(err), fs.ErrNotExist) {
			return nil
		}
		sum += len(entries)
	}
	return &sum
}

// Network returns the bytes that the network namespace of a process has received and sent since it was made, without those over
// loopback.
func (f Files) Network(pid int) (received, sent int64, err error) {
	data, err := os.ReadFile(f.process(pid, "net/dev"))
	if err != nil {
		return 0, 0, fmt.Errorf("reading the network of process %d: %w", pid, ended(err))
	}
	for line := range bytes.Lines(data) { // after two lines of headings: "eth0: " and 8 numbers of each direction, bytes first
		name, rest, ok := bytes.Cut(line, []byte(":"))
		fields := bytes.Fields(rest)
		if ok && len(fields) >= 16 && string(bytes.TrimSpace(name)) != "lo" {
			received += number(fields[0])
			sent += number(fields[8])
		}
	}
	return received, sent, nil
}
