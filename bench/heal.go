package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

const (
	trials     = 20
	probeEvery = 5 * time.Millisecond
)

// heal kills an engine and waits until its probe answers again, in turn under uws and under a supervisor that
// does nothing but start it again.
func heal(ctx context.Context, b bench) error {
	p, err := b.serve(ctx, filepath.Join(b.dir, "data"))
	if err != nil {
		return err
	}
	defer stop(p)
	for _, kind := range []string{"BUCKET", "QUEUE"} {
		if err := healKind(ctx, b, p, kind); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return nil
}

func healKind(ctx context.Context, b bench, p *uwstest.Process, kind string) error {
	s, err := p.Launch(ctx, kind, "heal-"+strings.ToLower(kind), nil)
	if err != nil {
		return err
	}
	healthy, err := p.Healthy(ctx, s.ID, 0)
	if err != nil {
		return err
	}
	peer, err := supervise(ctx, b, catalog.Kind(kind))
	if err != nil {
		return fmt.Errorf("supervisor: %w", err)
	}
	defer peer.stop()
	ours := peer.patient // the same engine and probe, at another address
	if ours.target, err = target(ctx, p, healthy); err != nil {
		return err
	}
	var own, other sample
	for range trials {
		if err := settle(ctx, p, s.ID); err != nil {
			return err
		}
		pid, err := uwstest.EnginePID(s.ID)
		if err != nil {
			return err
		}
		d, err := ours.kill(ctx, pid)
		if err != nil {
			return err
		}
		own = append(own, d)
		if d, err = peer.patient.kill(ctx, peer.pid()); err != nil {
			return fmt.Errorf("supervisor: %w", err)
		}
		other = append(other, d)
	}
	fmt.Printf("%-7s SIGKILL to answering, uws         %s\n", kind, own)
	fmt.Printf("%-7s SIGKILL to answering, supervisor  %s\n", kind, other)
	fmt.Printf("%-7s ratio of medians %.2f (goal: at most 1.3)\n", kind, ratio(own.at(0.5), other.at(0.5)))
	if err := p.Query(ctx, `mutation($id: ID!) { removeService(id: $id, data: DELETE) { id } }`, map[string]any{"id": s.ID}, nil); err != nil {
		return err
	}
	_, err = p.WaitFor(ctx, s.ID, "removed", gone)
	return err
}

// settle forgets earlier failures, so that each trial is a first crash, and waits until all is well.
func settle(ctx context.Context, p *uwstest.Process, id string) error {
	if err := p.Do(ctx, "restartService", id); err != nil {
		return err
	}
	calm := 0
	_, err := p.WaitFor(ctx, id, "restarted", func(s *uwstest.Service) bool {
		if s.Health == "HEALTHY" {
			calm++
		} else {
			calm = 0
		}
		return calm >= 10
	})
	return err
}

// target is where a service is probed, and with what.
func target(ctx context.Context, p *uwstest.Process, s *uwstest.Service) (probe.Target, error) {
	endpoint, err := url.Parse(s.Endpoint)
	if err != nil {
		return probe.Target{}, err
	}
	credentials, err := p.Credentials(ctx, s.ID)
	return probe.Target{Address: endpoint.Host, Credentials: credentials}, err
}

// patient is an engine that is killed and probed.
type patient struct {
	ask    probe.Func
	target probe.Target
}

// kill sends SIGKILL and tells how long it takes until the probe answers OK.
func (pt *patient) kill(ctx context.Context, pid int) (time.Duration, error) {
	began := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return 0, err
	}
	for !dead(pid) { // it may answer for one more instant
		runtime.Gosched()
	}
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for time.Since(began) < 30*time.Second {
		if r := probe.Run(ctx, pt.ask, pt.target, time.Second, time.Now); r.Verdict == probe.OK {
			return time.Since(began), nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-tick.C:
		}
	}
	return 0, errors.New("it does not answer again within 30 s")
}

// dead reports whether a process is gone or only waits to be reaped.
func dead(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// supervisor starts a command, and starts it again whenever it ends: the limit of what can be reached.
type supervisor struct {
	patient
	make    func() *exec.Cmd
	mu      sync.Mutex
	cmd     *exec.Cmd
	stopped bool
	ended   chan struct{}
}

// supervise runs the default engine of a kind just as its template says.
func supervise(ctx context.Context, b bench, kind catalog.Kind) (*supervisor, error) {
	all, err := catalog.Load("", catalog.Probes{Check: probe.Check, Writes: probe.Writes})
	if err != nil {
		return nil, err
	}
	t, ok := all.Default(kind, catalog.Process)
	if !ok {
		return nil, fmt.Errorf("no template makes a %s", kind)
	}
	s := &supervisor{ended: make(chan struct{})}
	if s.make, s.target, err = command(ctx, b, t); err != nil {
		return nil, err
	}
	if s.ask, ok = probe.Lookup(t.Probe.Type); !ok {
		return nil, fmt.Errorf("no probe %s", t.Probe.Type)
	}
	if err := s.start(); err != nil {
		return nil, err
	}
	go s.loop()
	return s, uwstest.Until(ctx, "the supervised engine answers", func() (bool, error) {
		return probe.Run(ctx, s.ask, s.target, time.Second, time.Now).Verdict == probe.OK, nil
	})
}

// command fills a template in for a folder and a port of its own.
func command(ctx context.Context, b bench, t catalog.Template) (func() *exec.Cmd, probe.Target, error) {
	const address, port = "127.0.0.1", 19000
	credentials, err := t.GenerateCredentials()
	if err != nil {
		return nil, probe.Target{}, err
	}
	dir := filepath.Join(b.dir, "supervised-"+t.Name)
	data, config := filepath.Join(dir, "data"), filepath.Join(dir, "config")
	ports := map[string]int{}
	for i, p := range t.Ports {
		ports[p.Name] = port + i
	}
	filled, err := t.Process.Resolve(catalog.Values{Data: data, Config: config, Address: address, Host: address,
		ServiceID: "supervised", ServiceName: "supervised", Ports: ports, Credentials: credentials})
	if err != nil {
		return nil, probe.Target{}, err
	}
	for _, folder := range append([]string{"."}, filled.Dirs...) {
		err = errors.Join(err, os.MkdirAll(filepath.Join(data, folder), 0o755))
	}
	err = errors.Join(err, os.MkdirAll(config, 0o755))
	for name, text := range filled.Files {
		err = errors.Join(err, os.WriteFile(filepath.Join(config, name), []byte(text), 0o600))
	}
	binaries, globErr := filepath.Glob(filepath.Join(b.engines, filled.Engine+"-"+t.Version, "*"))
	if err = errors.Join(err, globErr); err != nil {
		return nil, probe.Target{}, err
	}
	binary := executable(binaries)
	if binary == "" {
		return nil, probe.Target{}, fmt.Errorf("no engine %s %s in %s", filled.Engine, t.Version, b.engines)
	}
	run := func() *exec.Cmd {
		cmd := exec.CommandContext(ctx, binary, filled.Args...)
		cmd.Env = []string{"HOME=" + data}
		for k, v := range filled.Env {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
		return cmd
	}
	return run, probe.Target{Address: fmt.Sprintf("%s:%d", address, ports[t.Probe.Port]), Credentials: credentials}, nil
}

func executable(paths []string) string {
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

func (s *supervisor) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return errors.New("stopped")
	}
	s.cmd = s.make()
	return s.cmd.Start()
}

func (s *supervisor) loop() {
	defer close(s.ended)
	for {
		_ = s.cmd.Wait()
		if s.start() != nil {
			return
		}
	}
}

func (s *supervisor) pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd.Process.Pid
}

func (s *supervisor) stop() {
	s.mu.Lock()
	s.stopped = true
	_ = s.cmd.Process.Kill()
	s.mu.Unlock()
	<-s.ended
}

func gone(s *uwstest.Service) bool { return s == nil }
