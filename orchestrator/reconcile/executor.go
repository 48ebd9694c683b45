package reconcile

import (
	"context"
	"errors"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// Timeouts of steps. They only end what hangs: each is far above what the step takes.
const (
	prepareTimeout = 30 * time.Minute
	launchTimeout  = 5 * time.Minute // on top of preparing
	maxRepicks     = 10              // of ports that another program uses
)

// begin runs one step of a service beside the workers, and enqueues the service when it ends.
func (r *Reconciler) begin(c *controller, step lifecycle.Step, work func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(r.work.Context())
	c.begin(step, cancel)
	r.work.Go(func(context.Context) {
		defer cancel()
		err := work(ctx)
		c.end(outcomeOf(step, err, ctx.Err() != nil))
		r.queue.add(c.id)
	})
}

// outcomeOf classifies an error for lifecycle.
func outcomeOf(step lifecycle.Step, err error, cancelled bool) *lifecycle.Outcome {
	out := &lifecycle.Outcome{Step: step}
	switch {
	case err == nil:
	case cancelled || errors.Is(err, context.Canceled):
		out.Fault = lifecycle.Cancelled
	default:
		out.Fault, out.Text = faultOf(err), err.Error()
		if e, ok := errors.AsType[*driver.Error](err); ok {
			out.Port, out.Unstartable = e.Port, e.Unstartable
			switch {
			case e.Unavailable:
				out.Code = lifecycle.CodeImageNotFound
			case e.Class == driver.PortInUse:
				out.Code = lifecycle.CodePortInUse
			}
		}
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

// fetching shows how far the engine or image is.
func (c *controller) fetching(p driver.Progress) {
	c.setStep(lifecycle.StepFetching, p.Step, p.Percent)
}

// prepare fetches the engine or image, and shows its progress.
func (r *Reconciler) prepare(ctx context.Context, c *controller, row *ent.Service) error {
	c.setStep(lifecycle.StepFetching, "waiting for its turn on node "+r.fleet.NameOf(row.NodeID), -1)
	return r.fleet.Do(ctx, row.NodeID, prepareTimeout, func(ctx context.Context, n *fleet.Node) error {
		return r.fetch(ctx, c, row, n)
	})
}

func (r *Reconciler) fetch(ctx context.Context, c *controller, row *ent.Service, n *fleet.Node) error {
	row, err := r.withPorts(ctx, row)
	if err != nil {
		return err
	}
	spec, err := r.spec(ctx, c, row, n)
	if err != nil {
		return err
	}
	return n.Driver().Prepare(ctx, spec, c.fetching)
}

// portsKnown reports whether clients may know the ports of a service: it was healthy. A service with reattached data was
// not, though its data was.
func portsKnown(row *ent.Service) bool {
	return row.EverHealthy && (row.Instance != "" || row.LastHealthCheckAt != nil)
}

// launch creates and starts the instance.
func (r *Reconciler) launch(ctx context.Context, c *controller, row *ent.Service) error {
	return r.fleet.Do(ctx, row.NodeID, prepareTimeout+launchTimeout, func(ctx context.Context, n *fleet.Node) error {
		return r.launchAt(ctx, c, row, n)
	})
}

// replace puts a new instance in place of the present one, with the same data. It can be interrupted anywhere and
// repeated.
func (r *Reconciler) replace(ctx context.Context, c *controller, row *ent.Service, grace time.Duration) error {
	timeout := prepareTimeout + grace + fleet.StopSlack + launchTimeout
	return r.fleet.Do(ctx, row.NodeID, timeout, func(ctx context.Context, n *fleet.Node) error {
		if err := r.fetch(ctx, c, row, n); err != nil { // while the present one runs
			return err
		}
		fault.Point("replace-prepared")
		c.setStep(lifecycle.StepStarting, "replacing its instance", -1)
		if err := takeDown(ctx, row, n, grace); err != nil {
			return err
		}
		fault.Point("replace-down")
		return r.launchAt(ctx, c, row, n)
	})
}

// takeDown makes the driver's Create replace the instance. One of another generation only has to be stopped for that. One of
// the present generation is one that the engine could not start: it is removed, unless it runs by now.
func takeDown(ctx context.Context, row *ent.Service, n *fleet.Node, grace time.Duration) error {
	seen, err := n.Driver().Inspect(ctx, row.ID)
	switch {
	case err != nil:
		return err
	case seen.Generation != row.SpecGeneration:
		return n.Driver().Stop(ctx, row.ID, grace)
	case seen.Running, seen.Restarting:
		return nil
	}
	return n.Driver().Remove(ctx, row.ID)
}

// launchAt creates and starts the instance at its node. A port that another program uses is replaced unless clients may know
// it.
func (r *Reconciler) launchAt(ctx context.Context, c *controller, row *ent.Service, n *fleet.Node) error {
	known := portsKnown(row) && len(row.Ports) > 0 || len(row.RequestedPorts) > 0
	row, err := r.withPorts(ctx, row)
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		err := r.launchOnce(ctx, c, row, n)
		if driver.ClassOf(err) != driver.PortInUse || known || try == maxRepicks {
			return err
		}
		r.log.Info("port is in use; choosing another one", "service", row.Name, "id", row.ID, "error", err)
		if row, err = r.repickPorts(ctx, row.ID); err != nil {
			return err
		}
	}
}

func (r *Reconciler) launchOnce(ctx context.Context, c *controller, row *ent.Service, n *fleet.Node) error {
	spec, err := r.spec(ctx, c, row, n)
	if err != nil {
		return err
	}
	fetch := func(p driver.Progress) {
		if p.Percent < 100 { // else it was fetched before, and the launch does not go back a step
			c.fetching(p)
		}
	}
	if err := n.Driver().Prepare(ctx, spec, fetch); err != nil {
		return err
	}
	fault.Point("launch-prepared")
	c.setStep(lifecycle.StepStarting, "starting", -1)
	if err := n.Driver().Create(ctx, spec); err != nil {
		return err
	}
	fault.Point("launch-created")
	if err := setAutoRestart(ctx, n, row.ID, !row.CrashLoop); err != nil {
		return err
	}
	if err := n.Driver().Start(ctx, row.ID); err != nil {
		return err
	}
	fault.Point("launch-started")
	c.setStep(lifecycle.StepProbing, "started; waiting for its first good answer", -1)
	return r.noteImage(ctx, row, n)
}

// noteImage records which image a service runs: a tag can name another one tomorrow.
func (r *Reconciler) noteImage(ctx context.Context, row *ent.Service, n *fleet.Node) error {
	observed, err := n.Driver().Inspect(ctx, row.ID)
	if err != nil || observed.Image == row.Image {
		return err
	}
	return r.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		return tx.Service.UpdateOneID(row.ID).SetImage(observed.Image).Exec(ctx)
	})
}

// stop stops the instance.
func (r *Reconciler) stop(ctx context.Context, row *ent.Service, grace time.Duration) error {
	return r.fleet.Do(ctx, row.NodeID, grace+fleet.StopSlack, func(ctx context.Context, n *fleet.Node) error {
		fault.Point("stop-begin")
		if row.CrashLoop { // also while uws does not run
			if err := setAutoRestart(ctx, n, row.ID, false); err != nil && driver.ClassOf(err) != driver.NotCreated {
				return err
			}
		}
		err := n.Driver().Stop(ctx, row.ID, grace)
		fault.Point("stop-done")
		return err
	})
}

// autoRestart makes the engine restart the instance by itself, except in a crash loop.
func (r *Reconciler) autoRestart(ctx context.Context, row *ent.Service) error {
	return r.fleet.Do(ctx, row.NodeID, fleet.StopSlack, func(ctx context.Context, n *fleet.Node) error {
		return setAutoRestart(ctx, n, row.ID, !row.CrashLoop)
	})
}

// setAutoRestart is a no-op where the engine never restarts an instance.
func setAutoRestart(ctx context.Context, n *fleet.Node, service string, on bool) error {
	if d, ok := n.Driver().(driver.AutoRestarter); ok {
		return d.SetAutoRestart(ctx, service, on)
	}
	return nil
}

// teardown stops and removes the instance. Its data is deleted only if that was asked for, or if the engine never answered,
// so that nobody can have stored anything.
func (r *Reconciler) teardown(ctx context.Context, c *controller, row *ent.Service, grace time.Duration) error {
	return r.fleet.Do(ctx, row.NodeID, grace+fleet.StopSlack, func(ctx context.Context, n *fleet.Node) error {
		fault.Point("remove-begin")
		if err := n.Driver().Stop(ctx, row.ID, grace); err != nil {
			return err
		}
		fault.Point("remove-stopped")
		if err := n.Driver().Remove(ctx, row.ID); err != nil {
			return err
		}
		fault.Point("remove-removed")
		if row.DeleteData || !row.EverHealthy {
			err := n.Driver().RemoveData(ctx, r.dataOf(row, n))
			if err != nil && driver.ClassOf(err) != driver.DataMissing {
				return err
			}
			c.torn(err)
		}
		fault.Point("remove-done")
		return nil
	})
}
