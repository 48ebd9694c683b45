// Package s3 saves and loads the buckets of an S3 server through S3.
package s3

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5" //nolint:gosec // as S3 has it
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// Method saves buckets.
type Method struct {
	// Silence is how long a server may send nothing before it is given up; zero: 1 min.
	Silence time.Duration
}

var (
	_ method.Saver   = Method{}
	_ method.Loader  = Method{}
	_ method.Checker = Method{}
	_ method.Sizer   = Method{}
)

func (m Method) silence() time.Duration { return cmp.Or(m.Silence, time.Minute) }

const (
	region = "us-east-1"
	// writeCheck is the bucket of uws's own probe.
	writeCheck = "uws-write-check"
)

// client is a connection to an S3 server.
type client struct {
	*minio.Core
	at        method.Instance
	transport *http.Transport
}

func (m Method) client(at method.Instance) (*client, error) {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			dialer := net.Dialer{Timeout: m.silence()}
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return method.Watch(conn, m.silence()), nil
		},
		DisableCompression: true, MaxResponseHeaderBytes: 1 << 20, MaxIdleConnsPerHost: 4, IdleConnTimeout: m.silence(),
	}
	core, err := minio.NewCore(at.Address, &minio.Options{
		Creds:  credentials.NewStaticV4(at.Credentials["accessKey"], at.Credentials["secretKey"], ""),
		Region: region, BucketLookup: minio.BucketLookupPath, Transport: bounded{transport}, MaxRetries: 2,
	})
	if err != nil {
		return nil, err
	}
	return &client{core, at, transport}, nil
}

// bounded ends answers that are too long, but for the contents of objects, whose size is known.
type bounded struct{ *http.Transport }

const maxAnswer = 16 << 20

func (b bounded) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := b.Transport.RoundTrip(request)
	if err == nil && (request.Method != http.MethodGet || request.URL.RawQuery != "" || strings.Count(request.URL.Path, "/") < 2) {
		response.Body = limited{io.LimitReader(response.Body, maxAnswer), response.Body}
	}
	return response, err
}

// limited is the beginning of a body.
type limited struct {
	io.Reader
	io.Closer
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// code returns the code of an error that the server answered, empty if it is none.
func code(err error) string {
	if said, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return said.Code
	}
	return ""
}

// gone reports whether an object or bucket does not exist.
func gone(err error) bool {
	switch code(err) {
	case "NoSuchKey", "NoSuchBucket", "NotFound", "NoSuchVersion":
		return true
	}
	return false
}

// buckets returns the names of all buckets but that of uws's probe.
func (c *client) buckets(ctx context.Context) ([]string, error) {
	all, err := c.ListBuckets(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing buckets: %w", err)
	}
	var names []string
	for _, b := range all {
		if b.Name != writeCheck {
			names = append(names, b.Name)
		}
	}
	return names, nil
}

// objects calls do with each object of a bucket.
func (c *client) objects(ctx context.Context, bucket string, do func(minio.ObjectInfo) error) error {
	listing, cancel := context.WithCancel(ctx)
	defer cancel() // ends the listing
	for object := range c.Client.ListObjects(listing, bucket, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			return fmt.Errorf("listing bucket %s: %w", bucket, object.Err)
		}
		if err := do(object); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// settings are the subresources of a bucket that are saved, in the order in which they can be set.
func settings() []string {
	return []string{"versioning", "ownershipControls", "acl", "policy", "cors", "tagging"}
}

const maxSetting = 1 << 20

// setting reads a setting of a bucket. It is nil if the bucket or the server does not have it.
func (c *client) setting(ctx context.Context, bucket, name string) ([]byte, error) {
	response, err := c.send(ctx, http.MethodGet, bucket, name, nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxSetting))
	if err != nil {
		return nil, err
	}
	switch response.StatusCode {
	case http.StatusOK:
		return text, nil
	case http.StatusNotFound, http.StatusNotImplemented, http.StatusMethodNotAllowed, http.StatusBadRequest:
		return nil, nil
	}
	return nil, fmt.Errorf("the server answers %s: %.300q", response.Status, text)
}

// set changes a setting of a bucket.
func (c *client) set(ctx context.Context, bucket, name string, text []byte) error {
	response, err := c.send(ctx, http.MethodPut, bucket, name, text)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, maxSetting))
	if err == nil && response.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("the server answers %s: %.300q", response.Status, said)
	}
	return err
}

// send sends a request about a subresource of a bucket, for which the client has no call that keeps all of it.
func (c *client) send(ctx context.Context, verb, bucket, subresource string, body []byte) (*http.Response, error) {
	at := url.URL{Scheme: "http", Host: c.at.Address, Path: "/" + bucket, RawQuery: subresource + "="}
	request, err := http.NewRequestWithContext(ctx, verb, at.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	sum, md := sha256.Sum256(body), md5.Sum(body) //nolint:gosec // as S3 has it
	request.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	if len(body) > 0 {
		request.Header.Set("Content-Md5", base64.StdEncoding.EncodeToString(md[:]))
	}
	request = signer.SignV4(*request, c.at.Credentials["accessKey"], c.at.Credentials["secretKey"], "", region)
	return c.transport.RoundTrip(request)
}
