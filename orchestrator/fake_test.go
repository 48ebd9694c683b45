package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// machine is a fake node that outlives the drivers opened on it, as a real one outlives an orchestrator. Its
// instances are real listeners, so that probes are real too.
type machine struct {
	mu        sync.Mutex
	away      error // what every call answers while the node is unreachable
	instances map[string]*instance
	volumes   map[string]bool
	watchers  map[chan string]bool
	starts    map[string]int
	startErr  func(spec driver.Spec) error
	prepare   func(ctx context.Context, progress func(driver.Progress)) error
	dieAtOnce bool
	removing  func() // called by Remove, before it does anything
	info      driver.Info
	others    map[string]*machine // by the endpoint of their node
}

type instance struct {
	spec     driver.Spec
	listener net.Listener
	run      int
	exit     *int
	paused   bool
}

func newMachine() *machine {
	return &machine{instances: map[string]*instance{}, volumes: map[string]bool{}, watchers: map[chan string]bool{}, starts: map[string]int{},
		info: driver.Info{Version: "fake", CPUs: 2, MemoryBytes: 1 << 30}}
}

// at is the machine of a node with this endpoint: m itself unless there is another.
func (m *machine) at(endpoint string) *machine {
	if other := m.others[endpoint]; other != nil {
		return other
	}
	return m
}

func (m *machine) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// crash ends an instance with an exit code, and tells the watchers.
func (m *machine) crash(service string, code int) {
	m.set(func() { m.end(service, code) })
}

func (m *machine) end(service string, code int) {
	i := m.instances[service]
	if i == nil || i.listener == nil {
		return
	}
	_ = i.listener.Close()
	i.listener, i.exit, i.paused = nil, &code, false
	m.hint(service)
}

// hint tells the watchers to look. m.mu is held.
func (m *machine) hint(service string) {
	for ch := range m.watchers {
		select {
		case ch <- service:
		default:
		}
	}
}

// hang makes an instance close every connection without a word: DEAD to a probe.
func (m *machine) hang(service string) {
	m.set(func() {
		_ = m.instances[service].listener.Close()
		m.instances[service].paused = true
	})
}

// fakeDriver implements driver.Driver on a machine.
type fakeDriver struct {
	m *machine
}

var _ driver.Driver = (*fakeDriver)(nil)

func (m *machine) open() *fakeDriver { return &fakeDriver{m: m} }

func (d *fakeDriver) lock() (func(), error) {
	d.m.mu.Lock()
	if d.m.away != nil {
		defer d.m.mu.Unlock()
		return nil, driver.Errorf(driver.Unreachable, "%w", d.m.away)
	}
	return d.m.mu.Unlock, nil
}

func (d *fakeDriver) Ping(context.Context) (driver.Info, error) {
	unlock, err := d.lock()
	if err != nil {
		return driver.Info{}, err
	}
	defer unlock()
	return d.m.info, nil
}

func (d *fakeDriver) Layout(service, volume string) driver.Layout {
	return driver.Layout{Data: "/data/" + volume, Config: "/config/" + service, Address: "127.0.0.1", HostPorts: true}
}

func (d *fakeDriver) Prepare(ctx context.Context, _ driver.Spec, progress func(driver.Progress)) error {
	d.m.mu.Lock()
	prepare := d.m.prepare
	d.m.mu.Unlock()
	if prepare == nil {
		return nil
	}
	return prepare(ctx, progress)
}

func (d *fakeDriver) Create(_ context.Context, spec driver.Spec) error {
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if spec.DataMustExist && !d.m.volumes[spec.Volume] {
		return driver.Errorf(driver.DataMissing, "volume %s is not there", spec.Volume)
	}
	d.m.volumes[spec.Volume] = true
	if i := d.m.instances[spec.Service]; i != nil {
		i.spec = spec
		return nil
	}
	d.m.instances[spec.Service] = &instance{spec: spec}
	return nil
}

func (d *fakeDriver) Start(_ context.Context, service string) error {
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	i := d.m.instances[service]
	if i == nil {
		return driver.Errorf(driver.NotCreated, "no instance")
	}
	if i.listener != nil {
		return nil
	}
	if d.m.startErr != nil {
		if err := d.m.startErr(i.spec); err != nil {
			return err
		}
	}
	i.run++
	i.exit = nil
	d.m.starts[service]++
	if i.listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", i.spec.Ports[0].Number)); err != nil {
		return driver.PortInUseError(i.spec.Ports[0].Number)
	}
	if d.m.dieAtOnce {
		d.m.end(service, 1)
		return nil
	}
	go accept(i.listener)
	return nil
}

func accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = c.Write([]byte("hello"))
		_ = c.Close()
	}
}

func (d *fakeDriver) SetAutoRestart(context.Context, string, bool) error { return nil }

func (d *fakeDriver) Stop(_ context.Context, service string, _ time.Duration) error {
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	d.m.end(service, 0)
	return nil
}

func (d *fakeDriver) Remove(_ context.Context, service string) error {
	d.m.mu.Lock()
	removing := d.m.removing
	d.m.mu.Unlock()
	if removing != nil {
		removing()
	}
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	d.m.end(service, 137)
	delete(d.m.instances, service)
	return nil
}

func (d *fakeDriver) RemoveData(_ context.Context, volume string) error {
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	delete(d.m.volumes, volume)
	return nil
}

func (d *fakeDriver) HasData(_ context.Context, volume string) (bool, error) {
	unlock, err := d.lock()
	if err != nil {
		return false, err
	}
	defer unlock()
	return d.m.volumes[volume], nil
}

func (d *fakeDriver) Inspect(_ context.Context, service string) (driver.Observed, error) {
	unlock, err := d.lock()
	if err != nil {
		return driver.Observed{}, err
	}
	defer unlock()
	return d.m.observe(service), nil
}

func (m *machine) observe(service string) driver.Observed {
	i := m.instances[service]
	if i == nil {
		return driver.Observed{}
	}
	o := driver.Observed{Service: service, Exists: true, Running: i.listener != nil, Paused: i.paused, ExitCode: i.exit}
	if i.run > 0 {
		o.Instance = fmt.Sprintf("%s-%d", service, i.run)
	}
	return o
}

func (d *fakeDriver) List(context.Context) ([]driver.Observed, error) {
	unlock, err := d.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	var all []driver.Observed
	for id := range d.m.instances {
		all = append(all, d.m.observe(id))
	}
	return all, nil
}

func (d *fakeDriver) Watch(ctx context.Context) <-chan string {
	ch, out := make(chan string, 256), make(chan string)
	d.m.set(func() { d.m.watchers[ch] = true })
	go func() {
		defer close(out)
		defer d.m.set(func() { delete(d.m.watchers, ch) })
		for {
			select {
			case <-ctx.Done():
				return
			case id := <-ch:
				select {
				case out <- id:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out
}

func (d *fakeDriver) Logs(context.Context, string, int) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("")), nil
}

func (d *fakeDriver) Stats(context.Context, string) (driver.Stats, error) {
	return driver.Stats{}, errors.ErrUnsupported
}

func (d *fakeDriver) Close() error { return nil }
