// Package docker drives engines as containers of a Docker Engine, local or remote.
//
// Names and labels of all that it makes derive from the installation and the service, so that doing a thing twice
// finds what the first time made, and two installations that share an engine leave each other alone. The engine itself
// restarts what crashes, even while uws is away; hangs, containers that vanished and crash loops are the control
// plane's.
package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

var (
	_ driver.Driver        = (*Driver)(nil)
	_ driver.AutoRestarter = (*Driver)(nil)
	_ driver.LogReader     = (*Driver)(nil)
	_ driver.UsageReader   = (*Driver)(nil)
	_ driver.Releaser      = (*Driver)(nil)
)

const (
	dataFolder   = "/data"    // in the container, unless the spec says otherwise
	configFolder = "/etc/uws" // in the container
	infoEvery    = time.Minute
)

// Options of a [Driver]. All are required but Connection's keys, ClonedFrom and Claim.
type Options struct {
	Connection   Connection
	Installation string // whose containers these are
	ClonedFrom   string // id of the installation that this one is a clone of; empty: none
	Claim        Claim
	Config       string // folder of the docker command's configuration, see [ConfigFolder]; empty: images are pulled without credentials
	Log          *slog.Logger
}

// Driver runs instances as containers of one engine.
type Driver struct {
	installation string
	clonedFrom   string
	claim        Claim
	taken, lost  atomic.Bool // the claim: by us at some time; by another copy since
	log          *slog.Logger
	config       string // folder of the docker command's configuration
	client       *client.Client
	local        bool                // the engine's files are on this machine
	agreeing     *semaphore.Weighted // held while the version of the API is settled
	agreed       atomic.Bool         // on the version of the API
	networking   *semaphore.Weighted
	marking      *semaphore.Weighted // held while the mark of the engine's run is looked at or made
	watchers     driver.Watchers
	names        sync.Map // of containers, by service

	stop    context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	ends   map[string]seenEnd // by container id
	engine engineRun
	info   *system.Info // what the engine said of itself
	infoAt time.Time
}

// New makes a driver without waiting for its engine.
func New(opts Options) (*Driver, error) {
	if opts.Log == nil {
		return nil, errors.New("docker driver: Log is required")
	}
	if err := driver.CheckID("installation", opts.Installation); err != nil {
		return nil, err
	}
	cli, err := opts.Connection.Dial()
	if err != nil {
		return nil, err
	}
	d := &Driver{
		installation: opts.Installation, clonedFrom: opts.ClonedFrom, claim: opts.Claim, log: opts.Log, config: opts.Config, client: cli, local: opts.Connection.Host() == "",
		networking: semaphore.NewWeighted(1), agreeing: semaphore.NewWeighted(1), marking: semaphore.NewWeighted(1),
		ends: map[string]seenEnd{},
	}
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	d.running.Go(func() { d.follow(ctx) })
	return d, nil
}

// Close implements [driver.Driver].
func (d *Driver) Close() error {
	d.stop()
	d.running.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	d.watchers.Close()
	return d.client.Close()
}

// Layout implements [driver.Driver].
func (d *Driver) Layout(_, _ string) driver.Layout {
	return driver.Layout{Data: dataFolder, Config: configFolder, Address: "0.0.0.0"}
}

// Ping implements [driver.Driver]. What the engine says of itself is asked for once a minute: it takes the engine long
// when it has many containers.
func (d *Driver) Ping(ctx context.Context) (driver.Info, error) {
	if err := d.check(ctx); err != nil {
		return driver.Info{}, err
	}
	if err := d.own(ctx); err != nil {
		return driver.Info{}, err
	}
	info, err := d.describe(ctx)
	if err != nil {
		return driver.Info{}, err
	}
	labels := map[string]string{"hostname": info.Name, "arch": info.Architecture, "os": info.OperatingSystem}
	for _, l := range info.Labels {
		name, value, _ := strings.Cut(l, "=")
		labels[name] = value
	}
	free, total := d.disk(info.DockerRootDir)
	return driver.Info{
		EngineID: identity(info), Version: "Docker " + info.ServerVersion, CPUs: info.NCPU, MemoryBytes: info.MemTotal,
		DiskFree: free, DiskTotal: total, Labels: labels, Limits: true,
	}, nil
}

// identity tells engines apart. Up to Docker 20.10 those of one machine have one id: it is in /etc/docker.
func identity(info *system.Info) string {
	if info.ID == "" {
		return ""
	}
	return info.ID + " " + info.DockerRootDir
}

// agree settles the version of the API with the engine, once. The client does so too before most requests, but where it
// lists things it looks at the version first, which races with another request that settles it.
func (d *Driver) agree(ctx context.Context) error {
	if d.agreed.Load() {
		return nil
	}
	if err := d.agreeing.Acquire(ctx, 1); err != nil {
		return err
	}
	defer d.agreeing.Release(1)
	if d.agreed.Load() {
		return nil
	}
	if err := checkEngine(ctx, d.client); err != nil {
		return err
	}
	d.agreed.Store(true)
	return nil
}

// check asks the engine whether it can be used.
func (d *Driver) check(ctx context.Context) error {
	if !d.agreed.Load() {
		return d.agree(ctx)
	}
	return checkEngine(ctx, d.client)
}

func (d *Driver) describe(ctx context.Context) (*system.Info, error) {
	d.mu.Lock()
	info, fresh := d.info, time.Since(d.infoAt) < infoEvery
	d.mu.Unlock()
	if info != nil && fresh {
		return info, nil
	}
	got, err := d.client.Info(ctx)
	if err != nil {
		return nil, failed(err, "asking the engine about itself")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.info, d.infoAt = &got, time.Now()
	return &got, nil
}

// disk is the room where the engine keeps its data; an engine tells only those on its own machine.
func (d *Driver) disk(root string) (free, total int64) {
	var disk unix.Statfs_t
	if !d.local || unix.Statfs(root, &disk) != nil {
		return -1, -1
	}
	return int64(disk.Bavail) * disk.Bsize, int64(disk.Blocks) * disk.Bsize //nolint:gosec // fits
}

// Names of what belongs to a service, the same however often they are asked for.
func (d *Driver) prefix() string                { return prefixOf(d.installation) }
func prefixOf(installation string) string       { return "uws-" + short(installation) + "-" }
func (d *Driver) volumeOf(volume string) string { return d.prefix() + volume }
func (d *Driver) network() string               { return "uws-" + short(d.installation) }
func (d *Driver) ours(l map[string]string) bool { return l[driver.LabelInstallation] == d.installation }

// short keeps names within what a person can read; the labels hold the whole.
func short(id string) string { return id[:min(len(id), 12)] }

// containerOf is the name of a service's container as it was seen last. Containers of older versions have no service's
// name in theirs.
func (d *Driver) containerOf(service string) string {
	if name, ok := d.names.Load(service); ok {
		return name.(string)
	}
	return d.prefix() + service
}

// nameFor is the name of a container to be made: it tells the service to people.
func (d *Driver) nameFor(spec driver.Spec) string {
	if spec.Name == "" {
		return d.prefix() + spec.Service
	}
	return d.prefix() + spec.Name + "-" + spec.Service
}

// nameByLabel finds the name of a service's container, empty if there is none.
func (d *Driver) nameByLabel(ctx context.Context, service string) (string, error) {
	if err := d.agree(ctx); err != nil {
		return "", err
	}
	found, err := d.client.ContainerList(ctx, container.ListOptions{All: true, Filters: d.labelled(driver.LabelService + "=" + service)})
	if err != nil {
		return "", failed(err, "looking for the container of service %s", service)
	}
	for _, c := range found {
		if name, whole := d.wholeName(c); whole {
			return name, nil
		}
	}
	return "", nil
}

// wholeName is the name of a listed container, and whether it is one that is not being built.
func (d *Driver) wholeName(c container.Summary) (string, bool) {
	if len(c.Names) == 0 {
		return "", false
	}
	name := strings.TrimPrefix(c.Names[0], "/")
	return name, name != d.prefix()+c.Labels[driver.LabelService]+building
}

// find inspects a service's container; [driver.NotCreated] when there is none of ours.
func (d *Driver) find(ctx context.Context, service string) (container.InspectResponse, error) {
	if err := driver.CheckID("service", service); err != nil {
		return container.InspectResponse{}, err
	}
	c, err := d.findNamed(ctx, d.containerOf(service))
	if !missing(err) {
		return c, err
	}
	// Another uws named it, or somebody renamed it.
	name, listErr := d.nameByLabel(ctx, service)
	if listErr != nil || name == "" {
		return c, errors.Join(listErr, err)
	}
	d.names.Store(service, name)
	return d.findNamed(ctx, name)
}

func (d *Driver) findNamed(ctx context.Context, name string) (container.InspectResponse, error) {
	if err := d.agree(ctx); err != nil {
		return container.InspectResponse{}, err
	}
	c, err := d.client.ContainerInspect(ctx, name)
	if err != nil {
		return c, failed(err, "inspecting container %s", name)
	}
	if !d.ours(c.Config.Labels) {
		return c, driver.Errorf(driver.Conflict, "container %s is not ours: it lacks the label %s=%s", name, driver.LabelInstallation, d.installation)
	}
	return c, nil
}

// missing reports whether an error means that there is no such container.
func missing(err error) bool { return err != nil && driver.ClassOf(err) == driver.NotCreated }

func errNotCreated(service string) error {
	return driver.Errorf(driver.NotCreated, "service %s has no container", service)
}

// failed classifies an error of the engine's, and says what was being done.
func failed(err error, format string, args ...any) error {
	err = explain(err)
	class := driver.ClassOf(err)
	if class == driver.Transient {
		class = classOf(err)
	}
	return driver.Errorf(class, "%s: %w", fmt.Sprintf(format, args...), err)
}
