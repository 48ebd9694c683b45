package backup

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/unicorn-web-services/uws/ent"
	entbackup "github.com/unicorn-web-services/uws/ent/backup"
	"github.com/unicorn-web-services/uws/ent/restore"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/control"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// moving is a move that was checked.
type moving struct {
	s              *ent.Service
	from, to       *fleet.Node
	target, policy string // ids
	ports          map[string]int
	bytes          int64 // of its newest backup; 0: not known
}

// Move implements [orchestrator.BackupVerbs].
func (b *Backups) Move(ctx context.Context, id string, in orchestrator.MoveInput) (orchestrator.Move, error) {
	x, err := b.checkMove(ctx, id, in)
	if err != nil {
		return orchestrator.Move{}, err
	}
	var row *ent.Restore
	var saved *ent.Backup
	err = b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		if err := notBusy(ctx, tx, id); err != nil {
			return err
		}
		choice, ports, err := b.Reconciler.Destination(ctx, tx, x.s, in.NodeID)
		if err != nil {
			return err
		}
		if choice.NodeID == "" {
			return orchestrator.Errorf(orchestrator.Conflict, "nodeId", "%s", choice.Reason)
		}
		if x.ports = ports; !in.Confirm {
			return nil
		}
		saved, err = newBackup(tx, snapshot.ServiceOf(x.s), x.target, entbackup.TriggerMOVE).SetPolicyID(x.policy).Save(ctx)
		if err != nil {
			return err
		}
		create := tx.Restore.Create().SetID(orchestrator.NewID()).SetPurpose(restore.PurposeMOVE).SetBackupID(saved.ID).SetSourceID(id).SetKind(x.s.Kind).
			SetName(x.s.Name).SetNodeID(in.NodeID).SetVolume(orchestrator.NewID()).SetPorts(ports).SetState(restore.StateQUEUED).
			SetReason("waiting for its turn").SetCreatedAt(store.Now()).SetBytes(x.bytes)
		if run := x.s.Definition.Runtime(catalog.Driver(x.to.Row().Driver)); run != nil {
			create.SetMemoryBytes(int64(run.Limits.MemoryMiB) << 20).SetCpus(run.Limits.CPUs)
		}
		row, err = create.Save(ctx)
		return err
	})
	if err != nil {
		return orchestrator.Move{}, snapshot.NotFound(err, "service", id)
	}
	out := orchestrator.Move{Service: snapshot.ServiceOf(x.s), Steps: b.moveSteps(x), Warnings: moveWarnings(x)}
	if row == nil {
		return out, nil
	}
	b.mu.Lock()
	b.note(saved)
	b.mu.Unlock()
	b.queueRestore(row, x.target)
	out.Restore = restoreOf(row)
	return out, nil
}

// checkMove returns an error if a service cannot be moved as it is.
func (b *Backups) checkMove(ctx context.Context, id string, in orchestrator.MoveInput) (x moving, err error) {
	if x.s, err = b.Snapshot.Row(ctx, id); err != nil {
		return x, err
	}
	s := snapshot.ServiceOf(x.s)
	x.from, x.to, x.bytes = b.Fleet.Lookup(x.s.NodeID), b.Fleet.Lookup(in.NodeID), b.sizeOf(id)
	switch {
	case x.to == nil:
		return x, orchestrator.Errorf(orchestrator.NotFound, "nodeId", "there is no node with id %q; `nodes` lists them", in.NodeID)
	case x.s.NodeID == in.NodeID:
		return x, orchestrator.Errorf(orchestrator.Conflict, "nodeId", "service %s is on node %s already; choose another one", s.Name, x.to.Name)
	case s.Rotating:
		return x, orchestrator.Errorf(orchestrator.Conflict, "id", "the credentials of service %s are being changed; wait until `rotating` is false", s.Name)
	}
	if x.target, x.policy, err = b.targetOf(s, in.TargetID); err != nil {
		return x, err
	}
	if err := backable(s); err != nil {
		return x, err
	}
	for _, n := range []*fleet.Node{x.from, x.to} {
		if _, ok := n.Driver().(driver.Exporter); !ok {
			return x, orchestrator.Errorf(orchestrator.Conflict, "nodeId", "node %s cannot copy volumes", n.Name)
		}
	}
	if info := x.to.Info(); info != nil && info.DiskFree >= 0 && info.DiskFree < x.bytes {
		return x, orchestrator.Errorf(orchestrator.Conflict, "nodeId", "node %s has %s of free disk, and the data is %s", x.to.Name, size(info.DiskFree), size(x.bytes))
	}
	return x, nil
}

// notBusy returns Conflict while a service is backed up, restored or moved.
func notBusy(ctx context.Context, tx *ent.Tx, id string) error {
	saving, err := tx.Backup.Query().Where(entbackup.ServiceID(id), entbackup.StateIn(entbackup.StateQUEUED, entbackup.StateRUNNING)).Exist(ctx)
	if err != nil {
		return err
	}
	if saving {
		return orchestrator.Errorf(orchestrator.Conflict, "id", "a backup of the service is under way, or it is being moved; wait until that is over, or cancel it")
	}
	made, err := tx.Restore.Query().Where(control.MadeOrMoved(id)).Exist(ctx)
	if err == nil && made {
		err = orchestrator.Errorf(orchestrator.Conflict, "id", "the service is being restored or moved; wait until that is over, or cancel it with cancelRestore")
	}
	return err
}

// moveSteps says what a move does.
func (b *Backups) moveSteps(x moving) []string {
	name, amount := x.s.Name, "all of it"
	if x.bytes > 0 {
		amount = size(x.bytes) + " at its newest backup"
	}
	b.mu.Lock()
	target := x.target
	if t := b.targets[x.target]; t != nil {
		target = t.row.Name
	}
	b.mu.Unlock()
	steps := []string{fmt.Sprintf("The engine is fetched to node %s.", x.to.Name)}
	if x.s.DesiredState == lifecycle.WantRunning {
		steps = append(steps, fmt.Sprintf("%s is stopped. It cannot be reached until it works on node %s.", name, x.to.Name))
	}
	return append(steps,
		fmt.Sprintf("Its data (%s) is backed up to target %s, and copied from there to node %s.", amount, target, x.to.Name),
		fmt.Sprintf("The copy is started there on trial. If anything fails until then, %s goes on where it is.", name),
		fmt.Sprintf("%s is on node %s, with its id, name and credentials. Its former data is retained on node %s as %s.", name, x.to.Name, x.from.Name, control.RetainedName(x.s)))
}

// moveWarnings says what to know before a move.
func moveWarnings(x moving) (warnings []string) {
	if from, to := x.from.Row().ServiceAddress, x.to.Row().ServiceAddress; from != to {
		warnings = append(warnings, fmt.Sprintf("Clients have to use the address %s instead of %s.", to, from))
	}
	for _, name := range slices.Sorted(maps.Keys(x.ports)) {
		if was, is := x.s.Ports[name], x.ports[name]; was != is {
			warnings = append(warnings, fmt.Sprintf("Clients have to use port %d instead of %d (%s), which is not free there.", is, was, name))
		}
	}
	return warnings
}
