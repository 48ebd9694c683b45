// Package process drives engines as supervised processes of this machine, without any container engine.
//
// An engine runs in a session of its own and outlives uws; the next uws adopts it. Boot, pid and start time identify it
// together. Signals go through a pidfd that was verified against them, so that a reused pid is never signalled. As root, each
// volume has an unprivileged uid of its own, under which its engine runs. Engines start in a sandbox, as far as the kernel
// supports one.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/internal/sandbox"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/folders"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/proc"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/programs"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/spool"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/volumes"
)

var (
	_ driver.Driver          = (*Driver)(nil)
	_ driver.LogReader       = (*Driver)(nil)
	_ driver.UsageReader     = (*Driver)(nil)
	_ driver.NodeUsageReader = (*Driver)(nil)
	_ driver.Sizer           = (*Driver)(nil)
	_ driver.Exporter        = (*Driver)(nil)
	_ driver.Freezer         = (*Driver)(nil)
)

// errClosed is returned by all verbs after Close.
var errClosed = errors.New("the process driver is closed")

// Driver runs instances as processes of this machine. A state folder must have at most one Driver at a time.
type Driver struct {
	opt      Options
	boot     string     // id of this boot
	folder   folders.ID // Options.Dir
	programs *programs.Store
	sandbox  sandbox.Support
	volumes  *volumes.Store
	logs     *spool.Watcher

	done       chan struct{} // closed by Close
	watchers   driver.Watchers
	goroutines sync.WaitGroup

	mu       sync.Mutex // locked before that of a service, never after
	closed   bool
	services map[string]*service
}

// New opens the state folder, which it makes if it is missing, and adopts the instances that run.
func New(opt Options) (*Driver, error) {
	if err := opt.Validate(); err != nil {
		return nil, fmt.Errorf("process driver: %w", err)
	}
	d := &Driver{
		opt: opt.withDefaults(), done: make(chan struct{}),
		services: map[string]*service{},
	}
	d.volumes = volumes.New(d.volumesDir(), d.opt.UIDBase)
	d.logs = spool.NewWatcher(d.opt.Log)
	if err := d.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("process driver: %w", err), d.Close())
	}
	return d, nil
}

func (d *Driver) open() (err error) {
	if d.boot, err = proc.Boot(); err != nil {
		return err
	}
	if err := proc.CheckKernel(); err != nil {
		return err
	}
	if err := proc.CloseOnExec(); err != nil {
		return err
	}
	for _, dir := range []string{d.opt.Dir, d.enginesDir(), filepath.Join(d.opt.Dir, "services"), d.volumesDir()} {
		if err := folders.Make(dir, folders.Passable()); err != nil {
			return err
		}
	}
	if d.folder, err = folders.At(d.opt.Dir); err != nil {
		return err
	}
	if err := d.openSandbox(); err != nil {
		return err
	}
	if asRoot() {
		if err := errors.Join(checkReachable(d.opt.Dir), volumes.CheckBlock(d.opt.UIDBase)); err != nil {
			return err
		}
	}
	if d.opt.ClonedFrom != "" {
		if err := d.volumes.TakeFrom(volumes.BaseOf(d.opt.ClonedFrom)); err != nil {
			return err
		}
	}
	if err := errors.Join(folders.Sweep(d.volumesDir()), folders.Sweep(filepath.Join(d.opt.Dir, "services"))); err != nil {
		return err
	}
	d.programs = programs.New(d.enginesDir(), programs.Options{Prebuilt: d.opt.Engines, Build: d.opt.BuildEngines, Version: d.opt.Version})
	if err := d.adopt(); err != nil {
		return err
	}
	d.spawn(d.trimLogs)
	return nil
}

// Close implements [driver.Driver]. It waits for the driver's goroutines and does not stop instances.
func (d *Driver) Close() error {
	d.mu.Lock()
	first := !d.closed
	d.closed = true
	var errs []error
	if first {
		close(d.done)
		d.watchers.Close()
		for _, s := range d.services {
			s.log.Close()
			if i := s.running(); i != nil {
				if err := i.handle.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
					errs = append(errs, err)
				}
			}
		}
	}
	d.mu.Unlock()
	d.goroutines.Wait()
	if first {
		errs = append(errs, d.logs.Close())
	}
	if d.programs != nil {
		d.programs.Close()
	}
	return errors.Join(errs...)
}

// spawn runs f in a goroutine that Close waits for. It returns false, and does not run f, after Close.
func (d *Driver) spawn(f func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.goroutines.Go(f)
	}
	return !d.closed
}

// Layout implements [driver.Driver].
func (d *Driver) Layout(service, volume string) driver.Layout {
	return driver.Layout{Data: d.volumes.Folder(volume), Config: d.configDir(service), Address: "127.0.0.1", HostPorts: true}
}

// Ping implements [driver.Driver].
func (d *Driver) Ping(ctx context.Context) (driver.Info, error) {
	if err := ctx.Err(); err != nil {
		return driver.Info{}, err
	}
	var mem unix.Sysinfo_t
	var name unix.Utsname
	var disk unix.Statfs_t
	err := errors.Join(unix.Sysinfo(&mem), unix.Uname(&name), unix.Statfs(d.volumesDir(), &disk))
	if err != nil {
		return driver.Info{}, fmt.Errorf("looking at this machine: %w", err)
	}
	text := unix.ByteSliceToString
	return driver.Info{
		EngineID:    "process", // a machine has at most one node with this driver
		Version:     "Linux " + text(name.Release[:]),
		CPUs:        runtime.NumCPU(),
		MemoryBytes: int64(mem.Totalram) * int64(mem.Unit), //nolint:gosec // fits
		DiskFree:    int64(disk.Bavail) * disk.Bsize,       //nolint:gosec // fits
		DiskTotal:   int64(disk.Blocks) * disk.Bsize,       //nolint:gosec // fits
		Labels:      map[string]string{"hostname": text(name.Nodename[:]), "arch": text(name.Machine[:]), sandboxLabel: d.sandboxText()},
	}, nil
}

// Prepare implements [driver.Driver].
func (d *Driver) Prepare(ctx context.Context, spec driver.Spec, progress func(driver.Progress)) error {
	return d.programs.Prepare(ctx, spec, progress)
}

// Watch implements [driver.Driver].
func (d *Driver) Watch(ctx context.Context) <-chan string { return d.watchers.Watch(ctx) }

// Inspect implements [driver.Driver].
func (d *Driver) Inspect(_ context.Context, service string) (driver.Observed, error) {
	d.mu.Lock()
	s := d.services[service]
	d.mu.Unlock()
	if s == nil {
		return driver.Observed{}, nil
	}
	return s.observe(), nil
}

// List implements [driver.Driver].
func (d *Driver) List(context.Context) ([]driver.Observed, error) {
	var all []driver.Observed
	for _, s := range d.all() {
		if o := s.observe(); o.Service != "" {
			all = append(all, o)
		}
	}
	return all, nil
}

func (d *Driver) all() []*service {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*service, 0, len(d.services))
	for _, s := range d.services {
		all = append(all, s)
	}
	return all
}

// use returns a service, which stays in services until the function is called.
func (d *Driver) use(ctx context.Context, id string) (*service, func(), error) {
	if err := driver.CheckID("service", id); err != nil {
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, nil, errClosed
	}
	s := d.services[id]
	if s == nil {
		s = d.newService(id)
		d.services[id] = s
	}
	s.users++
	return s, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if s.users--; s.users == 0 && s.gone() {
			delete(d.services, id)
		}
	}, nil
}

// lock locks a service for one verb and returns the function that unlocks it. Verbs of one service run one at a time.
func (d *Driver) lock(ctx context.Context, id string) (*service, func(), error) {
	s, free, err := d.use(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	select {
	case s.verb <- struct{}{}:
		return s, func() { <-s.verb; free() }, nil
	case <-ctx.Done():
		free()
		return nil, nil, fmt.Errorf("waiting for another operation on service %s: %w", id, ctx.Err())
	}
}
