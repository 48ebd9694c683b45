package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// follow follows from the oldest, and returns the lines and the result.
func (f *fixture) follow() (<-chan string, <-chan error) {
	texts, result := make(chan string, 100), make(chan error, 1)
	go func() {
		result <- f.s.Follow(f.Context(), "", func(b driver.LogBatch) error {
			for _, l := range b.Lines {
				texts <- l.Text
			}
			return nil
		})
	}()
	return texts, result
}

// A follower that waits is woken by the watcher, without Trim, and is watched only while it waits.
func TestWatcherWakes(t *testing.T) {
	watcher := NewWatcher(slog.New(slog.DiscardHandler))
	defer watcher.Close()
	watched := func() int {
		watcher.mu.Lock()
		defer watcher.mu.Unlock()
		return len(watcher.spools)
	}
	f := newFixture(t, Options{Watcher: watcher})
	texts, result := f.follow()
	for i := range 6 {
		for watched() == 0 {
			runtime.Gosched()
		}
		f.write([]*os.File{f.out, f.errOut}[i%2], fmt.Sprint(i, "\n"))
		if got := <-texts; got != fmt.Sprint(i) {
			t.Errorf("line %d is %q", i, got)
		}
	}
	f.s.End()
	f.must(<-result)
	if n := watched(); n != 0 {
		t.Errorf("%d folders are watched", n)
	}
}

// Without inotify, Trim wakes a follower.
func TestTrimWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{})
		texts, result := f.follow()
		for i := range 3 {
			<-time.After(time.Second) // it waits
			f.write(f.out, fmt.Sprint(i, "\n"))
			synctest.Wait()
			if n := len(texts); n != 0 {
				t.Fatalf("%d lines came, and nobody has looked", n)
			}
			f.must(f.s.Trim())
			if got := <-texts; got != fmt.Sprint(i) {
				t.Errorf("line %d is %q", i, got)
			}
		}
		f.s.End()
		f.must(<-result)
	})
}

// Close and the end of a run wake a follower that waits.
func TestEndWakes(t *testing.T) {
	for what, end := range map[string]func(*Spool){"Close": (*Spool).Close, "End": (*Spool).End} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, Options{})
			_, result := f.follow()
			<-time.After(time.Second) // it waits
			end(f.s)
			if err := <-result; errors.Is(err, ErrClosed) != (what == "Close") || what == "End" && err != nil {
				t.Errorf("after %s Follow says %v", what, err)
			}
		})
	}
}
