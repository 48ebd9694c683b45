package repo

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/kopia/kopia/repo/content"
)

// flip changes one bit of a file, and returns how to change it back.
func flip(t *testing.T, path string, at int64) (back func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	must(t, err)
	b[0] ^= 1
	_, err = f.WriteAt(b[:], at)
	must(t, err)
	return func() { flip(t, path, at) }
}

// A changed bit in anything that a restore needs is found by Verify and by Extract, at once and after the data was read
// without a fault.
func TestFlippedBit(t *testing.T) {
	onEach(t, func(t *testing.T, at place) {
		r := created(t, options(t, at.Location))
		s := saved(t, r, nil, part("data", folderItem("sub", 0o755), fileItem("sub/large", random(3<<20)), fileItem("small", "x"),
			fileItem("empty", ""), fileItem("compressed", strings.Repeat("text", 1000))))
		sound := func() {
			t.Helper()
			must(t, r.Verify(t.Context(), s.ID, nil), r.Extract(t.Context(), s.ID, "", io.Discard, nil))
		}
		found := func(what string) {
			t.Helper()
			for name, err := range map[string]error{"verify": r.Verify(t.Context(), s.ID, nil), "extract": r.Extract(t.Context(), s.ID, "", io.Discard, nil)} {
				if !errors.Is(err, ErrDamaged) {
					t.Errorf("%s does not find a changed bit in %s: %v", name, what, err)
				}
			}
		}
		sound()
		var named int
		must(t, r.direct.ContentReader().IterateContents(t.Context(), content.IterateOptions{}, func(i content.Info) error {
			if i.PackedLength == 0 {
				return nil
			}
			back := flip(t, at.path(string(i.PackBlobID)), int64(i.PackOffset+i.PackedLength/2))
			defer back()
			found("content " + i.ContentID.String())
			if err, ok := errors.AsType[*DamageError](r.Verify(t.Context(), s.ID, nil)); ok && strings.HasPrefix(err.Path, "/data/") {
				named++
			}
			return nil
		}))
		if named < 6 {
			t.Errorf("a file was named %d times", named)
		}
		must(t, r.st.list(t.Context(), "x", func(o ObjectInfo) error {
			if o.Size < 50 {
				return nil // a mark of an epoch, whose name is all that counts
			}
			back := flip(t, at.path(o.Name), o.Size/2)
			defer back()
			found(o.Name)
			return nil
		}))
		var pack string
		must(t, r.st.list(t.Context(), "p", func(o ObjectInfo) error { pack = o.Name; return nil }))
		must(t, os.Rename(at.path(pack), at.path(pack)+".away"))
		found("a pack that is missing")
		must(t, os.Rename(at.path(pack)+".away", at.path(pack)), os.Truncate(at.path(pack), 2<<20))
		found("a pack that is cut short")
	})
}

// Objects beside the snapshots that were changed, exchanged, cut short or sealed by another key are recognized.
func TestSwappedObject(t *testing.T) {
	onEach(t, func(t *testing.T, at place) {
		r := created(t, options(t, at.Location))
		must(t, r.Put(t.Context(), "wal/1", bytes.Repeat([]byte("one"), 1000)), r.Put(t.Context(), "wal/2", bytes.Repeat([]byte("two"), 1000)))
		one, two := at.path(objectPrefix+"wal/1"), at.path(objectPrefix+"wal/2")
		first, err := os.ReadFile(one)
		must(t, err)
		second, err := os.ReadFile(two)
		must(t, err)
		for what, data := range map[string][]byte{
			"exchanged": second, "cut short": first[:len(first)-1], "empty": nil, "a header alone": first[:5],
			"longer": append(bytes.Clone(first), 0), "another version": append([]byte{2}, first[1:]...),
		} {
			must(t, os.WriteFile(one, data, 0o600))
			if got, err := r.Get(t.Context(), "wal/1"); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "wal/1") {
				t.Errorf("%s: %.20q %v", what, got, err)
			}
		}
		must(t, os.WriteFile(one, first, 0o600))
		got, err := r.Get(t.Context(), "wal/1")
		must(t, err)
		if !bytes.Equal(got, bytes.Repeat([]byte("one"), 1000)) {
			t.Errorf("%.20q", got)
		}
	})
}
