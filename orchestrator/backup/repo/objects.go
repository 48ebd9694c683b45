package repo

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// ObjectInfo describes an object.
type ObjectInfo struct {
	Name string
	Size int64     // as it is stored
	At   time.Time // when it was stored, by the clock of the storage
}

const (
	sealedVersion = 1
	maxObject     = 256 << 20 // bytes that an object may have when it is opened
)

// sealer returns the cipher of objects, whose key can be computed from that of the repository, but not the reverse.
func sealer(k Key) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, k[:], nil, "uws backup objects, version 1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// objectName returns the name in the store, or an error if a name is not made of letters, digits and ._- in parts that are
// separated by slashes and do not begin with a dot.
func objectName(name string) (string, error) {
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' || strings.ContainsFunc(part, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r))
		}) || strings.Contains(part, temporary) {
			return "", fmt.Errorf("object name %q: use letters, digits, dots, dashes and underscores, in parts that are separated by slashes and do not begin with a dot", name)
		}
	}
	return objectPrefix + name, nil
}

// Put stores data under a name, compressed and encrypted, and replaces what was there. It is durable when Put returns.
// The name is part of what is encrypted, so that Get recognizes an object that was exchanged with another or cut short. An
// object that was replaced by an older one of the same name is not recognized; give each object a name of its own.
func (r *Repository) Put(ctx context.Context, name string, data []byte) error {
	stored, err := objectName(name)
	if err != nil {
		return err
	}
	if len(data) > maxObject {
		return fmt.Errorf("object %s: %d bytes are too many; at most %d are allowed", name, len(data), maxObject)
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	defer enc.Close()
	packed := enc.EncodeAll(data, nil)
	nonce := make([]byte, r.seal.NonceSize())
	_, _ = rand.Read(nonce) // never fails, says its documentation
	sealed := r.seal.Seal(nil, nonce, packed, []byte(name))
	return r.st.put(ctx, stored, slices.Concat([]byte{sealedVersion}, nonce, sealed))
}

// Get returns the data of an object. Errors: [ErrNotFound], *[DamageError], *[LocationError].
func (r *Repository) Get(ctx context.Context, name string) ([]byte, error) {
	stored, err := objectName(name)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := r.st.get(ctx, stored, 0, -1, &b, b.Reset); err != nil {
		return nil, fmt.Errorf("object %s: %w", name, err)
	}
	sealed := b.Bytes()
	body := 1 + r.seal.NonceSize()
	if len(sealed) < body || sealed[0] != sealedVersion {
		return nil, &DamageError{Path: "object " + name, Err: errors.New("it is cut short, or of another version")}
	}
	packed, err := r.seal.Open(nil, sealed[1:body], sealed[body:], []byte(name))
	if err != nil {
		return nil, &DamageError{Path: "object " + name, Err: errors.New("it is not what was stored under this name with this key")}
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxObject))
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	data, err := dec.DecodeAll(packed, nil)
	if err != nil {
		return nil, &DamageError{Path: "object " + name, Err: err}
	}
	return data, nil
}

// Names returns the objects whose names begin with prefix, in any order.
func (r *Repository) Names(ctx context.Context, prefix string) ([]ObjectInfo, error) {
	found := map[string]ObjectInfo{}
	err := r.st.list(ctx, objectPrefix+prefix, func(o ObjectInfo) error {
		if !strings.HasPrefix(o.Name, testPrefix) {
			o.Name = strings.TrimPrefix(o.Name, objectPrefix)
			found[o.Name] = o
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	all := make([]ObjectInfo, 0, len(found))
	for _, o := range found {
		all = append(all, o)
	}
	return all, nil
}

// Remove deletes an object. It is a no-op if there is none.
func (r *Repository) Remove(ctx context.Context, name string) error {
	stored, err := objectName(name)
	if err != nil {
		return err
	}
	return r.st.remove(ctx, stored)
}
