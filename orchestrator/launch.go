package orchestrator

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/unicorn-web-services/uws/ent"
	entnode "github.com/unicorn-web-services/uws/ent/node"
	entretained "github.com/unicorn-web-services/uws/ent/retained"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// A DNS label as RFC 1035 has it: names become host names on some drivers.
var dnsLabel = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

func checkName(field, name string) error {
	if dnsLabel.MatchString(name) {
		return nil
	}
	shown := name
	if len(shown) > 64 {
		shown = shown[:64] + "…"
	}
	return Errorf(InvalidInput, field, "%s %q is not a DNS label: use 1 to 63 of a-z, 0-9 and '-', beginning with a letter and not ending with '-'", field, shown)
}

// Launch implements [API].
func (o *Orchestrator) Launch(ctx context.Context, in LaunchInput) (*ent.Service, error) {
	if err := checkName("input.name", in.Name); err != nil {
		return nil, err
	}
	if in.NodeID != "" && o.node(in.NodeID) == nil {
		return nil, Errorf(NotFound, "input.nodeId", "input.nodeId: there is no node with id %q; `nodes` lists them", in.NodeID)
	}
	definition, err := o.resolve(in)
	if err != nil {
		return nil, err
	}
	labels, err := nodeLabels("input.nodeLabels", in.NodeLabels)
	if err != nil {
		return nil, err
	}
	var s *ent.Service
	var isNew bool
	err = o.inTx(ctx, func(tx *ent.Tx) (err error) {
		s, isNew, err = o.launchTx(ctx, tx, in, definition, labels)
		return err
	})
	if err != nil {
		return nil, err
	}
	if isNew {
		fault.Point("launch-stored")
		o.events.Committed()
		o.remember(s)
		o.queue.add(s.ID)
		o.log.Info("service launched", "service", s.Name, "id", s.ID, "kind", s.Kind, "template", s.Template)
	}
	return s, nil
}

// resolve finds the template and applies the input to it.
func (o *Orchestrator) resolve(in LaunchInput) (catalog.Template, error) {
	var t catalog.Template
	var ok bool
	switch {
	case in.Template == "":
		drivers := o.drivers(in.NodeID)
		if t, ok = o.opts.Catalog.Default(in.Kind, drivers...); !ok {
			return t, Errorf(InvalidInput, "input.kind", "input.kind: no template makes a %s by default on a node with driver %s; `templates` lists what can be launched",
				in.Kind, words(drivers))
		}
	default:
		if t, ok = o.opts.Catalog.Lookup(in.Template); !ok {
			return t, Errorf(InvalidInput, "input.template", "input.template: there is no template %q; those of kind %s are: %s",
				in.Template, in.Kind, o.templatesOf(in.Kind))
		}
		if t.Kind != in.Kind {
			return t, Errorf(InvalidInput, "input.template", "input.template: %q makes a %s, not a %s; those of kind %s are: %s",
				in.Template, t.Kind, in.Kind, in.Kind, o.templatesOf(in.Kind))
		}
	}
	t, err := t.WithLimits(catalog.LimitSettings(in.Limits))
	if bad, ok := errors.AsType[*catalog.FieldError](err); ok {
		field := "input.limits"
		if bad.Field != "" {
			field += "." + bad.Field
		}
		return t, Errorf(InvalidInput, field, "%s: %s", field, bad.Message)
	}
	t, err = t.WithProbe(catalog.ProbeSettings(in.Check))
	if bad, ok := errors.AsType[*catalog.FieldError](err); ok {
		field := "input.healthCheck." + bad.Field
		if bad.Field != "failureThreshold" {
			field += "Seconds"
		}
		return t, Errorf(InvalidInput, field, "%s: %s", field, bad.Message)
	}
	return t, err
}

// drivers whose defaults a launch takes, the preferred one first: those of the registered nodes, or of the one that is
// asked for. With no node yet it is for the node that every machine can be.
func (o *Orchestrator) drivers(nodeID string) []catalog.Driver {
	has := make(map[catalog.Driver]bool)
	for _, n := range o.allNodes() {
		if nodeID == "" || n.id == nodeID {
			has[catalog.Driver(n.current().Driver)] = true
		}
	}
	if len(has) == 0 {
		return []catalog.Driver{catalog.Process}
	}
	return slices.DeleteFunc(catalog.Drivers(), func(d catalog.Driver) bool { return !has[d] })
}

func words(drivers []catalog.Driver) string {
	var names []string
	for _, d := range drivers {
		names = append(names, string(d))
	}
	return strings.Join(names, " or ")
}

func (o *Orchestrator) templatesOf(kind catalog.Kind) string {
	var names []string
	for _, t := range o.opts.Catalog.All() {
		if t.Kind == kind {
			names = append(names, t.Name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// launchTx finds the service that this input made before, or writes a new one with its first event.
func (o *Orchestrator) launchTx(ctx context.Context, tx *ent.Tx, in LaunchInput, definition catalog.Template, labels map[string]string) (s *ent.Service, isNew bool, err error) {
	hash, err := in.hash()
	if err != nil {
		return nil, false, err
	}
	switch s, err := tx.Service.Query().Where(service.Name(in.Name)).Only(ctx); {
	case err == nil && s.InputHash == hash && s.DesiredState != lifecycle.WantRemoved:
		return s, false, nil
	case err == nil && s.DesiredState == lifecycle.WantRemoved:
		return nil, false, Errorf(Conflict, "input.name", "input.name: service %q is being removed; launch it again when it is gone", in.Name)
	case err == nil:
		return nil, false, Errorf(Conflict, "input.name", "input.name: %q is taken by a %s that was launched with another input; choose another name", in.Name, s.Kind)
	case !ent.IsNotFound(err):
		return nil, false, err
	}
	if err := o.takesNew(ctx, tx, in); err != nil {
		return nil, false, err
	}
	create := tx.Service.Create().SetID(newID()).SetName(in.Name).SetKind(definition.Kind).SetTemplate(definition.Name).
		SetInputHash(hash).SetRequestedNode(in.NodeID).
		SetDesiredState(lifecycle.WantRunning).SetPhase(lifecycle.Pending).SetHealth(lifecycle.HealthUnknown).SetReason("launch requested")
	if labels != nil {
		create.SetNodeLabels(labels)
	}
	if err := o.fill(ctx, tx, create, in, definition); err != nil {
		return nil, false, err
	}
	now := utcNow()
	if s, err = create.SetCreatedAt(now).SetUpdatedAt(now).Save(ctx); err != nil {
		return nil, false, err
	}
	return s, true, o.appendLaunch(tx, now, s).Exec(ctx)
}

// takesNew refuses a node that was asked for and takes no new services. Data that is there already may be attached.
func (o *Orchestrator) takesNew(ctx context.Context, tx *ent.Tx, in LaunchInput) error {
	if in.NodeID == "" || in.Reattach != "" {
		return nil
	}
	draining, err := tx.Node.Query().Where(entnode.ID(in.NodeID), entnode.Draining(true)).Exist(ctx)
	if err != nil || !draining {
		return err
	}
	return Errorf(Conflict, "input.nodeId", "input.nodeId: node %s is draining and takes no new services; choose another, or leave nodeId out", o.nodeName(in.NodeID))
}

const (
	maxLabels      = 32
	maxLabelLength = 128
)

// nodeLabels checks labels and gives them by name.
func nodeLabels(field string, labels []NodeLabel) (map[string]string, error) {
	if len(labels) == 0 {
		return nil, nil
	}
	if len(labels) > maxLabels {
		return nil, Errorf(InvalidInput, field, "%s: has %d labels; at most %d are allowed", field, len(labels), maxLabels)
	}
	all := make(map[string]string, len(labels))
	for i, l := range labels {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch _, twice := all[l.Name]; {
		case l.Name == "" || len(l.Name) > maxLabelLength:
			return nil, Errorf(InvalidInput, at+".name", "%s.name: has %d bytes; must have 1 to %d", at, len(l.Name), maxLabelLength)
		case len(l.Value) > maxLabelLength:
			return nil, Errorf(InvalidInput, at+".value", "%s.value: has %d bytes; must have at most %d", at, len(l.Value), maxLabelLength)
		case strings.ContainsFunc(l.Name+l.Value, func(r rune) bool { return !unicode.IsPrint(r) }):
			return nil, Errorf(InvalidInput, at, "%s: has a character that cannot be shown; use plain text", at)
		case twice:
			return nil, Errorf(InvalidInput, at+".name", "%s.name: is there twice; a node has one value for each label", at)
		}
		all[l.Name] = l.Value
	}
	return all, nil
}

// fill gives a new service its data and credentials: its own, or those that were kept.
func (o *Orchestrator) fill(ctx context.Context, tx *ent.Tx, create *ent.ServiceCreate, in LaunchInput, definition catalog.Template) error {
	kept, err := tx.Retained.Query().Where(entretained.Or(entretained.Name(in.Name), entretained.ID(in.Reattach))).All(ctx)
	if err != nil {
		return err
	}
	var attach *ent.Retained
	for _, k := range kept {
		if k.ID == in.Reattach {
			attach = k
		}
	}
	for _, k := range kept {
		if k.Name == in.Name && k != attach {
			return Errorf(Conflict, "input.name", "input.name: %q has data that was kept when it was removed: attach it with input.reattach %q, or delete it with deleteRetainedData(id: %q)", in.Name, k.ID, k.ID)
		}
	}
	if in.Reattach != "" {
		return o.reattach(ctx, tx, create, in, definition, attach)
	}
	credentials, err := definition.GenerateCredentials()
	if err != nil {
		return err
	}
	volume := newID()
	sealed, err := o.seal(credentials, volume)
	if err != nil {
		return err
	}
	create.SetVolume(volume).SetCredentials(sealed).SetDefinition(definition)
	return nil
}

func (o *Orchestrator) reattach(ctx context.Context, tx *ent.Tx, create *ent.ServiceCreate, in LaunchInput, definition catalog.Template, k *ent.Retained) error {
	const field = "input.reattach"
	switch {
	case k == nil:
		return Errorf(NotFound, field, "%s: there is no retained data with id %q; `retainedData` lists it", field, in.Reattach)
	case k.Deleting:
		return Errorf(Conflict, field, "%s: this data is being deleted", field)
	case k.Template != definition.Name || k.Definition.Major() != definition.Major():
		return Errorf(Conflict, field, "%s: this data belongs to template %s %s, and %s %s cannot read it; launch with a template of the same major version",
			field, k.Template, k.Definition.Version, definition.Name, definition.Version)
	case in.NodeID != "" && in.NodeID != k.NodeID:
		return Errorf(Conflict, "input.nodeId", "input.nodeId: this data is on node %s and cannot move; leave nodeId out", o.nodeName(k.NodeID))
	}
	create.SetVolume(k.ID).SetCredentials(k.Credentials).SetPendingCredentials(k.PendingCredentials).SetDefinition(definition).SetRequestedNode(k.NodeID).SetEverHealthy(true)
	return tx.Retained.DeleteOneID(k.ID).Exec(ctx)
}

// hash tells whether two inputs ask for the same.
func (in LaunchInput) hash() (string, error) {
	in.NodeLabels = slices.SortedFunc(slices.Values(in.NodeLabels), func(a, b NodeLabel) int { return cmp.Compare(a.Name, b.Name) })
	b, err := json.Marshal(in)
	if err != nil {
		return "", fmt.Errorf("hashing the launch input: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}
