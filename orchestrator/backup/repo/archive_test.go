package repo

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What is not a whole archive of files with names of their own within it, is refused, and nothing is saved.
func TestHostileArchives(t *testing.T) {
	r := created(t, options(t, Location{Folder: t.TempDir()}))
	link := func(name, to string) item {
		return item{h: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to}}
	}
	raw := func(text string) Part {
		return Part{Write: func(_ context.Context, w io.Writer) error { _, err := io.WriteString(w, text); return err }}
	}
	var whole strings.Builder
	must(t, part("", fileItem("f", random(2000))).Write(t.Context(), &whole))
	for _, c := range []struct {
		want string
		part Part
	}{
		{"leads out", part("", fileItem("../f", ""))},
		{"leads out", part("", fileItem("a/../../f", ""))},
		{"leads out", part("../a", fileItem("f", ""))},
		{"leads out", part("", fileItem("f", ""), link("g", "../f"))},
		{"twice", part("", fileItem("a/f", "1"), fileItem("a/f", "2"))},
		{"twice", part("", folderItem("a", 0o755), fileItem("a", ""))},
		{"not in the archive", part("", link("f", "g"))},
		{"not in the archive", part("", link("f", "f"))},
		{"must be a folder", part("", fileItem(".", "x"))},
		{"reserved", part("", fileItem(extrasName, "x"))},
		{"unexpected EOF", raw("")},
		{"unexpected EOF", raw(whole.String()[:1000])},
		{"unexpected EOF", raw(whole.String()[:2000])},
		{"unexpected EOF", raw(whole.String()[:whole.Len()-512])},
		{"invalid tar header", raw(strings.Repeat("x", 2000))},
	} {
		if _, err := r.Save(t.Context(), nil, nil, c.part); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	absolute := saved(t, r, nil, part("", fileItem("/etc/f", "x"))) // stays within
	if got := extract(t, r, absolute.ID, "etc"); got["f"] == "" {
		t.Errorf("%q", got)
	}
	if all, err := r.Snapshots(t.Context(), nil); err != nil || len(all) != 1 {
		t.Errorf("%v %v", all, err)
	}
}

// Hard links become copies, which are stored once.
func TestHardLinks(t *testing.T) {
	r := created(t, options(t, Location{Folder: t.TempDir()}))
	big := fileItem("a/big", random(3<<20))
	hard := item{h: tar.Header{Typeflag: tar.TypeLink, Name: "b/same", Linkname: "./a/big", Mode: big.h.Mode, ModTime: someTime, Uid: 7, Gid: 8}}
	s := saved(t, r, nil, part("data", big, hard))
	got := extract(t, r, s.ID, "data")
	if got["a/big"] != got["b/same"] || len(got["b/same"]) < 3<<20 {
		t.Errorf("%.50q %.50q", got["a/big"], got["b/same"])
	}
	if s.Bytes != 6<<20 || s.New > 4<<20 || s.Files != 2 {
		t.Errorf("%+v", s)
	}
}

func TestList(t *testing.T) {
	r := created(t, options(t, Location{Folder: t.TempDir()}))
	fifo := item{h: tar.Header{Typeflag: tar.TypeFifo, Name: "fifo"}}
	s := saved(t, r, nil, part("", fileItem("z", "123"), fileItem("a/b/f", "12345"), fileItem("a/g", "1"), fifo))
	describe := func(dir string) (text string) {
		all, err := r.List(t.Context(), s.ID, dir)
		must(t, err)
		for _, e := range all {
			text += fmt.Sprintf("%s %v %d; ", e.Name, e.Mode, e.Size)
		}
		return text
	}
	if got := describe(""); got != "a drwxr-xr-x 6; z -rw-r----- 3; " {
		t.Error(got)
	}
	if got := describe("/a/"); got != "b drwxr-xr-x 5; g -rw-r----- 1; " {
		t.Error(got)
	}
	for _, missing := range []string{"none", "z/none", "z"} {
		if _, err := r.List(t.Context(), s.ID, missing); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", missing, err)
		}
	}
	for _, missing := range []string{"a/none", "a"} {
		if _, _, err := r.OpenFile(t.Context(), s.ID, missing); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", missing, err)
		}
	}
	if _, err := r.List(t.Context(), "0123", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	if err := r.Extract(t.Context(), s.ID, "none", io.Discard, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	if err := r.Extract(t.Context(), s.ID, "", failingWriter{}, nil); !errors.Is(err, fs.ErrClosed) || errors.Is(err, ErrDamaged) {
		t.Errorf("%v", err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, fs.ErrClosed }

// A rate is kept, and waiting for it is not silence of the storage.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := guard(&memory{}, time.Second, 0, 1000)
		begin := time.Now()
		must(t, g.put(t.Context(), "x", make([]byte, 20_000)))
		if took := time.Since(begin); took < 19*time.Second || took > 21*time.Second {
			t.Errorf("20,000 bytes took %s at 1,000 a second", took)
		}
		begin = time.Now()
		g = guard(&memory{silent: true}, 7*time.Second, 0, 0)
		err := g.put(t.Context(), "x", make([]byte, 20_000))
		if l, ok := errors.AsType[*LocationError](err); !ok || l.Problem != Silent || time.Since(begin) != 7*time.Second {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		refused := retryable{&LocationError{Problem: Unreachable}}
		err = guard(&memory{silent: true, before: refused}, 7*time.Second, 0, 0).put(t.Context(), "x", nil)
		if l, ok := errors.AsType[*LocationError](err); !ok || l.Problem != Unreachable {
			t.Errorf("a store that refused before it was silent: %v", err)
		}
	})
}

// memory is a store that forgets, or that never answers.
type memory struct {
	store
	silent bool
	before error // of the first call
}

func (m *memory) put(ctx context.Context, _ string, data []byte, via func(io.Reader) io.Reader) error {
	if err := m.before; err != nil {
		m.before = nil
		return err
	}
	if m.silent {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	_, err := io.Copy(io.Discard, via(newReader(data)))
	return err
}

func (m *memory) where() string { return "memory" }
