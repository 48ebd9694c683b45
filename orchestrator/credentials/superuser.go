package credentials

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// superusers holds of which databases the user is the superuser, so that nothing is unsealed when services are listed. It is
// safe for concurrent use.
type superusers struct {
	mu   sync.Mutex
	byID map[string]superuser
}

// superuser is what the credentials in one version of a service's row say.
type superuser struct {
	version int
	sealed  []byte
	is      bool
}

// Load reads of which databases the user is the superuser, and follows the store from there. It is called once, before the
// snapshot follows the store, so that a row and its actions are seen together.
func (v *Vault) Load(ctx context.Context) error {
	v.Store.Follow(func(_ context.Context, c store.Commit) {
		for _, row := range c.Services {
			v.noteSuperuser(row)
		}
		v.superusers.forget(c.DeletedServices)
	})
	rows, err := v.Store.Read.Service.Query().Where(service.KindEQ(catalog.DB)).
		Select(service.FieldID, service.FieldKind, service.FieldVersion, service.FieldVolume, service.FieldCredentials).All(ctx)
	if err != nil {
		return fmt.Errorf("reading the credentials of databases: %w", err)
	}
	for _, row := range rows {
		v.noteSuperuser(row)
	}
	return nil
}

// IsSuperuser reports whether the user of a PostgreSQL service is the superuser that its data was created with. It is false
// while its credentials cannot be unsealed.
func (v *Vault) IsSuperuser(id string) bool {
	v.superusers.mu.Lock()
	defer v.superusers.mu.Unlock()
	return v.superusers.byID[id].is
}

// noteSuperuser unseals the credentials in a row, unless they are those of the row before.
func (v *Vault) noteSuperuser(row *ent.Service) {
	if row.Kind != catalog.DB {
		return
	}
	u := &v.superusers
	u.mu.Lock()
	defer u.mu.Unlock()
	was, ok := u.byID[row.ID]
	if ok && was.version > row.Version {
		return
	}
	is := was.is
	if !bytes.Equal(was.sealed, row.Credentials) {
		values, err := v.unseal(row.Credentials, row.Volume)
		is = err == nil && values[adminUser] == ""
	}
	u.byID[row.ID] = superuser{row.Version, row.Credentials, is}
}

func (u *superusers) forget(ids []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, id := range ids {
		delete(u.byID, id)
	}
}
