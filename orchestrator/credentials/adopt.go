package credentials

import (
	"context"
	"maps"
	"slices"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
)

// Differing returns the names of the credentials for clients in which two sets of a template's credentials differ.
func Differing(t catalog.Template, a, b map[string]string) (names []string) {
	for _, c := range t.Credentials {
		if !c.Internal && a[c.Name] != b[c.Name] {
			names = append(names, c.Name)
		}
	}
	return names
}

// Adoptable returns Conflict if a service cannot be given these values of its credentials.
func (v *Vault) Adoptable(s *ent.Service, names []string) error {
	r := v.Rotation(s.Definition)
	for _, name := range names {
		if r == nil || !slices.Contains(r.Change, name) {
			return orchestrator.Errorf(orchestrator.Conflict, "b", "its credential %s differs and cannot be changed in service %s; clients would not get in. Use a service that was restored from a backup of the other one", name, s.Name)
		}
	}
	return nil
}

// Adopt gives a service the credentials for clients of another one with the same template: they are stored as pending ones,
// with which [Vault.Advance] goes on.
func (v *Vault) Adopt(ctx context.Context, id string, from map[string]string) (*orchestrator.Service, error) {
	return v.stage(ctx, id, "it is given the credentials of another service", func(s *ent.Service) ([]byte, error) {
		if err := Changeable(snapshot.ServiceOf(s)); err != nil {
			return nil, err
		}
		old, err := v.unseal(s.Credentials, s.Volume)
		if err != nil {
			return nil, err
		}
		names := Differing(s.Definition, old, from)
		if err := v.Adoptable(s, names); err != nil {
			return nil, err
		}
		fresh := maps.Clone(old)
		for _, name := range names {
			fresh[name] = from[name]
		}
		return v.Seal(fresh, s.Volume)
	})
}
