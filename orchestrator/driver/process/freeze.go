package process

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/proc"
)

const (
	// stopEvery is the interval between two looks at processes that are stopping: no event tells that one has stopped.
	stopEvery = time.Millisecond
	// thawTimeout bounds the thaw of what could not be frozen.
	thawTimeout = 10 * time.Second
)

// Freeze implements [driver.Freezer]. That the instance is frozen is saved before its main process is stopped, which is the first to
// be stopped and the last to go on: after a crash of uws at any step the instance either runs or is known to be frozen.
func (d *Driver) Freeze(ctx context.Context, id string) error {
	s, unlock, err := d.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	live, f := d.familyOf(s)
	if live == nil {
		return driver.Errorf(driver.NotCreated, "service %s does not run on this node", id)
	}
	if err := d.saveFrozen(s, live, true); err != nil {
		return err
	}
	if err := d.suspend(ctx, f); err != nil {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), thawTimeout)
		defer cancel()
		return errors.Join(fmt.Errorf("freezing service %s: %w", id, err), d.thaw(within, s, live, f))
	}
	return nil
}

// Thaw implements [driver.Freezer].
func (d *Driver) Thaw(ctx context.Context, id string) error {
	s, unlock, err := d.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	live, f := d.familyOf(s)
	if live == nil || !s.frozen() {
		return nil
	}
	return d.thaw(ctx, s, live, f)
}

// familyOf returns the instance of a service that runs, nil if none does, and what its processes are recognised by.
func (d *Driver) familyOf(s *service) (*instance, family) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live == nil {
		return nil, family{}
	}
	f := family{service: s.id, main: s.live.handle, volume: s.state.Spec.Volume}
	if f.volume != "" {
		if uid, err := d.volumes.Owner(f.volume); err == nil {
			f.owner = uid
		}
	}
	return s.live, f
}

// saveFrozen saves whether an instance is frozen, unless it has ended.
func (d *Driver) saveFrozen(s *service, i *instance, frozen bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live != i {
		return nil
	}
	r := *s.state.Run
	r.Frozen = frozen
	st := &state{Spec: s.state.Spec, Run: &r}
	if err := d.saveState(s.id, *st, false); err != nil {
		return fmt.Errorf("writing down that service %s is frozen or not: %w", s.id, err)
	}
	s.state = st
	return nil
}

// suspend stops all processes of a family. It looks until it has found all of them stopped twice: while a process is stopping it can
// start another one that the first look does not see.
func (d *Driver) suspend(ctx context.Context, f family) error {
	if err := f.main.Signal(syscall.SIGSTOP); gone(err) {
		return driver.Errorf(driver.NotCreated, "it has ended")
	} else if err != nil {
		return err
	}
	again := time.NewTicker(stopEvery)
	defer again.Stop()
	for looks := 0; ; {
		still, err := d.stopRunning(f)
		if err != nil {
			return err
		}
		if looks++; !still {
			looks = 0
		}
		if looks == 2 {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for its processes to stop: %w", ctx.Err())
		}
	}
}

// stopRunning stops the processes of a family that run, and reports whether there was none. A process that starts another one waits in
// the kernel until that executes its program (vfork). If that was stopped before, neither would ever stop: it goes on until the next
// look.
func (d *Driver) stopRunning(f family) (still bool, err error) {
	found, err := d.members(f)
	if err != nil {
		return false, err
	}
	still = true
	waiting := map[int]bool{}
	for _, p := range found[f.service] {
		stopped, waits := proc.Stopped(p.PID)
		if stopped {
			continue
		}
		still = false
		waiting[p.PID] = waits
		if err := signal(p, syscall.SIGSTOP); err != nil {
			return false, err
		}
	}
	for _, p := range found[f.service] {
		if _, runs := waiting[p.PID]; runs || !waiting[p.Parent] {
			continue
		}
		if err := signal(p, syscall.SIGCONT); err != nil {
			return false, err
		}
	}
	return still, nil
}

// thaw lets the processes of an instance go on.
func (d *Driver) thaw(ctx context.Context, s *service, i *instance, f family) error {
	found, err := d.members(f)
	if err != nil {
		return fmt.Errorf("thawing service %s: %w", s.id, err)
	}
	for _, p := range found[f.service] {
		if err := ctx.Err(); err != nil {
			return err
		}
		if p.PID == f.main.PID {
			continue
		}
		if err := signal(p, syscall.SIGCONT); err != nil {
			return fmt.Errorf("thawing service %s: %w", s.id, err)
		}
	}
	if err := f.main.Signal(syscall.SIGCONT); err != nil && !gone(err) {
		return fmt.Errorf("thawing service %s: %w", s.id, err)
	}
	return d.saveFrozen(s, i, false)
}

// signal sends a signal to a process, if it lives.
func signal(p process, sig syscall.Signal) error {
	h, err := proc.Open(p.PID, p.Start)
	if err == nil {
		err = errors.Join(h.Signal(sig), h.Close())
	}
	if gone(err) {
		return nil
	}
	return err
}
