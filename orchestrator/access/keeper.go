package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

const (
	// LinkLifetime is how long a login link can be used.
	LinkLifetime = 15 * time.Minute

	tokenPrefix   = "uwst_" // tells people, and programs that look for leaked secrets, what it is
	sessionPrefix = "uwss_"
	linkPrefix    = "uwsl_"

	lookEvery  = 500 * time.Millisecond // for changes by others, so that what was revoked ends within a second
	flushEvery = 10 * time.Second       // of last uses
)

// Options of Open.
type Options struct {
	Store *store.Store
	Log   *slog.Logger // nil: discarded
	// SessionIdle ends a session that was not used for so long; an open dashboard uses it. Zero: 24 h.
	SessionIdle time.Duration
	// SessionLifetime ends a session, used or not. Zero: 30 days.
	SessionLifetime time.Duration
	Rates           Rates
	Now             func() time.Time // nil: time.Now
}

// Keeper has the credentials. It is safe for concurrent use.
type Keeper struct {
	opts  Options
	rates *limiters

	reading sync.Mutex // held while credentials are read anew
	mu      sync.RWMutex
	changes int // of the store, as it was when they were read; -1: never
	byHash  map[[sha256.Size]byte]*credential
}

// Open reads the credentials of a store.
func Open(ctx context.Context, opts Options) (*Keeper, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.SessionIdle == 0 {
		opts.SessionIdle = 24 * time.Hour
	}
	if opts.SessionLifetime == 0 {
		opts.SessionLifetime = 30 * 24 * time.Hour
	}
	k := &Keeper{opts: opts, rates: newLimiters(opts.Rates), changes: -1}
	return k, k.read(ctx)
}

// CookieName is the name of the cookie with a session's secret: it differs between installations, since cookies do not
// tell ports apart.
func (k *Keeper) CookieName() string { return "uws_" + k.opts.Store.Installation[:8] }

// SessionLifetime is how long a session can last.
func (k *Keeper) SessionLifetime() time.Duration { return k.opts.SessionLifetime }

// Run keeps what is in memory true until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	look, flush := time.NewTicker(lookEvery), time.NewTicker(flushEvery)
	defer look.Stop()
	defer flush.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return k.flush(context.WithoutCancel(ctx))
		case <-look.C:
			err = k.read(ctx)
			k.endExpired()
		case <-flush.C:
			err = k.flush(ctx)
		}
		if err != nil && ctx.Err() == nil {
			k.opts.Log.Error("credentials cannot be kept", slog.Any("error", err))
		}
	}
}

// Authenticate finds out whose secret it is. Whoever fails too often from one address is RateLimited.
func (k *Keeper) Authenticate(ctx context.Context, secret, address string, door Door) (*Principal, error) {
	hash := sha256.Sum256([]byte(secret))
	c := k.find(hash)
	if c == nil {
		if err := k.rates.failed(address); err != nil {
			return nil, err
		}
		if err := k.read(ctx); err != nil { // it may be new
			return nil, err
		}
		c = k.find(hash)
	}
	now := k.opts.Now()
	var err error
	switch {
	case c == nil:
		err = orchestrator.Errorf(orchestrator.Unauthenticated, "", "this token or session is not known: it was revoked, has ended, or never was")
	case c.expired(now, k.opts.SessionIdle):
		err = orchestrator.Errorf(orchestrator.Unauthenticated, "", "%q has expired; sign in again, or use another token", c.Name)
	default:
		c.use(now)
		p := c.Principal
		p.held, p.Address, p.Door = c, address, door
		return &p, nil
	}
	k.refused(ctx, &Principal{Address: address, Door: door}, Action{Name: "authenticate"}, err)
	return nil, err
}

func (k *Keeper) find(hash [sha256.Size]byte) *credential {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.byHash[hash]
}

// read takes over the store's credentials when they changed, and ends those that are gone.
func (k *Keeper) read(ctx context.Context) error {
	k.reading.Lock()
	defer k.reading.Unlock()
	row, err := k.opts.Store.Read.Installation.Query().Only(ctx)
	if err != nil {
		return fmt.Errorf("looking for changed credentials: %w", err)
	}
	if row.AccessChanges == k.changes {
		return nil
	}
	read := k.opts.Store.Read
	tokens, err := read.Token.Query().All(ctx)
	if err != nil {
		return fmt.Errorf("reading tokens: %w", err)
	}
	sessions, err := read.Session.Query().All(ctx)
	if err != nil {
		return fmt.Errorf("reading sessions: %w", err)
	}
	fresh := make(map[[sha256.Size]byte]*credential, len(tokens)+len(sessions))
	add := func(hash []byte, p Principal, tokenID string, used, created time.Time) {
		key := [sha256.Size]byte(hash)
		if c := k.byHash[key]; c != nil {
			fresh[key] = c
			return
		}
		c := &credential{Principal: p, tokenID: tokenID}
		c.life, c.end = context.WithCancel(context.Background())
		if used.IsZero() && p.Session {
			used = created
		}
		if !used.IsZero() {
			c.use(used)
		}
		c.flushed.Store(c.lastUsed.Load())
		fresh[key] = c
	}
	for _, t := range tokens {
		add(t.Hash, Principal{ID: t.ID, Name: t.Name, Role: Role(t.Role), Kinds: kindsOf(t.Kinds), Expires: deref(t.ExpiresAt)}, "", deref(t.LastUsedAt), t.CreatedAt)
	}
	for _, s := range sessions {
		add(s.Hash, Principal{ID: s.ID, Name: s.Name, Role: Role(s.Role), Kinds: kindsOf(s.Kinds), Expires: deref(s.ExpiresAt), Session: true}, s.TokenID, deref(s.LastUsedAt), s.CreatedAt)
	}
	old := k.byHash
	k.mu.Lock()
	k.byHash = fresh
	k.mu.Unlock()
	k.changes = row.AccessChanges
	for hash, c := range old {
		if fresh[hash] == nil {
			c.end()
		}
	}
	return nil
}

// all are the credentials, in no order.
func (k *Keeper) all() []*credential {
	k.mu.RLock()
	defer k.mu.RUnlock()
	all := make([]*credential, 0, len(k.byHash))
	for _, c := range k.byHash {
		all = append(all, c)
	}
	return all
}

// endExpired tells those who hold an expired credential.
func (k *Keeper) endExpired() {
	now := k.opts.Now()
	for _, c := range k.all() {
		if c.expired(now, k.opts.SessionIdle) {
			c.end()
		}
	}
}

// flush writes last uses, and deletes sessions and links that have expired. Expired tokens stay until they are revoked,
// so that one sees why a program cannot sign in any more.
func (k *Keeper) flush(ctx context.Context) error {
	now := k.opts.Now()
	var gone []string
	used := map[*credential]int64{}
	for _, c := range k.all() {
		if c.open.Load() > 0 {
			c.use(now)
		}
		if c.Session && c.expired(now, k.opts.SessionIdle) {
			gone = append(gone, c.ID)
		} else if at := c.lastUsed.Load(); at != c.flushed.Load() {
			used[c] = at
		}
	}
	links, err := k.expiredLinks(ctx, now)
	if err != nil || len(gone)+len(used)+len(links) == 0 {
		return err
	}
	err = k.inTx(ctx, func(tx *ent.Tx) error {
		for c, at := range used {
			if err := setLastUsed(ctx, tx, c, time.Unix(0, at).UTC()); err != nil {
				return err
			}
		}
		return deleteExpired(ctx, tx, gone, links)
	})
	if err != nil {
		return err
	}
	for c, at := range used {
		c.flushed.Store(at)
	}
	if len(gone) > 0 {
		return k.read(ctx)
	}
	return nil
}

func (k *Keeper) inTx(ctx context.Context, f func(tx *ent.Tx) error) error {
	tx, err := k.opts.Store.Write.Tx(ctx)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// change changes credentials, and has every uws take over what changed.
func (k *Keeper) change(ctx context.Context, f func(tx *ent.Tx) error) error {
	err := k.inTx(ctx, func(tx *ent.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		return raiseChanges(ctx, tx)
	})
	if err != nil {
		return err
	}
	return k.read(ctx)
}

func raiseChanges(ctx context.Context, tx *ent.Tx) error {
	return tx.Installation.Update().AddAccessChanges(1).Exec(ctx)
}

// newSecret has 260 random bits after its prefix.
func newSecret(prefix string) (secret string, hash []byte) {
	secret = prefix + rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(secret))
	return secret, sum[:]
}

func newID(letter string) string { return letter + strings.ToLower(rand.Text()[:16]) }

func kindsOf(names []string) []catalog.Kind {
	var kinds []catalog.Kind
	for _, n := range names {
		kinds = append(kinds, catalog.Kind(n))
	}
	slices.Sort(kinds)
	return kinds
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
