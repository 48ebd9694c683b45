package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// Write writes an archive of a folder, which others may change meanwhile: what vanishes is left out. It opens nothing outside the
// folder.
// Errors: one that names the file if a file shrinks while it is read; those of w.
func Write(ctx context.Context, root *os.Root, w io.Writer) error {
	t := tree{root: root, to: NewWriter(ctx, w), linked: map[inode]string{}}
	if err := t.add("."); err != nil {
		return err
	}
	return t.to.Close()
}

// tree is a folder that is being archived.
type tree struct {
	root   *os.Root
	to     *Writer
	linked map[inode]string // the first name of files with several
}

type inode struct{ device, number uint64 }

// add adds a file or folder with its content.
func (t tree) add(name string) error {
	info, err := t.root.Lstat(name)
	if err != nil {
		return vanished(err)
	}
	switch info.Mode().Type() {
	case fs.ModeSymlink:
		target, err := t.root.Readlink(name)
		if err != nil {
			return vanished(err)
		}
		return t.to.Add(header(info, tar.TypeSymlink, name, target), nil)
	case fs.ModeDir, 0:
		return t.open(name, info)
	}
	return nil
}

// open adds a file or folder that can have content.
func (t tree) open(name string, info fs.FileInfo) error {
	f, err := t.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return vanished(err)
	}
	defer f.Close()
	now, err := f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(info, now) { // it was replaced meanwhile, possibly by a symbolic link
		return nil
	}
	if now.IsDir() {
		return t.folder(name, f, now)
	}
	return t.file(name, f, now)
}

func (t tree) folder(name string, f *os.File, info fs.FileInfo) error {
	h := header(info, tar.TypeDir, name, "")
	if err := readAttributes(f, h); err != nil {
		return err
	}
	if err := t.to.Add(h, nil); err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		return vanished(err)
	}
	if err := f.Close(); err != nil { // so that deep folders do not need many descriptors
		return err
	}
	slices.Sort(names)
	for _, n := range names {
		if name == "." && driver.Ignored(n) {
			continue
		}
		if err := t.add(path.Join(name, n)); err != nil {
			return err
		}
	}
	return nil
}

func (t tree) file(name string, f *os.File, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
		id := inode{st.Dev, st.Ino}
		if first, ok := t.linked[id]; ok {
			return t.to.Add(header(info, tar.TypeLink, name, first), nil)
		}
		t.linked[id] = name
	}
	h := header(info, tar.TypeReg, name, "")
	h.Size = info.Size()
	if err := readAttributes(f, h); err != nil {
		return err
	}
	err := t.to.Add(h, struct{ io.Reader }{f}) // and not by sendfile, which tar cannot use
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the file %s of the volume shrank while it was read; freeze or stop the instance first", shown(name))
	}
	return err
}

// vanished returns nil if an error says that a file is not there any more, or is another one.
func vanished(err error) error {
	for _, gone := range []error{fs.ErrNotExist, syscall.ELOOP, syscall.ENOTDIR, syscall.ENXIO} {
		if errors.Is(err, gone) {
			return nil
		}
	}
	return err
}

func header(info fs.FileInfo, kind byte, name, link string) *tar.Header {
	h := &tar.Header{Typeflag: kind, ModTime: info.ModTime(), Linkname: link, Mode: int64(info.Mode().Perm())}
	if info.Mode()&fs.ModeSticky != 0 {
		h.Mode |= 0o1000
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		h.Uid, h.Gid = int(st.Uid), int(st.Gid)
	}
	return Entry(h, name)
}

// readAttributes adds the extended attributes of a file, none where the file system has none.
func readAttributes(f *os.File, h *tar.Header) error {
	list, err := listAttributes(int(f.Fd()))
	if err != nil {
		return fmt.Errorf("reading the extended attributes of %s: %w", shown(h.Name), err)
	}
	for name := range strings.SplitSeq(string(list), "\x00") {
		if !strings.HasPrefix(name, "user.") {
			continue
		}
		value := make([]byte, 64<<10) // the most that one has
		n, err := unix.Fgetxattr(int(f.Fd()), name, value)
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading the extended attribute %s of %s: %w", shown(name), shown(h.Name), err)
		}
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords["SCHILY.xattr."+name] = string(value[:n])
	}
	return nil
}

func listAttributes(fd int) ([]byte, error) {
	var none [0]byte
	n, err := unix.Flistxattr(fd, none[:])
	if errors.Is(err, unix.ENOTSUP) || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list := make([]byte, 64<<10) // the most that there are
	n, err = unix.Flistxattr(fd, list)
	return list[:max(0, n)], err
}
