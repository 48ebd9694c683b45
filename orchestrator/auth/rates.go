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

// Rates are how often something may happen: so many times at once, and so many a second from then on. Zero values are
// replaced by the defaults named.
type Rates struct {
	Mutations Rate // of a credential, and of an address; 500 at once, 100 a second
	SignIns   Rate // failed sign-ins of an address; 20 at once, one in 3 s
	Failures  Rate // of an address to name a credential that is known; 50 at once, one a second
	Refusals  Rate // of an address that have a line each in the audit log; 50 at once, one a second
	Unknown   Rate // refusals of unknown callers, from all addresses, that have a line each; 200 at once, one in 2 s
}

// Rate of something.
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
	limitedKeys = 10_000           // credentials and addresses that are remembered
	limitedFor  = 10 * time.Minute // after their last deed, by when every burst is allowed again
)

// limiter limits the rate of each key separately. It is safe for concurrent use, and drops keys that were not used for a while.
type limiter struct {
	rate Rate
	mu   sync.Mutex // so that two who come at once are not each the first
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

// addressKey is what limits of an address go by: a caller has as many addresses as it likes on loopback, and in the
// smallest network that IPv6 hands out (RFC 6177).
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
	return orchestrator.Errorf(orchestrator.RateLimited, "", "too many %s: %d at once and %.3g a second are allowed; wait a little and try again", what, r.Burst, r.PerSecond)
}

// mutation returns an error if the caller has exceeded the rate of mutations. The command line is not limited.
func (l *limiters) mutation(ctx context.Context) error {
	p := From(ctx)
	if p == nil || p.Door == Command {
		return nil
	}
	if !l.mutations.allow(p.ID) || !l.mutations.allow("from "+addressKey(p.Address)) {
		return tooOften("mutations", l.mutations.rate)
	}
	return nil
}

// refusal reports whether a refusal has a line of its own in the audit log.
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
