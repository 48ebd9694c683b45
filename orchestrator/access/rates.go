package access

import (
	"context"
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
	SignIns   Rate // tries of an address; 20 at once, one in 3 s
	Failures  Rate // of an address to name a credential that is known; 50 at once, one a second
	Refusals  Rate // of an address that the audit log takes down; 50 at once, one a second
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

// limiter limits each of many by itself. It is safe for concurrent use, and forgets whoever was quiet for long.
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

type limiters struct{ mutations, signIns, failures, refusals *limiter }

func newLimiters(r Rates) *limiters {
	r.Mutations.setDefault(500, 100)
	r.SignIns.setDefault(20, 1.0/3)
	r.Failures.setDefault(50, 1)
	r.Refusals.setDefault(50, 1)
	return &limiters{newLimiter(r.Mutations), newLimiter(r.SignIns), newLimiter(r.Failures), newLimiter(r.Refusals)}
}

func tooOften(what string, r Rate) error {
	return orchestrator.Errorf(orchestrator.RateLimited, "", "too many %s: %d at once and %.3g a second are allowed; wait a little and try again", what, r.Burst, r.PerSecond)
}

// mutation is an error when who asks has asked for too many. The command line is not limited.
func (l *limiters) mutation(ctx context.Context) error {
	p := From(ctx)
	if p == nil || p.Door == Command {
		return nil
	}
	if !l.mutations.allow(p.ID) || !l.mutations.allow("from "+p.Address) {
		return tooOften("mutations", l.mutations.rate)
	}
	return nil
}

func (l *limiters) signIn(address string) error {
	if !l.signIns.allow(address) {
		return tooOften("sign-ins from this address", l.signIns.rate)
	}
	return nil
}

func (l *limiters) failed(address string) error {
	if !l.failures.allow(address) {
		return tooOften("requests with unknown tokens or sessions from this address", l.failures.rate)
	}
	return nil
}
