package auth_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// clock returns a fixed time until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func openStore(t *testing.T, dir string, shared bool) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: dir, Shared: shared})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func open(t *testing.T, st *store.Store, c *clock, rates ...auth.Rates) *auth.Authenticator {
	t.Helper()
	opts := auth.Options{Store: st, Now: c.now}
	for _, r := range rates {
		opts.Rates = r
	}
	k, err := auth.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// run runs k until the test ends.
func run(t *testing.T, k *auth.Authenticator) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func newClock() *clock { return &clock{at: time.Now()} }

func admin(t *testing.T) context.Context { return auth.With(t.Context(), auth.CommandLine()) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func token(t *testing.T, k *auth.Authenticator, in auth.TokenInput) string {
	t.Helper()
	secret, _, err := k.CreateToken(admin(t), in)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func knows(t *testing.T, k *auth.Authenticator, secret string) error {
	_, err := k.Authenticate(t.Context(), secret, "192.0.2.1", auth.HTTP)
	return err
}

func knowsSession(t *testing.T, k *auth.Authenticator, secret auth.SessionSecret) error {
	_, err := k.AuthenticateSession(t.Context(), secret, "192.0.2.1", auth.HTTP)
	return err
}

func wantCode(t *testing.T, what string, err error, want orchestrator.Code) {
	t.Helper()
	if err == nil || orchestrator.CodeOf(err) != want {
		t.Errorf("%s: got %v, want %s", what, err, want)
	}
}

func TestTokens(t *testing.T) {
	c := newClock()
	k := open(t, openStore(t, t.TempDir(), false), c)
	end := c.now().Add(time.Hour)
	for what, in := range map[string]auth.TokenInput{
		"no name":           {Role: auth.Viewer},
		"a name of spaces":  {Name: " x", Role: auth.Viewer},
		"a name of lines":   {Name: "a\nb", Role: auth.Viewer},
		"a long name":       {Name: strings.Repeat("x", 101), Role: auth.Viewer},
		"no role":           {Name: "x"},
		"an ADMIN of kinds": {Name: "x", Role: auth.Admin, Kinds: []catalog.Kind{catalog.DB}},
		"one of yesterday":  {Name: "x", Role: auth.Viewer, Expires: new(c.now().Add(-time.Hour))},
	} {
		_, _, err := k.CreateToken(admin(t), in)
		wantCode(t, what, err, orchestrator.InvalidInput)
	}
	secret := token(t, k, auth.TokenInput{Name: "ci", Role: auth.Operator, Kinds: []catalog.Kind{catalog.Queue, catalog.DB, catalog.DB}, Expires: &end})
	_, _, err := k.CreateToken(admin(t), auth.TokenInput{Name: "ci", Role: auth.Viewer})
	wantCode(t, "a name that is taken", err, orchestrator.Conflict)

	p := must(k.Authenticate(t.Context(), secret, "192.0.2.1", auth.WebSocket))
	if p.Name != "ci" || p.Role != auth.Operator || len(p.Kinds) != 2 || !p.Sees(catalog.DB) || p.Sees(catalog.Bucket) || p.Address != "192.0.2.1" || p.Session {
		t.Errorf("got %+v", p)
	}
	list := must(k.Tokens(admin(t)))
	if len(list) != 1 || list[0].CreatedBy != "command line" || list[0].LastUsed == nil || !list[0].LastUsed.Equal(c.now().UTC().Truncate(0)) {
		t.Errorf("got %+v", list[0])
	}
	wantCode(t, "a secret with another end", knows(t, k, secret+"x"), orchestrator.Unauthenticated)
	c.pass(time.Hour)
	wantCode(t, "an expired token", knows(t, k, secret), orchestrator.Unauthenticated)
	if err := k.RevokeToken(admin(t), "ci"); err != nil {
		t.Error(err)
	}
	wantCode(t, "revoking twice", k.RevokeToken(admin(t), list[0].ID), orchestrator.NotFound)
}

// The error for an unknown secret names the kind of secret that its prefix shows.
func TestUnknownSecrets(t *testing.T) {
	k := open(t, openStore(t, t.TempDir(), false), newClock())
	for secret, want := range map[string]string{
		token(t, k, auth.TokenInput{Name: "ci", Role: auth.Viewer}) + "x": "this token is mistyped",
		"uwsl_x": "this login link was already used",
		"uwss_x": "this is the secret of a session",
		"hello":  "neither a login link nor a token",
	} {
		_, _, err := k.SignIn(t.Context(), secret, "192.0.2.1", "test")
		wantCode(t, secret, err, orchestrator.Unauthenticated)
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}

// A line of the audit log has the name of its target, even after the target is deleted.
func TestAuditNamesItsTargets(t *testing.T) {
	k := open(t, openStore(t, t.TempDir(), false), newClock())
	token(t, k, auth.TokenInput{Name: "ci", Role: auth.Viewer})
	id := must(k.Tokens(admin(t)))[0].ID
	_, err := k.Do(admin(t), auth.Action{Name: "revoke", Needs: auth.Admin, Target: id}, func(ctx context.Context) (any, error) {
		return nil, k.RevokeToken(ctx, id)
	})
	if err != nil {
		t.Fatal(err)
	}
	page := must(k.Audit(t.Context(), auth.AuditFilter{Action: "revoke"}, orchestrator.Page{First: 1}))
	if got := page.Items[0]; got.Target != id || got.TargetName != "ci" {
		t.Errorf("got %q, named %q", got.Target, got.TargetName)
	}
}

// The store's files do not contain secrets in clear text.
func TestSecretsAreStoredAsHashes(t *testing.T) {
	dir := t.TempDir()
	st := openStore(t, dir, false)
	c := newClock()
	k := open(t, st, c)
	secrets := []string{token(t, k, auth.TokenInput{Name: "a", Role: auth.Viewer})}
	link, _, err := k.CreateLink(admin(t), auth.LinkInput{Name: "b", Role: auth.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	session, _, err := k.SignIn(t.Context(), secrets[0], "192.0.2.1", "test")
	if err != nil {
		t.Fatal(err)
	}
	secrets = append(secrets, link, session.Cookie, session.Key)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range must(filepath.Glob(filepath.Join(dir, "*"))) {
		data := read(t, path)
		if strings.HasSuffix(path, "uws.db") && !strings.Contains(data, "command line") {
			t.Errorf("%s does not hold what was written", path)
		}
		for _, s := range secrets {
			if strings.Contains(data, s[5:]) {
				t.Errorf("%s holds %s in clear", path, s)
			}
		}
	}
}

func TestSessionsEnd(t *testing.T) {
	c := newClock()
	st := openStore(t, t.TempDir(), false)
	k := open(t, st, c)
	link := func() string {
		secret, _, err := k.CreateLink(admin(t), auth.LinkInput{Name: "owner", Role: auth.Admin})
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	signIn := func(with string) (auth.SessionSecret, error) {
		secret, _, err := k.SignIn(t.Context(), with, "192.0.2.1", "test")
		return secret, err
	}
	late := link()
	c.pass(auth.LinkLifetime)
	_, err := signIn(late)
	wantCode(t, "a link after 15 minutes", err, orchestrator.Unauthenticated)
	once := link()
	idle, used := must(signIn(once)), must(signIn(link()))
	_, err = signIn(once)
	wantCode(t, "a link that was used", err, orchestrator.Unauthenticated)
	_, err = signIn(used.Cookie)
	wantCode(t, "a session's secret", err, orchestrator.Unauthenticated)

	open := must(k.AuthenticateSession(t.Context(), must(signIn(link())), "", auth.WebSocket))
	ended := make(chan struct{})
	release := open.Hold(func() { close(ended) })
	for range 5 {
		c.pass(20 * time.Hour)
		if err := knowsSession(t, k, used); err != nil {
			t.Fatalf("a session that is used every 20 h: %v", err)
		}
	}
	wantCode(t, "a session that was idle for a day", knowsSession(t, k, idle), orchestrator.Unauthenticated)
	run(t, k)
	select {
	case <-ended:
		t.Error("a session that something holds has ended for being idle")
	default:
	}
	for range 40 {
		c.pass(20 * time.Hour)
		_ = knowsSession(t, k, used)
	}
	wantCode(t, "a session of more than 30 days", knowsSession(t, k, used), orchestrator.Unauthenticated)
	<-ended // the session has reached its lifetime too
	release()
}

func TestSessionEndsWithItsToken(t *testing.T) {
	c := newClock()
	k := open(t, openStore(t, t.TempDir(), false), c)
	end := c.now().Add(time.Hour)
	short := token(t, k, auth.TokenInput{Name: "short", Role: auth.Operator, Expires: &end})
	session, p, err := k.SignIn(t.Context(), short, "192.0.2.1", "test")
	if err != nil || p.Role != auth.Operator || !p.Expires.Equal(end.UTC()) {
		t.Fatalf("got %+v, %v", p, err)
	}
	if err := knowsSession(t, k, session); err != nil {
		t.Fatal(err)
	}
	if err := k.RevokeToken(admin(t), "short"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "the session", knowsSession(t, k, session), orchestrator.Unauthenticated)
}

// Changes by another process in the same data folder take effect: a new secret at once, a revocation within a second.
func TestTwoAuthenticators(t *testing.T) {
	dir := t.TempDir()
	c := newClock()
	serving := open(t, openStore(t, dir, false), c)
	run(t, serving)
	command := open(t, openStore(t, dir, true), c)
	secret := token(t, command, auth.TokenInput{Name: "new", Role: auth.Viewer})
	p, err := serving.Authenticate(t.Context(), secret, "192.0.2.1", auth.HTTP)
	if err != nil {
		t.Fatalf("a token that was made elsewhere: %v", err)
	}
	ended := make(chan struct{})
	release := p.Hold(func() { close(ended) })
	defer release()
	if err := command.RevokeToken(admin(t), "new"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody was told of the revocation")
	}
	wantCode(t, "revoked elsewhere", knows(t, serving, secret), orchestrator.Unauthenticated)
}

func TestSessionsAreOnesOwn(t *testing.T) {
	k := open(t, openStore(t, t.TempDir(), false), newClock())
	_, mine, err := k.SignIn(t.Context(), token(t, k, auth.TokenInput{Name: "v", Role: auth.Viewer}), "", "")
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := k.SignIn(t.Context(), token(t, k, auth.TokenInput{Name: "o", Role: auth.Viewer}), "", "")
	if err != nil {
		t.Fatal(err)
	}
	me := auth.With(t.Context(), mine)
	if list := must(k.Sessions(me)); len(list) != 1 || list[0].ID != mine.ID || !list[0].Current {
		t.Errorf("a VIEWER sees %d sessions", len(list))
	}
	if list := must(k.Sessions(admin(t))); len(list) != 2 {
		t.Errorf("an ADMIN sees %d sessions", len(list))
	}
	wantCode(t, "ending another's", k.RevokeSession(me, other.ID), orchestrator.NotFound)
	if err := errors.Join(k.RevokeSession(me, mine.ID), k.RevokeSession(admin(t), other.ID)); err != nil {
		t.Error(err)
	}
}

func TestFirstLink(t *testing.T) {
	k := open(t, openStore(t, t.TempDir(), false), newClock())
	first, again := must(k.FirstLink(t.Context())), must(k.FirstLink(t.Context()))
	if first == "" || again == "" || first == again {
		t.Fatalf("got %q and %q", first, again)
	}
	secret, p, err := k.SignIn(t.Context(), first, "192.0.2.1", "test")
	if err != nil || p.Name != "owner" || p.Role != auth.Admin {
		t.Fatalf("got %+v, %v", p, err)
	}
	if link := must(k.FirstLink(t.Context())); link != "" {
		t.Error("a link is made although somebody is signed in")
	}
	me := must(k.AuthenticateSession(t.Context(), secret, "", auth.HTTP))
	if err := k.SignOut(auth.With(t.Context(), me)); err != nil {
		t.Fatal(err)
	}
	if link := must(k.FirstLink(t.Context())); link != "" {
		t.Error("a link is made although somebody was signed in once")
	}
}

func TestAuditIsAppendOnly(t *testing.T) {
	st := openStore(t, t.TempDir(), false)
	k := open(t, st, newClock())
	do := func() {
		_, err := k.Do(admin(t), auth.Action{Name: "x", Needs: auth.Admin, Target: "y", Detail: map[string]any{"a": 1}}, func(context.Context) (any, error) {
			return nil, errors.New("password hunter2")
		})
		if err == nil || err.Error() != "password hunter2" {
			t.Errorf("got %v", err)
		}
	}
	do()
	change := func(c *ent.Client) error {
		_, err := c.ExecContext(t.Context(), "UPDATE audits SET result = 'OK'")
		return err
	}
	remove := func(c *ent.Client) error { _, err := c.Audit.Delete().Exec(t.Context()); return err }
	replace := func(c *ent.Client) error {
		_, err := c.ExecContext(t.Context(), "INSERT OR REPLACE INTO audits SELECT id, at, 'somebody else', credential, role, address, door, action, target, detail, result, message, target_name FROM audits")
		return err
	}
	for what, f := range map[string]func(*ent.Client) error{"change": change, "delete": remove, "replace": replace} {
		if err := f(st.Write); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: got %v", what, err)
		}
	}
	for range 3 {
		do()
	}
	page := must(k.Audit(t.Context(), auth.AuditFilter{Action: "x", Result: "INTERNAL"}, orchestrator.Page{First: 3}))
	if len(page.Items) != 3 || !page.More || page.Items[0].ID < page.Items[1].ID || page.Items[0].Message != "" || string(page.Items[0].Detail) != `{"a":1}` {
		t.Errorf("got %+v", page.Items)
	}
	rest := must(k.Audit(t.Context(), auth.AuditFilter{}, orchestrator.Page{First: 3, After: page.Cursors[2]}))
	if len(rest.Items) != 1 || rest.More {
		t.Errorf("the second page has %d lines", len(rest.Items))
	}
	_, err := k.Audit(t.Context(), auth.AuditFilter{}, orchestrator.Page{After: "x"})
	wantCode(t, "a cursor that is none", err, orchestrator.InvalidInput)
}

// If the audit line cannot be written, the action returns no result. Otherwise a secret could be revealed without a
// record.
func TestNoAnswerWithoutItsLine(t *testing.T) {
	st := openStore(t, t.TempDir(), false)
	k := open(t, st, newClock())
	if _, err := st.Write.ExecContext(t.Context(), "CREATE TRIGGER full BEFORE INSERT ON audits BEGIN SELECT RAISE(ABORT, 'disk full'); END"); err != nil {
		t.Fatal(err)
	}
	answer, err := k.Do(admin(t), auth.Action{Name: "revealCredentials", Needs: auth.Operator}, func(context.Context) (any, error) { return "hunter2", nil })
	if answer != nil || err == nil {
		t.Errorf("got %v, %v", answer, err)
	}
}

func TestRoles(t *testing.T) {
	for i, has := range auth.Roles {
		for j, needs := range auth.Roles {
			if has.Allows(needs) != (i >= j) {
				t.Errorf("%s allows %s: %v", has, needs, i < j)
			}
		}
	}
	if auth.Role("ROOT").Allows(auth.Viewer) || auth.Admin.Allows("ROOT") || auth.Role("").Allows("") {
		t.Error("a role that is none allows something, or is allowed")
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A caller with many addresses cannot fill the audit log: after a few lines, refusals are only counted.
func TestRefusalsAreBounded(t *testing.T) {
	const each, all = 5, 20
	k := open(t, openStore(t, t.TempDir(), false), newClock(), auth.Rates{
		Refusals: auth.Rate{Burst: each, PerSecond: 1e-9}, Unknown: auth.Rate{Burst: all, PerSecond: 1e-9},
	})
	refuse := func(format string) (lines int) {
		t.Helper()
		before := len(must(k.Audit(t.Context(), auth.AuditFilter{}, orchestrator.Page{First: 500})).Items)
		for i := range 200 {
			k.Refused(t.Context(), fmt.Sprintf(format, i), auth.HTTP, "graphql", orchestrator.Errorf(orchestrator.Unauthenticated, "", "no"))
		}
		return len(must(k.Audit(t.Context(), auth.AuditFilter{}, orchestrator.Page{First: 500})).Items) - before
	}
	for _, format := range []string{"127.0.0.%d", "2001:db8:1:1::%d"} {
		if n := refuse(format); n != each {
			t.Errorf("%s has %d lines, want %d", format, n, each)
		}
	}
	if n := refuse("192.0.2.%d"); n != all-2*each {
		t.Errorf("many addresses have %d lines, want %d", n, all-2*each)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := k.Run(ctx); err != nil { // Run does this once a minute and when it ends
		t.Fatal(err)
	}
	sum := must(k.Audit(t.Context(), auth.AuditFilter{Action: "refusals"}, orchestrator.Page{First: 2})).Items
	if len(sum) != 1 || string(sum[0].Detail) != `{"count":580}` {
		t.Errorf("got %+v", sum)
	}
}

// Failed sign-ins do not block a caller at the same address who has a valid link or token.
func TestSignInIsNotLockedByOthers(t *testing.T) {
	k := open(t, openStore(t, t.TempDir(), false), newClock())
	secret := token(t, k, auth.TokenInput{Name: "a", Role: auth.Viewer})
	limited := false
	for range 50 {
		_, _, err := k.SignIn(t.Context(), "uwst_nonsense", "192.0.2.1", "test")
		limited = limited || orchestrator.CodeOf(err) == orchestrator.RateLimited
	}
	if !limited {
		t.Error("failed sign-ins are not limited")
	}
	if _, _, err := k.SignIn(t.Context(), secret, "192.0.2.1", "test"); err != nil {
		t.Errorf("a valid token: %v", err)
	}
}
