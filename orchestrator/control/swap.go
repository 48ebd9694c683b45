package control

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	entvolume "github.com/unicorn-web-services/uws/ent/volume"
	"github.com/unicorn-web-services/uws/internal/background"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/credentials"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

const (
	// adoptTimeout is how long an exchange waits until the engine has the credentials of the other service.
	adoptTimeout = 90 * time.Second
	adoptPause   = 100 * time.Millisecond
)

// swap is an exchange that was checked.
type swap struct {
	a, b   *ent.Service
	keys   map[string]string // of a
	differ []string          // names of the credentials that b is to be given
}

// Swap exchanges the names and ports of two services with confirm; else it says what that would do.
//
// First b is given the credentials of a, while a works. Then everything else is one update of the store: package reconcile
// stops a, and creates the instance of b again when a has released its ports. So an exchange that a crash interrupts either
// has not begun or is completed.
func (c *Control) Swap(ctx context.Context, a, b string, confirm bool) (orchestrator.Swap, error) {
	x, err := c.checkSwap(ctx, a, b)
	if err != nil {
		return orchestrator.Swap{}, err
	}
	out := orchestrator.Swap{A: snapshot.ServiceOf(x.a), B: snapshot.ServiceOf(x.b), Steps: x.steps()}
	if out.Warnings, out.DataAsOf, err = c.swapWarnings(ctx, x); err != nil || !confirm {
		return out, err
	}
	if x.b.DesiredState == lifecycle.WantRunning {
		_, seen, err := c.reconciler.Check(ctx, b)
		if err != nil {
			return orchestrator.Swap{}, err
		}
		if seen.Verdict != probe.OK {
			return orchestrator.Swap{}, orchestrator.Errorf(orchestrator.Conflict, "b", "service %s does not work: %s", x.b.Name, seen.Detail)
		}
	}
	if len(x.differ) > 0 {
		if x, err = c.adopt(ctx, x); err != nil {
			return orchestrator.Swap{}, err
		}
	}
	fault.Point("swap-checked")
	if out.A, out.B, err = c.exchange(ctx, x); err != nil {
		return orchestrator.Swap{}, err
	}
	out.Begun = true
	fault.Point("swap-stored")
	c.log.Info("services exchanged", "a", out.A.Name, "a_id", a, "b", out.B.Name, "b_id", b)
	return out, nil
}

// checkSwap returns Conflict if two services cannot be exchanged as they are.
func (c *Control) checkSwap(ctx context.Context, aID, bID string) (x swap, err error) {
	if aID == bID {
		return x, orchestrator.Errorf(orchestrator.InvalidInput, "b", "is the same service; name two")
	}
	if x.a, err = c.snapshot.Row(ctx, aID); err != nil {
		return x, atField(err, "a")
	}
	if x.b, err = c.snapshot.Row(ctx, bID); err != nil {
		return x, atField(err, "b")
	}
	if err := x.check(c); err != nil {
		return x, err
	}
	busy, err := c.store.Read.Restore.Query().Where(MadeOrMoved(aID, bID)).Exist(ctx)
	if err != nil {
		return x, err
	}
	if busy {
		return x, orchestrator.Errorf(orchestrator.Conflict, "b", "one of them is being restored or moved; wait until that is over, or cancel it with cancelRestore")
	}
	if x.keys, err = c.vault.Accepted(ctx, x.a); err != nil {
		return x, err
	}
	has, err := c.vault.Accepted(ctx, x.b)
	if err != nil {
		return x, err
	}
	x.differ = credentials.Differing(x.b.Definition, has, x.keys)
	if err := c.vault.Adoptable(x.b, x.differ); err != nil {
		return x, err
	}
	if len(x.differ) > 0 && x.b.DesiredState == lifecycle.WantStopped {
		return x, orchestrator.Errorf(orchestrator.Conflict, "b", "service %s is stopped and has other credentials than %s, which are changed with its engine running; start it with startService first", x.b.Name, x.a.Name)
	}
	return x, nil
}

// check returns Conflict if the rows of the two do not admit an exchange.
func (x swap) check(c *Control) error {
	a, b := x.a, x.b
	stopped := b.DesiredState == lifecycle.WantStopped && b.Phase == lifecycle.Stopped && b.EverHealthy
	works := b.DesiredState == lifecycle.WantRunning && b.Phase == lifecycle.Running && b.Health.Healthy()
	switch {
	case a.DesiredState == lifecycle.WantRemoved:
		return orchestrator.Errorf(orchestrator.Conflict, "a", "service %s is being removed; nothing else can be done with it", a.Name)
	case b.DesiredState == lifecycle.WantRemoved:
		return orchestrator.Errorf(orchestrator.Conflict, "b", "service %s is being removed; nothing else can be done with it", b.Name)
	case a.Template != b.Template || a.Definition.Major() != b.Definition.Major():
		return orchestrator.Errorf(orchestrator.Conflict, "b", "service %s is a %s %s, and %s is a %s %s; only services with the same engine can be exchanged",
			b.Name, b.Template, b.Definition.Version, a.Name, a.Template, a.Definition.Version)
	case a.NodeID == "" || len(a.Ports) == 0:
		return orchestrator.Errorf(orchestrator.Conflict, "a", "service %s has no node yet; remove it, and launch it again when the name is needed", a.Name)
	case a.NodeID != b.NodeID:
		return orchestrator.Errorf(orchestrator.Conflict, "b", "service %s is on node %s, and %s on node %s; clients only follow on the same node. Move one of them with moveService first",
			b.Name, c.fleet.NameOf(b.NodeID), a.Name, c.fleet.NameOf(a.NodeID))
	case !maps.EqualFunc(a.Ports, b.Ports, func(int, int) bool { return true }):
		return orchestrator.Errorf(orchestrator.Conflict, "b", "service %s has other ports than %s: they were launched from different versions of the template", b.Name, a.Name)
	case len(a.PendingCredentials) > 0 && a.Health.Healthy():
		return orchestrator.Errorf(orchestrator.Conflict, "a", "the credentials of service %s are being changed; wait until `rotating` is false", a.Name)
	case len(b.PendingCredentials) > 0:
		return orchestrator.Errorf(orchestrator.Conflict, "b", "the credentials of service %s are being changed; wait until `rotating` is false", b.Name)
	case !works && !stopped:
		return orchestrator.Errorf(orchestrator.Conflict, "b", "service %s is %s and %s; clients can be given one that is HEALTHY, or one that is stopped and worked before", b.Name, b.Phase, b.Health)
	}
	return nil
}

// steps says what an exchange does.
func (x swap) steps() []string {
	a, b := x.a, x.b
	var steps []string
	if len(x.differ) > 0 {
		steps = append(steps, fmt.Sprintf("%s is given the credentials of %s: %s.", b.Name, a.Name, strings.Join(x.differ, ", ")))
	}
	if a.DesiredState == lifecycle.WantStopped {
		steps = append(steps, fmt.Sprintf("%s stays stopped, with its data, and is named %s.", a.Name, b.Name))
	} else {
		steps = append(steps, fmt.Sprintf("%s is stopped, keeps its data, and is named %s.", a.Name, b.Name))
	}
	how := "restarted"
	if b.DesiredState == lifecycle.WantStopped {
		how = "started"
	}
	return append(steps, fmt.Sprintf("%s is named %s and %s with its ports: %s.", b.Name, a.Name, how, portNumbers(a.Ports)))
}

func portNumbers(ports map[string]int) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(ports)) {
		all = append(all, name+" "+strconv.Itoa(ports[name]))
	}
	return strings.Join(all, ", ")
}

// adopt gives b the credentials of a, and waits until its engine has them.
func (c *Control) adopt(ctx context.Context, x swap) (swap, error) {
	if _, err := c.vault.Adopt(ctx, x.b.ID, x.keys); err != nil {
		return x, atField(err, "b")
	}
	within, cancel := context.WithTimeout(ctx, adoptTimeout)
	defer cancel()
	for {
		row, err := c.snapshot.Row(ctx, x.b.ID)
		if err != nil {
			return x, err
		}
		if len(row.PendingCredentials) == 0 {
			break
		}
		if !background.Pause(within, adoptPause) {
			return x, orchestrator.Errorf(orchestrator.Unavailable, "b", "service %s is still being given the credentials of %s; repeat the exchange when its `rotating` is false", x.b.Name, x.a.Name)
		}
	}
	x, err := c.checkSwap(ctx, x.a.ID, x.b.ID)
	if err == nil && len(x.differ) > 0 {
		err = orchestrator.Errorf(orchestrator.Conflict, "b", "service %s could not be given the credentials of %s; its events say why", x.b.Name, x.a.Name)
	}
	return x, err
}

// exchange exchanges what clients find the two services by.
func (c *Control) exchange(ctx context.Context, x swap) (a, b *orchestrator.Service, err error) {
	c.reconciler.After(x.b.ID, x.a.ID)
	var rowA, rowB *ent.Service
	err = c.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		was := x
		if x.a, err = tx.Service.Get(ctx, x.a.ID); err != nil {
			return snapshot.NotFound(err, "service", was.a.ID)
		}
		if x.b, err = tx.Service.Get(ctx, x.b.ID); err != nil {
			return snapshot.NotFound(err, "service", was.b.ID)
		}
		if err := x.check(c); err != nil {
			return err
		}
		for _, s := range [][2]*ent.Service{{was.a, x.a}, {was.b, x.b}} {
			if s[0].Name != s[1].Name || !maps.Equal(s[0].Ports, s[1].Ports) || !bytes.Equal(s[0].Credentials, s[1].Credentials) || !bytes.Equal(s[0].PendingCredentials, s[1].PendingCredentials) {
				return orchestrator.Errorf(orchestrator.Conflict, "b", "service %s was changed meanwhile; try again", s[0].Name)
			}
		}
		rowA, rowB, err = c.exchangeTx(ctx, tx, x)
		return err
	})
	return snapshot.ServiceOf(rowA), snapshot.ServiceOf(rowB), err
}

func (c *Control) exchangeTx(ctx context.Context, tx *ent.Tx, x swap) (a, b *ent.Service, err error) {
	now := store.Now()
	for _, name := range []struct{ id, volume, name string }{ // names are unique, so that one of them has another in between
		{x.b.ID, x.b.Volume, x.b.ID}, {x.a.ID, x.a.Volume, x.b.Name}, {x.b.ID, x.b.Volume, x.a.Name},
	} {
		if err := tx.Service.UpdateOneID(name.id).SetName(name.name).Exec(ctx); err != nil {
			return nil, nil, err
		}
		if err := tx.Volume.UpdateOneID(name.volume).Where(entvolume.ServiceID(name.id)).SetName(name.name).Exec(ctx); err != nil {
			return nil, nil, err
		}
	}
	a, err = tx.Service.UpdateOneID(x.a.ID).SetPorts(x.b.Ports).SetRequestedPorts(x.b.RequestedPorts).SetInputHash(x.b.InputHash).
		SetDesiredState(lifecycle.WantStopped).AddSpecGeneration(1).SetRecordStale(true).SetUpdatedAt(now).Save(ctx)
	if err != nil {
		return nil, nil, err
	}
	up := tx.Service.UpdateOneID(x.b.ID).SetPorts(x.a.Ports).SetRequestedPorts(x.a.RequestedPorts).SetInputHash(x.a.InputHash).
		SetDesiredState(lifecycle.WantRunning).AddSpecGeneration(1).SetRecordStale(true).SetUpdatedAt(now)
	if x.b.DesiredState == lifecycle.WantStopped {
		up.AddRestartGeneration(1)
	}
	if b, err = up.Save(ctx); err != nil {
		return nil, nil, err
	}
	text := "it has exchanged its name and ports with %s: it was %s"
	if err := c.fleet.ChangeEvent(tx, now, x.a, a).SetReasonCode(lifecycle.CodeSwapped).SetReason(fmt.Sprintf(text, b.Name, x.a.Name)).Exec(ctx); err != nil {
		return nil, nil, err
	}
	return a, b, c.fleet.ChangeEvent(tx, now, x.b, b).SetReasonCode(lifecycle.CodeSwapped).SetReason(fmt.Sprintf(text, a.Name, x.b.Name)).Exec(ctx)
}

// atField names the argument that an error is about.
func atField(err error, field string) error {
	if e, ok := orchestrator.AsError(err); ok {
		return orchestrator.Errorf(e.Code, field, "%s", e.Message)
	}
	return err
}
