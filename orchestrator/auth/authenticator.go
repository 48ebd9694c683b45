package auth

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
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

const (
	// LinkLifetime is how long a login link stays valid.
	LinkLifetime = 15 * time.Minute

	tokenPrefix   = "uwst_" // identifies the kind of secret to people and to scanners for leaked secrets
	sessionPrefix = "uwss_"
	linkPrefix    = "uwsl_"

	lookEvery  = 500 * time.Millisecond // interval for reading changes by other processes; a revocation takes effect within a second
	flushEvery = 10 * time.Second       // interval for writing the times of last use
	sumUpEvery = time.Minute            // interval for recording the number of refusals without a line of their own
)

// Options configures an Authenticator.
type Options struct {
	Store *store.Store
	// ReadOnly is the reason why only credentials may be changed. Empty means that everything may be changed.
	ReadOnly string
	Log      *slog.Logger // nil means no log
	// SessionIdle is the time after which an unused session ends. An open dashboard counts as use. Zero means 24 h.
	SessionIdle time.Duration
	// SessionLifetime is the time after which a session ends even if it is used. Zero means 30 days.
	SessionLifetime time.Duration
	// AuditRetention is the age at which lines of the audit log are moved into archives. The minimum is
	// [MinAuditRetention]. Zero keeps all lines in the log.
	AuditRetention time.Duration
	Registerer     prometheus.Registerer // nil means no metrics
	Rates          Rates
	Now            func() time.Time // nil means time.Now
}

// Authenticator resolves tokens and sessions to principals, and records their actions. It is safe for concurrent use.
type Authenticator struct {
	opts  Options
	rates *limiters
	// readers are the callers and what they read within the last hour, as far as that is recorded.
	readers *expirable.LRU[string, struct{}]

	metrics   auditMetrics
	unwritten atomic.Int64 // number of refusals that are not in the audit log yet

	reading sync.Mutex // held while credentials are reloaded
	mu      sync.RWMutex
	changes int // the store's change counter at the last reload; -1 before the first
	byHash  map[[sha256.Size]byte]*credential
}

// Open returns an Authenticator with the credentials in the store.
func Open(ctx context.Context, opts Options) (*Authenticator, error) {
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
	if opts.AuditRetention != 0 && opts.AuditRetention < MinAuditRetention {
		return nil, fmt.Errorf("auth: AuditRetention %s must be at least %s, or 0", opts.AuditRetention, MinAuditRetention)
	}
	k := &Authenticator{opts: opts, rates: newLimiters(opts.Rates), readers: expirable.NewLRU[string, struct{}](limitedKeys, nil, time.Hour), changes: -1}
	if err := k.registerMetrics(opts.Registerer); err != nil {
		return nil, err
	}
	return k, k.read(ctx)
}

// CookieName returns the name of the session cookie. The name differs between installations, because cookies are shared
// by all ports of a host. With TLS the prefix "__Host-" makes browsers accept the cookie only from this host and only
// over TLS.
func (au *Authenticator) CookieName(secure bool) string {
	name := "uws_" + au.opts.Store.Installation[:8]
	if secure {
		return "__Host-" + name
	}
	return name
}

// SessionLifetime returns the time after which a session ends even if it is used.
func (au *Authenticator) SessionLifetime() time.Duration { return au.opts.SessionLifetime }

// Run reloads changed credentials, ends expired ones, and archives old lines of the audit log, until ctx ends.
func (au *Authenticator) Run(ctx context.Context) error {
	retained := make(chan struct{})
	go func() {
		defer close(retained)
		au.retain(ctx)
	}()
	defer func() { <-retained }()
	look, flush, sum := time.NewTicker(lookEvery), time.NewTicker(flushEvery), time.NewTicker(sumUpEvery)
	defer look.Stop()
	defer flush.Stop()
	defer sum.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			ctx := context.WithoutCancel(ctx)
			return errors.Join(au.flush(ctx), au.sumUp(ctx))
		case <-look.C:
			err = au.read(ctx)
			au.endExpired()
		case <-flush.C:
			err = au.flush(ctx)
		case <-sum.C:
			err = au.sumUp(ctx)
		}
		if err != nil && ctx.Err() == nil {
			au.opts.Log.Error("updating credentials failed", slog.Any("error", err))
		}
	}
}

func (au *Authenticator) authenticate(ctx context.Context, hash [sha256.Size]byte, session bool, address string, channel Channel) (*Principal, error) {
	c := au.find(hash)
	if c == nil {
		if err := au.rates.failed(address); err != nil {
			return nil, err
		}
		if err := au.read(ctx); err != nil { // the credential may be new
			return nil, err
		}
		c = au.find(hash)
	}
	now := au.opts.Now()
	var err error
	switch {
	case c == nil || c.Session != session:
		err = orchestrator.Errorf(orchestrator.Unauthenticated, "", "unknown token or session: it was revoked, has expired, or never existed")
	case c.expired(now, au.opts.SessionIdle):
		err = orchestrator.Errorf(orchestrator.Unauthenticated, "", "%q has expired; sign in again, or use another token", c.Name)
	default:
		c.use(now)
		p := c.Principal
		p.held, p.Address, p.Channel = c, address, channel
		return &p, nil
	}
	au.refused(ctx, &Principal{Address: address, Channel: channel}, Action{Name: "authenticate"}, err)
	return nil, err
}

func (au *Authenticator) find(hash [sha256.Size]byte) *credential {
	au.mu.RLock()
	defer au.mu.RUnlock()
	return au.byHash[hash]
}

// read reloads the credentials if they changed in the store, and ends those that were deleted.
func (au *Authenticator) read(ctx context.Context) error {
	au.reading.Lock()
	defer au.reading.Unlock()
	row, err := au.opts.Store.Read.Installation.Query().Only(ctx)
	if err != nil {
		return fmt.Errorf("looking for changed credentials: %w", err)
	}
	if row.AccessChanges == au.changes {
		return nil
	}
	read := au.opts.Store.Read
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
		if c := au.byHash[key]; c != nil {
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
	old := au.byHash
	au.mu.Lock()
	au.byHash = fresh
	au.mu.Unlock()
	au.changes = row.AccessChanges
	for hash, c := range old {
		if fresh[hash] == nil {
			c.end()
		}
	}
	return nil
}

// all returns the credentials in no particular order.
func (au *Authenticator) all() []*credential {
	au.mu.RLock()
	defer au.mu.RUnlock()
	all := make([]*credential, 0, len(au.byHash))
	for _, c := range au.byHash {
		all = append(all, c)
	}
	return all
}

// endExpired ends expired credentials, which closes their connections.
func (au *Authenticator) endExpired() {
	now := au.opts.Now()
	for _, c := range au.all() {
		if c.expired(now, au.opts.SessionIdle) {
			c.end()
		}
	}
}

// flush writes the times of last use, and deletes expired sessions and links. Expired tokens are kept until they are
// revoked, so that users can see why a program can no longer sign in.
func (au *Authenticator) flush(ctx context.Context) error {
	now := au.opts.Now()
	var gone []string
	used := map[*credential]int64{}
	for _, c := range au.all() {
		if c.open.Load() > 0 {
			c.use(now)
		}
		if c.Session && c.expired(now, au.opts.SessionIdle) {
			gone = append(gone, c.ID)
		} else if at := c.lastUsed.Load(); at != c.flushed.Load() {
			used[c] = at
		}
	}
	links, err := au.expiredLinks(ctx, now)
	if err != nil || len(gone)+len(used)+len(links) == 0 {
		return err
	}
	err = au.inTx(ctx, func(tx *ent.Tx) error {
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
		return au.read(ctx)
	}
	return nil
}

func (au *Authenticator) inTx(ctx context.Context, f func(tx *ent.Tx) error) error {
	tx, err := au.opts.Store.Write.Tx(ctx)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// change runs f in a transaction and increments the change counter, so that every uws reloads its credentials.
func (au *Authenticator) change(ctx context.Context, f func(tx *ent.Tx) error) error {
	err := au.inTx(ctx, func(tx *ent.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		return raiseChanges(ctx, tx)
	})
	if err != nil {
		return err
	}
	return au.read(ctx)
}

func raiseChanges(ctx context.Context, tx *ent.Tx) error {
	return tx.Installation.Update().AddAccessChanges(1).Exec(ctx)
}

// newSecret returns a secret with 260 random bits after its prefix, and its hash.
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
