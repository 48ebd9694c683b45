// Package sandbox restricts the programs that a thread starts: with Landlock to some folders, with seccomp to harmless
// system calls. Both, and no_new_privs, are properties of a thread that its children inherit.
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

// Support is what the kernel of this machine supports.
type Support struct {
	Landlock int  // version of the ABI; 0 means none
	Signals  bool // Landlock can block signals to other processes without affecting other threads
	Seccomp  bool
}

// Profile is what a program may do with files. A folder includes everything in it. Paths that do not exist are ignored.
type Profile struct {
	Run     []string // may be read and executed
	Read    []string // may be read
	Write   []string // everything is allowed, except device files
	Devices []string // device files that may be read and written
	Shared  []string // folders in which files can be created, and opened by name but not listed
	Private []string // no access, unless a path inside is listed in Write, Run or Read

	// Namespaces allows user namespaces, and writing to the files in /proc that map their uids.
	Namespaces bool
}

// Detect tries what the kernel supports. It tests instead of comparing versions, because a container engine may forbid
// parts of it.
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

// Complete reports whether both Landlock and seccomp are available.
func (s Support) Complete() bool { return s.Landlock > 0 && s.Seccomp }

// String returns a text for users, such as "landlock 7, seccomp" or "none".
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

// Do calls f on a thread that is in the sandbox. Processes that f starts stay in it. Goroutines that f starts are not
// in it.
func (s Support) Do(p Profile, f func() error) error {
	return onOwnThread(func() error {
		if err := s.Enter(p); err != nil {
			return fmt.Errorf("entering the sandbox: %w", err)
		}
		return f()
	})
}

// onOwnThread calls f on a thread that is not used afterwards. It is never the first thread: that one lives as long as
// the process, and /proc shows its restrictions as those of the process.
func onOwnThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			done <- onOwnThread(f) // this is the first thread, and now locked: use another one
			runtime.UnlockOSThread()
			return
		}
		done <- f() // never unlocked
	}()
	return <-done
}

// Enter restricts the calling thread and its children permanently, as far as the kernel supports it. They can never
// gain privileges. The thread must be locked to its goroutine and must never be unlocked.
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

	// deviceAccess are the rights that apply to files. The others apply to folders only.
	deviceAccess = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	fileAccess = deviceAccess | unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX

	// sharedAccess has no READ_DIR, so that random file names of others remain unknown.
	sharedAccess = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE

	deviceNodes = unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK

	// erratumSignals is the bit of the fixed bug that a thread could not signal other threads of its own process, as
	// Go's runtime does.
	erratumSignals = 1 << 1
)

// handled returns the file rights that a version of the ABI has. All of them are denied, except those that a rule
// grants.
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

// ruleset is a Landlock ruleset under construction.
type ruleset struct {
	fd      int
	handled uint64
	private []string // without symbolic links
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
		whole  bool // ignore private paths inside
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

// allowAround grants access to path and everything in it, except private paths below it. Rules can only grant access,
// so each sibling of a private path gets a rule. Files that we cannot see are left out.
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

// within reports whether path is dir or below it. Both must be clean.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// allow grants access to a file, or to a folder and everything in it.
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
