package programs

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

// checksums is the file in an engine's folder that lists the SHA-256 and the path of each other file there, in the format
// of `sha256sum -c`. The first is the program.
const checksums = "SHA256SUMS"

// Options of New.
type Options struct {
	Prebuilt string // folder of another store to copy from; empty or missing: none
	Build    bool   // build or download engines that Prebuilt does not have
	Version  string // of uws, to name the archive that holds engines; may be empty
}

// Store is a folder of engines: <name>-<version>/ with the program, its other files and their checksums. The driver's
// cache, the prebuilt folder beside the uws binary and the folder that `make engines` fills have this layout. Its methods are
// safe for concurrent use.
type Store struct {
	dir  string
	opts Options

	mu       sync.Mutex
	closed   bool
	flights  map[string]*flight  // by engine's id
	checked  map[string]identity // files that had the right checksum, by path
	building sync.WaitGroup
}

// New returns the store in a folder, which need not exist yet.
func New(dir string, opts Options) *Store {
	return &Store{dir: dir, opts: opts, flights: map[string]*flight{}, checked: map[string]identity{}}
}

// identity changes when a file's content does. It can be read without reading the content.
type identity struct {
	device, inode  uint64
	size           int64
	mtime, changed syscall.Timespec
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

// verified returns the path of an engine's program. It checks the checksums of all files of the engine, except of those whose
// identity is the same as when their checksum was last right.
func (s *Store) verified(name, version string) (string, error) {
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

func (s *Store) check(path, want string) error {
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

// readChecksums returns the files of an engine's folder. The first is the program.
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

// summable reports whether a path can be in a list of checksums: it is inside the folder, and `sha256sum` does not escape
// it.
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
