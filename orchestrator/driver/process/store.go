package process

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// checksums is the file in an engine's folder that names its program and the program's SHA-256, as
// `sha256sum -c` reads it.
const checksums = "SHA256SUMS"

// store is a folder of built engines: <name>-<version>/ with the program and its checksums. The driver's cache,
// the prebuilt folder beside the uws binary and what `make engines` fills all look so.
type store struct {
	dir      string
	prebuilt string // another store to copy from; may be empty or missing
	build    bool   // build what the prebuilt store does not have
	version  string // of uws

	mu       sync.Mutex
	closed   bool
	flights  map[string]*flight  // by engine's id
	checked  map[string]identity // programs that had the right checksum, by path
	building sync.WaitGroup
}

// identity of a file's content, as far as that can be told without reading it.
type identity struct {
	device, inode  uint64
	size           int64
	mtime, changed syscall.Timespec
}

func newStore(dir string, opt Options) *store {
	return &store{
		dir: dir, prebuilt: opt.Engines, build: opt.BuildEngines, version: opt.Version,
		flights: map[string]*flight{}, checked: map[string]identity{},
	}
}

var (
	engineName    = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	engineVersion = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,62}$`)
)

func checkEngine(name, version string) error {
	if !engineName.MatchString(name) || !engineVersion.MatchString(version) {
		return driver.Errorf(driver.Invalid, "engine %q version %q: both must be plain names", name, version)
	}
	return nil
}

// verified is the path of an engine's program, whose checksum is right now. Reading it is spared while the file
// looks the same as when it was right.
func (s *store) verified(name, version string) (string, error) {
	id := name + "-" + version
	program, want, err := readChecksums(filepath.Join(s.dir, id))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("engine %s %s is not on this node yet", name, version)
	}
	if err != nil {
		return "", fmt.Errorf("engine %s %s is corrupt: %w", name, version, err)
	}
	before, err := identify(program)
	if err != nil {
		return "", fmt.Errorf("engine %s %s is corrupt: %w", name, version, err)
	}
	s.mu.Lock()
	known := s.checked[program] == before
	s.mu.Unlock()
	if known {
		return program, nil
	}
	got, err := sumOf(program)
	if err != nil {
		return "", fmt.Errorf("reading engine %s %s: %w", name, version, err)
	}
	if got != want {
		return "", fmt.Errorf("engine %s %s is corrupt: %s has the SHA-256 %s instead of %s; it will be fetched anew", name, version, program, got, want)
	}
	s.mu.Lock()
	s.checked[program] = before
	s.mu.Unlock()
	return program, nil
}

// readChecksums reads which program an engine's folder has, and its SHA-256 in hex.
func readChecksums(dir string) (program, sum string, err error) {
	data, err := os.ReadFile(filepath.Join(dir, checksums))
	if err != nil {
		return "", "", err
	}
	sum, name, ok := strings.Cut(strings.TrimSuffix(string(data), "\n"), "  ")
	if raw, err := hex.DecodeString(sum); !ok || err != nil || len(raw) != sha256.Size ||
		name != filepath.Base(name) || strings.HasPrefix(name, ".") || strings.Contains(name, "\n") {
		return "", "", driver.Errorf(driver.Invalid, "%s must be one line: the program's SHA-256, two spaces, its file name", filepath.Join(dir, checksums))
	}
	return filepath.Join(dir, name), sum, nil
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func identify(path string) (identity, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return identity{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return identity{device: st.Dev, inode: st.Ino, size: st.Size, mtime: st.Mtim, changed: st.Ctim}, nil
}

// install makes a folder that fill has put a program into (and returns its name) the engine's folder, in one step.
func (s *store) install(id string, fill func(tmp string) (program string, err error)) (err error) {
	if err := os.MkdirAll(s.dir, passable()); err != nil {
		return err
	}
	if err := sweepOld(s.dir); err != nil {
		return err
	}
	work, err := os.MkdirTemp(s.dir, tempPrefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	ready := filepath.Join(work, "new")
	if err := os.Mkdir(ready, 0o700); err != nil {
		return err
	}
	program, err := fill(ready)
	if err != nil {
		return err
	}
	sum, err := sumOf(filepath.Join(ready, program))
	if err != nil {
		return err
	}
	line := sum + "  " + program + "\n"
	if err := os.WriteFile(filepath.Join(ready, checksums), []byte(line), 0o600); err != nil {
		return err
	}
	// Engines run it under uids that are nobody's.
	for path, mode := range map[string]fs.FileMode{filepath.Join(ready, program): 0o755, filepath.Join(ready, checksums): 0o644, ready: 0o755} {
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
	}
	final := filepath.Join(s.dir, id)
	if err := os.Rename(final, filepath.Join(work, "old")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(ready, final)
}

// copyPrebuilt copies an engine from the prebuilt store; fs.ErrNotExist when that does not have it.
func (s *store) copyPrebuilt(name, version string) error {
	if s.prebuilt == "" {
		return fs.ErrNotExist
	}
	id := name + "-" + version
	from, want, err := readChecksums(filepath.Join(s.prebuilt, id))
	if err != nil {
		return err
	}
	return s.install(id, func(tmp string) (string, error) {
		to := filepath.Join(tmp, filepath.Base(from))
		if err := copyFile(from, to); err != nil {
			return "", fmt.Errorf("copying engine %s %s: %w", name, version, err)
		}
		got, err := sumOf(to)
		if err == nil && got != want {
			err = driver.Errorf(driver.Invalid, "the prebuilt engine %s %s has a wrong checksum: %s has the SHA-256 %s instead of %s; "+
				"unpack the archive anew or remove %s", name, version, from, got, want, filepath.Dir(from))
		}
		return filepath.Base(to), err
	})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
