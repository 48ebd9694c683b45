package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/orchestrator/driver/process/folders"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/proc"
)

// Stop implements [driver.Driver].
func (d *Driver) Stop(ctx context.Context, id string, grace time.Duration) error {
	s, unlock, err := d.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	return d.stop(ctx, s, grace)
}

// stop ends all processes of a service. The caller holds its verb.
func (d *Driver) stop(ctx context.Context, s *service, grace time.Duration) error {
	s.mu.Lock()
	live, spec := s.live, plan{}
	if s.state != nil {
		spec = s.state.Spec
	}
	s.mu.Unlock()
	var owner uint32 // 0 if the data was removed
	if spec.Volume != "" {
		if uid, err := d.volumes.Owner(spec.Volume); err == nil {
			owner = uid
		}
	}
	if live == nil {
		return d.killAll(ctx, s.id, nil, owner, spec.Volume)
	}
	if st, err := live.handle.Stat(); err == nil && st.Paused() {
		grace = 0
	}
	// While the main process lives its descendants are members too, whatever their markers are.
	members, err := d.openMembers(s.id, live.handle, owner, spec.Volume)
	if err != nil {
		return err
	}
	defer closeAll(members)
	if grace > 0 {
		sig := unix.SignalNum(spec.StopSignal)
		if sig == 0 {
			sig = syscall.SIGTERM
		}
		if err := live.handle.Signal(sig); err != nil && !gone(err) {
			return fmt.Errorf("asking service %s to stop: %w", s.id, err)
		}
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-live.ended:
		case <-timer.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for service %s to stop: %w", s.id, ctx.Err())
		}
	}
	if err := killMembers(ctx, s.id, members); err != nil {
		return err
	}
	if err := d.killAll(ctx, s.id, live.handle, owner, spec.Volume); err != nil {
		return err
	}
	select {
	case <-live.ended:
	case <-d.done:
		return errClosed
	case <-ctx.Done():
		return fmt.Errorf("waiting for service %s to end: %w", s.id, ctx.Err())
	}
	return nil
}

func gone(err error) bool { return errors.Is(err, os.ErrProcessDone) || errors.Is(err, os.ErrClosed) }

// killAll kills the members of a service until none is left. The other arguments are those of [family].
func (d *Driver) killAll(ctx context.Context, id string, main *proc.Handle, owner uint32, volume string) error {
	for {
		found, err := d.openMembers(id, main, owner, volume)
		if err != nil || len(found) == 0 {
			return err
		}
		err = killMembers(ctx, id, found)
		closeAll(found)
		if err != nil {
			return err
		}
	}
}

// openMembers returns handles of the members of a service.
func (d *Driver) openMembers(id string, main *proc.Handle, owner uint32, volume string) ([]*proc.Handle, error) {
	found, err := d.members(family{id, main, owner, volume})
	if err != nil {
		return nil, err
	}
	var handles []*proc.Handle
	for _, p := range found[id] {
		h, err := proc.Open(p.PID, p.Start)
		if errors.Is(err, os.ErrProcessDone) {
			continue
		}
		if err != nil {
			closeAll(handles)
			return nil, fmt.Errorf("killing service %s: %w", id, err)
		}
		handles = append(handles, h)
	}
	return handles, nil
}

// killMembers kills processes and waits until they have ended.
func killMembers(ctx context.Context, id string, members []*proc.Handle) error {
	for _, h := range members {
		if err := h.Signal(syscall.SIGKILL); err != nil && !gone(err) {
			return fmt.Errorf("killing service %s: %w", id, err)
		}
	}
	if err := awaitAll(ctx, members); err != nil {
		return fmt.Errorf("waiting for the killed processes of service %s: %w", id, err)
	}
	return nil
}

// awaitAll waits until all have ended. It does not reap them: await does, which needs the exit code.
func awaitAll(ctx context.Context, handles []*proc.Handle) error {
	for _, h := range handles {
		stop := context.AfterFunc(ctx, func() { _ = h.Close() })
		err := h.Exited()
		if stop(); ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func closeAll(handles []*proc.Handle) {
	for _, h := range handles {
		_ = h.Close() // a pidfd has nothing to flush
	}
}

// Remove implements [driver.Driver]. It removes the logs too, but not the data.
func (d *Driver) Remove(ctx context.Context, id string) error {
	s, unlock, err := d.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if err := d.stop(ctx, s, 0); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Renamed first, so that a part of a service never counts as one.
	tmp, err := os.MkdirTemp(filepath.Join(d.opt.Dir, "services"), folders.TempPrefix)
	if err == nil {
		err = os.Rename(d.serviceDir(id), filepath.Join(tmp, id))
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		s.state, s.env = nil, nil
		s.log.Forget()
	}
	if tmp != "" {
		err = errors.Join(err, os.RemoveAll(tmp))
	}
	if err != nil {
		return fmt.Errorf("removing service %s: %w", id, err)
	}
	return nil
}
