// Package soak runs the real binary with real engines for a while and disturbs them at random. Then it checks that the store,
// the processes, the data and the messages of every subscriber agree, and that the resource use of uws did not grow.
//
// SOAK is the duration of the actions, such as 10m; the default is one minute. SOAK_SEED repeats the choices of an earlier run,
// but not its timing. Each run prints its seed.
package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

const (
	slots       = 8 // names in use
	subscribers = 6 // at most, in addition to the witness
	meanPause   = 250 * time.Millisecond
)

// soak is one run.
type soak struct {
	t       *testing.T
	rng     *rand.Rand // used only by the goroutine that runs actions
	binary  string
	dir     string // the data folder
	engines string
	did     map[string]int // actions by name

	mu    sync.Mutex
	p     *uwstest.Process // the running uws
	old   []*uwstest.Process
	slots []*slot

	witness *subscriber
	others  []*subscriber // that are connected
	left    []*subscriber // that disconnected
	writes  sync.WaitGroup
}

func TestSoak(t *testing.T) {
	length, seed := setting(t, "SOAK", time.Minute, time.ParseDuration), setting(t, "SOAK_SEED", time.Now().UnixNano(), parseSeed)
	t.Logf("acting for %s with SOAK_SEED=%d", length, seed)
	s := newSoak(t, seed)

	// uws is killed and restarted in the first part only, because growth is measured in one long-running process.
	s.act(length*2/5, append(actions(), restarts()...))
	s.exchange(s.process().Stop, "a graceful stop")
	s.act(length/10, actions())
	before := s.quiet()
	s.act(length/2, actions())
	after := s.quiet()
	before.compare(t, after)
	s.check()

	s.exchange(s.process().Kill, "the last kill")
	s.settle()
	s.check()
	s.finish()
	t.Logf("done: %v", s.did)
}

func setting[T any](t *testing.T, name string, def T, parse func(string) (T, error)) T {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	v, err := parse(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

func parseSeed(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }

func TestMain(m *testing.M) { os.Exit(uwstest.Main(m, uwstest.UWS)) }

func newSoak(t *testing.T, seed int64) *soak {
	dir := uwstest.Folder(t)
	s := &soak{t: t, rng: rand.New(rand.NewPCG(uint64(seed), 0)), binary: uwstest.Binary, dir: filepath.Join(dir, "data"),
		engines: uwstest.EnginesFolder(t), did: map[string]int{}}
	for i := range slots {
		s.slots = append(s.slots, &slot{name: fmt.Sprintf("soak-%d", i), kind: kinds[i%len(kinds)]})
	}
	s.serve()
	t.Cleanup(func() {
		if err := s.process().Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("to repeat its choices: SOAK_SEED=%d; uws printed:\n%s", seed, tail(s.process().Output.String(), 20_000))
		}
	})
	s.watchProcesses()
	s.witness = s.subscribe(s.oldest())
	return s
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// process returns the uws that runs or is being started.
func (s *soak) process() *uwstest.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.p
}

func (s *soak) serve() {
	s.t.Helper()
	p, err := uwstest.Start(s.t.Context(), s.binary, s.dir, "--engines", s.engines)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.p != nil {
		s.old = append(s.old, s.p)
	}
	s.p = p
}

// exchange ends uws with end and starts it again.
func (s *soak) exchange(end func() error, what string) {
	s.t.Helper()
	s.did[what]++
	if err := end(); err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
	s.serve()
}

// act runs random actions for a while.
func (s *soak) act(length time.Duration, all []action) {
	s.t.Helper()
	weights := 0
	for _, a := range all {
		weights += a.weight
	}
	for end := time.Now().Add(length); time.Now().Before(end); {
		s.pause(time.Duration(s.rng.ExpFloat64() * float64(meanPause)))
		s.look()
		pick := s.rng.IntN(weights)
		i := slices.IndexFunc(all, func(a action) bool { pick -= a.weight; return pick < 0 })
		if all[i].do(s) {
			s.did[all[i].name]++
		}
		if s.t.Failed() {
			s.t.FailNow()
		}
	}
}

func (s *soak) pause(d time.Duration) {
	select {
	case <-s.t.Context().Done():
	case <-time.After(d):
	}
}

// call runs a request to uws with a timeout.
func (s *soak) call(f func(ctx context.Context, p *uwstest.Process) error) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), uwstest.Patience)
	defer cancel()
	return f(ctx, s.process())
}

// must is call for requests that must succeed.
func (s *soak) must(what string, f func(ctx context.Context, p *uwstest.Process) error) {
	s.t.Helper()
	if err := s.call(f); err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}
