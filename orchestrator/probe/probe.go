// Package probe asks services whether they work, each in its own protocol and with the service's own
// credentials. A probe is one function: it makes one attempt, within its context's deadline, and holds
// nothing afterwards. It changes nothing of the user's; a write check creates and deletes an object of uws's own.
package probe

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Verdict of a probe.
type Verdict string

const (
	OK    Verdict = "OK"    // logged in and got a right answer
	Alive Verdict = "ALIVE" // the engine answers but refuses us: wrong password, full, recovering, sealed
	Dead  Verdict = "DEAD"  // refused, reset, timed out, or an answer that is not the protocol's
	// NotAsked means that nothing was learned of the service: a name that cannot be looked up, no file descriptor or
	// route on this machine, a mistake in uws.
	NotAsked Verdict = "NOT_ASKED"
)

// Target is what a probe needs to know of a service.
type Target struct {
	Address     string            // host:port
	Credentials map[string]string // by the template's names; secret
	Public      []string          // names of credentials that are none, such as the user and the database
	Options     map[string]string // the template's probe options
}

// Result of one probe.
type Result struct {
	Verdict  Verdict
	Detail   string // plain words of what was seen; never holds a secret, at most 300 bytes
	Refused  bool   // Alive, and the credentials are to blame
	DiskFull bool   // Alive, and the engine has no room to write
	NotSetUp bool   // Alive, and the engine has none of what its first setup creates; probes never create it
	At       time.Time
	Duration time.Duration
}

// Func makes one attempt. It returns soon after ctx ends; running into the deadline is Dead, a canceled
// ctx is NotAsked. It only sets Verdict and Detail. Call it through [Run].
type Func func(ctx context.Context, t Target) Result

// Types of probes, sorted.
func Types() []string {
	return []string{"http", "mongodb", "nats", "openbao", "postgres", "redis", "s3", "setec", "tcp"}
}

// Lookup finds the probe of a type.
func Lookup(probeType string) (Func, bool) {
	switch probeType {
	case "http":
		return HTTP, true
	case "mongodb":
		return MongoDB, true
	case "nats":
		return NATS, true
	case "openbao":
		return OpenBao, true
	case "postgres":
		return Postgres, true
	case "redis":
		return Redis, true
	case "s3":
		return S3, true
	case "setec":
		return Setec, true
	case "tcp":
		return TCP, true
	}
	return nil, false
}

// Check says what is wrong with the probe of a template: an unknown type, an unknown or bad option, or a
// credential the probe logs in with that the template does not have.
func Check(probeType string, options map[string]string, credentials []string) error {
	var known, needed []string
	switch probeType {
	case "http":
		known = []string{"deadStatus", "expectStatus", "path"}
	case "mongodb":
		known, needed = []string{"authSource"}, []string{"password", "user"}
	case "nats":
		needed = []string{"password", "user"}
	case "openbao":
		needed = []string{"probePassword", "probeUser"}
	case "postgres":
		needed = []string{"database", "password", "user"}
	case "redis":
		needed = []string{"password"}
	case "s3":
		known, needed = []string{"region"}, []string{"accessKey", "secretKey"}
	case "setec":
		needed = []string{"token"}
	case "tcp":
	default:
		return fmt.Errorf("type is %q; must be one of %s", probeType, strings.Join(Types(), ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if !slices.Contains(known, name) {
			return fmt.Errorf("option %q is unknown to probes of type %s; they know %s", name, probeType, cmp.Or(strings.Join(known, ", "), "none"))
		}
	}
	for _, name := range needed {
		if !slices.Contains(credentials, name) {
			return fmt.Errorf("probes of type %s log in with the credential %q, which the template does not have; add it", probeType, name)
		}
	}
	switch probeType {
	case "http":
		_, err := parseHTTPOptions(options)
		return err
	case "s3":
		_, err := s3Region(options)
		return err
	}
	return nil
}

// Run makes one attempt with f that ends after timeout at the latest, and fills in when it began and how
// long it took. A panic of f is NotAsked. The detail is made fit for people: one line of printable
// characters, no credential, clipped.
func Run(ctx context.Context, f Func, t Target, timeout time.Duration, now func() time.Time) (r Result) {
	start := now()
	defer func() {
		if p := recover(); p != nil {
			r = notAsked(t, "the probe itself failed: %v", p)
		}
		switch r.Verdict {
		case OK, Alive, Dead, NotAsked:
		default:
			r = notAsked(t, "the probe itself failed: its verdict is %q", r.Verdict)
		}
		r.Detail = tidy(t, r.Detail)
		r.At, r.Duration = start, now().Sub(start)
	}()
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, limitKey{}, timeout), timeout)
	defer cancel()
	return f(ctx, t)
}
