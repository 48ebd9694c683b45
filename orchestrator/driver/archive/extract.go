package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// KeepOwner is the owner for Extract that leaves files to the user that creates them.
const KeepOwner = -1

// Extract creates what is in an archive in an empty folder, which nobody else changes meanwhile, and gives it to the user and group
// owner. It leaves the root of the folder as it is. The caller makes the files durable.
// Errors: those of [Reader.Next].
func Extract(ctx context.Context, r io.Reader, root *os.Root, owner int) error {
	x := extraction{from: NewReader(ctx, r), root: root, owner: owner, copied: make([]byte, room)}
	for {
		h, err := x.from.Next()
		if errors.Is(err, io.EOF) {
			return x.finish()
		}
		if err != nil {
			return err
		}
		if err := x.create(h); err != nil {
			return fmt.Errorf("unpacking %s: %w", shown(h.Name), err)
		}
	}
}

type extraction struct {
	from    *Reader
	root    *os.Root
	owner   int
	copied  []byte
	folders []folder
}

// folder is what a folder gets when everything is in it.
type folder struct {
	name string
	mode fs.FileMode
	at   time.Time
}

func (x *extraction) create(h *tar.Header) error {
	name := strings.TrimSuffix(h.Name, "/")
	switch h.Typeflag {
	case tar.TypeDir:
		x.folders = append(x.folders, folder{name, mode(h), h.ModTime})
		return x.mkdir(name, h)
	case tar.TypeLink:
		return x.root.Link(h.Linkname, name)
	case tar.TypeSymlink:
		if err := x.root.Symlink(h.Linkname, name); err != nil || x.owner == KeepOwner {
			return err
		}
		return x.root.Lchown(name, x.owner, x.owner)
	}
	return x.file(name, h)
}

func (x *extraction) mkdir(name string, h *tar.Header) error {
	if err := x.root.Mkdir(name, 0o700); err != nil {
		return err
	}
	if x.owner != KeepOwner {
		if err := x.root.Lchown(name, x.owner, x.owner); err != nil {
			return err
		}
	}
	if len(h.PAXRecords) == 0 {
		return nil
	}
	f, err := x.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(writeAttributes(f, h), f.Close())
}

func (x *extraction) file(name string, h *tar.Header) (err error) {
	f, err := x.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, x.from, x.copied); err != nil {
		return err
	}
	if x.owner != KeepOwner {
		if err := f.Chown(x.owner, x.owner); err != nil {
			return err
		}
	}
	if err := errors.Join(writeAttributes(f, h), f.Chmod(mode(h))); err != nil {
		return err
	}
	return x.root.Chtimes(name, h.ModTime, h.ModTime)
}

// finish gives folders what creating files in them would have changed, those inside first.
func (x *extraction) finish() error {
	for i := len(x.folders) - 1; i >= 0; i-- {
		f := x.folders[i]
		if err := errors.Join(x.root.Chmod(f.name, f.mode), x.root.Chtimes(f.name, f.at, f.at)); err != nil {
			return err
		}
	}
	return nil
}

func mode(h *tar.Header) fs.FileMode {
	m := fs.FileMode(h.Mode & 0o777)
	if h.Mode&0o1000 != 0 {
		m |= fs.ModeSticky
	}
	return m
}

func writeAttributes(f *os.File, h *tar.Header) error {
	for key, value := range h.PAXRecords {
		name := strings.TrimPrefix(key, "SCHILY.xattr.")
		if err := unix.Fsetxattr(int(f.Fd()), name, []byte(value), 0); err != nil {
			return fmt.Errorf("setting the extended attribute %s of %s: %w", shown(name), shown(h.Name), err)
		}
	}
	return nil
}
