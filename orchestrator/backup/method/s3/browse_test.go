package s3

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// browsed returns the content of the objects of an archive by bucket/key. Every page begins where the one before ended.
func browsed(t *testing.T, archive io.ReadSeeker, perPage int) map[string]string {
	t.Helper()
	all := map[string]string{}
	for from, more := int64(0), true; more; {
		more = false
		var page []Object
		for o, err := range Browse(archive, from) {
			if err != nil {
				t.Fatal(err)
			}
			page = append(page, o)
			if len(page) == perPage {
				from, more = o.Next, true
				break
			}
		}
		for _, o := range page {
			content, err := o.Open(archive)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(content)
			if err != nil || int64(len(text)) != o.Bytes {
				t.Fatalf("%q has %d of %d bytes: %v", o.Key, len(text), o.Bytes, err)
			}
			if _, twice := all[o.Bucket+"/"+o.Key]; twice {
				t.Errorf("%q is there twice", o.Key)
			}
			all[o.Bucket+"/"+o.Key] = string(text)
		}
	}
	return all
}

func TestBrowse(t *testing.T) {
	s := launch(t)
	want := map[string]string{}
	put := func(bucket, key string, content []byte) {
		s.put(bucket, key, content, minio.PutObjectOptions{ContentType: "x/y"})
		want[bucket+"/"+key] = string(content)
	}
	s.bucket("photos")
	s.bucket("parts")
	s.bucket("empty")
	for _, key := range odd() {
		put("photos", key, []byte("content of "+key))
	}
	put("photos", "nothing", nil)
	put("parts", "large", bytes.Repeat([]byte("0123456789"), 200_000))
	put("parts", "later", []byte("small"))
	archive, _ := s.save()
	for _, perPage := range []int{1, 3, 1000} {
		if got := browsed(t, bytes.NewReader(archive), perPage); !maps.Equal(got, want) {
			t.Errorf("%d at a time: %d objects %q, want %d", perPage, len(got), slices.Sorted(maps.Keys(got)), len(want))
		}
	}
	for o, err := range Browse(bytes.NewReader(archive), 0) {
		if err != nil || o.ContentType != "x/y" || o.ETag == "" || time.Since(o.Modified) > time.Hour {
			t.Errorf("%+v, %v", o, err)
		}
	}
}

// crafted returns an archive with what its function writes.
func crafted(t *testing.T, write func(s *saving) error) []byte {
	t.Helper()
	var out bytes.Buffer
	s := &saving{out: tar.NewWriter(&out)}
	if err := errors.Join(write(s), s.out.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// An object that was replaced while it was read is there once, and one with a wrong checksum is there too.
func TestBrowseReplaced(t *testing.T) {
	write := func(s *saving, key, content string) error {
		err := s.header("photos", key, record{}, int64(len(content)))
		_, wrote := io.WriteString(s.out, content)
		return errors.Join(err, wrote)
	}
	archive := crafted(t, func(s *saving) error {
		return errors.Join(write(s, "a", "void"), s.after("photos", "a", void), write(s, "a", "right"),
			write(s, "bad \xff", "wrong"), s.after("photos", "bad \xff", doubtful), write(s, "../up", "up"), write(s, "gone", "void"), s.after("photos", "gone", void))
	})
	want := map[string]string{"photos/a": "right", "photos/bad \xff": "wrong", "photos/../up": "up"}
	for _, perPage := range []int{1, 1000} {
		if got := browsed(t, bytes.NewReader(archive), perPage); !maps.Equal(got, want) {
			t.Errorf("%d at a time: %q", perPage, got)
		}
	}
}

// An archive that is not whole is an error of its own, and so is a position inside of an object.
func TestBrowseDamaged(t *testing.T) {
	archive := crafted(t, func(s *saving) error {
		err := s.header("photos", "a", record{}, 5000)
		_, wrote := s.out.Write(bytes.Repeat([]byte("x"), 5000))
		return errors.Join(err, wrote)
	})
	for name, in := range map[string]io.ReadSeeker{
		"cut in an object": bytes.NewReader(archive[:4000]), "cut at its end": bytes.NewReader(archive[:len(archive)-2*block]), "not an archive": bytes.NewReader(bytes.Repeat([]byte("meow"), 1000)),
	} {
		var last error
		for _, err := range Browse(in, 0) {
			last = err
		}
		if _, ok := errors.AsType[*method.DamagedError](last); !ok {
			t.Errorf("%s: %v", name, last)
		}
	}
	for _, err := range Browse(bytes.NewReader(archive), 3*block+7) {
		if _, ok := errors.AsType[*method.DamagedError](err); !ok {
			t.Errorf("inside of an object: %v", err)
		}
	}
}

// counted counts what is read of a file.
type counted struct {
	*os.File
	read int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.File.Read(b)
	c.read += int64(n)
	return n, err
}

// The last of 100,000 objects is found without reading the others: of an archive with 10 GB, 200 MB are read.
func TestBrowseReadsNoContent(t *testing.T) {
	const objects, size = 100_000, 100 << 10
	f, err := os.Create(filepath.Join(t.TempDir(), "archive.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := int64(0)
	for i := range objects { // the content is a hole in the file
		var head bytes.Buffer
		s := &saving{out: tar.NewWriter(&head)}
		if err := s.header("photos", fmt.Sprintf("%06d.jpg", i), record{ETag: "0123456789abcdef"}, size); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(head.Bytes(), at); err != nil {
			t.Fatal(err)
		}
		at += int64(head.Len()) + size
	}
	if err := f.Truncate(at + 2*block); err != nil {
		t.Fatal(err)
	}
	in := &counted{File: f}
	began, n, last := time.Now(), 0, Object{}
	for o, err := range Browse(in, 0) {
		if err != nil {
			t.Fatal(err)
		}
		n, last = n+1, o
	}
	t.Logf("%d objects of an archive with %d bytes: %d bytes read in %s", n, at, in.read, time.Since(began))
	if n != objects || last.Key != "099999.jpg" || in.read > at/50 {
		t.Errorf("%d objects up to %q, %d of %d bytes read", n, last.Key, in.read, at)
	}
}
