package process

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
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
	case live != nil:
		return nil
	case st == nil || env == nil:
		return driver.Errorf(driver.NotCreated, "service %s is not created on this node", id)
	}
	owner, err := d.volumeOwner(st.Spec.Volume)
	if err != nil {
		return err
	}
	program, err := d.program(st.Spec.Program, st.Spec.Engine, st.Spec.Version)
	if err != nil {
		return err
	}
	if err := d.clearLeftovers(ctx, id, st.Run, owner); err != nil {
		return err
	}
	for _, p := range st.Spec.Ports {
		if err := checkPort(ctx, p); err != nil {
			return err
		}
	}
	h, r, err := d.launch(s, program, env, owner)
	if err != nil {
		return errors.Join(fmt.Errorf("starting service %s: %w", id, err), d.killAll(ctx, id, nil, owner))
	}
	s.mu.Lock()
	s.state = &state{Spec: st.Spec, Run: r}
	err = d.saveState(id, *s.state, false)
	s.mu.Unlock()
	d.await(s, h)
	d.watchers.Hint(id)
	if err != nil { // the intent is there: the markers will tell the next driver
		d.opt.Log.Warn("cannot write down the pid of an instance", "service", id, "error", err)
	}
	return nil
}

// clearLeftovers kills what an earlier run's main process left behind. Looking through all processes takes
// milliseconds; a process group that has nobody left needs no look.
func (d *Driver) clearLeftovers(ctx context.Context, id string, r *run, owner uint32) error {
	if r == nil || r.Boot != d.boot {
		return nil
	}
	if r.PID > 1 && errors.Is(unix.Kill(-r.PID, 0), unix.ESRCH) {
		return nil
	}
	return d.killAll(ctx, id, nil, owner)
}

// checkPort refuses a port that somebody listens on.
func checkPort(ctx context.Context, p driver.Port) error {
	address := p.Address
	if address == "" {
		address = "127.0.0.1"
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(p.Number)))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return driver.PortInUseError(p.Number)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return driver.Errorf(driver.Invalid, "this machine has no address %s to listen on", address)
	case err != nil && !errors.Is(err, syscall.EACCES): // an engine may be allowed a low port by its file's capabilities
		return fmt.Errorf("checking port %d: %w", p.Number, err)
	case err != nil:
		return driver.Errorf(driver.Invalid, "port %d needs privileges that uws does not have; use one from 1024", p.Number)
	}
	return l.Close()
}

// launch starts the main process. The intent is written before, with a random mark that the process bears: when
// uws dies in between, the next one finds the process by it.
func (d *Driver) launch(s *service, program string, env map[string]string, owner uint32) (*handle, *run, error) {
	s.mu.Lock()
	spec := s.state.Spec
	r := run{Boot: d.boot, Mark: rand.Text(), StartedAt: time.Now().UTC()}
	err := d.saveState(s.id, state{Spec: spec, Run: &r}, false)
	s.mu.Unlock()
	if err != nil {
		return nil, nil, err
	}
	fault.Point("start-intent")
	out, err := d.openLog(s)
	if err != nil {
		return nil, nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, errors.Join(err, out.Close())
	}
	attr := &os.ProcAttr{
		Dir:   d.volumeDir(spec.Volume),
		Env:   d.environment(s.id, spec, r.Mark, env),
		Files: []*os.File{null, out, out},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	if asRoot() {
		attr.Sys.Credential = &syscall.Credential{Uid: owner, Gid: owner} // and no supplementary groups
	}
	pid, err := spawn(program, append([]string{program}, spec.Args...), attr)
	if err = errors.Join(err, null.Close(), out.Close()); err != nil && pid == 0 {
		return nil, nil, err
	}
	fault.Point("start-spawned")
	// Our child cannot lose its pid before we reap it, so that its start time is read in peace.
	st, err := readStat(pid)
	if err != nil {
		return nil, nil, err
	}
	r.PID, r.Start = pid, st.start
	h, err := openHandle(pid, st.start)
	return h, &r, err
}

// spawn starts a process that can gain no privileges (no_new_privs). That is a thread's property which
// children inherit, so that it is set on a thread which ends with this goroutine.
func spawn(program string, argv []string, attr *os.ProcAttr) (pid int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread is not used again
		if err = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return
		}
		p, failed := os.StartProcess(program, argv, attr)
		// Busy: it was copied here a moment ago, and a process that is just being started has not let go of it.
		for try := 0; errors.Is(failed, syscall.ETXTBSY) && try < 20; try++ {
			<-time.After(10 * time.Millisecond)
			p, failed = os.StartProcess(program, argv, attr)
		}
		if err = failed; err == nil {
			pid = p.Pid
			err = p.Release() // we wait by our own pidfd
		}
	}()
	<-done
	return pid, err
}

func (d *Driver) environment(id string, spec plan, mark string, own map[string]string) []string {
	return overlay(append(d.baseEnv(spec.Volume),
		envInstallation+"="+d.opt.Installation, envService+"="+id, envSpecHash+"="+spec.Hash, envRun+"="+mark), own)
}

// overlay adds own to env, in place of what has the same name: of two programs see either, so that there must be one
// only.
func overlay(env []string, own map[string]string) []string {
	for k, v := range own {
		env = append(slices.DeleteFunc(env, func(kv string) bool { return strings.HasPrefix(kv, k+"=") }), k+"="+v)
	}
	return env
}

// baseEnv is what every engine gets; a spec may say otherwise.
func (d *Driver) baseEnv(volume string) []string {
	return []string{
		"PATH=" + programPath,
		"HOME=" + d.volumeDir(volume),
		"LANG=C.UTF-8",
	}
}
