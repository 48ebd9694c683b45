package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// randomFor is how long uws is killed at random times. UWS_CRASH_FOR changes it. UWS_CRASH_SEED repeats the choices of
// a run.
const randomFor = time.Minute

// tenant is one queue that clients use, start and stop while uws crashes and restarts.
type tenant struct {
	name  string
	keeps bool // it is never removed: no acknowledged message may be lost
	acked atomic.Int64
	mu    sync.Mutex
	id    string
}

func (c *tenant) service() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.id
}

func TestCrashAtRandom(t *testing.T) {
	seed, duration := rand.Uint64(), randomFor
	if s := os.Getenv("UWS_CRASH_SEED"); s != "" {
		if _, err := fmt.Sscan(s, &seed); err != nil {
			t.Fatal(err)
		}
	}
	if s := os.Getenv("UWS_CRASH_FOR"); s != "" {
		var err error
		if duration, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("UWS_CRASH_SEED=%d", seed)
	w := newWorld(t)
	w.start("")
	var current atomic.Pointer[uwstest.Process]
	current.Store(w.p)
	var tenants []*tenant
	for i := range 6 {
		tenants = append(tenants, &tenant{name: fmt.Sprintf("q%d", i), keeps: i < 3})
	}
	ctx, cancel := context.WithTimeout(t.Context(), duration)
	defer cancel()
	var clients sync.WaitGroup
	for i, c := range tenants {
		choose := rand.New(rand.NewPCG(seed, uint64(i)))
		clients.Go(func() { c.mistreat(ctx, &current, choose) })
		if c.keeps {
			clients.Go(func() { c.publish(ctx, &current) })
		}
	}
	crashes := killAtRandom(ctx, w, &current, rand.New(rand.NewPCG(seed, 99)))
	clients.Wait()
	t.Logf("%d crashes", crashes)
	if crashes == 0 {
		t.Fatal("uws was never killed")
	}
	for _, c := range tenants {
		c.settle(w)
	}
	w.processes(len(tenants))
	w.log()
}

// killAtRandom kills uws and starts it again until ctx ends.
func killAtRandom(ctx context.Context, w *world, current *atomic.Pointer[uwstest.Process], choose *rand.Rand) (crashes int) {
	for pause(ctx, choose, 4*time.Second) {
		w.must(w.p.Kill())
		w.start("")
		current.Store(w.p)
		crashes++
	}
	return crashes
}

// pause waits up to most, and reports whether ctx is still active.
func pause(ctx context.Context, choose *rand.Rand, most time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Duration(choose.Int64N(int64(most)))):
		return true
	}
}

// mistreat runs random actions on a service. It ignores errors, because uws may be down.
func (c *tenant) mistreat(ctx context.Context, current *atomic.Pointer[uwstest.Process], choose *rand.Rand) {
	for pause(ctx, choose, 1500*time.Millisecond) {
		p, id := current.Load(), c.service()
		switch n := choose.IntN(10); {
		case id == "" || n < 3:
			if s, err := p.Launch(ctx, "QUEUE", c.name, nil); err == nil {
				c.mu.Lock()
				c.id = s.ID
				c.mu.Unlock()
			}
		case n < 5:
			if pid, err := uwstest.EnginePID(id); err == nil && pid != 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		case n == 5:
			_ = p.Do(ctx, "stopService", id)
		case n == 6:
			_ = p.Do(ctx, "restartService", id)
		case n == 7 && !c.keeps:
			_ = p.Query(ctx, `mutation($id: ID!) { removeService(id: $id, data: DELETE) { id } }`, map[string]any{"id": id}, nil)
		default:
			_ = p.Do(ctx, "startService", id)
		}
	}
}

// publish sends messages while the service works, and counts those that are acknowledged.
func (c *tenant) publish(ctx context.Context, current *atomic.Pointer[uwstest.Process]) {
	for ctx.Err() == nil {
		js, done, err := c.connect(ctx, current.Load())
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "orders", Subjects: []string{"orders"}})
		for err == nil && ctx.Err() == nil {
			if _, err = js.Publish(ctx, "orders", []byte("one hat")); err == nil {
				c.acked.Add(1)
			}
		}
		done()
	}
}

func (c *tenant) connect(ctx context.Context, p *uwstest.Process) (jetstream.JetStream, func(), error) {
	id := c.service()
	s, err := p.Service(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if s == nil || s.Endpoint == "" {
		return nil, nil, fmt.Errorf("no endpoint")
	}
	keys, err := p.Credentials(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	nc, err := nats.Connect(s.Endpoint, nats.UserInfo(keys["user"], keys["password"]), nats.NoReconnect())
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	return js, nc.Close, err
}

// settle makes a service healthy, whatever state it is in, and checks its messages.
func (c *tenant) settle(w *world) {
	w.Helper()
	err := uwstest.Until(w.Context(), c.name+" can be launched", func() (bool, error) {
		s, err := w.p.Launch(w.Context(), "QUEUE", c.name, nil) // CONFLICT while an earlier one is being removed
		w.id = s.ID
		return err == nil, nil
	})
	w.must(err)
	if c.keeps && c.service() != "" && w.id != c.service() {
		w.Errorf("%s is another service now: %s, was %s", c.name, w.id, c.service())
	}
	w.must(w.p.Do(w.Context(), "startService", w.id))
	w.healthy()
	if !c.keeps {
		return
	}
	stream, err := w.jetstream().Stream(w.Context(), "orders")
	w.must(err)
	if have, want := int64(stream.CachedInfo().State.Msgs), c.acked.Load(); have < want || want == 0 {
		w.Errorf("%s: %d messages are there, %d were acknowledged", c.name, have, want)
	} else {
		w.Logf("%s: %d messages are there, %d were acknowledged", c.name, have, want)
	}
}
