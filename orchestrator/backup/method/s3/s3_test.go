package s3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/tags"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

func checked(t *testing.T, s *server, saved method.Saved) {
	t.Helper()
	report, err := Method{}.Check(t.Context(), s.at, saved)
	if err != nil || len(report.Failures) > 0 {
		t.Errorf("%+v, %v", report, err)
	}
}

// everything returns what a client sees of a server.
func (s *server) everything() map[string]string {
	s.t.Helper()
	ctx, all := s.t.Context(), map[string]string{}
	buckets, err := s.ListBuckets(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, b := range buckets {
		policy, _ := s.GetBucketPolicy(ctx, b.Name)
		tagged, _ := s.GetBucketTagging(ctx, b.Name)
		all[b.Name] = fmt.Sprint(policy, tagged)
		for listed := range s.ListObjects(ctx, b.Name, minio.ListObjectsOptions{Recursive: true}) {
			if listed.Err != nil {
				s.t.Fatal(listed.Err)
			}
			object, err := s.GetObject(ctx, b.Name, listed.Key, minio.GetObjectOptions{})
			if err != nil {
				s.t.Fatal(err)
			}
			content, err := io.ReadAll(object)
			if err != nil {
				s.t.Fatalf("%q: %v", listed.Key, err)
			}
			info, err := object.Stat()
			if err != nil {
				s.t.Fatal(err)
			}
			labels, err := s.GetObjectTagging(ctx, b.Name, listed.Key, minio.GetObjectTaggingOptions{})
			text := ""
			if err == nil {
				text = labels.String()
			}
			etag := info.ETag
			if !isMD5(etag) {
				etag = "in parts"
			}
			all[b.Name+"/"+listed.Key] = fmt.Sprintf("%d bytes, %x, %s, %s, %v, %s, %s, tags %s", len(content), content[:min(20, len(content))], etag,
				info.ContentType, info.UserMetadata, info.Metadata.Get("Cache-Control"), info.Metadata.Get("Content-Disposition"), text)
		}
	}
	return all
}

// TestSaveAndLoad saves objects of every sort, and reads them back from another server.
func TestSaveAndLoad(t *testing.T) {
	s, ctx := launch(t), t.Context()
	s.bucket("photos")
	s.bucket("empty")
	s.bucket("parts")
	s.bucket(writeCheck)
	s.put("photos", "plain.txt", []byte("hello"), minio.PutObjectOptions{
		ContentType: "text/plain; charset=utf-8", CacheControl: "max-age=60", ContentDisposition: `attachment; filename="u.txt"`,
		UserMetadata: map[string]string{"Camera": "Leica M3", "roll": "17"}, UserTags: map[string]string{"project": "a b/c", "year": "1954"},
	})
	for _, key := range odd() {
		s.put("photos", key, []byte("content of "+key), minio.PutObjectOptions{ContentType: "x/y"})
	}
	s.put("photos", "a folder/", nil, minio.PutObjectOptions{})
	s.put("photos", "nothing", nil, minio.PutObjectOptions{})
	s.put("parts", "one part", bytes.Repeat([]byte("0123456789"), 2_000_000), minio.PutObjectOptions{DisableMultipart: true})
	s.put("parts", "several parts", bytes.Repeat([]byte("abcdefghij"), 2_000_000), minio.PutObjectOptions{PartSize: 5 << 20})
	labels, err := tags.NewTags(map[string]string{"team": "red"}, false)
	if err == nil {
		err = s.SetBucketTagging(ctx, "photos", labels)
	}
	if err == nil {
		err = s.SetBucketPolicy(ctx, "photos", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::photos/*"]}]}`)
	}
	if err != nil {
		t.Fatal(err)
	}
	core := minio.Core{Client: s.Client}
	if _, err := core.NewMultipartUpload(ctx, "photos", "incomplete", minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}

	var archive bytes.Buffer
	var last int64
	saved, err := Method{}.Save(ctx, s.at, &archive, func(n int64) { last = n })
	if err != nil {
		t.Fatal(err)
	}
	size, err := Method{}.Size(ctx, s.at)
	if err != nil || size != last || size < 40_000_000 {
		t.Errorf("%d, %v, %d", size, err, last)
	}
	if len(saved.Contents.Groups) != 3 {
		t.Errorf("%+v", saved.Contents)
	}
	other := launch(t)
	if err := (Method{}).Load(ctx, other.at, bytes.NewReader(archive.Bytes()), nil); err != nil {
		t.Fatal(err)
	}
	want, got := s.everything(), other.everything()
	delete(want, writeCheck)
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got[name], text)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d objects and buckets, want %d", len(got), len(want))
	}
	checked(t, other, saved)
	err = Method{}.Load(ctx, other.at, bytes.NewReader(archive.Bytes()), nil)
	if _, ok := errors.AsType[*method.NotEmptyError](err); !ok || other.buckets() != 3 {
		t.Error(err)
	}

	other.put("photos", "nothing", []byte("something"), minio.PutObjectOptions{})
	if err := errors.Join(other.RemoveObject(ctx, "parts", "one part", minio.RemoveObjectOptions{}), other.RemoveBucket(ctx, "empty")); err != nil {
		t.Fatal(err)
	}
	report, err := Method{}.Check(ctx, other.at, saved)
	found := strings.Join(report.Failures, "\n")
	for _, want := range []string{"bucket empty is missing", "bucket parts has 1 objects of 20000000 bytes, and 2 of 40000000 were saved",
		`object "one part" is missing`, `object "nothing" has another content`} {
		if err != nil || !strings.Contains(found, want) {
			t.Errorf("%v, %q, want %q", err, found, want)
		}
	}
}

// odd returns keys that are no plain paths, as far as versitygw takes them.
func odd() []string {
	return []string{
		"ümlaut/日本語 ✓.txt", "with space/and+plus&amp;=?#%20", strings.Repeat("x", 250), strings.Repeat("y/", 400) + "z", "back\\slash", "new\nline",
		".encoded/trap", "quote\"'<>", "trailing ",
	}
}

func TestNoBuckets(t *testing.T) {
	s, other := launch(t), launch(t)
	archive, saved := s.save()
	if err := (Method{}).Load(t.Context(), other.at, bytes.NewReader(archive), nil); err != nil || len(saved.Contents.Groups) > 0 {
		t.Errorf("%v, %+v", err, saved)
	}
	checked(t, other, saved)
}

// TestNames is about keys that other servers take.
func TestNames(t *testing.T) {
	for _, key := range append(odd(), "..", "../up", "/rooted", "a//b", "a/", "./a", "a/./b", "\xff\xfe", strings.Repeat("k", 1024), "a/../../b", "") {
		name := entryName("b", key)
		if !plain(strings.TrimPrefix(name, "buckets/b/objects/.encoded/")) {
			t.Errorf("%q: %q", key, name)
		}
		text, err := record{User: map[string]string{"a": "b"}}.encode(key)
		if err != nil {
			t.Fatal(err)
		}
		if _, got, err := decode(text); err != nil || got != key {
			t.Errorf("%q, %v, want %q", got, err, key)
		}
	}
	if got := entryName("b", "a/b c.txt"); got != "buckets/b/objects/a/b c.txt" {
		t.Error(got)
	}
}
