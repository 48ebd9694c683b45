package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/unicorn-web-services/uws/internal/fault"
)

// sealedColumns lists all columns with sealed values, and the context of each.
var sealedColumns = []struct {
	table, column, bound string
	context              func(bound string) string
}{
	{"installations", "key_check", "id", keyCheckContext},
	{"nodes", "access", "id", AccessContext},
	{"services", "credentials", "volume", CredentialsContext},
	{"services", "pending_credentials", "volume", CredentialsContext},
	{"backup_targets", "secrets", "id", TargetContext},
	{"log_tails", "lines", "service_id", LogTailContext},
	{"volumes", "credentials", "id", CredentialsContext},
	{"volumes", "pending_credentials", "id", CredentialsContext},
}

// CredentialsContext returns the context that a service's credentials are sealed for: the volume whose engine stores
// them, so that they stay with the data.
func CredentialsContext(volume string) string { return "credentials:" + volume }

// RecordContext returns the context of a service's record: its volume, in whose mark file it is stored.
func RecordContext(volume string) string { return "record:" + volume }

// LogTailContext returns the context that the ends of a service's logs are sealed for.
func LogTailContext(serviceID string) string { return "log tail:" + serviceID }

// TargetContext returns the context that the secrets of a backup target are sealed for.
func TargetContext(targetID string) string { return "backup target:" + targetID }

// AccessContext returns the context that a node's keys are sealed for.
func AccessContext(nodeID string) string { return "node:" + nodeID }

// RotateKey replaces the key of a store that no process serves, and reseals all sealed values with the new key. It
// returns the number of values. After a crash at any point the store still opens, and the next call completes the
// rotation. Earlier backups need the old key.
//
// While values are resealed, the key file contains both keys. The new key is the primary one, which seals all new
// values.
func RotateKey(ctx context.Context, opts Options) (sealed int, err error) {
	if opts.Key != "" {
		return 0, errors.New("the key is set by UWS_KEY; uws can only replace a key file. " +
			"Write the key into the data folder (printenv UWS_KEY | base64 -d > uws.key, mode 0600), run this again without UWS_KEY, " +
			"and set UWS_KEY to the output of base64 -w0 uws.key where it was set before")
	}
	if err := opts.Validate(); err != nil {
		return 0, err
	}
	opts.Shared, opts.Existing = false, true
	s, err := Open(ctx, opts) // takes the lock, and checks that this is the key of the store
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	path := opts.path(keyName)
	handle, err := readHandle(path)
	if err != nil {
		return 0, err
	}
	if handle.Len() == 1 { // else both keys are there already
		if handle, err = withNewPrimary(handle); err != nil {
			return 0, err
		}
		if err := writeHandle(path, handle); err != nil {
			return 0, err
		}
	}
	fault.Point("key-added")
	if s.aead, err = aead.New(handle); err != nil {
		return 0, fmt.Errorf("switch to the new key: %w", err)
	}
	if sealed, err = s.sealAnew(ctx); err != nil {
		return 0, err
	}
	fault.Point("key-sealed")
	if handle, err = onlyPrimary(handle); err != nil {
		return 0, err
	}
	err = writeHandle(path, handle)
	fault.Point("key-dropped")
	return sealed, err
}

// sealAnew reseals all values with the primary key in one transaction, and removes old sealed values from the file.
func (s *Store) sealAnew(ctx context.Context) (n int, err error) {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("reseal: %w", err)
	}
	for _, c := range sealedColumns {
		some, err := s.sealColumn(ctx, tx, c.table, c.column, c.bound, c.context)
		if err != nil {
			return 0, errors.Join(fmt.Errorf("reseal %s.%s: %w", c.table, c.column, err), tx.Rollback())
		}
		n += some
	}
	// The records in the marks of volumes are sealed with the old key, so they must be written again. That of retained data is
	// written when the data was reattached, because only an instance can write it.
	for _, mark := range []string{"UPDATE services SET record_stale = true", "UPDATE volumes SET record_stale = true"} {
		if _, err := tx.ExecContext(ctx, mark); err != nil {
			return 0, errors.Join(fmt.Errorf("reseal: %w", err), tx.Rollback())
		}
	}
	if err := tx.Commit(); err != nil {
		return 0, fmt.Errorf("reseal: %w", err)
	}
	for _, tidy := range []string{"VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"} {
		if _, err := s.writer.ExecContext(ctx, tidy); err != nil {
			return 0, fmt.Errorf("remove values sealed with the old key: %w", err)
		}
	}
	return n, nil
}

func (s *Store) sealColumn(ctx context.Context, tx *sql.Tx, table, column, bound string, context func(string) string) (int, error) {
	rows, err := tx.QueryContext(ctx, fmt.Sprintf("SELECT id, %s, %s FROM %s WHERE length(%s) > 0", bound, column, table, column))
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	resealed := map[string][]byte{}
	for rows.Next() {
		var id, to string
		var old []byte
		if err := rows.Scan(&id, &to, &old); err != nil {
			return 0, err
		}
		plain, err := s.Unseal(old, context(to))
		if err != nil {
			return 0, err
		}
		if resealed[id], err = s.Seal(plain, context(to)); err != nil {
			return 0, err
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return 0, err
	}
	for id, value := range resealed {
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET %s = ? WHERE id = ?", table, column), value, id); err != nil {
			return 0, err
		}
	}
	return len(resealed), nil
}

func readHandle(path string) (*keyset.Handle, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	return parseHandle(b)
}

func writeHandle(path string, handle *keyset.Handle) error {
	b, err := keyBytes(handle)
	if err == nil {
		err = writeFile(path, b)
	}
	if err != nil {
		return fmt.Errorf("write the key file %s: %w", path, err)
	}
	return nil
}

// keyBytes returns a keyset in the format of the key file.
func keyBytes(handle *keyset.Handle) ([]byte, error) {
	var b bytes.Buffer
	err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&b))
	return b.Bytes(), err
}

func withNewPrimary(handle *keyset.Handle) (*keyset.Handle, error) {
	m := keyset.NewManagerFromHandle(handle)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err == nil {
		err = m.SetPrimary(id)
	}
	if err != nil {
		return nil, fmt.Errorf("add a key: %w", err)
	}
	return m.Handle()
}

func onlyPrimary(handle *keyset.Handle) (*keyset.Handle, error) {
	m := keyset.NewManagerFromHandle(handle)
	for _, key := range handle.KeysetInfo().GetKeyInfo() {
		if id := key.GetKeyId(); id != handle.KeysetInfo().GetPrimaryKeyId() {
			if err := m.Delete(id); err != nil {
				return nil, fmt.Errorf("drop the old key: %w", err)
			}
		}
	}
	return m.Handle()
}
