// Package credentials seals, opens and rotates the credentials of services, and sets up new engines with them. Nothing else
// changes anything in an engine.
//
// Credentials are changed in three steps, each of which may be the last one before a crash: the new ones are stored beside
// the old ones as pending, the engine is changed, and they replace the old ones once it accepts them alone. In between only
// the engine can tell which ones are right, so it is asked.
package credentials

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// Options of a Vault. All are required.
type Options struct {
	Store    *store.Store
	Catalog  *catalog.Catalog
	Fleet    *fleet.Fleet
	Snapshot *snapshot.Snapshot
	Log      *slog.Logger
	// Probe finds the probe of a type.
	Probe func(probeType string) (probe.Func, bool)
	// Endpoints returns where the instance of a service was listening when it was inspected last, see
	// [driver.Observed.Endpoints]. It must be safe for concurrent use.
	Endpoints func(service string) map[string]netip.AddrPort
}

// Vault opens, seals and rotates credentials. It is safe for concurrent use.
type Vault struct {
	Options
	superusers superusers
}

// New returns a Vault.
func New(opts Options) *Vault {
	return &Vault{Options: opts, superusers: superusers{byID: map[string]superuser{}}}
}

// Keys are the credentials of a service in clear.
type Keys struct {
	Use   map[string]string // what the engine is started with
	Other map[string]string // what it may accept instead during a rotation; else nil
	Fresh map[string]string // the pending ones of the two; nil if there are none
	Old   map[string]string // the stored ones

	stored, pending []byte // what they were opened from
}

// Of reports whether k are the credentials in a row.
func (k Keys) Of(row *ent.Service) bool {
	return k.Old != nil && bytes.Equal(k.stored, row.Credentials) && bytes.Equal(k.pending, row.PendingCredentials)
}

// Open opens the credentials of a service.
func (v *Vault) Open(row *ent.Service) (Keys, error) {
	old, err := v.unseal(row.Credentials, row.Volume)
	if err == nil {
		old = row.Definition.Complete(old)
	}
	k := Keys{Use: old, Old: old, stored: row.Credentials, pending: row.PendingCredentials}
	if err != nil || len(row.PendingCredentials) == 0 {
		return k, err
	}
	if k.Fresh, err = v.unseal(row.PendingCredentials, row.Volume); err != nil {
		return k, err
	}
	k.Fresh = row.Definition.Complete(k.Fresh)
	if separating(k) { // the user's password stays
		return k, nil
	}
	if r := v.Rotation(row.Definition); r != nil && r.How == catalog.RotateByRestart {
		k.Use, k.Other = k.Fresh, k.Old
	} else {
		k.Other = k.Fresh
	}
	return k, nil
}

// Seal seals the credentials of a volume.
func (v *Vault) Seal(credentials map[string]string, volume string) ([]byte, error) {
	b, err := json.Marshal(credentials)
	if err != nil {
		return nil, err
	}
	return v.Store.Seal(b, store.CredentialsContext(volume))
}

func (v *Vault) unseal(sealed []byte, volume string) (map[string]string, error) {
	b, err := v.Store.Unseal(sealed, store.CredentialsContext(volume))
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	var credentials map[string]string
	if err := json.Unmarshal(b, &credentials); err != nil {
		return nil, fmt.Errorf("unsealed, but not a JSON object: %w", err)
	}
	return credentials, nil
}

// Complete returns the sealed credentials of retained data, stored and pending, with those added that the template
// requires now.
func (v *Vault) Complete(definition catalog.Template, k *ent.Volume) (stored, pending []byte, err error) {
	old, err := v.unseal(k.Credentials, k.ID)
	if err != nil {
		return nil, nil, err
	}
	full, err := definition.Adopt(old)
	if err != nil || len(full) == len(old) {
		return k.Credentials, k.PendingCredentials, err
	}
	if stored, err = v.Seal(full, k.ID); err != nil || len(k.PendingCredentials) == 0 {
		return stored, nil, err
	}
	fresh, err := v.unseal(k.PendingCredentials, k.ID)
	if err != nil {
		return nil, nil, err
	}
	for name, value := range full {
		if _, ok := old[name]; !ok {
			fresh[name] = value
		}
	}
	pending, err = v.Seal(fresh, k.ID)
	return stored, pending, err
}

// Target returns where and how a service is probed with these credentials. The port is the one that its instance listens on,
// which differs from the recorded one until a new instance has replaced it; the recorded one where the driver does not
// report it.
func (v *Vault) Target(row *ent.Service, credentials map[string]string) (probe.Target, probe.Func, error) {
	p := row.Definition.Probe
	ask, ok := v.Probe(p.Type)
	if !ok {
		return probe.Target{}, nil, fmt.Errorf("probe type %q of template %s is not known to this uws", p.Type, row.Template)
	}
	n := v.Fleet.Lookup(row.NodeID)
	if n == nil {
		return probe.Target{}, nil, fmt.Errorf("service %s is on no node", row.Name)
	}
	port := row.Ports[p.Port]
	if at, ok := v.Endpoints(row.ID)[p.Port]; ok {
		port = int(at.Port())
	}
	return probe.Target{
		Address:     net.JoinHostPort(n.Row().ServiceAddress, strconv.Itoa(port)),
		Credentials: credentials,
		Public:      row.Definition.PublicCredentials(),
		Options:     p.Options,
	}, ask, nil
}

// ask probes with these credentials.
func (v *Vault) ask(ctx context.Context, row *ent.Service, credentials map[string]string) (probe.Result, error) {
	target, f, err := v.Target(row, credentials)
	if err != nil {
		return probe.Result{}, err
	}
	return probe.Run(ctx, f, target, row.Definition.Probe.Timeout, time.Now), nil
}

// Accepted returns the credentials that the engine of a service accepts now.
func (v *Vault) Accepted(ctx context.Context, row *ent.Service) (map[string]string, error) {
	k, err := v.Open(row)
	if err != nil || k.Other == nil || row.NodeID == "" {
		return k.Use, err
	}
	if r, err := v.ask(ctx, row, k.Other); err == nil && r.Verdict == probe.OK {
		return k.Other, nil
	}
	return k.Use, nil
}

// Either returns a probe that asks with the other credentials if those of the target are refused.
func Either(f probe.Func, other map[string]string) probe.Func {
	if other == nil {
		return f
	}
	return func(ctx context.Context, t probe.Target) probe.Result {
		r := f(ctx, t)
		if !r.Refused {
			return r
		}
		t.Credentials = other
		if again := f(ctx, t); again.Verdict == probe.OK {
			return again
		}
		return r
	}
}

// Reveal returns the credentials of a service that its engine accepts now, in the template's order.
func (v *Vault) Reveal(ctx context.Context, id string) ([]orchestrator.Credential, error) {
	s, err := v.Snapshot.Row(ctx, id)
	if err != nil {
		return nil, err
	}
	values, err := v.Accepted(ctx, s)
	if err != nil {
		return nil, err
	}
	var all []orchestrator.Credential
	for _, c := range s.Definition.Credentials {
		if c.Internal {
			continue
		}
		all = append(all, orchestrator.Credential{Name: c.Name, Value: values[c.Name]})
	}
	return all, nil
}

// Connections returns ready-made texts for clients of a service, with its credentials in clear, in the template's order.
// There are none until its ports are chosen, and none if its template defines none.
func (v *Vault) Connections(ctx context.Context, id string) ([]catalog.ConnectionString, error) {
	s, err := v.Snapshot.Row(ctx, id)
	if err != nil {
		return nil, err
	}
	n := v.Fleet.Lookup(s.NodeID)
	if n == nil || len(s.Ports) == 0 {
		return nil, nil
	}
	values, err := v.Accepted(ctx, s)
	if err != nil {
		return nil, err
	}
	all, err := s.Definition.ConnectionsFor(catalog.Values{Host: n.Row().ServiceAddress,
		ServiceID: s.ID, ServiceName: s.Name, Ports: s.Ports, Credentials: values})
	if err != nil {
		v.Log.Error("filling in a template's connection strings failed; they are left out", "service", s.Name, "template", s.Template, "error", err)
	}
	return all, nil
}
