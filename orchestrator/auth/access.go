// Package auth provides access control: the credentials of programs and browsers, their roles, the rates at
// which they may act, and the log of what they did.
//
// A credential is a random secret; the store holds its hash. Authenticator caches all credentials in memory, so that a
// request costs one map lookup. It reloads them when another process changed them: another uws, or the command
// line. A connection that was opened with a credential is closed when that credential ends.
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

// Role is what a credential may do. Each one may do what those before it may.
type Role string

const (
	Viewer   Role = "VIEWER"   // reads and subscribes
	Operator Role = "OPERATOR" // launches, restarts, stops, starts, checks, reveals, rotates, removes but keeps the data
	Admin    Role = "ADMIN"    // deletes data, and manages nodes, tokens, sessions and the audit log
)

// Roles in rising order.
var Roles = []Role{Viewer, Operator, Admin}

// Allows reports whether the role r may do what requires the role need. It is false if either role is unknown.
func (r Role) Allows(need Role) bool {
	has, needed := slices.Index(Roles, r), slices.Index(Roles, need)
	return needed >= 0 && has >= needed
}

// ParseRole reads a role, in letters of any case.
func ParseRole(s string) (Role, error) {
	if r := Role(strings.ToUpper(s)); slices.Contains(Roles, r) {
		return r, nil
	}
	return "", orchestrator.Errorf(orchestrator.InvalidInput, "role", "%.40q is not a role; it is one of VIEWER, OPERATOR, ADMIN", s)
}

// Door is the way by which somebody came.
type Door string

const (
	HTTP      Door = "HTTP"
	WebSocket Door = "WEBSOCKET"
	Old       Door = "OLD_ENDPOINT"
	Command   Door = "COMMAND" // the command line of this machine
)

// Principal is the authenticated caller of a request. It is immutable.
type Principal struct {
	ID      string // of the token or session; empty for the command line
	Name    string
	Role    Role
	Kinds   []catalog.Kind // that it is limited to, sorted; all when empty
	Session bool           // else a token
	Expires time.Time      // zero: never
	Address string         // from where, without a port
	Door    Door

	held *credential
}

// CommandLine returns the principal of the command line: it may do everything, because it can read the data folder.
func CommandLine() *Principal { return &Principal{Name: "command line", Role: Admin, Door: Command} }

// Scope is equal for principals who are shown the same.
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

// By is p, come by another door.
func (p *Principal) By(door Door) *Principal {
	other := *p
	other.Door = door
	return &other
}

// Hold says that something is open for p, which counts as use until release is called, once. ended is called, once and
// in a goroutine of its own, when the credential is revoked or expires before that.
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

// credential is a token or session that can be used. Its first group never changes.
type credential struct {
	Principal
	tokenID string // that a session was made with
	life    context.Context
	end     context.CancelFunc

	lastUsed atomic.Int64 // Unix nanoseconds
	flushed  atomic.Int64 // lastUsed as the store has it
	open     atomic.Int32 // that hold it
}

func (c *credential) use(now time.Time) { c.lastUsed.Store(now.UnixNano()) }

// expired reports whether c has ended by itself. Sessions that nothing holds end when they are idle.
func (c *credential) expired(now time.Time, idle time.Duration) bool {
	if !c.Expires.IsZero() && !now.Before(c.Expires) {
		return true
	}
	return c.Session && c.open.Load() == 0 && now.Sub(time.Unix(0, c.lastUsed.Load())) >= idle
}
