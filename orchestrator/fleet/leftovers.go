package fleet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"time"

	"entgo.io/ent/dialect/sql"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/event"
	"github.com/unicorn-web-services/uws/ent/restore"
	"github.com/unicorn-web-services/uws/ent/volume"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// listTimeout bounds the listing of a node's workloads and volumes.
const listTimeout = 10 * time.Second

// leftover is a workload or volume on a node that has our label and no row in the store.
type leftover struct {
	workload driver.Observed // zero: only a volume is left
	volume   driver.Volume   // without an id: the workload's is not known
	record   *Record         // nil: the volume may have one
	others   []driver.Observed
	known    known
}

// id of the orphan.
func (l leftover) id() string {
	if l.workload.Service == "" {
		return l.volume.ID
	}
	return l.workload.Service
}

// inUse reports whether a workload of the service is on the node.
func (l leftover) inUse(service string) bool {
	return slices.ContainsFunc(l.others, func(w driver.Observed) bool { return w.Service == service })
}

// forgottenServices returns the retained data of services whose node was forgotten while they ran.
func (f *Fleet) forgottenServices(ctx context.Context) ([]*ent.Volume, error) {
	return f.store.Read.Volume.Query().Where(volume.ServiceIDIsNil(), volume.Forgotten(true), volume.DesiredStateNEQ("")).All(ctx)
}

// leftOn lists what is left on a node. The node is listed before the store is read, since a row is written before what it
// describes is created.
func (f *Fleet) leftOn(ctx context.Context, n *Node, forgotten []*ent.Volume) ([]leftover, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	workloads, err := n.drv.List(ctx)
	if err != nil {
		return nil, err
	}
	listed, err := n.drv.Volumes(ctx)
	if err != nil {
		return nil, err
	}
	known, err := f.stored(ctx)
	if err != nil {
		return nil, err
	}
	volumes := make(map[string]driver.Volume, len(listed))
	for _, v := range listed {
		volumes[v.ID] = v
	}
	var left []leftover
	take := func(w driver.Observed, r *Record) {
		v, ok := volumes[w.Volume]
		if !ok {
			v.ID = w.Volume
		}
		delete(volumes, w.Volume)
		left = append(left, leftover{workload: w, volume: v, record: r, known: known})
	}
	back := map[string]bool{}
	for _, v := range forgotten {
		if v.NodeID != n.ID {
			continue
		}
		w := driver.Observed{Service: v.FormerService, Volume: v.ID}
		if i := slices.IndexFunc(workloads, func(w driver.Observed) bool { return w.Service == v.FormerService }); i >= 0 {
			w = workloads[i]
		}
		back[v.FormerService] = true
		take(w, recordOf(v))
	}
	for _, w := range workloads {
		if !known.services[w.Service] && w.Service != "" && !back[w.Service] {
			take(w, nil)
		}
	}
	for _, w := range workloads {
		delete(volumes, w.Volume)
	}
	for _, id := range slices.Sorted(maps.Keys(volumes)) {
		if !known.volumes[id] {
			left = append(left, leftover{volume: volumes[id], others: workloads, known: known})
		}
	}
	return left, nil
}

// known is what the store has rows of, by id.
type known struct{ services, volumes map[string]bool }

func (f *Fleet) stored(ctx context.Context) (known, error) {
	k := known{map[string]bool{}, map[string]bool{}}
	services, err := f.store.Read.Service.Query().IDs(ctx)
	if err != nil {
		return k, err
	}
	for _, id := range services {
		k.services[id] = true
	}
	volumes, err := f.store.Read.Volume.Query().IDs(ctx)
	if err != nil {
		return k, err
	}
	for _, id := range volumes {
		k.volumes[id] = true
	}
	restores, err := f.store.Read.Restore.Query().Where(restore.FinishedAtIsNil()).Select(restore.FieldVolume).All(ctx)
	for _, r := range restores { // an instance on trial has its restore's id
		k.services[r.ID], k.volumes[r.Volume] = true, true
	}
	return k, err
}

// WatchOrphans counts orphans at intervals, and after OrphansMoved, until ctx ends.
func (f *Fleet) WatchOrphans(ctx context.Context) {
	tick := time.NewTicker(f.opts.Resync)
	defer tick.Stop()
	for {
		for _, n := range f.All() {
			if n.Down() {
				continue
			}
			if err := f.countOrphans(ctx, n); err != nil && ctx.Err() == nil {
				f.log.Debug("counting the orphans of a node failed; retrying", "node", n.Name, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-f.orphansMoved:
		}
	}
}

// OrphansMoved has the orphans counted again soon. It never blocks.
func (f *Fleet) OrphansMoved() {
	select {
	case f.orphansMoved <- struct{}{}:
	default:
	}
}

// orphanCount is the number of orphans on a node.
type orphanCount struct{ workloads, volumes int }

// countOrphans counts the orphans on a node, and appends an event for each new one.
func (f *Fleet) countOrphans(ctx context.Context, n *Node) error {
	forgotten, err := f.forgottenServices(ctx)
	if err != nil {
		return err
	}
	left, err := f.leftOn(ctx, n, forgotten)
	if err == nil && slices.ContainsFunc(left, func(l leftover) bool { return !n.logged(l) }) {
		left, err = f.leftOn(ctx, n, forgotten) // a service that was removed while the node was listed is not an orphan
	}
	if err != nil {
		return err
	}
	var running []string
	var count orphanCount
	logged := map[string]bool{}
	for _, l := range left {
		if l.workload.Service == "" {
			count.volumes++
		} else {
			count.workloads++
		}
		if l.workload.Running {
			running = append(running, l.workload.Service)
		}
		if !n.logged(l) {
			if err := f.orphanFound(ctx, n, l); err != nil {
				return err
			}
		}
		logged[l.id()] = true
	}
	sort.Strings(running)
	n.setOrphans(running, count, logged)
	f.show(n)
	return nil
}

func (n *Node) setOrphans(running []string, count orphanCount, logged map[string]bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.orphanInstances, n.orphans, n.orphansLogged = running, count, logged
}

// logged reports whether an event about a leftover was appended.
func (n *Node) logged(l leftover) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.orphansLogged[l.id()]
}

// orphanFound appends an event about an orphan unless the newest one about it says the same, as after a restart of uws.
func (f *Fleet) orphanFound(ctx context.Context, n *Node, l leftover) error {
	newest, err := f.store.Read.Event.Query().Where(event.ServiceID(l.id())).Order(event.ByID(sql.OrderDesc())).First(ctx)
	if err != nil && !ent.IsNotFound(err) {
		return err
	}
	if err == nil && newest.ReasonCode != nil {
		switch *newest.ReasonCode {
		case lifecycle.CodeOrphanFound, lifecycle.CodeOrphanStopped:
			return nil
		}
	}
	x := f.identify(ctx, n, l)
	text := "found without a service: it can be adopted, stopped or removed"
	if x.DataOnly {
		text = "data found without a service: it can be adopted, kept as retained data or deleted"
	}
	if x.Problem != nil {
		text = fmt.Sprintf("found without a service, and cannot be adopted: %s", *x.Problem)
	}
	return f.RecordOrphan(ctx, n, x.Orphan, lifecycle.CodeOrphanFound, text)
}
