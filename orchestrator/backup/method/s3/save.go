package s3

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // as S3 has it
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// Details are the [method.Saved.Details].
type Details struct {
	Sample []Sample `json:"sample,omitempty"` // objects drawn by lot
	// Doubtful are objects whose content does not have the checksum that their ETag is, at most 100. They are saved.
	Doubtful []string `json:"doubtful,omitempty"`
}

// Sample is an object and its checksum.
type Sample struct {
	Bucket string `json:"bucket"`
	Key    []byte `json:"key"`
	MD5    string `json:"md5"`
	lot    string
}

const (
	attempts    = 3       // to read an object
	inMemory    = 8 << 20 // bytes of objects that are read before they are written
	maxDoubtful = 100
)

// index is the first file of an archive.
type index struct {
	Format int `json:"format"` // 1
}

// Save reads every object through S3. Each object is whole, as it was at one moment: it is read from one response, whose
// MD5 is compared with the ETag unless it was uploaded in parts. A bucket as a whole is of no single moment: objects that
// are written, replaced or deleted meanwhile are in the archive as they were before or after, independently of each
// other. Saved are the current version of each object with its metadata and tags, and the settings of buckets that the
// server has; uploads that are not complete are not. The access control lists of objects are not saved.
func (m Method) Save(ctx context.Context, from method.Instance, w io.Writer, progress func(int64)) (method.Saved, error) {
	c, err := m.client(from)
	if err != nil {
		return method.Saved{}, err
	}
	defer c.close()
	buckets, err := c.buckets(ctx)
	if err != nil {
		return method.Saved{}, err
	}
	s := &saving{client: c, out: tar.NewWriter(w), progress: progress, draw: newDraw()}
	text, err := json.Marshal(index{1})
	if err == nil {
		err = method.WriteFile(s.out, indexFile, text)
	}
	if err != nil {
		return method.Saved{}, err
	}
	for _, bucket := range buckets {
		err := s.bucket(ctx, bucket)
		if code(err) == "NoSuchBucket" { // deleted meanwhile
			continue
		}
		if err != nil {
			return method.Saved{}, fmt.Errorf("bucket %s: %w", bucket, err)
		}
	}
	if err := s.out.Close(); err != nil {
		return method.Saved{}, err
	}
	s.details.Sample = s.draw.sample
	text, err = json.Marshal(s.details)
	return method.Saved{Contents: s.contents, Details: text}, err
}

// Size returns the bytes of all objects.
func (m Method) Size(ctx context.Context, from method.Instance) (int64, error) {
	c, err := m.client(from)
	if err != nil {
		return 0, err
	}
	defer c.close()
	buckets, err := c.buckets(ctx)
	if err != nil {
		return 0, err
	}
	var size int64
	for _, bucket := range buckets {
		err := c.objects(ctx, bucket, func(o minio.ObjectInfo) error { size += o.Size; return nil })
		if err != nil && !gone(err) {
			return 0, err
		}
	}
	return size, nil
}

// saving is one save.
type saving struct {
	*client
	out      *tar.Writer
	read     int64
	progress func(int64)
	contents method.Contents
	details  Details
	draw     *draw
}

// bucket writes the settings of a bucket and its objects.
func (s *saving) bucket(ctx context.Context, name string) error {
	values := map[string]string{}
	for _, setting := range settings() {
		text, err := s.setting(ctx, name, setting)
		if err != nil {
			return fmt.Errorf("%s: %w", setting, err)
		}
		if text != nil {
			values[setting] = string(text)
		}
	}
	if !strings.Contains(values["ownershipControls"], "ObjectWriter") && !strings.Contains(values["ownershipControls"], "BucketOwnerPreferred") {
		delete(values, "acl") // is not used, and cannot be set
	}
	text, err := json.Marshal(values)
	if err == nil {
		err = method.WriteFile(s.out, bucketFolder+name+settingsFile, text)
	}
	if err != nil {
		return err
	}
	s.contents.Groups = append(s.contents.Groups, method.Group{Kind: method.Bucket, Name: name})
	group := &s.contents.Groups[len(s.contents.Groups)-1]
	return s.objects(ctx, name, func(listed minio.ObjectInfo) error {
		size, err := s.object(ctx, name, listed.Key)
		if gone(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("object %.200q: %w", listed.Key, err)
		}
		group.Count++
		group.Bytes += size
		return nil
	})
}

// object writes an object, and reads it again if it is replaced meanwhile.
func (s *saving) object(ctx context.Context, bucket, key string) (size int64, err error) {
	for attempt := range attempts {
		var whole bool
		if size, whole, err = s.attempt(ctx, bucket, key, attempt == attempts-1); whole || err != nil {
			return size, err
		}
	}
	return size, fmt.Errorf("was replaced each of the %d times that it was read", attempts)
}

// attempt reads an object once. It reports whether it was whole; a last attempt is also content with a wrong checksum.
func (s *saving) attempt(ctx context.Context, bucket, key string, last bool) (size int64, whole bool, err error) {
	body, info, headers, err := s.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return 0, false, err
	}
	defer body.Close()
	r, err := s.describe(ctx, bucket, key, info, headers)
	if err != nil {
		return 0, false, err
	}
	sum := md5.New() //nolint:gosec // as S3 has it
	content := &object{saving: s, ctx: ctx, bucket: bucket, key: key, etag: info.ETag, size: info.Size, body: body, sum: sum}
	right := func() bool { return !isMD5(info.ETag) || hex.EncodeToString(sum.Sum(nil)) == info.ETag }
	if info.Size > inMemory {
		return s.large(content, r, last, right)
	}
	text, err := io.ReadAll(content)
	if errors.Is(err, errReplaced) || err == nil && !right() && !last {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	if err := s.header(bucket, key, r, info.Size); err != nil {
		return 0, false, err
	}
	if _, err := io.Copy(s.out, bytes.NewReader(text)); err != nil {
		return 0, false, err
	}
	return info.Size, true, s.saved(bucket, key, sum, right())
}

// large writes an object while it is read. If it turns out not to be whole, an entry says that it is void.
func (s *saving) large(content *object, r record, last bool, right func() bool) (size int64, whole bool, err error) {
	if err := s.header(content.bucket, content.key, r, content.size); err != nil {
		return 0, false, err
	}
	_, err = io.CopyBuffer(s.out, struct{ io.Reader }{content}, make([]byte, 256<<10))
	if err == nil && (right() || last) {
		return content.size, true, s.saved(content.bucket, content.key, content.sum, right())
	}
	if err != nil && !errors.Is(err, errReplaced) {
		return 0, false, err
	}
	if _, err := io.CopyN(s.out, zeros{}, content.size-content.read); err != nil {
		return 0, false, err
	}
	return 0, false, s.after(content.bucket, content.key, void)
}

// after writes an entry about the one before.
func (s *saving) after(bucket, key, what string) error {
	text, err := record{}.encode(key)
	if err != nil {
		return err
	}
	return s.out.WriteHeader(&tar.Header{
		Name: entryName(bucket, key), Mode: 0o600, Typeflag: tar.TypeReg, Format: tar.FormatPAX,
		PAXRecords: map[string]string{objectRecord: text, afterRecord: what},
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func (s *saving) header(bucket, key string, r record, size int64) error {
	text, err := r.encode(key)
	if err != nil {
		return err
	}
	return s.out.WriteHeader(&tar.Header{
		Name: entryName(bucket, key), Mode: 0o600, Size: size, ModTime: r.Modified, Typeflag: tar.TypeReg, Format: tar.FormatPAX,
		PAXRecords: map[string]string{objectRecord: text},
	})
}

// saved notes an object that was written.
func (s *saving) saved(bucket, key string, sum hash.Hash, right bool) error {
	s.draw.add(Sample{Bucket: bucket, Key: []byte(key), MD5: hex.EncodeToString(sum.Sum(nil))})
	if right {
		return nil
	}
	if len(s.details.Doubtful) < maxDoubtful {
		s.details.Doubtful = append(s.details.Doubtful, bucket+"/"+key)
	}
	return s.after(bucket, key, doubtful)
}

// describe returns what S3 says of an object.
func (s *saving) describe(ctx context.Context, bucket, key string, info minio.ObjectInfo, headers http.Header) (record, error) {
	r := record{ETag: info.ETag, Modified: info.LastModified, Headers: map[string]string{}, User: map[string]string{}}
	for name, values := range headers {
		switch user, ok := strings.CutPrefix(name, "X-Amz-Meta-"); {
		case ok:
			r.User[user] = strings.Join(values, ",")
		case kept(name):
			r.Headers[name] = values[0]
		}
	}
	tags, err := s.GetObjectTagging(ctx, bucket, key, minio.GetObjectTaggingOptions{})
	switch {
	case err == nil:
		r.Tags = tags.ToMap()
	case code(err) == "NoSuchTagSet", code(err) == "NotImplemented", code(err) == "MethodNotAllowed", code(err) == "NoSuchTagSetError":
	default:
		return record{}, fmt.Errorf("tags: %w", err)
	}
	return r, nil
}

// kept reports whether a header of a response belongs to the object.
func kept(header string) bool {
	switch header {
	case "Content-Type", "Content-Encoding", "Content-Disposition", "Content-Language", "Cache-Control", "Expires":
		return true
	}
	return false
}
