package fleet

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/eventlog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// Orphan is an orphan with its record; nil if that cannot be read.
type Orphan struct {
	orchestrator.Orphan
	Record *Record
}

// Record is what must be known of a service to adopt it. Its sealed JSON is kept in the mark of the service's volume,
// where a store that was restored from an older copy finds it.
type Record struct {
	Service     string                `json:"service"`
	Name        string                `json:"name"`
	Kind        catalog.Kind          `json:"kind"`
	Definition  catalog.Template      `json:"definition"`
	Volume      string                `json:"volume"`
	Credentials []byte                `json:"credentials"` // sealed as in a row
	Pending     []byte                `json:"pending,omitempty"`
	Ports       map[string]int        `json:"ports"`
	CreatedAt   time.Time             `json:"createdAt"`
	Desired     lifecycle.Desired     `json:"desired,omitempty"`
	Quarantine  *lifecycle.Quarantine `json:"quarantine,omitempty"`
	Marked      bool                  `json:"-"` // see [driver.Data]
	Stale       bool                  `json:"-"` // it must be written again
}

// StopSlack is how much longer than its grace period stopping an instance may take.
const StopSlack = time.Minute

// SealRecord returns the sealed record of a service, as text for the mark of its volume.
func (f *Fleet) SealRecord(row *ent.Service) (string, error) {
	b, err := json.Marshal(Record{Service: row.ID, Name: row.Name, Kind: row.Kind, Definition: row.Definition, Volume: row.Volume,
		Credentials: row.Credentials, Pending: row.PendingCredentials, Ports: row.Ports, Quarantine: row.Quarantine, CreatedAt: row.CreatedAt})
	if err != nil {
		return "", err
	}
	sealed, err := f.store.Seal(b, store.RecordContext(row.Volume))
	return base64.StdEncoding.EncodeToString(sealed), err
}

// readRecord reads the record in the mark of a volume. The error says why there is none.
func (f *Fleet) readRecord(ctx context.Context, n *Node, volume string) (*Record, error) {
	if volume == "" {
		return nil, errors.New("its volume is not known")
	}
	text, err := n.drv.ReadMark(ctx, volume)
	if err != nil {
		return nil, err
	}
	note := driver.Note(volume, text)
	if note == "" {
		return nil, fmt.Errorf("its volume %s has no record of it, so that its credentials are not known: it was never healthy, or is older than such records", volume)
	}
	sealed, err := base64.StdEncoding.DecodeString(note)
	if err == nil {
		sealed, err = f.store.Unseal(sealed, store.RecordContext(volume))
	}
	r := &Record{Marked: true}
	if err != nil || json.Unmarshal(sealed, r) != nil {
		return nil, fmt.Errorf("the record of it in volume %s cannot be opened with this installation's key", volume)
	}
	return r, nil
}

// recordOf is the record of a service whose node was forgotten.
func recordOf(v *ent.Volume) *Record {
	return &Record{Service: v.FormerService, Name: v.Name, Kind: v.Kind, Definition: v.Definition, Volume: v.ID, Credentials: v.Credentials,
		Pending: v.PendingCredentials, Ports: v.Ports, Quarantine: v.Quarantine, CreatedAt: v.CreatedAt, Desired: lifecycle.Desired(v.DesiredState), Marked: v.DataMarked, Stale: v.RecordStale}
}

// Orphans lists what no service has on the nodes that answer, by node and id.
func (f *Fleet) Orphans(ctx context.Context) ([]orchestrator.Orphan, error) {
	found, err := f.findOrphans(ctx)
	var all []orchestrator.Orphan
	for _, x := range found {
		if x.DataOnly {
			x.Bytes = f.sizeOf(ctx, x)
		}
		all = append(all, x.Orphan)
	}
	slices.SortFunc(all, func(a, b orchestrator.Orphan) int {
		return cmp.Or(cmp.Compare(a.NodeID, b.NodeID), cmp.Compare(a.ID, b.ID))
	})
	return all, err
}

func (f *Fleet) findOrphans(ctx context.Context) ([]Orphan, error) {
	forgotten, err := f.forgottenServices(ctx)
	if err != nil {
		return nil, err
	}
	var all []Orphan
	for _, n := range f.All() {
		if n.Down() {
			continue
		}
		left, err := f.leftOn(ctx, n, forgotten)
		if err != nil {
			f.log.Debug("orphans of a node cannot be listed", "node", n.Name, "error", err)
			continue
		}
		for _, l := range left {
			all = append(all, f.identify(ctx, n, l))
		}
	}
	return all, nil
}

// sizeOf returns the bytes that an orphan's data takes; nil if the node does not report them within a second.
func (f *Fleet) sizeOf(ctx context.Context, x Orphan) *int64 {
	n := f.Lookup(x.NodeID)
	if n == nil {
		return nil
	}
	drv, ok := n.drv.(driver.Sizer)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	bytes, err := drv.Size(ctx, x.ID)
	if err != nil {
		return nil
	}
	return &bytes
}

// identify returns what is known of a leftover.
func (f *Fleet) identify(ctx context.Context, n *Node, l leftover) Orphan {
	r, problem := l.record, error(nil)
	if r == nil {
		r, problem = f.readRecord(ctx, n, l.volume.ID)
	}
	w := l.workload
	x := Orphan{Orphan: orchestrator.Orphan{ID: l.id(), NodeID: n.ID, DataOnly: w.Service == "", CreatedAt: l.volume.CreatedAt,
		Running: w.Running || w.Restarting}, Record: r}
	if l.volume.ID != "" {
		x.DataID = &l.volume.ID
	}
	if l.volume.Service != "" {
		x.Name = &l.volume.Service
	}
	if r == nil {
		x.Problem = new(problem.Error())
		return x
	}
	x.Name, x.Kind, x.Template = &r.Name, &r.Kind, &r.Definition.Name
	switch {
	case !x.DataOnly && r.Service != w.Service:
		x.Problem = new(fmt.Sprintf("its volume is of service %s now", r.Service))
	case x.DataOnly && (l.inUse(r.Service) || l.known.services[r.Service]):
		x.Problem = new(fmt.Sprintf("its service %s has another volume now", r.Service))
	}
	return x
}

// FindOrphan finds an orphan by its id, or by its name if only one has it. The error is NotFound if there is none.
func (f *Fleet) FindOrphan(ctx context.Context, idOrName string) (Orphan, *Node, error) {
	all, err := f.findOrphans(ctx)
	if err != nil {
		return Orphan{}, nil, err
	}
	i := slices.IndexFunc(all, func(x Orphan) bool { return x.ID == idOrName })
	if i < 0 {
		named := func(x Orphan) bool { return x.Name != nil && *x.Name == idOrName }
		if i = slices.IndexFunc(all, named); i >= 0 && slices.IndexFunc(all[i+1:], named) >= 0 {
			return Orphan{}, nil, orchestrator.Errorf(orchestrator.Conflict, "id", "several orphans are named %q; give the id of one, as `orphans` lists it", idOrName)
		}
	}
	if i < 0 {
		return Orphan{}, nil, orchestrator.Errorf(orchestrator.NotFound, "id", "there is no orphan with the id or name %.64q; `orphans` lists them", idOrName)
	}
	n := f.Lookup(all[i].NodeID)
	if n == nil {
		return Orphan{}, nil, orchestrator.Errorf(orchestrator.NotFound, "id", "the node of orphan %.64q has been removed meanwhile", idOrName)
	}
	return all[i], n, nil
}

// StopOrphan stops the workload of an orphan.
func (f *Fleet) StopOrphan(ctx context.Context, id string) (orchestrator.Orphan, error) {
	x, n, err := f.FindOrphan(ctx, id)
	if err != nil {
		return orchestrator.Orphan{}, err
	}
	if x.DataOnly {
		return orchestrator.Orphan{}, orchestrator.Errorf(orchestrator.Conflict, "id", "only the data of this orphan is left; there is nothing to stop")
	}
	grace := x.Grace()
	err = f.Do(ctx, n.ID, grace+StopSlack, func(ctx context.Context, n *Node) error { return n.drv.Stop(ctx, x.ID, grace) })
	if err != nil {
		return orchestrator.Orphan{}, err
	}
	x.Running = false
	return x.Orphan, f.RecordOrphan(ctx, n, x.Orphan, lifecycle.CodeOrphanStopped, "orphan stopped")
}

// Grace is how long the orphan has to stop.
func (x Orphan) Grace() time.Duration {
	if x.Record == nil {
		return 10 * time.Second
	}
	return x.Record.Definition.Stop.Grace
}

// RecordOrphan appends an event about an orphan.
func (f *Fleet) RecordOrphan(ctx context.Context, n *Node, x orchestrator.Orphan, code lifecycle.ReasonCode, text string) error {
	err := f.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		e := eventlog.Append(tx, store.Now()).SetSubject("SERVICE").SetServiceID(x.ID).SetNillableServiceName(x.Name).SetNillableKind(x.Kind).
			SetNillableTemplate(x.Template).SetNodeID(n.ID).SetNodeName(n.Name).SetHealth(lifecycle.HealthUnknown).SetReason(text).SetReasonCode(code)
		return e.Exec(ctx)
	})
	if err == nil {
		f.log.Info("orphan changed", "id", x.ID, "node", n.Name, "reason", text)
	}
	return err
}
