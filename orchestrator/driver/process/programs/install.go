package programs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/folders"
)

// install replaces an engine's folder in one step by a folder that fill has filled. fill returns the path of the program
// in it.
func (s *Store) install(id string, fill func(tmp string) (program string, err error)) (err error) {
	if err := os.MkdirAll(s.dir, folders.Passable()); err != nil {
		return err
	}
	if err := sweepOld(s.dir); err != nil {
		return err
	}
	work, err := os.MkdirTemp(s.dir, folders.TempPrefix)
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
	if err := writeChecksums(ready, program); err != nil {
		return err
	}
	if err := openUp(ready, program); err != nil {
		return err
	}
	awaitForks()
	final := filepath.Join(s.dir, id)
	if err := os.Rename(final, filepath.Join(work, "old")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(ready, final)
}

// awaitForks waits until every process that is being forked has executed its program. Until then it holds copies of this
// process's descriptors, and a program cannot be executed while a descriptor for writing to it is open (ETXTBSY).
func awaitForks() {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
}

// writeChecksums writes the list of all files of an engine's folder, its program first. A symbolic link is listed with the
// checksum of its target, which must be in the folder.
func writeChecksums(dir, program string) error {
	var list strings.Builder
	add := func(path string) error {
		if !summable(path) {
			return driver.Errorf(driver.Invalid, "the engine has a file %q, whose name cannot be in a list of checksums", path)
		}
		sum, err := sumOf(filepath.Join(dir, path))
		list.WriteString(sum + "  " + path + "\n")
		return err
	}
	if err := add(program); err != nil {
		return err
	}
	err := filepath.WalkDir(dir, func(full string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		path, err := filepath.Rel(dir, full)
		if err != nil || path == program {
			return err
		}
		if e.Type()&fs.ModeSymlink != 0 {
			if err := checkLink(dir, full); err != nil {
				return err
			}
		}
		return add(path)
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, checksums), []byte(list.String()), 0o600)
}

// checkLink refuses a symbolic link that does not lead to a file in dir, or would not after dir was renamed.
func checkLink(dir, link string) error {
	to, err := os.Readlink(link)
	if err != nil {
		return err
	}
	inside, err := filepath.Rel(dir, filepath.Join(filepath.Dir(link), to))
	if err != nil || filepath.IsAbs(to) || !filepath.IsLocal(inside) {
		return driver.Errorf(driver.Invalid, "the engine has a link %s to %q, which is not beside it", link, to)
	}
	if info, err := os.Lstat(filepath.Join(dir, inside)); err != nil || !info.Mode().IsRegular() {
		return driver.Errorf(driver.Invalid, "the engine has a link %s to %q, which is not a file", link, to)
	}
	return nil
}

// openUp makes an engine's folder readable by every uid, because engines run under uids of their own.
func openUp(dir, program string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if e.IsDir() || info.Mode()&0o100 != 0 || path == program {
			mode = 0o755
		}
		return root.Chmod(path, mode)
	})
}

// copyPrebuilt copies an engine from the prebuilt store.
// Errors: [fs.ErrNotExist] if that does not have it.
func (s *Store) copyPrebuilt(name, version string) error {
	if s.opts.Prebuilt == "" {
		return fs.ErrNotExist
	}
	id := name + "-" + version
	from := filepath.Join(s.opts.Prebuilt, id)
	files, err := readChecksums(from)
	if err != nil {
		return err
	}
	return s.install(id, func(tmp string) (string, error) {
		for _, f := range files {
			if err := copyFile(filepath.Join(from, f.path), filepath.Join(tmp, f.path)); err != nil {
				return "", fmt.Errorf("copying engine %s %s: %w", name, version, notMissing(err))
			}
		}
		// A link can be read only after its target was copied.
		for _, f := range files {
			got, err := sumOf(filepath.Join(tmp, f.path))
			if err != nil {
				return "", fmt.Errorf("copying engine %s %s: %w", name, version, notMissing(err))
			}
			if got != f.sum {
				return "", driver.UnavailableError("the prebuilt engine %s %s has a wrong checksum: %s has the SHA-256 %s instead of %s; "+
					"unpack the archive again or remove %s", name, version, filepath.Join(from, f.path), got, f.sum, from)
			}
		}
		return files[0].path, nil
	})
}

// notMissing keeps err from matching [fs.ErrNotExist], which stands for an engine that is missing as a whole.
func notMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New(err.Error())
	}
	return err
}

// copyFile copies a file, or a symbolic link as such, and makes the folders above it.
func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm()&0o100|0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
