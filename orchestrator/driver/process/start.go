package process

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/machine"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/proc"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/programs"
)

// Start implements [driver.Driver].
func (d *Driver) Start(ctx context.Context, id string) error {
	s, unlock, err := d.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	s.mu.Lock()
	st, env, live := s.state, s.env, s.live
	s.mu.Unlock()
	switch {
	case live != nil && s.frozen():
		live, f := d.familyOf(s)
		if live == nil { // it has ended meanwhile
			return nil
		}
		return d.thaw(ctx, s, live, f)
	case live != nil:
		return nil
	case st == nil || env == nil:
		return driver.Errorf(driver.NotCreated, "service %s is not created on this node", id)
	}
	owner, err := d.volumes.Owner(st.Spec.Volume)
	if err != nil {
		return err
	}
	program, err := d.programs.Program(st.Spec.Program, st.Spec.Engine, st.Spec.Version)
	if err != nil {
		return err
	}
	if err := d.clearLeftovers(ctx, s, st.Run, owner, st.Spec.Volume); err != nil {
		return err
	}
	if err := d.removeStale(id, program, st.Spec); err != nil {
		return err
	}
	for _, p := range st.Spec.Ports {
		if err := checkPort(ctx, p); err != nil {
			return err
		}
	}
	h, r, err := d.launch(s, program, env, owner)
	if err != nil {
		err = errors.Join(fmt.Errorf("starting service %s: %w", id, err), d.killAll(ctx, id, nil, owner, st.Spec.Volume))
		s.log.End()
		return err
	}
	s.log.Name(r.Mark, r.instance())
	s.mu.Lock()
	s.state = &state{Spec: st.Spec, Run: r}
	err = d.saveState(id, *s.state, false)
	s.mu.Unlock()
	d.await(s, h)
	d.watchers.Hint(id)
	if err != nil { // the intent was saved, and the next driver finds the process by its markers
		d.opt.Log.Warn("cannot write down the pid of an instance", "service", id, "error", err)
	}
	return nil
}

// clearLeftovers kills the processes that an earlier run's main process left behind, such as the backends of PostgreSQL: each
// has a session of its own, and a new instance fails while one of them holds the shared memory. If this driver saw the end of
// the run, a sweep is under way, for which it waits.
func (d *Driver) clearLeftovers(ctx context.Context, s *service, r *run, owner uint32, volume string) error {
	if r == nil || r.Boot != d.boot {
		return nil
	}
	s.mu.Lock()
	sweep := s.sweep
	s.mu.Unlock()
	if sweep != nil && sweep.mark == r.Mark {
		select {
		case <-sweep.done:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the processes that service %s left behind: %w", s.id, ctx.Err())
		}
		if sweep.err == nil {
			return nil
		}
	}
	return d.killAll(ctx, s.id, nil, owner, volume)
}

// removeStale removes the lock and pid files that a crash left in a volume. An engine compares the pid in such a file with the
// processes that run, and after a reboot another program can have that pid. The caller makes sure that no instance of the
// service runs. removeStale keeps the files if the same program, not started by uws, runs in the volume.
func (d *Driver) removeStale(id, program string, spec plan) error {
	if len(spec.Stale) == 0 {
		return nil
	}
	root, err := os.OpenRoot(d.volumes.Folder(spec.Volume))
	if err != nil {
		return fmt.Errorf("looking for stale files: %w", err)
	}
	defer root.Close()
	for _, name := range spec.Stale {
		if _, err := root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return fmt.Errorf("looking for stale files: %w", err)
		}
		user, err := proc.RunsIn(d.volumes.Folder(spec.Volume), filepath.Base(program))
		if err != nil {
			return err
		}
		if user != 0 {
			d.opt.Log.Warn("a process that uws did not start uses the data", "service", id, "pid", user)
			return nil
		}
		if err := root.Remove(name); err != nil {
			return fmt.Errorf("removing a stale file: %w", err)
		}
		d.opt.Log.Info("removed a stale file", "service", id, "file", name)
	}
	return nil
}

// listenAddress returns the address and port that the engine listens on.
func listenAddress(p driver.Port) string {
	return net.JoinHostPort(listenHost(p), strconv.Itoa(p.Number))
}

func listenHost(p driver.Port) string { return cmp.Or(p.Address, "127.0.0.1") }

// checkPort refuses a port that a process listens on.
func checkPort(ctx context.Context, p driver.Port) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", listenAddress(p))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return driver.PortInUseError(p.Number)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return driver.Errorf(driver.Invalid, "this machine has no address %s to listen on", listenHost(p))
	case err != nil && !errors.Is(err, syscall.EACCES): // an engine may be allowed a low port by its file's capabilities
		return fmt.Errorf("checking port %d: %w", p.Number, err)
	case err != nil:
		return driver.Errorf(driver.Invalid, "port %d needs privileges that uws does not have; use one from 1024", p.Number)
	}
	return l.Close()
}

// launch starts the main process. Before, it saves a run with a random mark, which the process has in its environment. If uws
// dies in between, the next uws finds the process by the mark.
func (d *Driver) launch(s *service, program string, env map[string]string, owner uint32) (*proc.Handle, *run, error) {
	s.mu.Lock()
	spec := s.state.Spec
	r := run{Boot: d.boot, Mark: rand.Text(), StartedAt: time.Now().UTC()}
	err := d.saveState(s.id, state{Spec: spec, Run: &r}, false)
	s.mu.Unlock()
	if err != nil {
		return nil, nil, err
	}
	fault.Point("start-intent")
	if err := d.emptyTemp(s.id, owner); err != nil {
		return nil, nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	out, errOut, err := s.log.Begin(r.Mark)
	if err != nil {
		return nil, nil, errors.Join(err, null.Close())
	}
	attr := &os.ProcAttr{
		Dir:   d.volumes.Folder(spec.Volume),
		Env:   d.environment(s.id, spec, r.Mark, env),
		Files: []*os.File{null, out, errOut},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	if asRoot() {
		attr.Sys.Credential = &syscall.Credential{Uid: owner, Gid: owner} // and no supplementary groups
	}
	pid, err := d.spawnConfined(s.id, program, append([]string{program}, spec.Args...), attr)
	if err = errors.Join(err, null.Close(), out.Close(), errOut.Close()); err != nil && pid == 0 {
		return nil, nil, err
	}
	fault.Point("start-spawned")
	// A child keeps its pid until it is reaped, so that this start time is its own.
	st, err := machine.Linux.Stat(pid)
	if err != nil {
		return nil, nil, err
	}
	r.PID, r.Start = pid, st.Start
	h, err := proc.Open(pid, st.Start)
	return h, &r, err
}

// spawnConfined starts a service's process in the sandbox.
func (d *Driver) spawnConfined(service, program string, argv []string, attr *os.ProcAttr) (pid int, err error) {
	err = d.sandbox.Do(d.profile(service, program, attr.Dir), func() error {
		p, err := os.StartProcess(program, argv, attr)
		if err != nil {
			return err
		}
		pid = p.Pid
		return p.Release() // Handle.Wait reaps it
	})
	return pid, err
}

func (d *Driver) environment(id string, spec plan, mark string, own map[string]string) []string {
	return overlay(append(d.baseEnv(id, spec.Volume),
		envInstallation+"="+d.opt.Installation, envService+"="+id, envSpecHash+"="+spec.Hash, envGeneration+"="+strconv.Itoa(spec.Generation), envRun+"="+mark,
		envFolder+"="+d.folder.String()), own)
}

// overlay returns env with own, which replaces variables of the same name: which of two a program sees is not defined.
func overlay(env []string, own map[string]string) []string {
	for k, v := range own {
		env = append(slices.DeleteFunc(env, func(kv string) bool { return strings.HasPrefix(kv, k+"=") }), k+"="+v)
	}
	return env
}

// baseEnv returns the environment of every engine. A spec can replace it.
func (d *Driver) baseEnv(service, volume string) []string {
	return []string{
		"PATH=" + programs.SearchPath,
		"HOME=" + d.volumes.Folder(volume),
		"LANG=C.UTF-8",
		"TMPDIR=" + d.tempDir(service),
	}
}
