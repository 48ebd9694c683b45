package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/backup/repo"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// target is a backup target with its repository, which is opened at first use.
type target struct {
	id string

	opening sync.Mutex // held while the repository is opened or closed

	mu       sync.Mutex
	row      *ent.BackupTarget
	repo     *repo.Repository // nil: not open
	at       string           // where it was opened
	checked  time.Time        // when it was used or tested last
	problem  string           // what was wrong then
	stored   *int64
	measured time.Time // when that was begun last
	busy     bool      // maintenance is under way
	tried    time.Time // when it was begun last

	storeAt      time.Time // when the newest copy of uws's own store was made
	storeTried   time.Time
	storeProblem string // why it could not be saved
}

func newTarget(row *ent.BackupTarget) *target { return &target{id: row.ID, row: row} }

// secrets are what is sealed in the row of a target.
type secrets struct {
	Key       string        `json:"key"` // text of the repository's
	SecretKey driver.Secret `json:"secretKey,omitempty"`
	CA        string        `json:"ca,omitempty"`
}

// plainSecrets marshals secrets in clear: driver.Secret hides itself.
type plainSecrets struct {
	Key       string `json:"key"`
	SecretKey string `json:"secretKey,omitempty"`
	CA        string `json:"ca,omitempty"`
}

func (b *Backups) sealSecrets(id string, s secrets) ([]byte, error) {
	text, err := json.Marshal(plainSecrets{s.Key, string(s.SecretKey), s.CA})
	if err != nil {
		return nil, err
	}
	return b.Store.Seal(text, store.TargetContext(id))
}

func (b *Backups) unsealSecrets(row *ent.BackupTarget) (secrets, error) {
	text, err := b.Store.Unseal(row.Secrets, store.TargetContext(row.ID))
	if err != nil {
		return secrets{}, fmt.Errorf("secrets of backup target %s: %w", row.Name, err)
	}
	var p plainSecrets
	if err := json.Unmarshal(text, &p); err != nil {
		return secrets{}, fmt.Errorf("secrets of backup target %s: %w", row.Name, err)
	}
	return secrets{p.Key, driver.Secret(p.SecretKey), p.CA}, nil
}

// lookup returns a target. The error is NotFound if there is none.
func (b *Backups) lookup(field, id string) (*target, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.targets[id]; t != nil {
		return t, nil
	}
	return nil, orchestrator.Errorf(orchestrator.NotFound, field, "there is no backup target with id %q; `backupTargets` lists them", id)
}

// location returns where the repository of a target is now: a BUCKET service may have got another address or other keys.
func (b *Backups) location(ctx context.Context, row *ent.BackupTarget, s secrets) (repo.Location, error) {
	at := placeOf(row, s)
	if row.ServiceID != "" {
		if err := b.ofService(ctx, row.ServiceID, at.S3); err != nil {
			return repo.Location{}, err
		}
	}
	return at, nil
}

// ofService fills in the address and the keys of a BUCKET service.
func (b *Backups) ofService(ctx context.Context, id string, at *repo.S3) error {
	s, err := b.Snapshot.Row(ctx, id)
	if err != nil {
		return err
	}
	if s.Kind != catalog.Bucket {
		return orchestrator.Errorf(orchestrator.InvalidInput, "s3.serviceId", "service %s is a %s; a backup target needs a BUCKET", s.Name, s.Kind)
	}
	if s.NodeID == "" || len(s.Ports) == 0 {
		return orchestrator.Errorf(orchestrator.Conflict, "s3.serviceId", "service %s has no address yet; try again when it is HEALTHY", s.Name)
	}
	keys, err := b.Vault.Accepted(ctx, s)
	if err != nil {
		return err
	}
	reached, _, err := b.Vault.Target(s, keys)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(reached.Address)
	if err != nil {
		return err
	}
	at.Endpoint = "http://" + net.JoinHostPort(host, port)
	at.Region, at.AccessKey, at.SecretKey = "us-east-1", keys["accessKey"], driver.Secret(keys["secretKey"])
	return nil
}

// options returns how the repository of a target is opened.
func (b *Backups) options(ctx context.Context, row *ent.BackupTarget) (repo.Options, error) {
	s, err := b.unsealSecrets(row)
	if err != nil {
		return repo.Options{}, err
	}
	key, err := repo.ParseKey(s.Key)
	if err != nil {
		return repo.Options{}, fmt.Errorf("key of backup target %s: %w", row.Name, err)
	}
	at, err := b.location(ctx, row, s)
	return b.repoOptions(row.ID, at, key, row.WriteMibPerSecond), err
}

func (b *Backups) repoOptions(id string, at repo.Location, key repo.Key, writeMiB int) repo.Options {
	return repo.Options{Location: at, Key: key, Scratch: b.Dir, Owner: b.Store.Installation, Log: b.log.With(slog.String("target", id)), WriteRate: int64(writeMiB) << 20}
}

// open returns the repository of a target, and notes whether it could be opened.
func (b *Backups) open(ctx context.Context, id string) (*repo.Repository, error) {
	t, err := b.lookup("targetId", id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	t.opening.Lock()
	defer t.opening.Unlock()
	t.mu.Lock()
	row, r, at := t.row, t.repo, t.at
	t.mu.Unlock()
	opts, err := b.options(ctx, row)
	if err == nil && r != nil && at == fingerprint(opts) {
		return r, nil
	}
	if r != nil {
		err = errors.Join(err, t.close(ctx))
	}
	if err == nil {
		r, err = repo.Open(ctx, opts)
	}
	t.note(err)
	if err != nil {
		return nil, fmt.Errorf("backup target %s: %w", row.Name, err)
	}
	t.mu.Lock()
	t.repo, t.at = r, fingerprint(opts)
	t.mu.Unlock()
	return r, nil
}

// fingerprint differs if a repository must be opened again.
func fingerprint(o repo.Options) string {
	if at := o.Location.S3; at != nil {
		return fmt.Sprint(o.Location, at.AccessKey, string(at.SecretKey), o.WriteRate)
	}
	return fmt.Sprint(o.Location, o.WriteRate)
}

// note records whether the target could be used.
func (t *target) note(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.checked, t.problem = store.Now(), ""
	if err != nil {
		t.problem = err.Error()
	}
}

// noteUse records whether a target could be used. Errors of other origin are ignored.
func (b *Backups) noteUse(id string, err error) {
	t, gone := b.lookup("targetId", id)
	if _, ok := errors.AsType[*repo.LocationError](err); gone == nil && (err == nil || ok) {
		t.note(err)
	}
}

// close closes the repository. t.opening is held.
func (t *target) close(ctx context.Context) error {
	t.mu.Lock()
	r := t.repo
	t.repo = nil
	t.mu.Unlock()
	if r == nil {
		return nil
	}
	return r.Close(ctx)
}

func (b *Backups) closeTargets() {
	b.mu.Lock()
	defer b.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	for _, t := range b.targets {
		t.opening.Lock()
		if err := t.close(ctx); err != nil {
			b.log.Warn("closing a backup target failed", "target", t.id, "error", err)
		}
		t.opening.Unlock()
	}
}
