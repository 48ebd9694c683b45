package s3

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"slices"

	"github.com/minio/minio-go/v7"
)

// errReplaced means that an object was replaced or deleted while it was read.
var errReplaced = errors.New("the object was replaced while it was read")

// object reads the content of an object. If the connection breaks, it goes on where it stopped, unless the object was
// replaced.
type object struct {
	*saving
	ctx         context.Context // of the one read that the object is
	bucket, key string
	etag        string
	size, read  int64
	body        io.ReadCloser
	sum         hash.Hash
	resumed     int
}

func (o *object) Read(b []byte) (int, error) {
	for {
		if o.read == o.size {
			return 0, io.EOF
		}
		n, err := o.body.Read(b[:min(int64(len(b)), o.size-o.read)])
		if n > 0 {
			_, _ = o.sum.Write(b[:n]) // never fails
			o.read += int64(n)
			if o.saving.read += int64(n); o.progress != nil {
				o.progress(o.saving.read)
			}
			return n, nil
		}
		if err == nil {
			continue
		}
		if o.resumed++; o.resumed >= attempts || o.ctx.Err() != nil {
			return 0, cmp.Or(o.ctx.Err(), err)
		}
		if err := o.resume(); err != nil {
			return 0, err
		}
	}
}

// resume requests the rest.
func (o *object) resume() error {
	var options minio.GetObjectOptions
	if err := errors.Join(options.SetMatchETag(o.etag), options.SetRange(o.read, o.size-1)); err != nil {
		return err
	}
	body, info, _, err := o.GetObject(o.ctx, o.bucket, o.key, options)
	if gone(err) || code(err) == minio.PreconditionFailed || code(err) == minio.InvalidRange || err == nil && info.ETag != o.etag {
		if err == nil {
			_ = body.Close()
		}
		return errReplaced
	}
	if err != nil {
		return err
	}
	_ = o.body.Close()
	o.body = body
	return nil
}

// maxSample is how many objects a check reads.
const maxSample = 200

// draw draws objects by lot: those with the smallest hashes, of names and a number that nobody can foresee.
type draw struct {
	seed   string
	sample []Sample // sorted by lot
}

func newDraw() *draw { return &draw{seed: rand.Text()} }

func (d *draw) add(s Sample) {
	sum := sha256.Sum256([]byte(d.seed + s.Bucket + "/" + string(s.Key)))
	s.lot = string(sum[:])
	if len(d.sample) == maxSample && s.lot > d.sample[maxSample-1].lot {
		return
	}
	at, _ := slices.BinarySearchFunc(d.sample, s, func(a, b Sample) int { return cmp.Compare(a.lot, b.lot) })
	d.sample = slices.Insert(d.sample, at, s)
	d.sample = d.sample[:min(len(d.sample), maxSample)]
}
