package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	entnode "github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// Bounds of the pieces of work. They only end what hangs: each is far above what the work takes.
const (
	prepareTimeout = 30 * time.Minute
	launchTimeout  = 5 * time.Minute // on top of preparing
	takeDownSlack  = time.Minute     // on top of the grace period
	maxRepicks     = 10              // of ports that somebody else has
)

// begin runs one piece of work of a service beside the workers, and asks for another look at its end.
func (o *Orchestrator) begin(t *task, step lifecycle.Step, work func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(o.base)
	t.note(func() { t.busy, t.cancel = step, cancel })
	o.start(func(context.Context) {
		defer cancel()
		err := work(ctx)
		t.note(func() {
			t.busy, t.cancel = lifecycle.NoStep, nil
			t.outcome = outcomeOf(step, err, ctx.Err() != nil)
		})
		o.queue.add(t.id)
	})
}

// outcomeOf sorts an error by what lifecycle makes of it.
func outcomeOf(step lifecycle.Step, err error, cancelled bool) *lifecycle.Outcome {
	out := &lifecycle.Outcome{Step: step}
	switch {
	case err == nil:
	case cancelled || errors.Is(err, context.Canceled):
		out.Fault = lifecycle.Cancelled
	default:
		out.Fault, out.Text = faultOf(err), err.Error()
	}
	return out
}

func faultOf(err error) lifecycle.Fault {
	switch driver.ClassOf(err) {
	case driver.Invalid:
		return lifecycle.Fatal
	case driver.DataMissing:
		return lifecycle.DataMissing
	default:
		return lifecycle.Passing
	}
}

// at runs work with the node of a service once it is the service's turn there.
func (o *Orchestrator) at(ctx context.Context, nodeID string, timeout time.Duration, work func(context.Context, *node) error) error {
	n := o.node(nodeID)
	if n == nil {
		return driver.Errorf(driver.Unreachable, "its node is not registered any more")
	}
	if err := n.steps.Acquire(ctx, 1); err != nil {
		return err
	}
	defer n.steps.Release(1)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := work(ctx, n)
	if errors.Is(err, context.DeadlineExceeded) {
		return driver.Errorf(driver.Transient, "gave up after %s: %w", timeout, err)
	}
	return err
}

// withoutData says whether a removal took the data too.
func (t *task) withoutData() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dataGone
}

func (t *task) say(step string, percent float64) {
	t.note(func() { t.step, t.percent = step, percent })
}

// prepare has the engine or image fetched, with its progress shown.
func (o *Orchestrator) prepare(ctx context.Context, t *task, row *ent.Service) error {
	t.say("waiting for its turn on node "+o.nodeName(row.NodeID), -1)
	return o.at(ctx, row.NodeID, prepareTimeout, func(ctx context.Context, n *node) error {
		spec, err := o.spec(t, row, n)
		if err != nil {
			return err
		}
		return n.drv.Prepare(ctx, spec, func(p driver.Progress) { t.say(p.Step, p.Percent) })
	})
}

// launch creates and starts the instance. While the service was never healthy nobody knows its ports yet, so
// that one which is taken by somebody else is replaced.
func (o *Orchestrator) launch(ctx context.Context, t *task, row *ent.Service) error {
	return o.at(ctx, row.NodeID, prepareTimeout+launchTimeout, func(ctx context.Context, n *node) error {
		for try := 0; ; try++ {
			err := o.launchOnce(ctx, t, row, n)
			if driver.ClassOf(err) != driver.PortInUse || row.EverHealthy || try == maxRepicks {
				return err
			}
			o.log.Info("port is taken; another one is picked", "service", row.Name, "id", row.ID, "error", err)
			if row, err = o.repickPorts(ctx, row.ID); err != nil {
				return err
			}
			t.keep(row)
		}
	})
}

func (o *Orchestrator) launchOnce(ctx context.Context, t *task, row *ent.Service, n *node) error {
	spec, err := o.spec(t, row, n)
	if err != nil {
		return err
	}
	if err := n.drv.Prepare(ctx, spec, func(p driver.Progress) { t.say(p.Step, p.Percent) }); err != nil {
		return err
	}
	fault.Point("launch-prepared")
	t.say("starting", -1)
	if err := n.drv.Create(ctx, spec); err != nil {
		return err
	}
	fault.Point("launch-created")
	if err := n.drv.SetAutoRestart(ctx, row.ID, !row.CrashLoop); err != nil {
		return err
	}
	if err := n.drv.Start(ctx, row.ID); err != nil {
		return err
	}
	fault.Point("launch-started")
	t.say("started; waiting for its first good answer", -1)
	return o.noteImage(ctx, t, row, n)
}

// noteImage writes down which image a service runs: a tag can mean another one tomorrow.
func (o *Orchestrator) noteImage(ctx context.Context, t *task, row *ent.Service, n *node) error {
	there, err := n.drv.Inspect(ctx, row.ID)
	if err != nil || there.Image == row.Image {
		return err
	}
	changed, err := o.store.Write.Service.UpdateOneID(row.ID).SetImage(there.Image).SetUpdatedAt(utcNow()).AddVersion(1).Save(ctx)
	if err == nil {
		t.keep(changed)
	}
	return err
}

// halt stops the instance.
func (o *Orchestrator) halt(ctx context.Context, row *ent.Service, grace time.Duration) error {
	return o.at(ctx, row.NodeID, grace+takeDownSlack, func(ctx context.Context, n *node) error {
		fault.Point("stop-begin")
		if row.CrashLoop { // not even while uws is away
			if err := n.drv.SetAutoRestart(ctx, row.ID, false); err != nil && driver.ClassOf(err) != driver.NotCreated {
				return err
			}
		}
		err := n.drv.Stop(ctx, row.ID, grace)
		fault.Point("stop-done")
		return err
	})
}

// autoRestart has the engine restart by itself what ends, except in a crash loop.
func (o *Orchestrator) autoRestart(ctx context.Context, row *ent.Service) error {
	return o.at(ctx, row.NodeID, takeDownSlack, func(ctx context.Context, n *node) error {
		return n.drv.SetAutoRestart(ctx, row.ID, !row.CrashLoop)
	})
}

// dismantle stops and removes the instance. Data goes only when that was asked for, or when the engine never
// answered, so that nobody can have put anything there.
func (o *Orchestrator) dismantle(ctx context.Context, t *task, row *ent.Service, grace time.Duration) error {
	return o.at(ctx, row.NodeID, grace+takeDownSlack, func(ctx context.Context, n *node) error {
		fault.Point("remove-begin")
		if err := n.drv.Stop(ctx, row.ID, grace); err != nil {
			return err
		}
		fault.Point("remove-stopped")
		if err := n.drv.Remove(ctx, row.ID); err != nil {
			return err
		}
		fault.Point("remove-removed")
		if row.DeleteData || !row.EverHealthy {
			if err := n.drv.RemoveData(ctx, row.Volume); err != nil {
				return err
			}
			t.note(func() { t.dataGone = true })
		}
		fault.Point("remove-done")
		return nil
	})
}

// spec is what the node's driver needs to run the service: the template with its blanks filled in.
func (o *Orchestrator) spec(t *task, row *ent.Service, n *node) (driver.Spec, error) {
	drv := n.current().Driver
	runtime := runtimeFor(row.Definition, drv)
	if runtime == nil {
		return driver.Spec{}, driver.Errorf(driver.Invalid, "template %s cannot be run by driver %s", row.Template, drv)
	}
	k, err := o.keys(t, row)
	if err != nil {
		return driver.Spec{}, err
	}
	layout := n.drv.Layout(row.ID, row.Volume)
	if runtime.Data != "" {
		layout.Data = runtime.Data
	}
	filled, err := runtime.Resolve(catalog.Values{
		Data: layout.Data, Config: layout.Config, Address: layout.Address, Host: n.current().ServiceAddress,
		ServiceID: row.ID, ServiceName: row.Name, Ports: listenPorts(row, layout), Credentials: k.use,
	})
	if err != nil {
		return driver.Spec{}, driver.Errorf(driver.Invalid, "template %s: %w", row.Template, err)
	}
	var init *driver.Init
	if i := filled.Init; i != nil {
		init = &driver.Init{Program: i.Program, Args: i.Args, Env: i.Env}
	}
	return driver.Spec{
		Service: row.ID, Volume: row.Volume, DataMustExist: row.EverHealthy,
		Engine: filled.Engine, EngineVersion: row.Definition.Version, Image: filled.Image,
		Mount: filled.Data, User: filled.User, Capabilities: filled.Capabilities, Limits: limitsFor(filled.Limits),
		Program: filled.Program, Package: filled.Package, Init: init,
		Args: filled.Args, Env: filled.Env, Files: filled.Files, Folders: filled.Dirs,
		Ports: publishedPorts(row, n.current(), layout), StopSignal: row.Definition.Stop.Signal,
	}, nil
}

func limitsFor(l catalog.Limits) driver.Limits {
	return driver.Limits{MemoryBytes: int64(l.MemoryMiB) << 20, CPUs: l.CPUs, PIDs: int64(l.PIDs)}
}

// listenPorts are the ports as the engine itself listens.
func listenPorts(row *ent.Service, layout driver.Layout) map[string]int {
	if layout.HostPorts {
		return row.Ports
	}
	ports := map[string]int{}
	for _, p := range row.Definition.Ports {
		ports[p.Name] = p.Target
	}
	return ports
}

func publishedPorts(row *ent.Service, n *ent.Node, layout driver.Layout) []driver.Port {
	var ports []driver.Port
	for _, p := range row.Definition.Ports {
		port := driver.Port{Name: p.Name, Number: row.Ports[p.Name], Target: p.Target}
		if n.Driver == entnode.DriverDOCKER {
			port.Address = n.ServiceAddress
		} else {
			port.Address = layout.Address
		}
		ports = append(ports, port)
	}
	return ports
}

func (o *Orchestrator) seal(credentials map[string]string, volume string) ([]byte, error) {
	b, err := json.Marshal(credentials)
	if err != nil {
		return nil, err
	}
	return o.store.Seal(b, store.CredentialsContext(volume))
}

func (o *Orchestrator) unseal(sealed []byte, volume string) (map[string]string, error) {
	b, err := o.store.Unseal(sealed, store.CredentialsContext(volume))
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	var credentials map[string]string
	if err := json.Unmarshal(b, &credentials); err != nil {
		return nil, fmt.Errorf("unsealed, but not a JSON object: %w", err)
	}
	return credentials, nil
}
