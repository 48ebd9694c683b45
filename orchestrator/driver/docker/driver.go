// Package docker drives engines as containers of a Docker Engine, local or remote.
//
// The names and labels of all objects derive from the installation and the service: a repeated verb finds the objects of the
// first, and installations that share an engine do not touch each other's objects. The engine restarts containers that crash,
// also while uws does not run. Hangs, removed containers and crash loops are left to the control plane.
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
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker/endpoint"
	"github.com/unicorn-web-services/uws/orchestrator/driver/machine"
)

var (
	_ driver.Driver          = (*Driver)(nil)
	_ driver.AutoRestarter   = (*Driver)(nil)
	_ driver.UsageReader     = (*Driver)(nil)
	_ driver.NodeUsageReader = (*Driver)(nil)
	_ driver.Sizer           = (*Driver)(nil)
	_ driver.Releaser        = (*Driver)(nil)
	_ driver.LogReader       = (*Driver)(nil)
	_ driver.Exporter        = (*Driver)(nil)
	_ driver.Freezer         = (*Driver)(nil)
)

const (
	dataFolder   = "/data"    // in the container, unless the spec says otherwise
	configFolder = "/etc/uws" // in the container
	infoEvery    = time.Minute
)

// Options of a [Driver]. All are required but Connection's keys, ClonedFrom and Claim.
type Options struct {
	Connection   endpoint.Connection
	Installation string // whose containers these are
	ClonedFrom   string // id of the installation that this one is a clone of; empty: none
	Claim        Claim
	Config       string // folder of the docker command's configuration, see [dockerconfig.Folder]; empty: images are pulled without credentials
	Log          *slog.Logger
}

// Driver runs instances as containers of one engine.
type Driver struct {
	installation string
	clonedFrom   string
	claim        Claim
	taken, lost  atomic.Bool // the claim: this copy once took it; another copy has taken it since
	log          *slog.Logger
	config       string // folder of the docker command's configuration
	client       *client.Client
	local        bool                // it is reached by a socket of this machine
	agreeing     *semaphore.Weighted // held while the version of the API is negotiated
	agreed       atomic.Bool         // the version of the API is negotiated
	networking   *semaphore.Weighted
	marking      *semaphore.Weighted // held while the mark of the engine's run is read or made
	watchers     driver.Watchers
	names        sync.Map // of containers, by service
	transfers    sync.Map // volumes that are being exported, imported or removed, by id
	runs         runs
	targets      targets
	groups       func() (*machine.Groups, error) // of this machine; looked for once
	sizes        sizes

	stop    context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	ends   map[string]seenEnd // by container id
	engine engineRun
	info   *system.Info // newest answer of the engine about itself
	infoAt time.Time
}

// New returns a driver. It does not wait for the engine.
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
		ends: map[string]seenEnd{}, groups: sync.OnceValues(machine.Linux.Groups), sizes: sizes{asking: semaphore.NewWeighted(1)},
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

// Ping implements [driver.Driver]. It asks the engine about itself once a minute only, because that takes long with many
// containers.
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

// identity returns an id of the engine. Up to Docker 20.10 the engines of one machine share an id, which is in /etc/docker.
func identity(info *system.Info) string {
	if info.ID == "" {
		return ""
	}
	return info.ID + " " + info.DockerRootDir
}

// agree negotiates the version of the API with the engine, once. The client does so too before most requests, but its methods
// that list objects read the version before, which races with another request that negotiates it.
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
	if err := endpoint.Check(ctx, d.client); err != nil {
		return err
	}
	d.agreed.Store(true)
	return nil
}

// check pings the engine.
func (d *Driver) check(ctx context.Context) error {
	if !d.agreed.Load() {
		return d.agree(ctx)
	}
	return endpoint.Check(ctx, d.client)
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

// disk returns the free and total bytes of the disk with the engine's data; -1 for an engine on another machine.
func (d *Driver) disk(root string) (free, total int64) {
	var disk unix.Statfs_t
	if !d.local || unix.Statfs(root, &disk) != nil {
		return -1, -1
	}
	return int64(disk.Bavail) * disk.Bsize, int64(disk.Blocks) * disk.Bsize //nolint:gosec // fits
}

// Names of the objects of a service. They are deterministic.
func (d *Driver) prefix() string                { return prefixOf(d.installation) }
func prefixOf(installation string) string       { return "uws-" + short(installation) + "-" }
func (d *Driver) volumeOf(volume string) string { return d.prefix() + volume }
func (d *Driver) network() string               { return "uws-" + short(d.installation) }
func (d *Driver) ours(l map[string]string) bool { return l[driver.LabelInstallation] == d.installation }

// short shortens an id for names that people read. The labels have the whole id.
func short(id string) string { return id[:min(len(id), 12)] }

// containerOf returns the last known name of a service's container. The names of containers of older versions lack the name of
// the service.
func (d *Driver) containerOf(service string) string {
	if name, ok := d.names.Load(service); ok {
		return name.(string)
	}
	return d.prefix() + service
}

// nameFor returns the name of a new container, which contains the name of the service for people.
func (d *Driver) nameFor(spec driver.Spec) string {
	if spec.Name == "" {
		return d.prefix() + spec.Service
	}
	return d.prefix() + spec.Name + "-" + spec.Service
}

// nameByLabel returns the name of a service's container; empty if there is none.
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

// wholeName returns the name of a listed container, and whether it is complete.
func (d *Driver) wholeName(c container.Summary) (string, bool) {
	if len(c.Names) == 0 {
		return "", false
	}
	name := strings.TrimPrefix(c.Names[0], "/")
	return name, name != d.prefix()+c.Labels[driver.LabelService]+building
}

// find inspects a service's container.
// Errors: [driver.NotCreated] if this installation has none.
func (d *Driver) find(ctx context.Context, service string) (container.InspectResponse, error) {
	if err := driver.CheckID("service", service); err != nil {
		return container.InspectResponse{}, err
	}
	c, err := d.findNamed(ctx, d.containerOf(service))
	if !missing(err) {
		return c, err
	}
	// An older uws named it, or somebody renamed it.
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

// failed classifies an error of the engine and adds what was being done.
func failed(err error, format string, args ...any) error {
	err = endpoint.Explain(err)
	class := driver.ClassOf(err)
	if class == driver.Transient {
		class = classOf(err)
	}
	return driver.Errorf(class, "%s: %w", fmt.Sprintf(format, args...), err)
}
