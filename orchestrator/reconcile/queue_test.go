package reconcile

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// An id is never in two hands, and what is added meanwhile is not lost.
func TestQueueOneHandAtATime(t *testing.T) {
	q := newQueue()
	ctx, cancel := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	workers.Go(func() { q.run(ctx) })
	var inHand [8]atomic.Int32
	var looked [8]atomic.Int64
	for range 16 {
		workers.Go(func() {
			for {
				next, ok := q.get()
				if !ok {
					return
				}
				i := int(next.id[0] - '0')
				if inHand[i].Add(1) != 1 {
					t.Error("in two hands")
				}
				looked[i].Add(1)
				inHand[i].Add(-1)
				q.put(next.id)
			}
		})
	}
	var adders sync.WaitGroup
	for i := range 8 {
		adders.Go(func() {
			for range 1000 {
				id := fmt.Sprint(i)
				before := looked[i].Load()
				q.wait(ctx, id)
				if looked[i].Load() == before {
					t.Error("wait returned without a look")
				}
			}
		})
	}
	adders.Wait()
	cancel()
	workers.Wait()
	if len(q.items) != 0 {
		t.Errorf("%d items are left behind", len(q.items))
	}
}

// Times come when they are due, in their order; the newest wish for an id replaces the earlier ones.
func TestQueueTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		ctx, cancel := context.WithCancel(t.Context())
		go q.run(ctx)
		begin := time.Now()
		q.addAt("late", begin.Add(3*time.Second))
		q.addAt("early", begin.Add(time.Second))
		q.addAt("moved", begin.Add(time.Millisecond))
		q.addAt("moved", begin.Add(2*time.Second))
		q.addAt("never", begin.Add(time.Second))
		q.addAt("never", time.Time{})
		for _, want := range []struct {
			id    string
			after time.Duration
		}{{"early", time.Second}, {"moved", 2 * time.Second}, {"late", 3 * time.Second}} {
			next, ok := q.get()
			if !ok || next.id != want.id || time.Since(begin) != want.after {
				t.Errorf("got %s after %s, want %s after %s", next.id, time.Since(begin), want.id, want.after)
			}
			q.put(next.id)
		}
		cancel()
		if _, ok := q.get(); ok {
			t.Error("something is left")
		}
	})
}

// What is far off comes at ticks, together and never too early; what is near comes at its own time.
func TestQueueTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		ctx, cancel := context.WithCancel(t.Context())
		go q.run(ctx)
		begin := time.Now()
		for i := range 10 {
			q.addAt(fmt.Sprint(i), begin.Add(30*time.Second+time.Duration(i+1)*tick/10))
		}
		q.addAt("near", begin.Add(farOff-time.Millisecond))
		for i, want := range append([]time.Duration{farOff - time.Millisecond}, slices.Repeat([]time.Duration{30*time.Second + tick}, 10)...) {
			next, _ := q.get()
			if time.Since(begin) != want {
				t.Errorf("%d: %s came after %s, want %s", i, next.id, time.Since(begin), want)
			}
			q.put(next.id)
		}
		cancel()
	})
}

// until never delays what was to come earlier, and what is in a worker's hands is looked at again, since the worker
// may be about to say never.
func TestQueueUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		ctx, cancel := context.WithCancel(t.Context())
		go q.run(ctx)
		begin := time.Now()
		expect := func(want string, after time.Duration) {
			t.Helper()
			if next, ok := q.get(); !ok || next.id != want || time.Since(begin) != after {
				t.Errorf("got %s after %s, want %s after %s", next.id, time.Since(begin), want, after)
			}
		}
		q.addAt("earlier", begin.Add(time.Second))
		q.addBy("earlier", begin.Add(4*time.Second))
		q.addBy("new", begin.Add(2*time.Second))
		q.addAt("later", begin.Add(4*time.Second))
		q.addBy("later", begin.Add(3*time.Second))
		expect("earlier", time.Second)
		q.put("earlier")
		expect("new", 2*time.Second)
		q.addBy("new", begin.Add(4*time.Second)) // while the worker has it
		q.addAt("new", time.Time{})
		q.put("new")
		expect("new", 2*time.Second)
		q.put("new")
		expect("later", 3*time.Second)
		q.put("later")
		cancel()
		if next, ok := q.get(); ok {
			t.Errorf("%s is left", next.id)
		}
	})
}

// A claim tells whether anybody asked for it: what was added while it waited, or was in a worker's hands, was asked for.
func TestQueueDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		ctx, cancel := context.WithCancel(t.Context())
		go q.run(ctx)
		expect := func(due bool) {
			t.Helper()
			if next, ok := q.get(); !ok || next.due != due {
				t.Errorf("due is %t, want %t", next.due, due)
			}
		}
		soon := func() time.Time { return time.Now().Add(time.Second) }
		q.addAt("a", soon())
		expect(true)
		q.addBy("a", soon()) // in hand: it comes again
		q.put("a")
		expect(true)
		q.add("a")
		q.put("a")
		expect(false)
		q.addAt("a", soon())
		q.put("a")
		expect(true)
		q.put("a")
		q.addAt("a", soon())
		<-time.After(2 * time.Second)
		synctest.Wait()
		q.add("a") // ready because it was due
		expect(false)
		q.put("a")
		cancel()
	})
}

func BenchmarkQueue(b *testing.B) {
	q := newQueue()
	for i := range 10_000 { // waiting, as healthy services do
		q.addAt(fmt.Sprint("waiting", i), time.Now().Add(time.Hour))
	}
	at := time.Now().Add(time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		q.add("a")
		next, _ := q.get()
		q.addAt(next.id, at)
		q.put(next.id)
	}
}
