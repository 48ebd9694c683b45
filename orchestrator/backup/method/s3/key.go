package s3

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"path"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// Names in an archive: a file that says what it is, and for each bucket a file with its settings and one for each object.
// What S3 says of an object is in a record of its entry.
const (
	indexFile     = "s3.json"
	bucketFolder  = "buckets/"
	settingsFile  = "/bucket.json"
	objectFolder  = "/objects/"
	encodedFolder = ".encoded/"

	objectRecord = "UWS.object" // PAX record of an object: a record in JSON
	// afterRecord is a PAX record of an entry without content that follows one of the same object, and says of that: that
	// its content is void, since the object was replaced, or that it does not have the checksum that its ETag is.
	afterRecord = "UWS.after"
	void        = "void"
	doubtful    = "doubtful"
)

// record is what an archive has of an object beside its content.
type record struct {
	Key      string            `json:"key,omitempty"`
	Key64    string            `json:"key64,omitempty"` // in base64 if Key is not UTF-8
	ETag     string            `json:"etag,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"` // Content-Type and the like
	User     map[string]string `json:"user,omitempty"`    // metadata of users, without prefix
	Tags     map[string]string `json:"tags,omitempty"`
	Modified time.Time         `json:"modified,omitzero"`
}

// encode returns the record as text.
func (r record) encode(key string) (string, error) {
	if r.Key = key; !utf8.ValidString(key) {
		r.Key, r.Key64 = "", base64.StdEncoding.EncodeToString([]byte(key))
	}
	text, err := json.Marshal(r)
	return string(text), err
}

// decode returns a record and its key.
func decode(text string) (record, string, error) {
	var r record
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return record{}, "", &method.DamagedError{What: "the record of an object", Err: err}
	}
	if r.Key64 == "" {
		return r, r.Key, nil
	}
	key, err := base64.StdEncoding.DecodeString(r.Key64)
	if err != nil {
		return record{}, "", &method.DamagedError{What: "the key of an object", Err: err}
	}
	return r, string(key), nil
}

// entryName returns the name of an object's entry: its key if that is a plain path, else one made of its hash.
func entryName(bucket, key string) string {
	name := key
	if !plain(key) {
		sum := sha256.Sum256([]byte(key))
		name = encodedFolder + hex.EncodeToString(sum[:])
	}
	return bucketFolder + bucket + objectFolder + name
}

const maxPlainPart = 200 // bytes; file systems take 255

// plain reports whether a key is a path that every file system and archive can have.
func plain(key string) bool {
	if !utf8.ValidString(key) || path.Clean(key) != key || !filepath.IsLocal(key) || strings.HasPrefix(key, encodedFolder) || len(key) > 4*maxPlainPart {
		return false
	}
	for part := range strings.SplitSeq(key, "/") {
		if len(part) > maxPlainPart || part == "." {
			return false
		}
	}
	return !strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' })
}

// isMD5 reports whether an ETag is the MD5 of the content: that of an object which was uploaded in one part.
func isMD5(etag string) bool {
	sum, err := hex.DecodeString(etag)
	return err == nil && len(sum) == 16
}
