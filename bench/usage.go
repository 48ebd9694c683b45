package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker/endpoint"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process"
	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

const (
	usageProcesses  = 1000
	usageContainers = manyContainers
	usageRounds     = 6
)

// usage has the drivers measure 1,000 processes, and 300 containers on one engine of this machine: by the files of the kernel, and
// by the API of the engine.
func usage(ctx context.Context, b bench) error {
	if err := usageOfProcesses(ctx, b); err != nil {
		return err
	}
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	address := fmt.Sprint("tcp://127.0.0.1:", port)
	e, err := dockertest.Start("-H", address, "--tls=false")
	if err != nil {
		return err
	}
	defer e.Stop() //nolint:errcheck // the figures are printed by then
	if err := e.ImportPuppet(); err != nil {
		return err
	}
	open := func(c endpoint.Connection) (*docker.Driver, error) {
		return docker.New(docker.Options{Connection: c, Installation: "bench", Log: slog.New(slog.DiscardHandler)})
	}
	here, err := open(endpoint.Connection{Endpoint: e.Host})
	if err != nil {
		return err
	}
	defer here.Close()
	far, err := open(endpoint.Connection{Endpoint: address, AllowPlaintext: true})
	if err != nil {
		return err
	}
	defer far.Close()
	ids, err := startMany(ctx, here, usageContainers, driver.Spec{Image: dockertest.PuppetImage})
	if err != nil {
		return err
	}
	fmt.Printf("%d containers run\n", len(ids))
	files, err := measureUsage(ctx, here, ids, e.Pid())
	if err != nil {
		return err
	}
	stats, err := measureUsage(ctx, far, ids, e.Pid())
	if err != nil {
		return err
	}
	files.print("300 containers, control groups", "1.5")
	stats.print("300 containers, stats API", "")
	fmt.Printf("a measurement by the stats API takes %.0f times the processor time of one by control groups (uws and engine together), and %.0f times as long\n",
		ratio(stats.own+stats.engine, files.own+files.engine), ratio(stats.took, files.took))
	return nil
}

func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// usageOfProcesses has the process driver measure 1,000 processes.
func usageOfProcesses(ctx context.Context, b bench) (err error) {
	engines := filepath.Join(b.dir, "engines")
	if err := provide(engines, "puppet-1", "puppet", uwstest.Path(dockertest.Dir(), uwstest.Puppet)); err != nil {
		return err
	}
	d, err := process.New(process.Options{Dir: filepath.Join(b.dir, "process"), Installation: "bench", Engines: engines, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer d.Close()
	ids, err := startMany(ctx, d, usageProcesses, driver.Spec{Engine: "puppet", EngineVersion: "1"})
	if err != nil {
		return err
	}
	fmt.Printf("%d processes run\n", len(ids))
	use, err := measureUsage(ctx, d, ids, 0)
	if err != nil {
		return err
	}
	use.print("1,000 processes, /proc", "2")
	for _, id := range ids {
		if err := d.Remove(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// provide puts a program into a folder of prebuilt engines.
func provide(engines, id, name, program string) error {
	dir := filepath.Join(engines, id)
	data, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name), data, 0o755),
		os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(hex.EncodeToString(sum[:])+"  "+name+"\n"), 0o644))
}

// startMany starts services that do nothing, and returns their ids.
func startMany(ctx context.Context, d driver.Driver, n int, spec driver.Spec) ([]string, error) {
	ids := make([]string, n)
	var starting errgroup.Group
	starting.SetLimit(launching)
	for i := range ids {
		ids[i] = fmt.Sprint("s", i)
		spec := spec
		spec.Service, spec.Volume, spec.Env = ids[i], ids[i]+"-data", map[string]string{"DRIVERTEST_PUPPET": "1"}
		starting.Go(func() error {
			if err := d.Prepare(ctx, spec, nil); err != nil {
				return err
			}
			if err := d.Create(ctx, spec); err != nil {
				return err
			}
			return d.Start(ctx, spec.Service)
		})
	}
	return ids, starting.Wait()
}

// usageCost is what one measurement costs.
type usageCost struct {
	interval    time.Duration // between two, as the driver asks for
	took        time.Duration
	own, engine time.Duration // processor time of this process, and of the engine beyond what it needs at rest
}

func (c usageCost) print(what, goal string) {
	share := func(d time.Duration) float64 { return 100 * float64(d) / float64(c.interval) }
	fmt.Printf("%-32s every %2.0f s: takes %8.1f ms, uws %6.1f ms of processor, %.2f %% of a core", what, c.interval.Seconds(), ms(c.took), ms(c.own), share(c.own))
	if goal != "" {
		fmt.Printf(" (goal: at most %s)", goal)
	}
	fmt.Printf("; engine %7.1f ms, %.2f %%\n", ms(c.engine), share(c.engine))
}

// measureUsage measures services at the driver's interval, after a first time in which it learns about them. engine is the pid of
// the engine, 0 if there is none.
func measureUsage(ctx context.Context, d driver.Driver, ids []string, engine int) (c usageCost, err error) {
	r := d.(driver.UsageReader)
	if _, err := r.Usage(ctx, ids); err != nil {
		return c, err
	}
	c.interval = r.UsageInterval()
	if err := rest(ctx, c.interval); err != nil {
		return c, err
	}
	atRest, err := spent(engine, func() error { return rest(ctx, c.interval) })
	if err != nil {
		return c, err
	}
	for range usageRounds {
		var took time.Duration
		used, err := spent(engine, func() error {
			began := time.Now()
			all, err := r.Usage(ctx, ids)
			took = time.Since(began)
			if err == nil && len(all) != len(ids) {
				err = fmt.Errorf("%d of %d services are measured", len(all), len(ids))
			}
			return errors.Join(err, rest(ctx, c.interval-took))
		})
		if err != nil {
			return c, err
		}
		c.took += took / usageRounds
		c.own += (used.own - atRest.own) / usageRounds
		c.engine += (used.engine - atRest.engine) / usageRounds
	}
	return c, nil
}

type processorTime struct{ own, engine time.Duration }

// spent returns the processor time of this process and of the engine while f runs.
func spent(engine int, f func() error) (processorTime, error) {
	read := func() (t processorTime, err error) {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			return t, err
		}
		t.own = time.Duration(u.Utime.Nano() + u.Stime.Nano())
		if engine == 0 {
			return t, nil
		}
		pids, err := childrenOf(engine) // its containerd
		for _, pid := range append(pids, engine) {
			used, readErr := cpu(pid)
			t.engine, err = t.engine+used, errors.Join(err, readErr)
		}
		return t, err
	}
	before, err := read()
	if err != nil {
		return before, err
	}
	if err := f(); err != nil {
		return before, err
	}
	after, err := read()
	return processorTime{after.own - before.own, after.engine - before.engine}, err
}

// childrenOf returns the children of a process.
func childrenOf(pid int) (pids []int, err error) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil, err
	}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			return nil, err
		}
		for _, field := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				return nil, err
			}
			pids = append(pids, child)
		}
	}
	return pids, nil
}
