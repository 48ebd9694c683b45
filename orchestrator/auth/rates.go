package auth

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/expirable"
	"golang.org/x/time/rate"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// Rates are the rate limits. A zero Rate is replaced by the default given here.
type Rates struct {
	Mutations Rate // per credential and per address; burst 500, 100 per second
	SignIns   Rate // failed sign-ins per address; burst 20, one per 3 s
	Failures  Rate // unknown credentials per address; burst 50, one per second
	Refusals  Rate // lines in the audit log for refusals, per address; burst 50, one per second
	Unknown   Rate // lines for refusals of unauthenticated callers, all addresses together; burst 200, one per 2 s
}

// Rate is the size of a token bucket and the rate at which it is refilled.
type Rate struct {
	Burst     int
	PerSecond float64
}

func (r *Rate) setDefault(burst int, perSecond float64) {
	if *r == (Rate{}) {
		*r = Rate{burst, perSecond}
	}
}

const (
	limitedKeys = 10_000           // maximum number of credentials and addresses in memory
	limitedFor  = 10 * time.Minute // a key is forgotten after this time without use; its bucket is full again by then
)

// limiter limits the rate of each key separately. It is safe for concurrent use, and forgets keys that have not been
// used for limitedFor.
type limiter struct {
	rate Rate
	mu   sync.Mutex // concurrent first requests of one key share one bucket
	keys *expirable.LRU[string, *rate.Limiter]
}

func newLimiter(r Rate) *limiter {
	return &limiter{rate: r, keys: expirable.NewLRU[string, *rate.Limiter](limitedKeys, nil, limitedFor)}
}

func (l *limiter) allow(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	one, ok := l.keys.Get(key)
	if !ok {
		one = rate.NewLimiter(rate.Limit(l.rate.PerSecond), l.rate.Burst)
		l.keys.Add(key, one)
	}
	return one.Allow()
}

// addressKey returns the key by which requests from an address are limited. All loopback addresses share one key, and
// so do all addresses of an IPv6 /64, since one caller can use all of them (RFC 6177).
func addressKey(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	ip = ip.Unmap().WithZone("")
	switch {
	case ip.IsLoopback():
		return "loopback"
	case ip.Is6():
		return netip.PrefixFrom(ip, 64).Masked().String()
	}
	return ip.String()
}

type limiters struct{ mutations, signIns, failures, refusals, unknown *limiter }

func newLimiters(r Rates) *limiters {
	r.Mutations.setDefault(500, 100)
	r.SignIns.setDefault(20, 1.0/3)
	r.Failures.setDefault(50, 1)
	r.Refusals.setDefault(50, 1)
	r.Unknown.setDefault(200, 0.5)
	return &limiters{newLimiter(r.Mutations), newLimiter(r.SignIns), newLimiter(r.Failures), newLimiter(r.Refusals), newLimiter(r.Unknown)}
}

func tooOften(what string, r Rate) error {
	return orchestrator.Errorf(orchestrator.RateLimited, "", "too many %s: %d at once and %.3g a second are allowed; wait, then try again", what, r.Burst, r.PerSecond)
}

// mutation returns an error if the caller has exceeded the rate of mutations. The command line is not limited.
func (l *limiters) mutation(ctx context.Context) error {
	p := From(ctx)
	if p == nil || p.Channel == Command {
		return nil
	}
	if !l.mutations.allow(p.ID) || !l.mutations.allow("from "+addressKey(p.Address)) {
		return tooOften("mutations", l.mutations.rate)
	}
	return nil
}

// refusal reports whether a refusal gets its own line in the audit log.
func (l *limiters) refusal(p *Principal) bool {
	return l.refusals.allow(addressKey(p.Address)) && (p.ID != "" || l.unknown.allow(""))
}

func (l *limiters) signIn(address string) error {
	if !l.signIns.allow(addressKey(address)) {
		return tooOften("failed sign-ins from this address", l.signIns.rate)
	}
	return nil
}

func (l *limiters) failed(address string) error {
	if !l.failures.allow(addressKey(address)) {
		return tooOften("requests with unknown tokens or sessions from this address", l.failures.rate)
	}
	return nil
}
