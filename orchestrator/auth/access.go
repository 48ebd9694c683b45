// Package auth provides access control: the credentials of programs and browsers, their roles, their rate limits, and
// the audit log of their actions.
//
// A credential is a random secret; the store holds its hash. Authenticator caches all credentials in memory, so a
// request costs one map lookup. It reloads them after another process changes them: another uws, or the command line.
// When a credential ends, the connections opened with it are closed.
package auth

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// Role is what a credential may do. Each role includes the ones before it.
type Role string

const (
	Viewer   Role = "VIEWER"   // reads and subscribes
	Operator Role = "OPERATOR" // launches, restarts, stops, starts, checks, reveals, rotates, and removes services whose data is retained
	Admin    Role = "ADMIN"    // deletes data, and manages nodes, tokens, sessions and the audit log
)

// Roles lists the roles in rising order.
var Roles = []Role{Viewer, Operator, Admin}

// Allows reports whether the role r includes the role need. It is false if either role is unknown.
func (r Role) Allows(need Role) bool {
	has, needed := slices.Index(Roles, r), slices.Index(Roles, need)
	return needed >= 0 && has >= needed
}

// ParseRole parses the name of a role. Case is ignored.
func ParseRole(s string) (Role, error) {
	if r := Role(strings.ToUpper(s)); slices.Contains(Roles, r) {
		return r, nil
	}
	return "", orchestrator.Errorf(orchestrator.InvalidInput, "role", "%.40q is not a role; it is one of VIEWER, OPERATOR, ADMIN", s)
}

// Channel is how a request arrived. In GraphQL, in the store and in the JSON of the audit log it is called "door"; that
// name is kept for existing clients.
type Channel string

const (
	HTTP      Channel = "HTTP"
	WebSocket Channel = "WEBSOCKET"
	Old       Channel = "OLD_ENDPOINT"
	Command   Channel = "COMMAND" // the command line of this machine
)

// Principal is the authenticated caller of a request. It is immutable.
type Principal struct {
	ID      string // of the token or session; empty for the command line
	Name    string
	Role    Role
	Kinds   []catalog.Kind // the principal is limited to these, sorted; empty means all
	Session bool           // false for a token
	Expires time.Time      // zero means never
	Address string         // remote IP address, without a port
	Channel Channel

	held *credential
}

// CommandLine returns the principal of the command line: it may do everything, because it can read the data folder.
func CommandLine() *Principal { return &Principal{Name: "command line", Role: Admin, Channel: Command} }

// Scope returns a key that is equal for principals who may see the same services.
func (p *Principal) Scope() string {
	parts := []string{string(p.Role)}
	for _, k := range p.Kinds {
		parts = append(parts, string(k))
	}
	return strings.Join(parts, " ")
}

// Sees reports whether p may see services of kind k.
func (p *Principal) Sees(k catalog.Kind) bool {
	return len(p.Kinds) == 0 || slices.Contains(p.Kinds, k)
}

// By returns a copy of p for a request on another channel.
func (p *Principal) By(channel Channel) *Principal {
	other := *p
	other.Channel = channel
	return &other
}

// Hold marks the credential of p as in use until release is called. release must be called exactly once. If the
// credential is revoked or expires first, Hold calls ended once, in a goroutine of its own.
func (p *Principal) Hold(ended func()) (release func()) {
	if p.held == nil {
		return func() {}
	}
	p.held.open.Add(1)
	stop := context.AfterFunc(p.held.life, ended)
	return func() {
		stop()
		p.held.use(time.Now())
		p.held.open.Add(-1)
	}
}

type principalKey struct{}

// With returns a copy of ctx that carries the principal p.
func With(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From returns the principal of ctx, or nil if the caller is not authenticated.
func From(ctx context.Context) *Principal {
	p, _ := ctx.Value(principalKey{}).(*Principal)
	return p
}

// Require returns an error unless the principal of ctx has at least the role need.
func Require(ctx context.Context, need Role) error {
	p := From(ctx)
	switch {
	case p == nil:
		return orchestrator.Errorf(orchestrator.Unauthenticated, "", "sign in first: send Authorization: Bearer with a token, or sign in with the browser")
	case !p.Role.Allows(need):
		return orchestrator.Errorf(orchestrator.Forbidden, "", "this needs the role %s; %q has %s", need, p.Name, p.Role)
	}
	return nil
}

// credential is a token or session that has not ended. The fields of the first group are immutable.
type credential struct {
	Principal
	tokenID string // token that the session was created with
	life    context.Context
	end     context.CancelFunc

	lastUsed atomic.Int64 // Unix nanoseconds
	flushed  atomic.Int64 // lastUsed as stored
	open     atomic.Int32 // number of open connections that use it
}

func (c *credential) use(now time.Time) { c.lastUsed.Store(now.UnixNano()) }

// expired reports whether c has expired. A session also expires when it has been idle for longer than idle and no
// connection uses it.
func (c *credential) expired(now time.Time, idle time.Duration) bool {
	if !c.Expires.IsZero() && !now.Before(c.Expires) {
		return true
	}
	return c.Session && c.open.Load() == 0 && now.Sub(time.Unix(0, c.lastUsed.Load())) >= idle
}
