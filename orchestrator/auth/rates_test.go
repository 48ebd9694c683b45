package auth

import (
	"sync"
	"sync/atomic"
	"testing"
)

// Concurrent requests share one burst.
func TestLimiterAtOnce(t *testing.T) {
	for range 100 {
		l := newLimiter(Rate{Burst: 5, PerSecond: 1e-9})
		var allowed atomic.Int32
		var all sync.WaitGroup
		begin := make(chan struct{})
		for range 32 {
			all.Go(func() {
				<-begin
				if l.allow("x") {
					allowed.Add(1)
				}
			})
		}
		close(begin)
		all.Wait()
		if n := allowed.Load(); n != 5 {
			t.Fatalf("%d were let through, want 5", n)
		}
	}
}
