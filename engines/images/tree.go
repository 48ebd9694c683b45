package images

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// tree writes a root file system. After an error it does nothing.
type tree struct {
	ctx  context.Context
	tar  *tar.Writer
	made map[string]bool // paths that exist
	err  error
}

// base adds what every image has: a user besides root, and a folder for temporary files.
func (t *tree) base(user string, id int) {
	t.text("/etc/passwd", fmt.Sprintf("root:x:0:0:root:/root:/sbin/nologin\n%s:x:%d:%d::/:/sbin/nologin\n", user, id, id))
	t.text("/etc/group", fmt.Sprintf("root:x:0:\n%s:x:%d:\n", user, id))
	t.dir("/tmp", 0o1777, 0)
}

// add writes an entry, and before it the folders that contain it.
func (t *tree) add(h tar.Header, content io.Reader) {
	if t.err == nil {
		t.err = t.ctx.Err()
	}
	if t.err != nil || t.made[h.Name] {
		return
	}
	if parent := path.Dir(h.Name); parent != "/" {
		t.dir(parent, 0o755, 0)
	}
	t.made[h.Name] = true
	h.Name = strings.TrimPrefix(h.Name, "/")
	if t.err = t.tar.WriteHeader(&h); t.err == nil && content != nil {
		_, t.err = io.Copy(t.tar, content)
	}
}

func (t *tree) dir(name string, mode int64, owner int) {
	t.add(tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode, Uid: owner, Gid: owner}, nil)
}

func (t *tree) text(name, content string) {
	t.add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}, strings.NewReader(content))
}

func (t *tree) link(name, target string) {
	t.add(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, nil)
}

// file copies a file of this machine. It follows links, and keeps the executable bit.
func (t *tree) file(name, from string) {
	if t.err != nil {
		return
	}
	f, err := os.Open(from)
	if err != nil {
		t.err = err
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.err = err
		return
	}
	mode := int64(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	t.add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: info.Size()}, f)
}

// folder copies a folder of this machine, including links, without the files for which skip returns true.
func (t *tree) folder(name, from string, skip func(file string) bool) {
	if t.err != nil {
		return
	}
	t.err = filepath.WalkDir(from, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := path.Join(name, filepath.ToSlash(strings.TrimPrefix(p, from)))
		switch {
		case e.IsDir():
			t.dir(to, 0o755, 0)
		case skip(to):
		case e.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			t.link(to, target)
		default:
			t.file(to, p)
		}
		return t.err
	})
}

// program returns the path of a program installed on this machine.
func (t *tree) program(name, hint string) string {
	if t.err != nil {
		return ""
	}
	p, err := exec.LookPath(name)
	if err == nil {
		p, err = filepath.EvalSymlinks(p)
	}
	if err != nil {
		t.err = errors.Join(err, errors.New(hint))
	}
	return p
}
