package process

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/proc"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/spool"
)

// service is the driver's state of one service.
type service struct {
	id    string
	verb  chan struct{} // holds one token while a verb runs
	users int           // verbs that run or wait, and readers of the log; guarded by Driver.mu
	log   *spool.Spool

	mu    sync.Mutex
	state *state            // nil: it has neither a folder nor a process
	env   map[string]string // of the spec; nil: unknown, so that it must be created again before a start
	live  *instance         // nil: not running
	sweep *sweep            // of the newest run whose end was seen
}

// sweepTimeout bounds a sweep. Killed processes end at once unless they hang in the kernel. Start tries again.
const sweepTimeout = 5 * time.Second

// sweep kills the processes that a run's main process left behind. It runs in its own goroutine while the control plane
// decides about the restart, because scanning all processes takes milliseconds.
type sweep struct {
	mark string // of the run
	done chan struct{}
	err  error // once done is closed
}

// instance is a living main process.
type instance struct {
	handle *proc.Handle
	ended  chan struct{} // closed when its end has been saved

	mu  sync.Mutex
	cpu time.Duration // that Usage reported last
}

func (d *Driver) newService(id string) *service {
	return &service{
		id: id, verb: make(chan struct{}, 1),
		log: spool.New(d.logDir(id), spool.Options{Limit: d.opt.LogBytes, Watcher: d.logs}),
	}
}

func (s *service) running() *instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live
}

// frozen reports whether the newest run is frozen.
func (s *service) frozen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state != nil && s.state.Run != nil && s.state.Run.Frozen
}

func (s *service) gone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == nil && s.live == nil
}

// uses returns the volume of a service and whether an instance of it runs.
func (s *service) uses() (volume string, running bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == nil {
		return "", false
	}
	return s.state.Spec.Volume, s.live != nil
}

// observe returns the state of the service. It reports a service whose environment is unknown, because uws was restarted while
// it did not run, as missing: it must be created again before a start.
func (s *service) observe() driver.Observed {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == nil {
		return driver.Observed{}
	}
	o := driver.Observed{
		Service: s.id, Volume: s.state.Spec.Volume, Exists: s.live != nil || s.env != nil, Running: s.live != nil, SpecHash: s.state.Spec.Hash,
		Generation: max(1, s.state.Spec.Generation),
	}
	if r := s.state.Run; r != nil {
		o.Instance, o.StartedAt, o.StoppedAt, o.ExitCode = r.instance(), r.StartedAt, r.StoppedAt, r.ExitCode
	}
	if s.live != nil {
		st, err := s.live.handle.Stat()
		o.Paused = err == nil && st.Paused()
		o.Frozen = o.Paused && s.state.Run.Frozen
		o.Endpoints = endpoints(s.state.Spec.Ports)
	}
	return o
}

// endpoints returns where an engine listens that was told to listen on these ports.
func endpoints(ports []driver.Port) map[string]netip.AddrPort {
	all := make(map[string]netip.AddrPort, len(ports))
	for _, p := range ports {
		if at, err := netip.ParseAddrPort(listenAddress(p)); err == nil {
			all[p.Name] = at
		}
	}
	return all
}

// await makes h the main process of the service's newest run and waits for its end in a goroutine.
func (d *Driver) await(s *service, h *proc.Handle) {
	i := &instance{handle: h, ended: make(chan struct{})}
	s.mu.Lock()
	s.live = i
	s.mu.Unlock()
	waiting := d.spawn(func() {
		code, err := h.Wait()
		select {
		case <-d.done:
			return // Close closed the handle; the next driver adopts the instance or finds that it has ended
		default:
		}
		if err != nil {
			d.opt.Log.Error("cannot wait for a process", "service", s.id, "pid", h.PID, "error", err)
		}
		d.ended(s, i, code)
	})
	if !waiting {
		_ = h.Close() // the driver was closed meanwhile
	}
}

// clear performs a sweep of a service with that volume.
func (d *Driver) clear(s *service, w *sweep, volume string) {
	defer close(w.done)
	ctx, cancel := context.WithTimeout(context.Background(), sweepTimeout)
	defer cancel()
	owner, err := d.volumes.Owner(volume)
	if err != nil {
		owner = 0 // the data was removed; members are found by their markers
	}
	w.err = d.killAll(ctx, s.id, nil, owner, volume)
}

// ended saves that an instance has ended and starts a sweep.
func (d *Driver) ended(s *service, i *instance, code *int) {
	defer close(i.ended)
	s.mu.Lock()
	r := *s.state.Run
	r.Ended, r.StoppedAt, r.ExitCode, r.Frozen = true, time.Now().UTC(), code, false
	s.live, s.state = nil, &state{Spec: s.state.Spec, Run: &r}
	left, volume := &sweep{mark: r.Mark, done: make(chan struct{})}, s.state.Spec.Volume
	s.sweep = left
	err := d.saveState(s.id, *s.state, false)
	s.mu.Unlock()
	s.log.End()
	if !d.spawn(func() { d.clear(s, left, volume) }) {
		left.err = errClosed
		close(left.done)
	}
	d.watchers.Hint(s.id)
	if err != nil {
		d.opt.Log.Warn("cannot write down that an instance ended", "service", s.id, "error", err)
	}
	if err := i.handle.Close(); err != nil {
		d.opt.Log.Debug("closing a pidfd", "error", err)
	}
}
