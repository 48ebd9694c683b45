package repo

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// Location is where a repository is. Exactly one field is set.
type Location struct {
	Folder string // the absolute path of a folder on this machine
	S3     *S3
}

// S3 is a place in a bucket of any server that speaks S3.
type S3 struct {
	Endpoint  string // http:// or https:// URL without a path
	Region    string // optional; asked from the server if it is empty
	Bucket    string
	Prefix    string // optional; a folder in the bucket
	AccessKey string
	SecretKey driver.Secret
	CA        []byte // optional; PEM certificates that are trusted besides those of the system
}

// String returns the location as people write it, without credentials.
func (l Location) String() string {
	if l.S3 == nil {
		return l.Folder
	}
	return strings.TrimSuffix(l.S3.Endpoint, "/") + "/" + l.S3.Bucket + "/" + l.S3.prefix()
}

// Validate returns an error that names the first field that is wrong and what would be right.
func (l Location) Validate() error {
	if (l.Folder == "") == (l.S3 == nil) {
		return fmt.Errorf("a location is either a folder or a bucket")
	}
	if l.S3 != nil {
		return l.S3.validate()
	}
	if !filepath.IsAbs(l.Folder) || filepath.Clean(l.Folder) == "/" {
		return fmt.Errorf("folder: %q is not the absolute path of a folder, such as /mnt/backups", l.Folder)
	}
	return nil
}

func (s *S3) validate() error {
	u, err := url.Parse(s.Endpoint)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
		return fmt.Errorf("endpoint: %q is not an http:// or https:// URL with a host alone, such as https://s3.example.com", s.Endpoint)
	case s.Bucket == "" || strings.ContainsAny(s.Bucket, "/ "):
		return fmt.Errorf("bucket: %q is not the name of a bucket", s.Bucket)
	case s.AccessKey == "":
		return fmt.Errorf("access key: it is missing")
	case s.SecretKey == "":
		return fmt.Errorf("secret key: it is missing")
	case len(s.CA) > 0 && !x509.NewCertPool().AppendCertsFromPEM(s.CA):
		return fmt.Errorf("CA: it holds no PEM certificate")
	}
	for part := range strings.SplitSeq(s.prefix(), "/") {
		if part == "." || part == ".." {
			return fmt.Errorf("prefix: %q leads to another place; name a folder in the bucket", s.Prefix)
		}
	}
	return nil
}

// prefix returns the prefix of all objects: empty, or ending with a slash.
func (s *S3) prefix() string {
	p := strings.FieldsFunc(s.Prefix, func(r rune) bool { return r == '/' })
	if len(p) == 0 {
		return ""
	}
	return strings.Join(p, "/") + "/"
}

// open returns the store at the location. It does no input or output.
func (l Location) open() (store, error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	if l.S3 != nil {
		return newBucket(*l.S3)
	}
	return newFolder(filepath.Clean(l.Folder)), nil
}

// Problem is the kind of what is wrong with a location.
type Problem string

// Kinds of problems.
const (
	Missing     Problem = "MISSING"     // the folder or the bucket does not exist
	Denied      Problem = "DENIED"      // the credentials are wrong, or do not allow what is needed
	Untrusted   Problem = "UNTRUSTED"   // TLS: the certificate of the endpoint is not trusted, or the endpoint does not speak TLS
	Full        Problem = "FULL"        // no space or quota is left
	ReadOnly    Problem = "READ_ONLY"   // the folder is on a file system that is mounted read-only
	Unreachable Problem = "UNREACHABLE" // no connection to the endpoint
	Silent      Problem = "SILENT"      // the storage does not answer
	Refused     Problem = "REFUSED"     // the storage answers with an error of another kind
)

// LocationError means that the storage at a location fails, rather than what is stored there.
type LocationError struct {
	Problem Problem
	Text    string // what is wrong, and what would be right
	Err     error
}

func (e *LocationError) Error() string { return e.Text }
func (e *LocationError) Unwrap() error { return e.Err }

// asLocationError returns err as a *[LocationError], which it is already or becomes one that was refused. It returns nil, an
// end of ctx and what is not there as they are.
func asLocationError(ctx context.Context, where string, err error) error {
	switch {
	case err == nil, isLocationError(err), isNotFound(err):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return &LocationError{Problem: Refused, Text: fmt.Sprintf("%s: %v", where, err), Err: err}
}
