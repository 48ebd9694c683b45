package drivertest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// RunExport runs the part of the suite that is about archives of volumes.
func RunExport(t *testing.T, h Harness) {
	run(t, h, []test{
		{"ExportImport", testExportImport},
		{"ImportRuns", testImportRuns},
		{"ExportMissing", testExportMissing},
		{"ExportWhileInUse", testExportWhileInUse},
		{"ExportOfChangingFiles", testExportOfChangingFiles},
		{"ExportFails", testExportFails},
		{"ImportExists", testImportExists},
		{"ImportRefused", testImportRefused},
		{"ImportFails", testImportFails},
		{"TransferKilled", testTransferKilled},
		{"Freeze", testFreeze},
		{"FrozenEnds", testFrozenEnds},
	})
}

// What is imported is exported again.
func testExportImport(f *fixture) {
	s := f.puppet("whole")
	precise, old := file("precise", "x"), file("old", "x")
	precise.ModTime, old.ModTime = moment.Add(123456789), time.Unix(-86400, 0).UTC()
	attributes := folder("attributes", 0o755)
	attributes.PAXRecords = map[string]string{"SCHILY.xattr.user.note": "a folder\x00"}
	program := file("bin", "#!")
	program.Mode = 0o4755
	noted := file("attributes/file", "")
	noted.PAXRecords = map[string]string{"SCHILY.xattr.user.a": "", "SCHILY.xattr.user.b": strings.Repeat("b", 3000), "SCHILY.xattr.trusted.c": "c"}
	all := []entry{
		file("empty", ""), file("big", strings.Repeat("0123456789abcdef", 1<<17)), precise, old, attributes, noted, program,
		folder("a", 0o700), folder("a/b", 0o2775), file("a/b/c", "deep"), folder("sticky", 0o1777),
		link(tar.TypeLink, "a/again", "big"), link(tar.TypeSymlink, "a/up", "../big"), link(tar.TypeSymlink, "root", "/"), link(tar.TypeSymlink, "nowhere", "no\nwhere"),
		file("new\nline", "1"), file("\xff\xfe not UTF-8", "2"), file("ümläut ☃", "3"), file(" ", "4"), file(".wh.whiteout", "5"), file("-rf", "6"), file(strings.Repeat("l", 255), "7"),
		folder(strings.Repeat("d", 200), 0o700), file(strings.Repeat("d", 200)+"/"+strings.Repeat("e", 200), "8"),
		file(driver.MarkFile, "another\n"), folder("lost+found", 0o700), file("lost+found/x", "x"),
	}
	f.importAs(s, all...)
	want := slices.DeleteFunc(slices.Clone(all), func(e entry) bool {
		return strings.HasPrefix(e.Name, driver.MarkFile) || strings.HasPrefix(e.Name, "lost+found")
	})
	for i, e := range want {
		e.Mode &= 0o1777 // nothing gets the rights of another user by it
		delete(e.PAXRecords, "SCHILY.xattr.trusted.c")
		if f.Coarse {
			e.PAXRecords, e.ModTime = nil, e.ModTime.Truncate(time.Second)
			if e.ModTime.Unix() < 0 {
				e.ModTime = time.Unix(0, 0)
			}
		}
		want[i] = e
	}
	// The first of its names in the order of the archive is the file.
	for i, e := range want {
		switch e.Name {
		case "big":
			want[i] = link(tar.TypeLink, "big", "a/again")
		case "a/again":
			want[i] = file("a/again", strings.Repeat("0123456789abcdef", 1<<17))
		}
	}
	f.wantEntries(f.export(s), want...)
	f.has(driver.Data{Volume: s.Volume, Used: true, EngineMark: "empty"}, true) // it does not have the mark of another volume
	// An empty volume is one too.
	empty := f.puppet("empty")
	f.importAs(empty)
	f.wantEntries(f.export(empty))
}

// An instance runs on a volume that was imported, and may change what is in it.
func testImportRuns(f *fixture) {
	s := f.puppet("restored", "count="+f.d.Layout("restored", "restored-data").Data)
	f.must(f.d.Prepare(f.ctx, s, nil))
	f.importAs(s, file("starts", "started\nstarted\n"), folder("made", 0o500))
	if v := f.volumes()[s.Volume]; v.CreatedAt.IsZero() {
		f.Errorf("Volumes has %v", f.volumes())
	}
	f.has(driver.Data{Volume: s.Volume, Used: true, EngineMark: "made"}, true)
	s.DataMustExist = true
	f.start(s)
	f.eventually("it sees three starts", func() bool { return lineWith(f.logs("restored", -1), "starts:") == "3" })
	f.must(f.d.MarkData(f.ctx, "restored", "note"))
	f.must(f.d.Remove(f.ctx, "restored"))
	got := f.export(s)
	if text := got["starts"].content; text != "started\nstarted\nstarted\n" {
		f.Errorf("the volume has %q", text)
	}
	f.must(f.d.RemoveData(f.ctx, driver.Data{Volume: s.Volume, Used: true, Marked: true}))
	f.wantNothing("removed", s)
}

func testExportMissing(f *fixture) {
	s := f.puppet("absent")
	f.must(f.d.Prepare(f.ctx, s, nil))
	f.wantClass(f.exporter().Export(f.ctx, s, io.Discard), driver.DataMissing)
	f.wantNothing("exported", s)
	f.importAs(s, file("x", "x"))
	s.DataMustExist, s.DataMarked = true, true
	f.wantClass(f.exporter().Export(f.ctx, s, io.Discard), driver.DataMissing)
	bad := s
	bad.Volume = "../" + s.Volume
	f.wantClass(f.exporter().Export(f.ctx, bad, io.Discard), driver.Invalid)
	f.wantClass(f.exporter().Import(f.ctx, bad, bytes.NewReader(f.packed())), driver.Invalid)
}

// An export neither disturbs the instance that runs on the volume, nor is seen in a list.
func testExportWhileInUse(f *fixture) {
	s := f.puppet("busy")
	s.Args = append([]string{"data=" + f.d.Layout(s.Service, s.Volume).Data}, s.Args...)
	order := f.obeying(&s)
	before := f.start(s)
	order("write", 1)
	var to writing
	to.at = func() error {
		if l, v := f.list(), f.volumes(); len(l) != 1 || len(v) != 1 || !f.dial(s.Ports[0].Number) {
			f.Errorf("meanwhile List has %v, and Volumes %v", l, v)
		}
		order("write", 2)
		return nil
	}
	f.must(f.exporter().Export(f.ctx, s, &to))
	if text := f.unpacked(&to)["written"].content; len(text) < 1<<20 || strings.Trim(text, "\x01") != "" {
		f.Errorf("the archive has %d bytes of its file", len(text))
	}
	if o := f.inspect("busy"); o.Instance != before.Instance || !o.Running || o.Paused {
		f.Errorf("afterwards it is %+v", o)
	}
	f.must(f.d.Remove(f.ctx, "busy"))
	f.must(f.d.RemoveData(f.ctx, driver.Data{Volume: s.Volume}))
}

// A file that vanishes is left out, one that grows is cut off, and one that shrinks fails the export.
func testExportOfChangingFiles(f *fixture) {
	s := f.puppet("changing")
	s.Args = append([]string{"data=" + f.d.Layout(s.Service, s.Volume).Data}, s.Args...)
	order := f.obeying(&s)
	const size = 64 << 20
	f.must(f.d.Prepare(f.ctx, s, nil))
	f.importAs(s, file("written", noise(size)), folder("z", 0o700), file("z/gone", "gone"))
	s.DataMustExist = true
	f.start(s)
	grown := writing{at: func() error { order("write", 2*size>>20); order("remove", 0); return nil }}
	f.must(f.exporter().Export(f.ctx, s, &grown))
	got := f.unpacked(&grown)
	if n := len(got["written"].content); n != size && n != 2*size {
		f.Errorf("the archive has %d bytes of a file that grew from %d", n, size)
	}
	if _, ok := got["z/gone"]; ok {
		f.Error("the archive has a file that vanished")
	}
	shrunk := writing{at: func() error { order("truncate", 1); return nil }}
	if err := f.exporter().Export(f.ctx, s, &shrunk); err == nil || !strings.Contains(err.Error(), "shrank") || driver.ClassOf(err) != driver.Transient {
		f.Errorf("of a file that shrank: %v", err)
	}
	if n := len(f.export(s)["written"].content); n != 1<<20 {
		f.Errorf("later the archive has %d bytes", n)
	}
}

// An export that fails or is cancelled leaves nothing.
func testExportFails(f *fixture) {
	s := f.puppet("unread")
	f.importAs(s, file("a", strings.Repeat("x", 8<<20)))
	full := errors.New("the target is full")
	if err := f.exporter().Export(f.ctx, s, &writing{at: func() error { return full }}); !errors.Is(err, full) {
		f.Errorf("got %v, want %v", err, full)
	}
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	err := f.exporter().Export(ctx, s, &writing{at: func() error { cancel(); return nil }})
	if !errors.Is(err, context.Canceled) {
		f.Errorf("got %v, want %v", err, context.Canceled)
	}
	// A volume that is removed meanwhile is not exported without some of its files.
	var removed error
	err = f.exporter().Export(f.ctx, s, &writing{at: func() error { removed = f.d.RemoveData(f.ctx, driver.Data{Volume: s.Volume}); return nil }})
	if removed == nil {
		f.wantClass(err, driver.DataMissing)
	} else {
		f.wantClass(removed, driver.Conflict)
		f.must(err)
	}
	f.must(f.d.RemoveData(f.ctx, driver.Data{Volume: s.Volume}))
	f.wantNothing("removed", s)
}

func testImportExists(f *fixture) {
	s := f.puppet("there")
	f.create(s)
	archive := f.packed(file("x", "x"))
	f.wantClass(f.exporter().Import(f.ctx, s, bytes.NewReader(archive)), driver.Conflict)
	f.must(f.d.Remove(f.ctx, "there"))
	f.wantClass(f.exporter().Import(f.ctx, s, bytes.NewReader(archive)), driver.Conflict)
	if got := f.export(s); len(got) != 0 {
		f.Errorf("it has %v", got)
	}
}

// Archives that lead out of the volume, or cannot be those of a volume, are refused, whatever came before.
func testImportRefused(f *fixture) {
	s := f.puppet("refused")
	f.must(f.d.Prepare(f.ctx, s, nil))
	outside := f.TempDir()
	whole := f.packed(file("a", "a"), file("b", "b"))
	refused := map[string][]byte{
		"nothing":               {},
		"garbage":               bytes.Repeat([]byte("garbage "), 1000),
		"without its end":       whole[:len(whole)-1024],
		"cut between entries":   whole[:1024],
		"cut in an entry":       whole[:700],
		"up":                    f.packed(file("../x", "x")),
		"up from inside":        f.packed(folder("a", 0o700), file("a/../../x", "x")),
		"absolute":              f.packed(file(filepath.Join(outside, "x"), "x")),
		"the root":              f.packed(link(tar.TypeSymlink, ".", outside)),
		"through a link":        f.packed(link(tar.TypeSymlink, "out", outside), file("out/x", "x")),
		"folder over a link":    f.packed(link(tar.TypeSymlink, "out", outside), folder("out", 0o700), file("out/x", "x")),
		"link over a folder":    f.packed(folder("out", 0o700), link(tar.TypeSymlink, "out", outside), file("out/x", "x")),
		"file over a link":      f.packed(link(tar.TypeSymlink, "out", filepath.Join(outside, "x")), file("out", "x")),
		"hard link up":          f.packed(link(tar.TypeLink, "x", "../../../../../etc/passwd")),
		"hard link to absolute": f.packed(link(tar.TypeLink, "x", "/etc/passwd")),
		"hard link by a link":   f.packed(link(tar.TypeSymlink, "etc", "/etc"), link(tar.TypeLink, "x", "etc/passwd")),
		"hard link to a link":   f.packed(link(tar.TypeSymlink, "etc", "/etc/passwd"), link(tar.TypeLink, "x", "etc")),
		"hard link to later":    f.packed(link(tar.TypeLink, "x", "y"), file("y", "y")),
		"below a file":          f.packed(file("x", "x"), file("x/y", "y")),
		"folder comes later":    f.packed(file("x/y", "y"), folder("x", 0o700)),
		"twice":                 f.packed(file("x", "x"), file("./x", "y")),
		"character device":      f.packed(entry{Header: tar.Header{Typeflag: tar.TypeChar, Name: "null", Mode: 0o666, Devmajor: 1, Devminor: 3}}),
		"block device":          f.packed(entry{Header: tar.Header{Typeflag: tar.TypeBlock, Name: "disk", Mode: 0o666, Devmajor: 8}}),
		"pipe":                  f.packed(entry{Header: tar.Header{Typeflag: tar.TypeFifo, Name: "pipe", Mode: 0o666}}),
		"long name":             f.packed(file(strings.Repeat("x", 256), "x")),
		"link to nothing":       f.packed(link(tar.TypeSymlink, "x", "")),
	}
	for _, what := range slices.Sorted(maps.Keys(refused)) {
		err := f.exporter().Import(f.ctx, s, bytes.NewReader(refused[what]))
		if driver.ClassOf(err) != driver.Invalid || !strings.Contains(fmt.Sprint(err), "the archive") {
			f.Errorf("%s: got %v", what, err)
		}
		if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
			f.Fatalf("%s: outside there is %v, %v", what, left, err)
		}
		f.wantNothing(what, s)
	}
	f.importAs(s, file("x", "x"))
}

// An import whose archive cannot be read, or that is cancelled, leaves nothing. Before its end nothing counts as data.
func testImportFails(f *fixture) {
	s := f.puppet("unfinished")
	f.must(f.d.Prepare(f.ctx, s, nil))
	archive := f.packed(file("a", strings.Repeat("x", 8<<20)), folder("b", 0o500), file("b/c", "c"))
	lost := errors.New("the source is lost")
	half := func(at func(), rest io.Reader) io.Reader {
		return io.MultiReader(&reading{from: bytes.NewReader(archive[:len(archive)/2]), left: len(archive) / 4, at: at}, rest)
	}
	seen := func() { f.wantNothing("meanwhile", s) }
	if err := f.exporter().Import(f.ctx, s, half(seen, failing{lost})); !errors.Is(err, lost) {
		f.Errorf("got %v, want %v", err, lost)
	}
	f.wantNothing("the source is lost", s)
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	err := f.exporter().Import(ctx, s, half(cancel, bytes.NewReader(archive[len(archive)/2:])))
	if !errors.Is(err, context.Canceled) {
		f.Errorf("got %v, want %v", err, context.Canceled)
	}
	f.wantNothing("cancelled", s)
	f.must(f.exporter().Import(f.ctx, s, half(nil, bytes.NewReader(archive[len(archive)/2:]))))
	if got := f.export(s); len(got) != 3 || len(got["a"].content) != 8<<20 {
		f.Errorf("it has %d entries", len(got))
	}
}

type failing struct{ error }

// noise is text that cannot be compressed: it does not fit into buffers, whatever compresses it on its way.
func noise(n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // it never fails
	return string(b)
}

func (f failing) Read([]byte) (int, error) { return 0, f.error }
