package drivertest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// moment is a time of files.
var moment = time.Date(2024, 2, 29, 12, 30, 15, 0, time.UTC)

// entry is one of an archive: its header, and the content of a file.
type entry struct {
	tar.Header
	content string
}

func folder(name string, mode int64) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, ModTime: moment}}
}

func file(name, content string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(content)), ModTime: moment}, content}
}

func link(kind byte, name, to string) entry {
	e := entry{Header: tar.Header{Typeflag: kind, Name: name, Linkname: to, Mode: 0o777, ModTime: moment}}
	if kind == tar.TypeLink {
		e.Mode = 0o600 // that of the file
	}
	return e
}

func (e entry) writeTo(w *tar.Writer) error {
	h := e.Header
	h.Format = tar.FormatPAX
	err := w.WriteHeader(&h)
	_, contentErr := io.WriteString(w, e.content)
	return errors.Join(err, contentErr)
}

// packed is an archive of entries, as other programs than ours may write it.
func (f *fixture) packed(entries ...entry) []byte {
	f.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		f.must(e.writeTo(w))
	}
	f.must(w.Close())
	return b.Bytes()
}

// unpacked are the entries of an archive, by name, without owners, and what else is of the driver's choice.
func (f *fixture) unpacked(archive io.Reader) map[string]entry {
	f.Helper()
	all := map[string]entry{}
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		f.must(err)
		content, err := io.ReadAll(r)
		f.must(err)
		e := entry{tar.Header{Typeflag: h.Typeflag, Name: h.Name, Linkname: h.Linkname, Mode: h.Mode, Size: h.Size, ModTime: h.ModTime.UTC()}, string(content)}
		e.PAXRecords = maps.Clone(h.PAXRecords)
		maps.DeleteFunc(e.PAXRecords, func(key, _ string) bool { return !strings.HasPrefix(key, "SCHILY.") })
		if len(e.PAXRecords) == 0 {
			e.PAXRecords = nil
		}
		if h.Typeflag == tar.TypeSymlink {
			e.ModTime, e.Mode = moment, 0o777
		}
		if _, twice := all[h.Name]; twice {
			f.Errorf("%q is in the archive twice", h.Name)
		}
		all[h.Name] = e
	}
}

func (f *fixture) exporter() driver.Exporter { return f.d.(driver.Exporter) }

// importAs makes the volume of a spec of entries.
func (f *fixture) importAs(s driver.Spec, entries ...entry) {
	f.Helper()
	f.must(f.exporter().Import(f.ctx, s, bytes.NewReader(f.packed(entries...))))
}

// export are the entries of a volume, without its root.
func (f *fixture) export(s driver.Spec) map[string]entry {
	f.Helper()
	var b bytes.Buffer
	f.must(f.exporter().Export(f.ctx, s, &b))
	all := f.unpacked(&b)
	if root, ok := all["./"]; !ok || root.Typeflag != tar.TypeDir {
		f.Errorf("the archive has the root %+v", root)
	}
	delete(all, "./")
	return all
}

// wantNothing checks that nothing of a volume counts as data.
func (f *fixture) wantNothing(what string, s driver.Spec) {
	f.Helper()
	for _, data := range []driver.Data{{Volume: s.Volume}, {Volume: s.Volume, Used: true}} {
		if has, err := f.d.HasData(f.ctx, data); has || err != nil {
			f.Errorf("%s: HasData says %v, %v", what, has, err)
		}
	}
	if v := f.volumes(); len(v) != 0 {
		f.Errorf("%s: Volumes has %v", what, v)
	}
	s.DataMustExist = true
	if err := f.d.Create(f.ctx, s); driver.ClassOf(err) != driver.DataMissing || err == nil {
		f.Errorf("%s: Create says %v", what, err)
	}
	if l := f.list(); len(l) != 0 {
		f.Errorf("%s: List has %v", what, l)
	}
}

// wantEntries compares the entries of a volume.
func (f *fixture) wantEntries(got map[string]entry, want ...entry) {
	f.Helper()
	names := slices.Sorted(maps.Keys(got))
	for _, w := range want {
		g, ok := got[w.Name]
		switch {
		case !ok:
			f.Errorf("there is no %q, but %q", w.Name, names)
		case g.content != w.content || g.Typeflag != w.Typeflag || g.Linkname != w.Linkname || g.Mode != w.Mode || !g.ModTime.Equal(w.ModTime) || !maps.Equal(g.PAXRecords, w.PAXRecords):
			f.Errorf("%q is %+.200v, want %+.200v", w.Name, g, w)
		}
		delete(got, w.Name)
	}
	if len(got) > 0 {
		f.Errorf("there are also %q", slices.Sorted(maps.Keys(got)))
	}
}

// reading calls at once that many bytes were read.
type reading struct {
	from io.Reader
	left int
	at   func()
}

func (r *reading) Read(p []byte) (int, error) {
	if r.left == 0 && r.at != nil {
		at := r.at
		r.at = nil
		at()
	}
	if r.at != nil {
		p = p[:min(len(p), r.left)]
	}
	n, err := r.from.Read(p)
	r.left -= n
	return n, err
}

// writing calls at with the first bytes that are written.
type writing struct {
	bytes.Buffer
	at func() error
}

func (w *writing) Write(p []byte) (int, error) {
	if w.at != nil {
		at := w.at
		w.at = nil
		if err := at(); err != nil {
			return 0, err
		}
	}
	return w.Buffer.Write(p)
}
