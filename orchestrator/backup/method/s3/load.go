package s3

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

const (
	maxText    = 8 << 20
	maxSingle  = 5 << 30         // bytes of an upload in one part
	removeTime = 5 * time.Minute // to remove what a failed load has made
)

// Load creates the buckets and uploads their objects. Objects that were uploaded in one part are again, so that their
// ETag is the same; it is compared. If Load fails, it deletes the buckets that it has made.
func (m Method) Load(ctx context.Context, into method.Instance, r io.Reader, progress func(int64)) error {
	c, err := m.client(into)
	if err != nil {
		return err
	}
	defer c.close()
	buckets, err := c.buckets(ctx)
	if err != nil {
		return err
	}
	if len(buckets) > 0 {
		return &method.NotEmptyError{Holds: fmt.Sprintf("%d buckets, such as %s", len(buckets), buckets[0])}
	}
	l := &loading{client: c, in: method.ReadArchive(r), progress: progress, settings: map[string]map[string]string{}}
	if err := l.run(ctx); err != nil {
		return errors.Join(err, l.remove(context.WithoutCancel(ctx)))
	}
	return nil
}

// loading is one load.
type loading struct {
	*client
	in       *method.Archive
	made     []string
	settings map[string]map[string]string // by bucket
	wrong    error                        // of the last object: an entry that follows may excuse it
	sent     int64
	progress func(int64)
}

func (l *loading) run(ctx context.Context) error {
	header, err := l.in.Next()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err != nil || header.Name != indexFile {
		return &method.DamagedError{What: "it does not begin with " + indexFile}
	}
	var idx index
	text, err := l.in.Text(header, maxText)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &idx); err != nil || idx.Format != 1 {
		return &method.DamagedError{What: fmt.Sprintf("%s has the format %d, and not 1", indexFile, idx.Format), Err: err}
	}
	for {
		header, err := l.in.Next()
		if err == nil && header.PAXRecords[afterRecord] != "" {
			l.wrong = nil
		}
		if l.wrong != nil {
			return l.wrong
		}
		if errors.Is(err, io.EOF) {
			return l.set(ctx)
		}
		if err != nil {
			return err
		}
		if err := l.entry(ctx, header); err != nil {
			return err
		}
	}
}

// entry loads a bucket or an object.
func (l *loading) entry(ctx context.Context, header *tar.Header) error {
	rest, ok := strings.CutPrefix(header.Name, bucketFolder)
	bucket, rest, _ := strings.Cut(rest, "/")
	switch {
	case ok && "/"+rest == settingsFile:
		if err := l.bucket(ctx, header, bucket); err != nil {
			return fmt.Errorf("bucket %s: %w", bucket, err)
		}
		return nil
	case ok && strings.HasPrefix("/"+rest, objectFolder) && l.settings[bucket] != nil:
		r, key, err := decode(header.PAXRecords[objectRecord])
		if err == nil {
			err = l.object(ctx, header, bucket, key, r)
		}
		if err != nil {
			return fmt.Errorf("bucket %s, object %.200q: %w", bucket, key, err)
		}
		return nil
	}
	return &method.DamagedError{What: fmt.Sprintf("it has an entry %.200q that is of no bucket", header.Name)}
}

func (l *loading) bucket(ctx context.Context, header *tar.Header, name string) error {
	text, err := l.in.Text(header, maxText)
	if err != nil {
		return err
	}
	values := map[string]string{}
	if err := json.Unmarshal(text, &values); err != nil {
		return &method.DamagedError{What: header.Name, Err: err}
	}
	if err := l.MakeBucket(ctx, name, minio.MakeBucketOptions{Region: region}); err != nil {
		return err
	}
	l.made, l.settings[name] = append(l.made, name), values
	return nil
}

func (l *loading) object(ctx context.Context, header *tar.Header, bucket, key string, r record) error {
	switch header.PAXRecords[afterRecord] {
	case "":
	case void:
		return l.RemoveObject(ctx, bucket, key, minio.RemoveObjectOptions{})
	default:
		return nil
	}
	options := minio.PutObjectOptions{
		UserMetadata: r.User, UserTags: r.Tags, NumThreads: 1,
		ContentType: r.Headers["Content-Type"], ContentEncoding: r.Headers["Content-Encoding"], ContentDisposition: r.Headers["Content-Disposition"],
		ContentLanguage: r.Headers["Content-Language"], CacheControl: r.Headers["Cache-Control"],
		DisableMultipart: isMD5(r.ETag) && header.Size <= maxSingle,
	}
	if expires, err := time.Parse(time.RFC1123, r.Headers["Expires"]); err == nil {
		options.Expires = expires
	}
	from := &sent{loading: l}
	info, err := l.Client.PutObject(ctx, bucket, key, from, header.Size, options)
	if err == nil {
		_, err = io.Copy(io.Discard, l.in) // nothing, unless the client has left something
	}
	if from.err != nil {
		return from.err
	}
	if err != nil {
		return err
	}
	if isMD5(r.ETag) && isMD5(info.ETag) && info.ETag != r.ETag {
		l.wrong = &method.DamagedError{What: fmt.Sprintf("object %.200q of bucket %s does not have the checksum that it was saved with", key, bucket)}
	}
	return nil
}

// sent reads the current entry, counts what is sent, and remembers an error.
type sent struct {
	*loading
	err error
}

func (s *sent) Read(b []byte) (int, error) {
	n, err := s.in.Read(b)
	if s.loading.sent += int64(n); n > 0 && s.progress != nil {
		s.progress(s.loading.sent)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// set gives the buckets their settings, once all objects are there.
func (l *loading) set(ctx context.Context) error {
	for _, bucket := range l.made {
		for _, name := range settings() {
			text, ok := l.settings[bucket][name]
			if !ok || name == "versioning" && !bytes.Contains([]byte(text), []byte("<Status>")) {
				continue
			}
			if err := l.client.set(ctx, bucket, name, []byte(text)); err != nil {
				return fmt.Errorf("bucket %s: %s: %w", bucket, name, err)
			}
		}
	}
	return nil
}

// remove deletes the buckets that were made.
func (l *loading) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, removeTime)
	defer cancel()
	var all error
	for _, bucket := range l.made {
		err := l.objects(ctx, bucket, func(o minio.ObjectInfo) error {
			return l.RemoveObject(ctx, bucket, o.Key, minio.RemoveObjectOptions{})
		})
		for upload := range l.ListIncompleteUploads(ctx, bucket, "", true) {
			if upload.Err == nil {
				err = errors.Join(err, l.AbortMultipartUpload(ctx, bucket, upload.Key, upload.UploadID))
			}
		}
		if err = errors.Join(err, l.RemoveBucket(ctx, bucket)); err != nil {
			all = errors.Join(all, fmt.Errorf("removing what was loaded: bucket %s: %w", bucket, err))
		}
	}
	return all
}
