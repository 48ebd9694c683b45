package store

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/unicorn-web-services/uws/internal/fsync"
)

// keyCheckText is the plain text of installations.key_check, which is sealed.
const keyCheckText = "uws key check"

func keyCheckContext(installation string) string { return "installation:" + installation }

// Seal encrypts plain and binds it to a context, such as "service:<id>". Unseal needs the same context, so a sealed
// value copied to another row cannot be decrypted there.
func (s *Store) Seal(plain []byte, context string) ([]byte, error) {
	return seal(s.aead, plain, context)
}

// Unseal decrypts what Seal returned for the same context.
func (s *Store) Unseal(sealed []byte, context string) ([]byte, error) {
	return unseal(s.aead, sealed, context)
}

func seal(a tink.AEAD, plain []byte, context string) ([]byte, error) {
	sealed, err := a.Encrypt(plain, []byte("uws/"+context))
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", context, err)
	}
	return sealed, nil
}

func unseal(a tink.AEAD, sealed []byte, context string) ([]byte, error) {
	plain, err := a.Decrypt(sealed, []byte("uws/"+context))
	if err != nil {
		return nil, fmt.Errorf("unseal %s: %w", context, err)
	}
	return plain, nil
}

// loadKey returns the given key, or the one in the key file.
func loadKey(opts Options) (tink.AEAD, error) {
	if opts.Key != "" {
		return parseOption(opts.Key)
	}
	path := opts.path(keyName)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the key of this store is missing: there is no %s, and UWS_KEY is not set. "+
			"Without it the store's credentials cannot be read. Put back the %s that was made with this store, from a backup of %s",
			path, keyName, opts.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	if open := info.Mode().Perm() & 0o077; open != 0 {
		return nil, fmt.Errorf("key file %s has mode %04o, must be 0600: other users can read it; run chmod 600 on it", path, info.Mode().Perm())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	a, err := parseKey(b)
	if err != nil {
		return nil, fmt.Errorf("key file %s is not a key of uws: %w; restore it from a backup of %s", path, err, opts.Dir)
	}
	return a, nil
}

func parseOption(key string) (tink.AEAD, error) {
	b, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		return nil, errors.New("key (UWS_KEY): not base64; give the output of base64 -w0 uws.key")
	}
	a, err := parseKey(b)
	if err != nil {
		return nil, fmt.Errorf("key (UWS_KEY) is not a key of uws: %w; give the output of base64 -w0 uws.key", err)
	}
	return a, nil
}

// parseKey parses a cleartext Tink keyset in JSON.
func parseKey(b []byte) (tink.AEAD, error) {
	handle, err := parseHandle(b)
	if err != nil {
		return nil, err
	}
	a, err := aead.New(handle)
	if err != nil {
		return nil, errors.New("not a keyset for authenticated encryption")
	}
	return a, nil
}

func parseHandle(b []byte) (*keyset.Handle, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(b)))
	if err != nil {
		return nil, errors.New("not a keyset") // the library's error may quote the input
	}
	return handle, nil
}

// newKey returns a new key in the format of the key file.
func newKey() ([]byte, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("create a key: %w", err)
	}
	return keyBytes(handle)
}

// checkKey returns an error unless a is the key that the store was created with.
func checkKey(a tink.AEAD, found stored, opts Options) error {
	plain, err := unseal(a, found.keyCheck, keyCheckContext(found.installation))
	if err == nil && string(plain) == keyCheckText {
		return nil
	}
	which := opts.path(keyName)
	if opts.Key != "" {
		which = "the key that was given (UWS_KEY)"
	}
	return fmt.Errorf("wrong key: %s is not the key that %s was created with. "+
		"Give the right one: the %s from the same backup or machine as the store", which, opts.path(dbName), keyName)
}

// writeFile creates a file with mode 0600. After a crash it is either complete or missing.
func writeFile(path string, b []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return fsync.Path(filepath.Dir(path))
}
