package orchestrator

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
				id, _, ok := q.get()
				if !ok {
					return
				}
				i := int(id[0] - '0')
				if inHand[i].Add(1) != 1 {
					t.Error("in two hands")
				}
				looked[i].Add(1)
				inHand[i].Add(-1)
				q.put(id)
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
		q.at("late", begin.Add(3*time.Second))
		q.at("early", begin.Add(time.Second))
		q.at("moved", begin.Add(time.Millisecond))
		q.at("moved", begin.Add(2*time.Second))
		q.at("never", begin.Add(time.Second))
		q.at("never", time.Time{})
		for _, want := range []struct {
			id    string
			after time.Duration
		}{{"early", time.Second}, {"moved", 2 * time.Second}, {"late", 3 * time.Second}} {
			id, _, ok := q.get()
			if !ok || id != want.id || time.Since(begin) != want.after {
				t.Errorf("got %s after %s, want %s after %s", id, time.Since(begin), want.id, want.after)
			}
			q.put(id)
		}
		cancel()
		if _, _, ok := q.get(); ok {
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
			q.at(fmt.Sprint(i), begin.Add(30*time.Second+time.Duration(i+1)*tick/10))
		}
		q.at("near", begin.Add(farOff-time.Millisecond))
		for i, want := range append([]time.Duration{farOff - time.Millisecond}, slices.Repeat([]time.Duration{30*time.Second + tick}, 10)...) {
			id, _, _ := q.get()
			if time.Since(begin) != want {
				t.Errorf("%d: %s came after %s, want %s", i, id, time.Since(begin), want)
			}
			q.put(id)
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
			if id, _, ok := q.get(); !ok || id != want || time.Since(begin) != after {
				t.Errorf("got %s after %s, want %s after %s", id, time.Since(begin), want, after)
			}
		}
		q.at("earlier", begin.Add(time.Second))
		q.until("earlier", begin.Add(4*time.Second))
		q.until("new", begin.Add(2*time.Second))
		q.at("later", begin.Add(4*time.Second))
		q.until("later", begin.Add(3*time.Second))
		expect("earlier", time.Second)
		q.put("earlier")
		expect("new", 2*time.Second)
		q.until("new", begin.Add(4*time.Second)) // while the worker has it
		q.at("new", time.Time{})
		q.put("new")
		expect("new", 2*time.Second)
		q.put("new")
		expect("later", 3*time.Second)
		q.put("later")
		cancel()
		if id, _, ok := q.get(); ok {
			t.Errorf("%s is left", id)
		}
	})
}

func BenchmarkQueue(b *testing.B) {
	q := newQueue()
	for i := range 10_000 { // waiting, as healthy services do
		q.at(fmt.Sprint("waiting", i), time.Now().Add(time.Hour))
	}
	at := time.Now().Add(time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		q.add("a")
		id, _, _ := q.get()
		q.at(id, at)
		q.put(id)
	}
}
