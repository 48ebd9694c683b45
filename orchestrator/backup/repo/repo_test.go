package repo

import (
	"archive/tar"
	"errors"
	"io"
	"maps"
	"slices"
	"testing"
	"time"
)

// Everything that a tar stream has comes back, by our own reader.
func TestSaveAndExtract(t *testing.T) {
	onEach(t, func(t *testing.T, at place) {
		r := created(t, options(t, at.Location))
		xattr := fileItem("with attributes", "x")
		xattr.h.PAXRecords = map[string]string{xattrPrefix + "user.binary": "a\x01\xff\nb"}
		link := item{h: tar.Header{Typeflag: tar.TypeSymlink, Name: "link", Linkname: "../some where", Mode: 0o777, ModTime: someTime}}
		fifo := item{h: tar.Header{Typeflag: tar.TypeFifo, Name: "sub/fifo", Mode: 0o600, ModTime: someTime, Uid: 7, Gid: 9}}
		setuid := fileItem("sub/setuid", "")
		setuid.h.Mode = 0o4755
		p := part("volume",
			folderItem("./", 0o710), folderItem("sub/", 0o1777), folderItem("sub/empty/", 0o700),
			fileItem("small", "some text"), fileItem("sub/large", random(3<<20+17)), fileItem("sub/exact", random(2<<20)),
			fileItem("über ‰ \n names", "ü"), xattr, link, fifo, setuid)
		other := part("more/data", fileItem("file", "other"))
		s := saved(t, r, map[string]string{"service": "one"}, p, other)
		want := streamOf(t, p)
		if got := extract(t, r, s.ID, "volume"); !maps.Equal(got, want) {
			t.Errorf("got  %.400q\nwant %.400q", got, want)
		}
		if got := extract(t, r, s.ID, "more"); len(got) != 3 || got["data/file"] == "" {
			t.Errorf("%q", got)
		}
		must(t, r.Verify(t.Context(), s.ID, nil))
		f, size, err := r.OpenFile(t.Context(), s.ID, "volume/small")
		must(t, err)
		defer f.Close()
		if data, err := io.ReadAll(f); err != nil || string(data) != "some text" || size != 9 {
			t.Errorf("%q %d %v", data, size, err)
		}
	})
}

func TestSnapshots(t *testing.T) {
	onEach(t, func(t *testing.T, at place) {
		o := options(t, at.Location)
		o.AtOnce = true
		c := &clock{}
		o.Now = c.now
		r := created(t, o)
		first := saved(t, r, map[string]string{"service": "a", "n": "1"}, part("x", fileItem("f", random(45<<20))))
		second := saved(t, r, map[string]string{"service": "a"}, part("x", fileItem("f", random(1<<20))))
		third := saved(t, r, map[string]string{"service": "b"}, part("x"))
		ids := func(labels map[string]string) (all []string) {
			found, err := r.Snapshots(t.Context(), labels)
			must(t, err)
			for _, s := range found {
				all = append(all, s.ID)
			}
			return all
		}
		if got := ids(map[string]string{"service": "a"}); !slices.Equal(got, []string{first.ID, second.ID}) {
			t.Error(got)
		}
		if got := ids(nil); !slices.Equal(got, []string{first.ID, second.ID, third.ID}) {
			t.Error(got)
		}
		if got, err := r.Snapshot(t.Context(), first.ID); err != nil || got.New != first.New || got.Bytes != 45<<20 || got.Labels["n"] != "1" || !got.At.Equal(first.At) {
			t.Errorf("%+v %v, want %+v", got, err, first)
		}
		must(t, r.Delete(t.Context(), first.ID, "0123"))
		if _, err := r.Snapshot(t.Context(), first.ID); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		before, err := r.Size(t.Context())
		must(t, err)
		var freed int64
		for range 2 { // the first one moves what is used to packs of its own
			c.add(2 * time.Second) // kopia's times are in seconds
			m, err := r.Maintain(t.Context(), true)
			must(t, err)
			freed += m.Freed
		}
		after, err := r.Size(t.Context())
		must(t, err)
		if freed < 40<<20 || (before-after-freed) > 20_000 || (before-after-freed) < -20_000 { // kopia's own records
			t.Errorf("freed %d; %d bytes are stored, and were %d before", freed, after, before)
		}
		must(t, r.Verify(t.Context(), second.ID, nil))
		_, err = r.Maintain(t.Context(), false)
		must(t, err)
	})
}

func TestObjects(t *testing.T) {
	onEach(t, func(t *testing.T, at place) {
		r := created(t, options(t, at.Location))
		must(t, r.Put(t.Context(), "wal/1/0001", []byte("first")), r.Put(t.Context(), "wal/1/0002", nil))
		if data, err := r.Get(t.Context(), "wal/1/0001"); err != nil || string(data) != "first" {
			t.Errorf("%q %v", data, err)
		}
		if data, err := r.Get(t.Context(), "wal/1/0002"); err != nil || len(data) != 0 {
			t.Errorf("%q %v", data, err)
		}
		if _, err := r.Get(t.Context(), "wal/1/0003"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		names, err := r.Names(t.Context(), "wal/1/")
		must(t, err)
		if len(names) != 2 || names[0].Size == 0 || names[0].At.IsZero() {
			t.Errorf("%v", names)
		}
		must(t, r.Remove(t.Context(), "wal/1/0001"), r.Remove(t.Context(), "wal/1/0001"))
		for _, bad := range []string{"", "/a", "a/../b", "a//b", ".test-1", "ä", "a/"} {
			if err := r.Put(t.Context(), bad, nil); err == nil {
				t.Errorf("%q was accepted", bad)
			}
		}
	})
}
