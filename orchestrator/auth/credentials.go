package auth

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/loginlink"
	"github.com/unicorn-web-services/uws/ent/session"
	"github.com/unicorn-web-services/uws/ent/token"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

const (
	maxName  = 100 // characters
	maxAgent = 300 // maximum length in bytes of a stored User-Agent
)

// TokenInput describes a token to create.
type TokenInput struct {
	Name    string
	Role    Role
	Kinds   []catalog.Kind // empty means all
	Expires *time.Time     // nil means never
}

// Token describes a token without its secret.
type Token struct {
	ID, Name  string
	Role      Role
	Kinds     []catalog.Kind
	CreatedAt time.Time
	CreatedBy string
	ExpiresAt *time.Time
	LastUsed  *time.Time
}

// Session describes a session without its secret.
type Session struct {
	ID, Name       string
	Role           Role
	Kinds          []catalog.Kind
	CreatedAt      time.Time
	ExpiresAt      *time.Time // end of the session even if it is used
	LastUsed       *time.Time
	Address, Agent string
	Current        bool // whether it is the session of the caller
}

// CreateToken creates a token and returns its secret. The secret is not stored and cannot be shown again.
func (au *Authenticator) CreateToken(ctx context.Context, in TokenInput) (secret string, _ *Token, err error) {
	if err := au.validate(&in); err != nil {
		return "", nil, err
	}
	secret, hash := newSecret(tokenPrefix)
	t := &Token{
		ID: newID("t"), Name: in.Name, Role: in.Role, Kinds: in.Kinds, CreatedAt: au.opts.Now().UTC(), CreatedBy: From(ctx).Name, ExpiresAt: in.Expires,
	}
	err = au.change(ctx, func(tx *ent.Tx) error {
		taken, err := tx.Token.Query().Where(token.Name(in.Name)).Exist(ctx)
		if err != nil {
			return err
		}
		if taken {
			return orchestrator.Errorf(orchestrator.Conflict, "name", "a token named %q already exists; choose another name, or revoke that token first", in.Name)
		}
		return tx.Token.Create().SetID(t.ID).SetHash(hash).SetName(t.Name).SetRole(string(t.Role)).SetKinds(namesOf(t.Kinds)).
			SetCreatedAt(t.CreatedAt).SetNillableExpiresAt(t.ExpiresAt).SetCreatedBy(t.CreatedBy).Exec(ctx)
	})
	if err != nil {
		return "", nil, err
	}
	return secret, t, nil
}

func (au *Authenticator) validate(in *TokenInput) error {
	if err := checkName(in.Name); err != nil {
		return err
	}
	if _, err := ParseRole(string(in.Role)); err != nil {
		return err
	}
	slices.Sort(in.Kinds)
	in.Kinds = slices.Compact(in.Kinds)
	if in.Role == Admin && len(in.Kinds) > 0 {
		return orchestrator.Errorf(orchestrator.InvalidInput, "kinds", "an ADMIN can create any token, so limiting one to kinds has no effect; use VIEWER or OPERATOR, or leave kinds out")
	}
	if in.Expires != nil && !in.Expires.After(au.opts.Now()) {
		return orchestrator.Errorf(orchestrator.InvalidInput, "expiresAt", "must be in the future, not %s", in.Expires.UTC().Format(time.RFC3339))
	}
	return nil
}

func checkName(name string) error {
	if name == "" || len([]rune(name)) > maxName || name != strings.TrimSpace(name) || strings.ContainsFunc(name, obeyed) {
		return orchestrator.Errorf(orchestrator.InvalidInput, "name", "must have 1 to %d printable characters, without spaces at the ends", maxName)
	}
	return nil
}

// obeyed reports whether a terminal interprets r: a control character, or one that changes the direction of text.
func obeyed(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// Tokens returns the tokens, sorted by name.
func (au *Authenticator) Tokens(ctx context.Context) ([]*Token, error) {
	rows, err := au.opts.Store.Read.Token.Query().Order(ent.Asc(token.FieldName)).All(ctx)
	if err != nil {
		return nil, err
	}
	used := au.lastUses()
	tokens := make([]*Token, len(rows))
	for i, r := range rows {
		tokens[i] = &Token{
			ID: r.ID, Name: r.Name, Role: Role(r.Role), Kinds: kindsOf(r.Kinds), CreatedAt: r.CreatedAt, CreatedBy: r.CreatedBy,
			ExpiresAt: r.ExpiresAt, LastUsed: newest(r.LastUsedAt, used[r.ID]),
		}
	}
	return tokens, nil
}

// RevokeToken ends the token with the given id or name, and the sessions created with it.
func (au *Authenticator) RevokeToken(ctx context.Context, id string) error {
	return au.change(ctx, func(tx *ent.Tx) error {
		t, err := tx.Token.Query().Where(token.Or(token.ID(id), token.Name(id))).Order(ent.Asc(token.FieldID)).First(ctx)
		if ent.IsNotFound(err) {
			return orchestrator.Errorf(orchestrator.NotFound, "id", "there is no token %.100q", id)
		}
		if err != nil {
			return err
		}
		if _, err := tx.Session.Delete().Where(session.TokenID(t.ID)).Exec(ctx); err != nil {
			return err
		}
		return tx.Token.DeleteOne(t).Exec(ctx)
	})
}

// Sessions returns the active sessions, newest first. An ADMIN gets all sessions, others their own.
func (au *Authenticator) Sessions(ctx context.Context) ([]*Session, error) {
	rows, err := au.opts.Store.Read.Session.Query().Order(ent.Desc(session.FieldCreatedAt), ent.Asc(session.FieldID)).All(ctx)
	if err != nil {
		return nil, err
	}
	p, used := From(ctx), au.lastUses()
	sessions := []*Session{}
	for _, r := range rows {
		if !p.Role.Allows(Admin) && r.ID != p.ID {
			continue
		}
		sessions = append(sessions, &Session{
			ID: r.ID, Name: r.Name, Role: Role(r.Role), Kinds: kindsOf(r.Kinds), CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt,
			LastUsed: newest(r.LastUsedAt, used[r.ID]), Address: r.Address, Agent: r.Agent, Current: r.ID == p.ID,
		})
	}
	return sessions, nil
}

// RevokeSession ends a session. An ADMIN can end any session, others their own.
func (au *Authenticator) RevokeSession(ctx context.Context, id string) error {
	return au.change(ctx, func(tx *ent.Tx) error {
		mine := From(ctx).Role.Allows(Admin) || From(ctx).ID == id
		if mine {
			n, err := tx.Session.Delete().Where(session.ID(id)).Exec(ctx)
			if err != nil || n == 1 {
				return err
			}
		}
		return orchestrator.Errorf(orchestrator.NotFound, "id", "there is no session %.100q, or it is not yours", id)
	})
}

// LinkInput describes a login link to create.
type LinkInput struct {
	Name  string
	Role  Role
	Kinds []catalog.Kind
}

// LinkPath returns the path of a login link. The secret is in the fragment, which browsers do not send. So it does not
// appear in the logs of servers and proxies, and a link preview does not use it up.
func LinkPath(secret string) string { return "/sign-in#" + secret }

// CreateLink creates a secret that signs in one browser, once, within LinkLifetime.
func (au *Authenticator) CreateLink(ctx context.Context, in LinkInput) (secret string, expires time.Time, err error) {
	now := au.opts.Now().UTC()
	expires = now.Add(LinkLifetime)
	if err := au.validate(&TokenInput{Name: in.Name, Role: in.Role, Kinds: in.Kinds}); err != nil {
		return "", expires, err
	}
	secret, hash := newSecret(linkPrefix)
	err = au.inTx(ctx, func(tx *ent.Tx) error {
		return tx.LoginLink.Create().SetID(newID("l")).SetHash(hash).SetName(in.Name).SetRole(string(in.Role)).SetKinds(namesOf(in.Kinds)).
			SetCreatedAt(now).SetExpiresAt(expires).Exec(ctx)
	})
	return secret, expires, err
}

// FirstLink creates a login link with the role ADMIN if nobody has signed in to this installation yet. Otherwise it
// returns "".
func (au *Authenticator) FirstLink(ctx context.Context) (secret string, err error) {
	read := au.opts.Store.Read
	known, err := read.Session.Query().Exist(ctx)
	if err == nil && !known {
		known, err = au.everSignedIn(ctx)
	}
	if err != nil || known {
		return "", err
	}
	secret, _, err = au.CreateLink(With(ctx, CommandLine()), LinkInput{Name: "owner", Role: Admin})
	return secret, err
}

// SignIn creates a session from a login link or a token, and returns its secret.
func (au *Authenticator) SignIn(ctx context.Context, with, address, agent string) (secret SessionSecret, _ *Principal, err error) {
	who := &Principal{Address: address, Channel: HTTP}
	defer func() {
		if err != nil && orchestrator.CodeOf(err) != orchestrator.RateLimited {
			au.refused(ctx, who, Action{Name: "signIn"}, err)
		}
	}()
	if err := au.knows(ctx, with, address); err != nil {
		return SessionSecret{}, nil, err
	}
	now := au.opts.Now().UTC()
	made := Principal{ID: newID("s"), Session: true, Expires: now.Add(au.opts.SessionLifetime), Address: address, Channel: HTTP}
	secret, hash := newSessionSecret()
	err = au.change(ctx, func(tx *ent.Tx) error {
		tokenID, err := fill(ctx, tx, &made, with, now)
		if err != nil {
			return err
		}
		who = &made
		return tx.Session.Create().SetID(made.ID).SetHash(hash).SetName(made.Name).SetRole(string(made.Role)).SetKinds(namesOf(made.Kinds)).
			SetCreatedAt(now).SetExpiresAt(made.Expires).SetLastUsedAt(now).SetTokenID(tokenID).SetAddress(address).
			SetAgent(strings.ToValidUTF8(agent[:min(len(agent), maxAgent)], "")).Exec(ctx)
	})
	if err != nil {
		return SessionSecret{}, nil, err
	}
	if err := au.record(ctx, who, Action{Name: "signIn"}, nil); err != nil {
		return SessionSecret{}, nil, err
	}
	return secret, who, nil
}

// knows returns an error unless the secret is that of a login link or a token. Only unknown secrets count as failed
// sign-ins, so that a caller with a valid secret is never blocked by others at the same address.
func (au *Authenticator) knows(ctx context.Context, secret, address string) error {
	sum := sha256.Sum256([]byte(secret))
	known, err := au.opts.Store.Read.LoginLink.Query().Where(loginlink.Hash(sum[:])).Exist(ctx)
	if err == nil && !known {
		known, err = au.opts.Store.Read.Token.Query().Where(token.Hash(sum[:])).Exist(ctx)
	}
	if err != nil || known {
		return err
	}
	if err := au.rates.signIn(address); err != nil {
		return err
	}
	return unknownSecret(secret)
}

// fill gives a new session the rights of the link or token it is created with. A link is deleted.
func fill(ctx context.Context, tx *ent.Tx, s *Principal, secret string, now time.Time) (tokenID string, err error) {
	sum := sha256.Sum256([]byte(secret))
	var names []string
	var role string
	var expires time.Time
	if link, err := tx.LoginLink.Query().Where(loginlink.Hash(sum[:])).Only(ctx); err == nil {
		if !now.Before(deref(link.ExpiresAt)) {
			return "", orchestrator.Errorf(orchestrator.Unauthenticated, "", "this login link has expired; `uws login-link` makes another")
		}
		if err := tx.LoginLink.DeleteOne(link).Exec(ctx); err != nil {
			return "", err
		}
		s.Name, role, names = link.Name, link.Role, link.Kinds
	} else if !ent.IsNotFound(err) {
		return "", err
	} else {
		t, err := tx.Token.Query().Where(token.Hash(sum[:])).Only(ctx)
		if ent.IsNotFound(err) {
			return "", unknownSecret(secret)
		}
		if err != nil {
			return "", err
		}
		s.Name, role, names, tokenID, expires = t.Name, t.Role, t.Kinds, t.ID, deref(t.ExpiresAt)
		if !expires.IsZero() && !now.Before(expires) {
			return "", orchestrator.Errorf(orchestrator.Unauthenticated, "", "the token %q has expired; use another", t.Name)
		}
	}
	s.Role, s.Kinds = Role(role), kindsOf(names)
	if !expires.IsZero() && expires.Before(s.Expires) {
		s.Expires = expires
	}
	return tokenID, nil
}

// unknownSecret returns the error for an unknown secret. Its text depends on the kind of secret that the prefix shows.
func unknownSecret(secret string) error {
	text := "this is neither a login link nor a token; `uws login-link` prints a link"
	switch {
	case strings.HasPrefix(secret, linkPrefix):
		text = "this login link was already used, or is mistyped; `uws login-link` prints another"
	case strings.HasPrefix(secret, tokenPrefix):
		text = "this token is mistyped, or was revoked; `uws token list` shows the tokens that exist"
	case strings.HasPrefix(secret, sessionPrefix), strings.HasPrefix(secret, keyPrefix):
		text = "this is the secret of a session, which cannot be used to sign in; use a login link or a token"
	}
	return orchestrator.Errorf(orchestrator.Unauthenticated, "", "%s", text)
}

// SignOut ends the session of the caller.
func (au *Authenticator) SignOut(ctx context.Context) error {
	p := From(ctx)
	_, err := au.Do(ctx, Action{Name: "signOut", Needs: Viewer}, func(ctx context.Context) (any, error) {
		if !p.Session {
			return nil, orchestrator.Errorf(orchestrator.InvalidInput, "", "only a session can sign out; revoke a token instead")
		}
		return nil, au.RevokeSession(ctx, p.ID)
	})
	return err
}

func (au *Authenticator) lastUses() map[string]time.Time {
	uses := map[string]time.Time{}
	for _, c := range au.all() {
		if at := c.lastUsed.Load(); at != 0 {
			uses[c.ID] = time.Unix(0, at).UTC()
		}
	}
	return uses
}

func newest(stored *time.Time, known time.Time) *time.Time {
	if known.IsZero() || stored != nil && stored.After(known) {
		return stored
	}
	return &known
}

func setLastUsed(ctx context.Context, tx *ent.Tx, c *credential, at time.Time) error {
	var err error
	if c.Session {
		_, err = tx.Session.Update().Where(session.ID(c.ID)).SetLastUsedAt(at).Save(ctx)
	} else {
		_, err = tx.Token.Update().Where(token.ID(c.ID)).SetLastUsedAt(at).Save(ctx)
	}
	return err
}

func (au *Authenticator) expiredLinks(ctx context.Context, now time.Time) ([]string, error) {
	return au.opts.Store.Read.LoginLink.Query().Where(loginlink.ExpiresAtLTE(now.UTC())).IDs(ctx)
}

func deleteExpired(ctx context.Context, tx *ent.Tx, sessions, links []string) error {
	if _, err := tx.LoginLink.Delete().Where(loginlink.IDIn(links...)).Exec(ctx); err != nil {
		return err
	}
	if len(sessions) == 0 {
		return nil
	}
	if _, err := tx.Session.Delete().Where(session.IDIn(sessions...)).Exec(ctx); err != nil {
		return err
	}
	return raiseChanges(ctx, tx)
}

func namesOf(kinds []catalog.Kind) []string {
	var names []string
	for _, k := range kinds {
		names = append(names, string(k))
	}
	return names
}
