package repo

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // S3 asks for it, to find errors of the transfer
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
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
)

// bucket is a store in a bucket. Kopia's own store repeats calls for 19 s before it returns an error, has no deadline for a
// server that hangs, and would write the secret key to a file; this one leaves all of that to guarded.
type bucket struct {
	at        S3
	prefix    string
	api       minio.Core
	transport *http.Transport
}

func newBucket(at S3) (*bucket, error) {
	u, err := url.Parse(at.Endpoint)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if len(at.CA) > 0 {
		roots.AppendCertsFromPEM(at.CA)
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
	}
	api, err := minio.NewCore(u.Host, &minio.Options{
		Creds:      credentials.NewStaticV4(at.AccessKey, string(at.SecretKey), ""),
		Secure:     u.Scheme == "https",
		Transport:  transport,
		Region:     at.Region,
		MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	return &bucket{at: at, prefix: at.prefix(), api: *api, transport: transport}, nil
}

func (b *bucket) where() string { return fmt.Sprintf("bucket %s at %s", b.at.Bucket, b.at.Endpoint) }
func (b *bucket) attach()       {}
func (b *bucket) close()        { b.transport.CloseIdleConnections() }

// explain returns an error of the client as one that says what would be right.
func (b *bucket) explain(ctx context.Context, err error) error {
	if err == nil || isNotFound(err) || isLocationError(err) || errors.Is(err, errShort) {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	problem := func(p Problem, format string, args ...any) error {
		return &LocationError{Problem: p, Text: fmt.Sprintf(format, args...), Err: err}
	}
	if answer, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return b.explainAnswer(answer, problem)
	}
	var (
		unknown  x509.UnknownAuthorityError
		name     x509.HostnameError
		invalid  x509.CertificateInvalidError
		verify   *tls.CertificateVerificationError
		noTLS    tls.RecordHeaderError
		dnsError *net.DNSError
		network  net.Error
	)
	switch {
	case errors.As(err, &unknown):
		return problem(Untrusted, "the certificate of %s is of an authority that is not trusted: add its certificate as CA", b.at.Endpoint)
	case errors.As(err, &name), errors.As(err, &invalid), errors.As(err, &verify):
		return problem(Untrusted, "the certificate of %s is not valid: %v", b.at.Endpoint, err)
	case errors.As(err, &noTLS), errors.Is(err, http.ErrSchemeMismatch):
		return problem(Untrusted, "%s does not speak TLS: use http:// if that is meant", b.at.Endpoint)
	case errors.As(err, &dnsError):
		return retryable{problem(Unreachable, "the host of %s is not found: %v", b.at.Endpoint, dnsError)}
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return retryable{problem(Unreachable, "%s does not answer: %v", b.at.Endpoint, unwrapURL(err))}
	}
	return problem(Refused, "%s: %v", b.where(), unwrapURL(err))
}

// unwrapURL returns an error without the URL of the request, which is long and says nothing to people.
func unwrapURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

func (b *bucket) explainAnswer(answer minio.ErrorResponse, problem func(Problem, string, ...any) error) error {
	said := fmt.Sprintf("%s (%d): %s", answer.Code, answer.StatusCode, answer.Message)
	switch answer.Code {
	case "NoSuchBucket":
		return problem(Missing, "there is no bucket %s at %s: create it, or correct the name", b.at.Bucket, b.at.Endpoint)
	case "NoSuchKey", "NotFound":
		return ErrNotFound
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "XAdminUserNotFound", "InvalidToken", "ExpiredToken":
		return problem(Denied, "%s refuses the access key or its secret key: %s", b.at.Endpoint, said)
	case "AccessDenied", "AllAccessDisabled":
		return problem(Denied, "%s denies access to bucket %s: allow the access key to list, read, write and delete objects in it: %s", b.at.Endpoint, b.at.Bucket, said)
	case "QuotaExceeded", "XAdminBucketQuotaExceeded", "EntityTooLarge", "InsufficientCapacity", "XMinioStorageFull":
		return problem(Full, "%s is full: make room, delete backups, or choose another target: %s", b.where(), said)
	case "RequestTimeTooSkewed":
		return problem(Refused, "the clocks of this machine and of %s differ by too much: correct the clock of this machine: %s", b.at.Endpoint, said)
	}
	switch s := answer.StatusCode; {
	case s == http.StatusNotFound:
		return ErrNotFound
	case s == http.StatusRequestedRangeNotSatisfiable:
		return errShort
	case s == http.StatusForbidden:
		return problem(Denied, "%s denies access to bucket %s: %s", b.at.Endpoint, b.at.Bucket, said)
	case s == http.StatusInsufficientStorage:
		return problem(Full, "%s is full: make room, delete backups, or choose another target: %s", b.where(), said)
	case s >= 500 || s == http.StatusTooManyRequests || s == http.StatusRequestTimeout:
		return retryable{problem(Refused, "%s: %s", b.where(), said)}
	}
	return problem(Refused, "%s: %s", b.where(), said)
}

func (b *bucket) get(ctx context.Context, name string, off, n int64, w io.Writer) error {
	var opt minio.GetObjectOptions
	if n == 0 {
		_, err := b.stat(ctx, name)
		return err
	}
	if n > 0 {
		if err := opt.SetRange(off, off+n-1); err != nil {
			return err
		}
	}
	r, _, _, err := b.api.GetObject(ctx, b.at.Bucket, b.prefix+name, opt)
	if err != nil {
		return b.missing(ctx, b.explain(ctx, err))
	}
	defer r.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, copySize))
	return b.explain(ctx, err)
}

func (b *bucket) put(ctx context.Context, name string, data []byte, via func(io.Reader) io.Reader) error {
	sum := md5.Sum(data) //nolint:gosec // see above
	_, err := b.api.PutObject(ctx, b.at.Bucket, b.prefix+name, via(bytes.NewReader(data)), int64(len(data)),
		base64.StdEncoding.EncodeToString(sum[:]), "", minio.PutObjectOptions{ContentType: "application/octet-stream"})
	return b.missing(ctx, b.explain(ctx, err))
}

func (b *bucket) stat(ctx context.Context, name string) (ObjectInfo, error) {
	info, err := b.api.StatObject(ctx, b.at.Bucket, b.prefix+name, minio.StatObjectOptions{})
	if err != nil {
		return ObjectInfo{}, b.missing(ctx, b.explain(ctx, err))
	}
	return ObjectInfo{Name: name, Size: info.Size, At: info.LastModified}, nil
}

func (b *bucket) remove(ctx context.Context, name string) error {
	err := b.explain(ctx, b.api.RemoveObject(ctx, b.at.Bucket, b.prefix+name, minio.RemoveObjectOptions{}))
	if isNotFound(err) {
		return nil
	}
	return err
}

// missing returns an error for a missing object, unless the bucket is missing: servers do not tell the two apart in an
// answer to HEAD, and some not in one to PUT.
func (b *bucket) missing(ctx context.Context, err error) error {
	if !isNotFound(err) {
		return err
	}
	exists, bucketErr := b.api.BucketExists(ctx, b.at.Bucket)
	if bucketErr == nil && !exists {
		return b.explainAnswer(minio.ErrorResponse{Code: "NoSuchBucket"}, func(p Problem, format string, args ...any) error {
			return &LocationError{Problem: p, Text: fmt.Sprintf(format, args...), Err: err}
		})
	}
	return err
}

func (b *bucket) list(ctx context.Context, prefix string, visit func(ObjectInfo) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for o := range b.api.Client.ListObjects(ctx, b.at.Bucket, minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return b.explain(ctx, o.Err)
		}
		if err := visit(ObjectInfo{Name: strings.TrimPrefix(o.Key, b.prefix), Size: o.Size, At: o.LastModified}); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// sweep does nothing: a server forgets an object that it did not receive whole.
func (b *bucket) sweep(context.Context, time.Time) error { return nil }

// top returns up to 1,000 names.
func (b *bucket) top(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var names []string
	for o := range b.api.Client.ListObjects(ctx, b.at.Bucket, minio.ListObjectsOptions{Prefix: b.prefix}) {
		if o.Err != nil {
			return nil, b.explain(ctx, o.Err)
		}
		if name := strings.TrimPrefix(o.Key, b.prefix); name != "" {
			names = append(names, name)
		}
		if len(names) == 1000 {
			break
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return names, nil
}

func newReader(data []byte) io.Reader { return bytes.NewReader(data) }
