package repo

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	kopia "github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/format"
)

const (
	markerName   = "uws.json"
	objectPrefix = "uws/"
	testPrefix   = objectPrefix + ".test-"

	leftovers = "what is left of a repository of uws, without its object kopia.repository"
)

// State says what is at a location.
type State string

// States of a location.
const (
	Empty   State = "EMPTY"
	Ours    State = "OURS"    // a repository that Create made
	Foreign State = "FOREIGN" // something else
)

// Found is what Inspect finds at a location.
type Found struct {
	State   State
	ID      string    // of [Ours]: what was given to [Create]
	Created time.Time // of [Ours]
	Name    string    // of [Foreign]: what it is, with an article
}

// NotEmptyError is the error of [Create] where something is.
type NotEmptyError struct{ Found Found }

func (e *NotEmptyError) Error() string {
	if e.Found.State == Ours {
		return fmt.Sprintf("there is a repository of uws already, with the id %s: import it with its key, or choose an empty place", e.Found.ID)
	}
	return fmt.Sprintf("there is %s: choose an empty place, such as a new folder or prefix", e.Found.Name)
}

// marker is the content of the object that says what a repository is without its key.
type marker struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Note    string    `json:"note"`
}

const markerNote = "This is a kopia repository made by uws, with its backups. Do not change anything in it. docs/backups.md says how to restore from it without uws."

// shortenEpochs lets maintenance compact indexes of the last hours, and not of the last day: each save adds some, and they
// are listed with each.
func (r *Repository) shortenEpochs(ctx context.Context) error {
	m := r.direct.FormatManager()
	p, err := m.GetMutableParameters(ctx)
	if err != nil {
		return err
	}
	storage, err := m.BlobCfgBlob(ctx)
	if err != nil {
		return err
	}
	features, err := m.RequiredFeatures(ctx)
	if err != nil {
		return err
	}
	p.EpochParameters.MinEpochDuration = 2 * time.Hour
	return m.SetParameters(ctx, p, storage, features)
}

// Test writes an object at the location, reads it back and deletes it. Its errors are those of [Location.Validate] and
// *[LocationError].
func Test(ctx context.Context, l Location) error {
	s, err := l.open()
	if err != nil {
		return err
	}
	defer s.close()
	g := guard(s, defaultTimeout/2, 0, 0)
	data := make([]byte, 1<<16)
	_, _ = rand.Read(data)
	name := testPrefix + hex.EncodeToString(data[:8])
	if err := g.put(ctx, name, data); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	var back bytes.Buffer
	if err := g.get(ctx, name, 0, -1, &back, back.Reset); err != nil {
		return errors.Join(fmt.Errorf("read what was written: %w", unexpected(g, err)), g.remove(ctx, name))
	}
	if !bytes.Equal(back.Bytes(), data) {
		err := &LocationError{Problem: Refused, Text: g.where() + " returns other data than was written"}
		return errors.Join(err, g.remove(ctx, name))
	}
	listed := false
	err = g.list(ctx, name, func(o ObjectInfo) error { listed = listed || o.Name == name; return nil })
	if err == nil && !listed {
		err = &LocationError{Problem: Refused, Text: g.where() + " does not list what was written"}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("list: %w", err), g.remove(ctx, name))
	}
	if err := g.remove(ctx, name); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if _, err := g.stat(ctx, name); !isNotFound(err) {
		return errors.Join(err, &LocationError{Problem: Refused, Text: g.where() + " does not delete what was written"})
	}
	return nil
}

func unexpected(g *guarded, err error) error {
	if isNotFound(err) {
		return &LocationError{Problem: Refused, Text: g.where() + " does not have what was written", Err: err}
	}
	return err
}

// Inspect says what is at the location. It needs no key and changes nothing. Its errors are those of [Test].
func Inspect(ctx context.Context, l Location) (Found, error) {
	s, err := l.open()
	if err != nil {
		return Found{}, err
	}
	defer s.close()
	return inspect(ctx, guard(s, defaultTimeout/2, 0, 0))
}

func inspect(ctx context.Context, g *guarded) (Found, error) {
	names, err := g.top(ctx)
	if err != nil {
		return Found{}, err
	}
	has := func(name string) bool { return slices.Contains(names, name) }
	if has(format.KopiaRepositoryBlobID) {
		return inspectKopia(ctx, g)
	}
	others := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		// Create was interrupted, or Test
		return name == markerName || name == format.KopiaBlobCfgBlobID || name == objectPrefix
	})
	switch {
	case len(others) == 0:
		return inspectObjects(ctx, g)
	case has(markerName):
		return Found{State: Foreign, Name: leftovers}, nil
	case has("config") && has("keys/") && has("snapshots/"):
		return Found{State: Foreign, Name: "a restic repository"}, nil
	case has("config") && has("data/") && slices.ContainsFunc(names, func(n string) bool { return n == "README" || strings.HasPrefix(n, "hints.") }):
		return Found{State: Foreign, Name: "a borg repository"}, nil
	}
	slices.Sort(others)
	return Found{State: Foreign, Name: fmt.Sprintf("something else (%s)", strings.Join(others[:min(3, len(others))], ", "))}, nil
}

// inspectObjects reports whether a location without a repository is empty, or holds objects of a deleted repository.
func inspectObjects(ctx context.Context, g *guarded) (Found, error) {
	found := Found{State: Empty}
	err := g.list(ctx, objectPrefix, func(o ObjectInfo) error {
		if !strings.HasPrefix(o.Name, testPrefix) {
			found = Found{State: Foreign, Name: leftovers}
		}
		return nil
	})
	return found, err
}

func inspectKopia(ctx context.Context, g *guarded) (Found, error) {
	foreign := Found{State: Foreign, Name: "a kopia repository that uws did not make"}
	var b bytes.Buffer
	if err := g.get(ctx, markerName, 0, -1, &b, b.Reset); isNotFound(err) {
		return foreign, nil
	} else if err != nil {
		return Found{}, err
	}
	var m marker
	if err := json.Unmarshal(b.Bytes(), &m); err != nil || m.Format != 1 {
		return foreign, nil
	}
	return Found{State: Ours, ID: m.ID, Created: m.Created}, nil
}

// Create makes a repository at an empty location. The id can be read by [Inspect] without the key. It can be called again
// after a crash. Errors: *[NotEmptyError], those of [Test].
func Create(ctx context.Context, o Options, id string) error {
	if err := o.validate(); err != nil {
		return err
	}
	s, err := o.Location.open()
	if err != nil {
		return err
	}
	defer s.close()
	g := guard(s, o.Timeout, 0, 0)
	switch found, err := inspect(ctx, g); {
	case err != nil:
		return err
	case found.State != Empty:
		return &NotEmptyError{found}
	}
	m, err := json.Marshal(marker{Format: 1, ID: id, Created: o.now().UTC(), Note: markerNote})
	if err != nil {
		return err
	}
	if err := errors.Join(g.put(ctx, markerName, m), g.remove(ctx, format.KopiaBlobCfgBlobID)); err != nil {
		return err
	}
	err = kopia.Initialize(ctx, &storage{guarded: g}, &kopia.NewRepositoryOptions{
		BlockFormat:  format.ContentFormat{Encryption: "AES256-GCM-HMAC-SHA256", Hash: "BLAKE2B-256-128", MutableParameters: format.MutableParameters{IndexVersion: content.DefaultIndexVersion}},
		ObjectFormat: format.ObjectFormat{Splitter: splitter},
		// The password is a random key, which needs no slow derivation; this one takes no 64 MB of memory at each opening.
		FormatBlockKeyDerivationAlgorithm: "pbkdf2-sha256-600000",
	}, o.Key.Text())
	if errors.Is(err, kopia.ErrAlreadyInitialized) {
		return &NotEmptyError{Found{State: Ours, ID: id}}
	} else if err != nil {
		return fmt.Errorf("create the repository: %w", err)
	}
	r, err := Open(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(r.shortenEpochs(ctx), r.Own(ctx), r.Close(ctx))
}
