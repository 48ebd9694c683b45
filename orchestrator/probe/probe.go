// Package probe checks whether services work, in their own protocols and with their own credentials. A probe is one
// function. It makes one attempt within its context's deadline, and leaves nothing behind: no connection and no
// goroutine. It does not change the user's data. A write check creates and deletes an object of uws's own.
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

// Verdict is the outcome of a probe.
type Verdict string

const (
	OK    Verdict = "OK"    // logged in and got a correct answer
	Alive Verdict = "ALIVE" // the engine answers but refuses: wrong password, too many connections, recovering, sealed
	Dead  Verdict = "DEAD"  // refused, reset, timed out, or an answer that is not the protocol's
	// NotAsked means that the probe learned nothing about the service: its name cannot be resolved, this machine has no
	// file descriptor or route left, or uws has a bug.
	NotAsked Verdict = "NOT_ASKED"
)

// Target is what a probe needs to check a service.
type Target struct {
	Address     string            // host:port
	Credentials map[string]string // by their names in the template; secret
	Public      []string          // names of credentials that are not secret, such as the user and the database
	Options     map[string]string // probe options of the template
	Stats       bool              // whether to ask the engine for [Result.Stats] too, on the same connection
}

// Result is the result of one probe.
type Result struct {
	Verdict  Verdict
	Detail   string // what was observed, for users; never contains a secret, at most 300 bytes
	Refused  bool   // with Alive: the engine rejected the credentials
	DiskFull bool   // with Alive: the engine has no disk space left to write
	NotSetUp bool   // with Alive: what the first setup creates is missing; probes never create it
	Stats    []Stat // with OK: what the engine reports of itself, if that was asked for; whether it can does not affect the verdict
	At       time.Time
	Duration time.Duration
}

// Func makes one attempt. It returns soon after ctx ends: Dead if the deadline passed, NotAsked if ctx was canceled. It
// does not set At and Duration. Call it with [Run].
type Func func(ctx context.Context, t Target) Result

// Types returns all probe types, sorted.
func Types() []string {
	return []string{"http", "mongodb", "nats", "openbao", "postgres", "redis", "s3", "setec", "tcp"}
}

// Lookup returns the probe of a type.
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

// Check returns an error for a template's probe: an unknown type, an unknown or invalid option, or a missing credential
// that the probe needs to log in.
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
			return fmt.Errorf("probes of type %s have no option %q; they have %s", probeType, name, cmp.Or(strings.Join(known, ", "), "none"))
		}
	}
	for _, name := range needed {
		if !slices.Contains(credentials, name) {
			return fmt.Errorf("probes of type %s log in with the credential %q; add it to the template", probeType, name)
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

// Run makes one attempt with f that ends after timeout at the latest, and sets when it began and how long it took. A
// panic of f is NotAsked. The detail becomes one line of printable characters without credentials, at most 300 bytes.
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
		r.Detail, r.Stats = tidy(t, r.Detail), sane(r.Stats)
		r.At, r.Duration = start, now().Sub(start)
	}()
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, limitKey{}, timeout), timeout)
	defer cancel()
	return f(ctx, t)
}
