package backup

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"testing"
)

// archiveOf returns an archive with these entries: folders end with a slash, and a link has its target after an arrow.
func archiveOf(t *testing.T, entries ...string) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		name, link, _ := strings.Cut(e, "->")
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(e))}
		switch {
		case link != "":
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, link, 0
		case strings.HasSuffix(name, "/"):
			h.Typeflag, h.Size = tar.TypeDir, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, e); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// The data of an engine goes from where one driver has it to where another one does. No entry comes twice, which drivers refuse.
func TestReroot(t *testing.T) {
	source := []string{"./", "secrets/", "secrets/db", "secrets/more/", "secrets/more/x", "secrets/link->secrets/db", "other"}
	for _, c := range []struct {
		from, to string
		want     []string
	}{
		{"", "", []string{"secrets", "secrets/db", "secrets/more", "secrets/more/x", "secrets/link->secrets/db", "other"}},
		{"secrets", "secrets", []string{"secrets", "secrets/db", "secrets/more", "secrets/more/x", "secrets/link->secrets/db"}},
		{"secrets", "", []string{"db", "more", "more/x", "link->db"}},
		{"secrets/more", "18/docker", []string{"18", "18/docker", "18/docker/x"}},
		{"", "18/docker", []string{"18", "18/docker", "18/docker/secrets", "18/docker/secrets/db", "18/docker/secrets/more", "18/docker/secrets/more/x",
			"18/docker/secrets/link->18/docker/secrets/db", "18/docker/other"}},
		{"nowhere", "", nil},
	} {
		var out bytes.Buffer
		if err := reroot(archiveOf(t, source...), &out, c.from, c.to); err != nil {
			t.Fatal(err)
		}
		var got []string
		for in := tar.NewReader(&out); ; {
			h, err := in.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			name := strings.TrimSuffix(h.Name, "/")
			if h.Linkname != "" {
				name += "->" + h.Linkname
			}
			if text, err := io.ReadAll(in); err != nil || h.Typeflag == tar.TypeReg && path.Base(name) != path.Base(string(text)) {
				t.Errorf("%s holds %q (%v)", name, text, err)
			}
			got = append(got, name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("from %q to %q: %q, want %q", c.from, c.to, got, c.want)
		}
	}
}

// An archive that ends early is an error, and so is one of its writer or reader.
func TestPiped(t *testing.T) {
	bad := errors.New("bad")
	whole := func(w io.Writer) error { _, err := io.WriteString(w, "text"); return err }
	all := func(r io.Reader) error { _, err := io.ReadAll(r); return err }
	change := func(r io.Reader, w io.Writer) error { _, err := io.Copy(w, r); return err }
	for name, c := range map[string]struct {
		write  func(io.Writer) error
		change func(io.Reader, io.Writer) error
		read   func(io.Reader) error
		want   error
	}{
		"whole":             {whole, nil, all, nil},
		"changed":           {whole, change, all, nil},
		"the writer fails":  {func(io.Writer) error { return bad }, nil, all, bad},
		"the reader fails":  {whole, nil, func(io.Reader) error { return bad }, bad},
		"the change fails":  {whole, func(io.Reader, io.Writer) error { return bad }, all, bad},
		"the reader stops":  {whole, nil, func(io.Reader) error { return nil }, nil},
		"late in the write": {func(w io.Writer) error { _ = whole(w); return bad }, change, all, bad},
	} {
		if err := piped(c.write, c.change, c.read); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
