package app_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// machine is a fake node that outlives the drivers opened on it, as a real one outlives an orchestrator.
type machine struct {
	mu        sync.Mutex
	away      error // what every call answers while the node is unreachable
	instances map[string]*instance
	volumes   map[string]bool
	marks     map[string]string // of volumes that have one
	watchers  map[chan string]bool
	starts    map[string]int
	startErr  func(spec driver.Spec) error
	prepare   func(ctx context.Context, progress func(driver.Progress)) error
	dieAtOnce bool
	removing  func()               // called by Remove, before it does anything
	stopping  func(service string) // called by Stop, before it does anything
	inspected func()               // called by Inspect, before it does anything
	info      driver.Info
	reports   bool                // where its instances listen
	shift     int                 // added to the ports that new instances are told to listen on
	others    map[string]*machine // by the endpoint of their node

	uses    map[string]use   // of services
	hanging bool             // Usage does not return before its context ends
	sizes   map[string]int64 // of volumes

	output  map[string][]driver.LogLine // of services
	written chan struct{}               // closed when output grows
	freed   map[string]string           // positions up to which logs were released
}

type instance struct {
	spec    driver.Spec
	running bool
	mute    bool // nobody answers on its port
	port    int  // that it listens on
	run     int  // number of the newest start of its service, 0 before its first
	exit    *int
	paused  bool
	began   time.Time // newest start
}

// use is what an instance uses all the time.
type use struct {
	cores  float64
	memory int64
}

func newMachine() *machine {
	return &machine{instances: map[string]*instance{}, volumes: map[string]bool{}, marks: map[string]string{}, watchers: map[chan string]bool{}, starts: map[string]int{},
		uses: map[string]use{}, sizes: map[string]int64{},
		output: map[string][]driver.LogLine{}, written: make(chan struct{}), freed: map[string]string{},
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
	if i == nil || !i.running {
		return
	}
	i.running, i.exit, i.paused = false, &code, false
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

// hang makes an instance answer nobody: DEAD to a probe.
func (m *machine) hang(service string) {
	m.set(func() { m.instances[service].mute, m.instances[service].paused = true, true })
}

// ask is the probe of every type: OK where an instance answers on the target's port.
func (m *machine) ask(_ context.Context, t probe.Target) probe.Result {
	host, port, err := net.SplitHostPort(t.Address)
	if err != nil || net.ParseIP(host) == nil && host != "localhost" {
		return probe.Result{Verdict: probe.NotAsked, Detail: host + " cannot be looked up"}
	}
	machines := []*machine{m}
	for _, other := range m.others {
		machines = append(machines, other)
	}
	for _, at := range machines {
		if at.answers(port) {
			return probe.Result{Verdict: probe.OK, Detail: "answers"}
		}
	}
	return probe.Result{Verdict: probe.Dead, Detail: "connection refused"}
}

// answers reports whether an instance answers on a port.
func (m *machine) answers(port string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, i := range m.instances {
		if i.running && !i.mute && strconv.Itoa(i.port) == port {
			return true
		}
	}
	return false
}

// fakeDriver implements driver.Driver on a machine.
type fakeDriver struct {
	m      *machine
	mapped bool // ports, as Docker does
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
	return driver.Layout{Data: "/data/" + volume, Config: "/config/" + service, Address: "127.0.0.1", HostPorts: !d.mapped}
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
	if spec.DataMustExist {
		if err := d.m.recognise(spec.Data()); err != nil {
			return err
		}
	}
	d.m.volumes[spec.Volume] = true
	if i := d.m.instances[spec.Service]; i != nil {
		if !i.running {
			i.spec = spec
		}
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
	if i.running {
		return nil
	}
	if d.m.startErr != nil {
		if err := d.m.startErr(i.spec); err != nil {
			return err
		}
	}
	d.m.starts[service]++
	i.run, i.exit, i.running, i.mute = d.m.starts[service], nil, true, false
	i.began = time.Now()
	i.port = i.spec.Ports[0].Number + d.m.shift
	if d.m.dieAtOnce {
		d.m.end(service, 1)
	}
	return nil
}

func (d *fakeDriver) Stop(_ context.Context, service string, _ time.Duration) error {
	d.m.mu.Lock()
	stopping := d.m.stopping
	d.m.mu.Unlock()
	if stopping != nil {
		stopping(service)
	}
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

// recognise is [driver.Data.Recognise] for a volume that has nothing but its mark.
func (m *machine) recognise(data driver.Data) error {
	switch {
	case !m.volumes[data.Volume]:
		return driver.Errorf(driver.DataMissing, "volume %s is not there", data.Volume)
	case data.Used && data.Marked && m.marks[data.Volume] == "":
		return driver.Errorf(driver.DataMissing, "volume %s has no mark", data.Volume)
	}
	return nil
}

func (d *fakeDriver) MarkData(_ context.Context, service, note string) error {
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	i := d.m.instances[service]
	if i == nil {
		return driver.Errorf(driver.NotCreated, "no instance")
	}
	d.m.marks[i.spec.Volume] = driver.MarkText(i.spec.Volume, note)
	return nil
}

func (d *fakeDriver) ReadMark(_ context.Context, volume string) (string, error) {
	unlock, err := d.lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	return d.m.marks[volume], nil
}

func (d *fakeDriver) RemoveData(_ context.Context, data driver.Data) error {
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if !d.m.volumes[data.Volume] {
		return nil
	}
	if err := errors.Join(d.m.recognise(data), data.CheckAge("it", created)); err != nil {
		return err
	}
	delete(d.m.volumes, data.Volume)
	delete(d.m.marks, data.Volume)
	return nil
}

func (d *fakeDriver) HasData(_ context.Context, data driver.Data) (bool, error) {
	unlock, err := d.lock()
	if err != nil {
		return false, err
	}
	defer unlock()
	return d.m.recognise(data) == nil, nil
}

func (d *fakeDriver) Inspect(_ context.Context, service string) (driver.Observed, error) {
	d.m.mu.Lock()
	inspected := d.m.inspected
	d.m.mu.Unlock()
	if inspected != nil {
		inspected()
	}
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
	o := driver.Observed{Service: service, Volume: i.spec.Volume, Exists: true, Generation: max(1, i.spec.Generation), Running: i.running, Paused: i.paused, ExitCode: i.exit}
	if i.run > 0 {
		o.Instance = fmt.Sprintf("%s-%d", service, i.run)
	}
	if m.reports && i.running {
		o.Endpoints = map[string]netip.AddrPort{i.spec.Ports[0].Name: netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(i.port))}
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

func (d *fakeDriver) Volumes(context.Context) ([]driver.Volume, error) {
	unlock, err := d.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	var all []driver.Volume
	for id := range d.m.volumes {
		all = append(all, driver.Volume{ID: id, CreatedAt: created})
	}
	return all, nil
}

// created is when all volumes of a fake machine were created.
var created = time.Unix(1e9, 0).UTC()

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

// print has an instance write lines to its standard output.
func (m *machine) print(service string, lines ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, text := range lines {
		m.output[service] = append(m.output[service], driver.LogLine{At: time.Now(), Stream: driver.Stdout, Run: m.observe(service).Instance, Text: text})
	}
	close(m.written)
	m.written = make(chan struct{})
}

// FollowLogs passes on output, whose positions are its indices, at most ten lines at a time.
func (d *fakeDriver) FollowLogs(ctx context.Context, service, after string, yield func(driver.LogBatch) error) error {
	at, _ := strconv.Atoi(after)
	for {
		unlock, err := d.lock()
		if err != nil {
			return err
		}
		i, all, written := d.m.instances[service], d.m.output[service], d.m.written
		running := i != nil && i.running
		unlock()
		if i == nil {
			return driver.Errorf(driver.NotCreated, "no instance")
		}
		if at == len(all) {
			if !running {
				return nil
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-written:
			case <-time.After(time.Second): // it may have ended
			}
			continue
		}
		end := min(at+10, len(all))
		if err := yield(driver.LogBatch{Lines: all[at:end], Position: strconv.Itoa(end)}); err != nil {
			return err
		}
		at = end
	}
}

func (d *fakeDriver) TailLogs(_ context.Context, service string, n int) ([]driver.LogLine, error) {
	unlock, err := d.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	all := d.m.output[service]
	return all[max(0, len(all)-n):], nil
}

func (d *fakeDriver) ReleaseLogs(_ context.Context, service, position string) error {
	d.m.set(func() { d.m.freed[service] = position })
	return nil
}

func (d *fakeDriver) Close() error { return nil }

// Usage implements driver.UsageReader.
func (d *fakeDriver) Usage(ctx context.Context, services []string) (map[string]driver.Usage, error) {
	unlock, err := d.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if d.m.hanging {
		d.m.mu.Unlock()
		<-ctx.Done()
		d.m.mu.Lock()
		return nil, ctx.Err()
	}
	all := map[string]driver.Usage{}
	for _, id := range services {
		i := d.m.instances[id]
		if i == nil || !i.running {
			continue
		}
		u := d.m.uses[id]
		ran := time.Since(i.began)
		all[id] = driver.Usage{At: time.Now(), Run: d.m.observe(id).Instance, CPU: time.Duration(u.cores * float64(ran)), MemoryBytes: u.memory, Processes: new(3),
			Received: new(int64(1000 * ran.Seconds()))}
	}
	return all, nil
}

func (d *fakeDriver) UsageInterval() time.Duration {
	if d.mapped {
		return 30 * time.Second
	}
	return 10 * time.Second
}

// NodeUsage implements driver.NodeUsageReader.
func (d *fakeDriver) NodeUsage(context.Context) (*driver.NodeUsage, error) {
	return &driver.NodeUsage{At: time.Now(), CPU: time.Duration(1.25 * float64(time.Since(created))), MemoryBytes: 600 << 20, MemoryTotal: 1 << 30}, nil
}

// Size implements driver.Sizer.
func (d *fakeDriver) Size(_ context.Context, volume string) (int64, error) {
	unlock, err := d.lock()
	if err != nil {
		return 0, err
	}
	defer unlock()
	if !d.m.volumes[volume] {
		return 0, driver.Errorf(driver.DataMissing, "volume %s is not there", volume)
	}
	return d.m.sizes[volume], nil
}
