package control

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/unicorn-web-services/uws/ent"
	entnode "github.com/unicorn-web-services/uws/ent/node"
	"github.com/unicorn-web-services/uws/ent/service"
	entvolume "github.com/unicorn-web-services/uws/ent/volume"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// Launch stores a service, unless one with this input exists.
func (c *Control) Launch(ctx context.Context, in orchestrator.LaunchInput) (*orchestrator.Service, error) {
	if err := orchestrator.CheckName(in.Name); err != nil {
		return nil, err
	}
	if in.NodeID != "" && c.fleet.Lookup(in.NodeID) == nil {
		return nil, orchestrator.Errorf(orchestrator.NotFound, "nodeId", "there is no node with id %q; `nodes` lists them", in.NodeID)
	}
	definition, err := c.resolve(in)
	if err != nil {
		return nil, err
	}
	labels, err := orchestrator.CheckLabels("labels", in.Labels)
	if err != nil {
		return nil, err
	}
	nodeLabels, err := orchestrator.NodeLabels("nodeLabels", in.NodeLabels)
	if err != nil {
		return nil, err
	}
	ports, err := c.checkPorts(in, definition)
	if err != nil {
		return nil, err
	}
	var s *ent.Service
	var isNew bool
	err = c.store.Update(ctx, func(ctx context.Context, tx *ent.Tx) (err error) {
		s, isNew, err = c.launchTx(ctx, tx, launch{in, definition, labels, nodeLabels, ports})
		return err
	})
	if err != nil {
		return nil, err
	}
	if isNew {
		fault.Point("launch-stored")
		c.log.Info("service launched", "service", s.Name, "id", s.ID, "kind", s.Kind, "template", s.Template)
	}
	return snapshot.ServiceOf(s), nil
}

// resolve finds the template and applies the input to it.
func (c *Control) resolve(in orchestrator.LaunchInput) (catalog.Template, error) {
	var t catalog.Template
	var ok bool
	switch {
	case in.Template == "":
		drivers := c.drivers(in.NodeID)
		if t, ok = c.catalog.Default(in.Kind, drivers...); !ok {
			return t, orchestrator.Errorf(orchestrator.InvalidInput, "kind", "no template makes a %s by default on a node with driver %s; `templates` lists what can be launched",
				in.Kind, driverNames(drivers))
		}
	default:
		if t, ok = c.catalog.Lookup(in.Template); !ok {
			return t, orchestrator.Errorf(orchestrator.InvalidInput, "template", "there is no template %q; those of kind %s are: %s",
				in.Template, in.Kind, c.templatesOf(in.Kind))
		}
		if t.Kind != in.Kind {
			return t, orchestrator.Errorf(orchestrator.InvalidInput, "template", "%q makes a %s, not a %s; those of kind %s are: %s",
				in.Template, t.Kind, in.Kind, in.Kind, c.templatesOf(in.Kind))
		}
	}
	t, err := t.WithLimits(catalog.LimitSettings(in.Limits))
	if bad, ok := errors.AsType[*catalog.FieldError](err); ok {
		field := "limits"
		if bad.Field != "" {
			field += "." + bad.Field
		}
		return t, orchestrator.Errorf(orchestrator.InvalidInput, field, "%s", bad.Message)
	}
	t, err = t.WithProbe(catalog.ProbeSettings(in.Check))
	if bad, ok := errors.AsType[*catalog.FieldError](err); ok {
		return t, orchestrator.Errorf(orchestrator.InvalidInput, "healthCheck."+bad.Field, "%s", bad.Message)
	}
	return t, err
}

// drivers returns the drivers whose default templates a launch uses, the preferred one first: those of the registered nodes,
// or of the node that is asked for. Without any node it is the driver that works on every machine.
func (c *Control) drivers(nodeID string) []catalog.Driver {
	has := make(map[catalog.Driver]bool)
	for _, n := range c.fleet.All() {
		if nodeID == "" || n.ID == nodeID {
			has[catalog.Driver(n.Row().Driver)] = true
		}
	}
	if len(has) == 0 {
		return []catalog.Driver{catalog.Process}
	}
	return slices.DeleteFunc(catalog.Drivers(), func(d catalog.Driver) bool { return !has[d] })
}

func driverNames(drivers []catalog.Driver) string {
	var names []string
	for _, d := range drivers {
		names = append(names, string(d))
	}
	return strings.Join(names, " or ")
}

func (c *Control) templatesOf(kind catalog.Kind) string {
	var names []string
	for _, t := range c.catalog.All() {
		if t.Kind == kind {
			names = append(names, t.Name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// launchTx finds the service that this input created before, or writes a new one with its first event.
func (c *Control) launchTx(ctx context.Context, tx *ent.Tx, l launch) (s *ent.Service, isNew bool, err error) {
	in, definition := l.in, l.definition
	hash, err := hashInput(in)
	if err != nil {
		return nil, false, err
	}
	switch s, err := tx.Service.Query().Where(service.Name(in.Name)).Only(ctx); {
	case err == nil && s.InputHash == hash && s.DesiredState != lifecycle.WantRemoved:
		return s, false, nil
	case err == nil && s.DesiredState == lifecycle.WantRemoved:
		return nil, false, orchestrator.Errorf(orchestrator.Conflict, "name", "service %q is being removed; launch it again when it is gone", in.Name)
	case err == nil:
		field := l.differs(s)
		if field == "" {
			return s, false, nil
		}
		return nil, false, orchestrator.Errorf(orchestrator.Conflict, field, "%q is taken by a %s that was launched with another input here; choose another name, or launch with the same", in.Name, s.Kind)
	case !ent.IsNotFound(err):
		return nil, false, err
	}
	if err := c.takesNew(ctx, tx, in); err != nil {
		return nil, false, err
	}
	if err := notRestoring(ctx, tx, in.Name, ""); err != nil {
		return nil, false, err
	}
	create := tx.Service.Create().SetID(orchestrator.NewID()).SetName(in.Name).SetKind(definition.Kind).SetTemplate(definition.Name).
		SetInputHash(hash).SetRequestedNode(in.NodeID).
		SetDesiredState(lifecycle.WantRunning).SetPhase(lifecycle.Pending).SetHealth(lifecycle.HealthUnknown).SetReason("launch requested").SetReasonCode(lifecycle.CodeLaunchRequested)
	if l.labels != nil {
		create.SetLabels(l.labels)
	}
	if l.nodeLabels != nil {
		create.SetNodeLabels(l.nodeLabels)
	}
	if l.ports != nil {
		create.SetRequestedPorts(l.ports)
	}
	attach, err := c.fill(ctx, tx, create, in, definition)
	if err != nil {
		return nil, false, err
	}
	if node, _ := create.Mutation().RequestedNode(); l.ports != nil {
		if err := c.portsFree(ctx, tx, node, in.Ports); err != nil {
			return nil, false, err
		}
	}
	now := store.Now()
	if s, err = create.SetCreatedAt(now).SetUpdatedAt(now).Save(ctx); err != nil {
		return nil, false, err
	}
	if err := store.Own(ctx, tx, attach, s); err != nil {
		return nil, false, err
	}
	fault.Point("volume-owned")
	return s, true, c.fleet.ServiceEvent(tx, now, s).Exec(ctx)
}

// takesNew refuses a draining node. Data that is on it already may be attached.
func (c *Control) takesNew(ctx context.Context, tx *ent.Tx, in orchestrator.LaunchInput) error {
	if in.NodeID == "" || in.Reattach != "" {
		return nil
	}
	draining, err := tx.Node.Query().Where(entnode.ID(in.NodeID), entnode.Draining(true)).Exist(ctx)
	if err != nil || !draining {
		return err
	}
	return orchestrator.Errorf(orchestrator.Conflict, "nodeId", "node %s is draining and takes no new services; choose another, or none", c.fleet.NameOf(in.NodeID))
}

// fill gives a new service its data and credentials: its own, or those that were kept. It returns the volume to attach, nil
// for a new one.
func (c *Control) fill(ctx context.Context, tx *ent.Tx, create *ent.ServiceCreate, in orchestrator.LaunchInput, definition catalog.Template) (attach *ent.Volume, err error) {
	kept, err := tx.Volume.Query().Where(entvolume.Or(entvolume.Name(in.Name), entvolume.ID(in.Reattach))).All(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range kept {
		if k.ID == in.Reattach {
			attach = k
		}
	}
	for _, k := range kept {
		if k.Name == in.Name && k.Deleting {
			return nil, orchestrator.Errorf(orchestrator.Conflict, "name", "the data of the removed service %q is being deleted; try again when `retainedData` does not list it, or choose another name", in.Name)
		}
		if k.Name == in.Name && k != attach {
			return nil, orchestrator.Errorf(orchestrator.Conflict, "name", "%q has data that was kept when it was removed: attach it with reattach %q, or delete it with deleteRetainedData(id: %q)", in.Name, k.ID, k.ID)
		}
	}
	if in.Reattach != "" {
		return attach, c.reattach(create, in, definition, attach)
	}
	credentials, err := definition.GenerateCredentials()
	if err != nil {
		return nil, err
	}
	volume := orchestrator.NewID()
	sealed, err := c.vault.Seal(credentials, volume)
	if err != nil {
		return nil, err
	}
	create.SetVolume(volume).SetCredentials(sealed).SetDefinition(definition)
	return nil, nil
}

// reattach gives a new service the data and credentials of k, unless it cannot have them.
func (c *Control) reattach(create *ent.ServiceCreate, in orchestrator.LaunchInput, definition catalog.Template, k *ent.Volume) error {
	const field = "reattach"
	switch {
	case k == nil:
		return orchestrator.Errorf(orchestrator.NotFound, field, "there is no retained data with id %q; `retainedData` lists it", in.Reattach)
	case k.ServiceID != nil:
		return orchestrator.Errorf(orchestrator.Conflict, field, "this data is used by service %q; remove that service first, and retain its data", k.Name)
	case k.Deleting:
		return orchestrator.Errorf(orchestrator.Conflict, field, "this data is being deleted")
	case k.Forgotten && c.fleet.Lookup(k.NodeID) == nil:
		return orchestrator.Errorf(orchestrator.Conflict, field, "this data is on node %s, which was forgotten; register the node again, and adopt the service with adoptOrphan", k.NodeName)
	case k.Forgotten:
		return orchestrator.Errorf(orchestrator.Conflict, field, "this is the data of an orphan; adopt it with adoptOrphan(id: %q)", k.FormerService)
	case k.Template != definition.Name || k.Definition.Major() != definition.Major():
		return orchestrator.Errorf(orchestrator.Conflict, field, "this data belongs to template %s %s, and %s %s cannot read it; launch with a template of the same major version",
			k.Template, k.Definition.Version, definition.Name, definition.Version)
	case in.NodeID != "" && in.NodeID != k.NodeID:
		return orchestrator.Errorf(orchestrator.Conflict, "nodeId", "this data is on node %s and cannot move; name that node, or none", c.fleet.NameOf(k.NodeID))
	}
	credentials, pending, err := c.vault.Complete(definition, k)
	if err != nil {
		return err
	}
	create.SetVolume(k.ID).SetCredentials(credentials).SetPendingCredentials(pending).SetDefinition(definition).SetRequestedNode(k.NodeID).SetEverHealthy(true).SetDataMarked(k.DataMarked).SetRecordStale(k.RecordStale).
		SetPorts(k.Ports) // its clients know them, so they are kept if they are free
	if k.Quarantine != nil {
		create.SetQuarantine(k.Quarantine)
	}
	return nil
}

// hashInput returns the same text for inputs that ask for the same.
func hashInput(in orchestrator.LaunchInput) (string, error) {
	byName := func(a, b orchestrator.Label) int { return cmp.Compare(a.Name, b.Name) }
	in.Labels = slices.SortedFunc(slices.Values(in.Labels), byName)
	in.NodeLabels = slices.SortedFunc(slices.Values(in.NodeLabels), byName)
	in.Ports = slices.SortedFunc(slices.Values(in.Ports), func(a, b orchestrator.PortInput) int { return cmp.Compare(a.Name, b.Name) })
	b, err := json.Marshal(in)
	if err != nil {
		return "", fmt.Errorf("hashing the launch input: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}
