// Package sandbox restricts the programs that a thread starts: by Landlock to some folders, by seccomp to harmless
// system calls. Both and no_new_privs are properties of a thread that its children inherit.
package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Support is what this machine's kernel offers.
type Support struct {
	Landlock int  // version of the ABI; 0: none
	Signals  bool // Landlock keeps signals inside without harm to other threads
	Seccomp  bool
}

// Profile is what a program may do with files. Folders count with all that is in them; what does not exist is left out.
type Profile struct {
	Run     []string // to be read and executed
	Read    []string // to be read
	Write   []string // everything but device files
	Devices []string // device files to be read and written
	Shared  []string // folders in which files can be made and opened by those who have their names
	Private []string // never, unless Write, or Run and Read by a path of their own inside, say otherwise

	// Namespaces allows user namespaces, and to write to files in /proc, by which they get their uids.
	Namespaces bool
}

// Detect finds out by trying what the kernel offers: programs around us, such as a container engine, may forbid part of it.
func Detect() Support {
	var s Support
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno == 0 {
		s.Landlock = int(abi)
	}
	errata, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_ERRATA)
	s.Signals = s.Landlock >= 6 && errno == 0 && errata&erratumSignals != 0
	works := func(s Support) bool {
		return s.Do(Profile{Read: []string{"/"}}, func() error { return nil }) == nil
	}
	if !works(s) {
		s.Landlock, s.Signals = 0, false
	}
	s.Seccomp = works(Support{Seccomp: true})
	return s
}

// Complete reports whether nothing is missing.
func (s Support) Complete() bool { return s.Landlock > 0 && s.Seccomp }

// String is for people: "landlock 7, seccomp" or "none".
func (s Support) String() string {
	var has []string
	if s.Landlock > 0 {
		has = append(has, "landlock "+strconv.Itoa(s.Landlock))
	}
	if s.Seccomp {
		has = append(has, "seccomp")
	}
	if len(has) == 0 {
		return "none"
	}
	return strings.Join(has, ", ")
}

// Do calls f on a thread that is in the sandbox, and ends with f. What f starts stays in it. Goroutines that f starts
// are not.
func (s Support) Do(p Profile, f func() error) error {
	return onOwnThread(func() error {
		if err := s.Enter(p); err != nil {
			return fmt.Errorf("entering the sandbox: %w", err)
		}
		return f()
	})
}

// onOwnThread calls f on a thread that is not used again, and is not the first: that one never ends, and stands for the
// process wherever another looks at it, such as in /proc.
func onOwnThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			done <- onOwnThread(f) // on another, since this one is taken
			runtime.UnlockOSThread()
			return
		}
		done <- f() // never unlocked
	}()
	return <-done
}

// Enter restricts the calling thread and its children for good, by what the kernel offers. No privileges can be gained
// in any case. The thread must be locked to the goroutine and never be unlocked.
func (s Support) Enter(p Profile) error {
	if err := noNewPrivileges(); err != nil {
		return err
	}
	if s.Landlock > 0 {
		if err := s.restrict(p); err != nil {
			return err
		}
	}
	if s.Seccomp {
		return filter(p.Namespaces)
	}
	return nil
}

func noNewPrivileges() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
}

const (
	readAccess = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	runAccess  = readAccess | unix.LANDLOCK_ACCESS_FS_EXECUTE

	// deviceAccess are the rights that a file can have, too; the others are for folders.
	deviceAccess = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	fileAccess = deviceAccess | unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX

	// sharedAccess has no READ_DIR: names that others chose at random stay theirs.
	sharedAccess = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE

	deviceNodes = unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK

	// erratumSignals is the bit of the mended error by which a thread could not signal other threads of its own process,
	// as Go's runtime does.
	erratumSignals = 1 << 1
)

// handled are the rights to files that a version of the ABI has. All of them are taken away but for those that a rule gives.
func handled(abi int) uint64 {
	switch {
	case abi >= 9:
		return 1<<17 - 1
	case abi >= 5:
		return 1<<16 - 1
	case abi >= 3:
		return 1<<15 - 1
	case abi == 2:
		return 1<<14 - 1
	}
	return 1<<13 - 1
}

// ruleset is a Landlock ruleset that is being made.
type ruleset struct {
	fd      int
	handled uint64
	private []string // no symbolic links in them
}

func (s Support) restrict(p Profile) (err error) {
	attr := unix.LandlockRulesetAttr{Handled_access_fs: handled(s.Landlock)}
	if s.Landlock >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
		if s.Signals {
			attr.Scoped |= unix.LANDLOCK_SCOPE_SIGNAL
		}
	}
	r := ruleset{handled: attr.Handled_access_fs}
	if r.fd, err = createRuleset(&attr); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(r.fd)) }()
	for _, path := range p.Private {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			r.private = append(r.private, real)
		}
	}
	for _, rules := range []struct {
		paths  []string
		access uint64
		whole  bool // private paths inside do not count
	}{
		{p.Run, runAccess, false}, {p.Read, readAccess, false}, {p.Write, r.handled &^ deviceNodes, true},
		{p.Devices, deviceAccess, true}, {p.Shared, sharedAccess, true},
	} {
		for _, path := range rules.paths {
			if !rules.whole {
				err = r.allowAround(path, rules.access)
			} else {
				err = r.allow(path, rules.access)
			}
			if err != nil {
				return err
			}
		}
	}
	if p.Namespaces {
		if err := r.allow("/proc", unix.LANDLOCK_ACCESS_FS_WRITE_FILE); err != nil {
			return err
		}
	}
	return restrictSelf(r.fd)
}

// allowAround gives access to path and what is in it, but not to a private path that lies below. Rules only ever add: what
// is beside a private path gets one each. What we cannot see ourselves is left out.
func (r ruleset) allowAround(path string, access uint64) error {
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	around := false
	for _, p := range r.private {
		around = around || (p != real && within(p, real))
	}
	if !around {
		return r.allow(real, access)
	}
	entries, err := os.ReadDir(real)
	if errors.Is(err, os.ErrPermission) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	for _, e := range entries {
		below := filepath.Join(real, e.Name())
		if e.Type()&os.ModeSymlink != 0 || r.isPrivate(below) {
			continue
		}
		if err := r.allowAround(below, access); err != nil {
			return err
		}
	}
	return nil
}

func (r ruleset) isPrivate(path string) bool {
	for _, p := range r.private {
		if p == path {
			return true
		}
	}
	return false
}

// within reports whether path is dir or lies below it. Both are clean.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// allow gives access to a file, or to a folder and what is in it.
func (r ruleset) allow(path string, access uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sandbox: opening %s: %w", path, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("sandbox: looking at %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= fileAccess
	}
	if access &= r.handled; access == 0 {
		return nil
	}
	if err := addRule(r.fd, access, fd); err != nil {
		return fmt.Errorf("sandbox: allowing %s: %w", path, err)
	}
	return nil
}
