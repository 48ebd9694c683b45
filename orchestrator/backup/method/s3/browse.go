package s3

import (
	"archive/tar"
	"errors"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// Object is an object in an archive.
type Object struct {
	Bucket      string
	Key         string // any bytes
	ContentType string
	ETag        string
	Modified    time.Time
	Bytes       int64
	// Next is where in the archive the objects after it begin.
	Next int64

	at int64 // of its content
}

// Browse yields the objects in an archive of [Method.Save], by bucket and then as the server listed them, without reading
// their content. It begins at a position: 0, or that of [Object.Next]. An error ends it.
func Browse(archive io.ReadSeeker, from int64) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		if _, err := archive.Seek(from, io.SeekStart); err != nil {
			yield(Object{}, err)
			return
		}
		b := browsing{archive: archive, in: method.ReadArchive(archive)}
		for {
			header, err := b.in.Next()
			if b.last != nil && (err != nil || header.PAXRecords[afterRecord] == "") {
				if !yield(*b.last, nil) {
					return
				}
				b.last = nil
			}
			if err == nil {
				err = b.entry(header)
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Object{}, err)
				return
			}
		}
	}
}

// browsing is one run of Browse.
type browsing struct {
	archive io.ReadSeeker
	in      *method.Archive
	last    *Object // an entry that follows may say that it is void
}

const block = 512 // of a tar archive

func (b *browsing) entry(header *tar.Header) error {
	at, err := b.archive.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	next := at + (header.Size+block-1)/block*block
	if what := header.PAXRecords[afterRecord]; what != "" {
		if what == void {
			b.last = nil
		}
		if b.last != nil {
			b.last.Next = next
		}
		return nil
	}
	text := header.PAXRecords[objectRecord]
	if text == "" {
		return nil
	}
	bucket, _, _ := strings.Cut(strings.TrimPrefix(header.Name, bucketFolder), "/")
	r, key, err := decode(text)
	if err != nil {
		return err
	}
	b.last = &Object{Bucket: bucket, Key: key, ContentType: r.Headers["Content-Type"], ETag: r.ETag, Modified: r.Modified, Bytes: header.Size, Next: next, at: at}
	return nil
}

// Open returns the content of the object. It reads from the archive, which is used for nothing else meanwhile.
func (o Object) Open(archive io.ReadSeeker) (io.Reader, error) {
	if _, err := archive.Seek(o.at, io.SeekStart); err != nil {
		return nil, err
	}
	return io.LimitReader(archive, o.Bytes), nil
}
