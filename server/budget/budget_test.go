package budget_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/unicorn-web-services/uws/server/budget"
)

// take calls Take in a goroutine.
func take(b *budget.Budget, name string, bytes int) <-chan *budget.Hold {
	got := make(chan *budget.Hold, 1)
	go func() {
		if h, err := b.Take(context.Background(), name, bytes); err == nil {
			got <- h
		}
	}()
	synctest.Wait()
	return got
}

// hold takes as much as the caller can get, in pieces, and returns them.
func hold(b *budget.Budget, name string, piece int) (all []*budget.Hold) {
	for h := b.Try(name, piece); h != nil; h = b.Try(name, piece) {
		all = append(all, h)
	}
	return all
}

// A single caller can have half, several callers equal parts, and there is always room for one more.
func TestShares(t *testing.T) {
	b := budget.New(1000)
	if n := len(hold(b, "a", 10)); n != 50 {
		t.Errorf("one alone holds %d, want 50", n)
	}
	if n := len(hold(b, "b", 10)); n != 25 {
		t.Errorf("the second holds %d, want 25", n)
	}
	for _, name := range []string{"c", "d", "e"} {
		if h := b.Try(name, 30); h == nil {
			t.Errorf("there is no room for %s, with %d held", name, b.Held())
		}
	}
}

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(1000)
		all := hold(b, "a", 100) // 500
		greedy := take(b, "a", 100)
		other := take(b, "b", 250)
		if len(greedy) != 0 || len(other) != 1 {
			t.Fatalf("got %d %d", len(greedy), len(other))
		}
		much := take(b, "c", 999) // the maximum of one request, 250
		if len(much) != 1 || b.Held() != 1000 {
			t.Fatalf("got %d, held %d", len(much), b.Held())
		}
		second, first := take(b, "b", 10), take(b, "d", 200) // holds nothing
		all[0].Release()
		synctest.Wait()
		if len(first) != 0 || len(second) != 0 || len(greedy) != 0 {
			t.Fatalf("somebody passed: %d %d %d", len(first), len(second), len(greedy))
		}
		all[1].Shrink(1)
		all[1].Release()
		all[1].Release() // is no more
		synctest.Wait()
		if len(first) != 1 || len(second) != 0 || len(greedy) != 0 || b.Held() != 1000 {
			t.Fatalf("got %d %d %d, held %d", len(first), len(second), len(greedy), b.Held())
		}
		(<-other).Release()
		(<-much).Release()
		(<-first).Release()
		for _, h := range all {
			h.Release()
		}
		synctest.Wait()
		(<-second).Release()
		(<-greedy).Release()
		if b.Held() != 0 {
			t.Errorf("%d bytes are held by nobody", b.Held())
		}
	})
}

func TestNoRoom(t *testing.T) {
	b := budget.New(100)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range []string{"a", "b", "c", "d"} {
		if _, err := b.Take(ended, name, 25); err != nil { // there is room, so it does not wait
			t.Fatal(err)
		}
	}
	if _, err := b.Take(ended, "a", 1); !errors.Is(err, budget.ErrShare) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := b.Take(ended, "e", 1); !errors.Is(err, budget.ErrFull) {
		t.Errorf("got %v", err)
	}
	if b.Add("a", -20); !b.Add("e", 10) || b.Add("e", 1) || b.Add("b", 0) {
		t.Error("Add is wrong about what one may hold")
	}
	var none *budget.Hold
	none.Release()
}
