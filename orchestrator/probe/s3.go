package probe

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"

	"github.com/minio/minio-go/v7/pkg/signer"
)

const (
	emptySHA256   = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	defaultRegion = "us-east-1"
)

// S3 lists the buckets, at most one, with a request signed with the credentials accessKey and secretKey. A list is OK.
// An error in S3's format is Alive, with its code. Everything else is Dead. Option: region, by default us-east-1.
func S3(ctx context.Context, t Target) Result {
	region, err := s3Region(t.Options)
	if err != nil {
		return notAsked(t, "%s", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.Address+"/?max-buckets=1", nil)
	if err != nil {
		return notAsked(t, "the address is not right")
	}
	request.Header.Set("X-Amz-Content-Sha256", emptySHA256)
	request = signer.SignV4(*request, t.Credentials["accessKey"], t.Credentials["secretKey"], "", region)
	a, failed := exchange(ctx, t, request, "S3")
	if a == nil {
		return failed
	}
	answer, complete := parseS3(a.body)
	switch {
	case answer.XMLName.Local == "ListAllMyBucketsResult" && a.status == http.StatusOK && (complete || a.truncated):
		return ok(t, "listed the buckets")
	case answer.XMLName.Local == "Error" && answer.Code != "" && a.status >= 300:
		return s3Error(t, answer.Code, answer.Message, a).alive(t)
	}
	return dead(t, "answered something that is not S3: %s, %s", a.words(), quote(t, a.body))
}

func s3Region(options map[string]string) (string, error) {
	region, given := options["region"]
	if !given {
		return defaultRegion, nil
	}
	if !regionPattern.MatchString(region) {
		return "", fmt.Errorf("option region is %q; must be a name such as \"us-east-1\"", region)
	}
	return region, nil
}

var regionPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

type s3Answer struct {
	XMLName xml.Name
	Code    string
	Message string
}

// parseS3 parses the root element of an answer and, for an error, its code and message. complete is false if the
// element does not end.
func parseS3(body []byte) (answer s3Answer, complete bool) {
	d := xml.NewDecoder(bytes.NewReader(body))
	depth := 0
	var field *string
	for {
		token, err := d.Token()
		if err != nil {
			return answer, errors.Is(err, io.EOF) && answer.XMLName.Local != ""
		}
		switch e := token.(type) {
		case xml.StartElement:
			depth++
			field = nil
			switch {
			case depth == 1:
				answer.XMLName = e.Name
			case depth == 2 && e.Name.Local == "Code":
				field = &answer.Code
			case depth == 2 && e.Name.Local == "Message":
				field = &answer.Message
			}
		case xml.EndElement:
			depth--
			field = nil
		case xml.CharData:
			if field != nil {
				*field += string(e)
			}
		}
	}
}

func s3Error(t Target, code, message string, a *httpAnswer) refusal {
	said := fmt.Sprintf("%s (%d)", quote(t, []byte(code)), a.status)
	switch code {
	case "InvalidAccessKeyId", "XAdminUserNotFound": // the second is versitygw's
		return refusal{"refuses our access key: " + said, true}
	case "SignatureDoesNotMatch":
		return refusal{"refuses our secret key: " + said, true}
	case "AccessDenied", "AccountProblem", "AllAccessDisabled":
		return refusal{words: "refuses us: " + said}
	case "RequestTimeTooSkewed":
		return refusal{words: "refuses us, since its clock and ours differ: " + said}
	case "SlowDown", "ServiceUnavailable", "Busy":
		return refusal{words: "is busy: " + said}
	}
	return refusal{words: "answers with an error: " + said + ": " + quote(t, []byte(message))}
}

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
