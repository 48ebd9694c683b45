package probe

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"

	"github.com/minio/minio-go/v7/pkg/signer"
)

// writeS3 creates a bucket and an object in it, and deletes both. If a user has a bucket of that name, its content is
// safe: only an empty bucket can be deleted.
func writeS3(ctx context.Context, t Target) Result {
	const bucket, object = "/" + writeName, "/" + writeName + "/object"
	r, failed := Result{}, false
	for _, step := range []struct {
		method, path string
		body         []byte
		ignored      []string
		always       bool // runs after a failure too: a failed step may leave something behind
	}{
		{http.MethodPut, bucket, nil, []string{"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}, false},
		{http.MethodPut, object, incompressible(), nil, false},
		{http.MethodDelete, object, nil, []string{"NoSuchKey", "NoSuchBucket"}, true},
		{http.MethodDelete, bucket, nil, []string{"BucketNotEmpty", "NoSuchBucket"}, true},
	} {
		if failed && !step.always {
			continue
		}
		if said, done := s3Do(ctx, t, step.method, step.path, step.body, step.ignored...); !done && !failed {
			r, failed = said, true
		}
	}
	if failed {
		return r
	}
	return wrote(t)
}

// s3Do sends one request. done reports whether it succeeded or failed with one of the ignored errors.
func s3Do(ctx context.Context, t Target, method, path string, body []byte, ignored ...string) (r Result, done bool) {
	region, err := s3Region(t.Options)
	if err != nil {
		return notAsked(t, "%s", err), false
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+t.Address+path, bytes.NewReader(body))
	if err != nil {
		return notAsked(t, "the address is not right"), false
	}
	sum := sha256.Sum256(body)
	request.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	request = signer.SignV4(*request, t.Credentials["accessKey"], t.Credentials["secretKey"], "", region)
	a, failed := exchange(ctx, t, request, "S3")
	if a == nil {
		return failed, false
	}
	if a.status < 300 {
		return Result{}, true
	}
	answer, _ := parseS3(a.body)
	switch {
	case slices.Contains(ignored, answer.Code):
		return Result{}, true
	case answer.Code == "":
		return dead(t, "answered something that is not S3: %s, %s", a.words(), quote(t, a.body)), false
	case answer.Code == "AccessDenied":
		return notAsked(t, "%s", s3Error(t, answer.Code, answer.Message, a).words), false
	}
	return refusedWrite(t, s3Full(answer, a.status), s3Error(t, answer.Code, answer.Message, a).words), false
}

// s3Full reports whether an error says that the disk is full. Some servers only report an internal error.
func s3Full(answer s3Answer, status int) bool {
	return status == http.StatusInsufficientStorage || answer.Code == "XMinioStorageFull" || answer.Code == "QuotaExceeded"
}
