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

// checksums is the file in an engine's folder that names each other file there and its SHA-256, as `sha256sum -c`
// reads it. The first is the program.
const checksums = "SHA256SUMS"

// store is a folder of engines: <name>-<version>/ with the program, what belongs to it and their checksums. The
// driver's cache, the prebuilt folder beside the uws binary and what `make engines` fills all look so.
type store struct {
	dir      string
	prebuilt string // another store to copy from; may be empty or missing
	build    bool   // build or download what the prebuilt store does not have
	version  string // of uws

	mu       sync.Mutex
	closed   bool
	flights  map[string]*flight  // by engine's id
	checked  map[string]identity // files that had the right checksum, by path
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

// verified is the path of an engine's program. Its checksum, and that of every other file of the engine, is right
// now. Reading a file is spared while it looks the same as when it was right.
func (s *store) verified(name, version string) (string, error) {
	dir := filepath.Join(s.dir, name+"-"+version)
	files, err := readChecksums(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("engine %s %s is not on this node yet", name, version)
	}
	for _, f := range files {
		if err == nil {
			err = s.check(filepath.Join(dir, f.path), f.sum)
		}
	}
	if err != nil {
		return "", fmt.Errorf("engine %s %s is corrupt and will be fetched again: %w", name, version, err)
	}
	return filepath.Join(dir, files[0].path), nil
}

func (s *store) check(path, want string) error {
	before, err := identify(path)
	if err != nil {
		return err
	}
	s.mu.Lock()
	known := s.checked[path] == before
	s.mu.Unlock()
	if known {
		return nil
	}
	got, err := sumOf(path)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%s has the SHA-256 %s instead of %s", path, got, want)
	}
	s.mu.Lock()
	s.checked[path] = before
	s.mu.Unlock()
	return nil
}

// summed is a file of an engine: its path in the engine's folder, and its SHA-256 in hex.
type summed struct{ path, sum string }

// readChecksums reads which files an engine's folder has; the first is the program.
func readChecksums(dir string) ([]summed, error) {
	data, err := os.ReadFile(filepath.Join(dir, checksums))
	if err != nil {
		return nil, err
	}
	var files []summed
	for line := range strings.Lines(string(data)) {
		sum, path, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if raw, err := hex.DecodeString(sum); !ok || err != nil || len(raw) != sha256.Size || !summable(path) {
			files = nil
			break
		}
		files = append(files, summed{path: path, sum: sum})
	}
	if len(files) == 0 {
		return nil, driver.Errorf(driver.Invalid, "%s must hold lines of a file's SHA-256, two spaces and its path, the program's first", filepath.Join(dir, checksums))
	}
	return files, nil
}

// summable reports whether a path can stand in a list of checksums: it stays inside the folder, and `sha256sum` would
// write it as it is.
func summable(path string) bool {
	return filepath.IsLocal(path) && filepath.Clean(path) == path && path != checksums && path != "." && !strings.ContainsAny(path, "\\\r\n")
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
