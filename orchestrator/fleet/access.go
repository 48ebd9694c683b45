package fleet

import (
	"encoding/json"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// sealedAccess is what a node's row holds, sealed, as JSON: the keys in clear, which [driver.Secret] would hide.
type sealedAccess struct {
	CA          string `json:"ca,omitempty"`
	Certificate string `json:"certificate,omitempty"`
	Key         string `json:"key,omitempty"`
	PrivateKey  string `json:"privateKey,omitempty"`
	HostKey     string `json:"hostKey,omitempty"`
}

// sealAccess seals the keys of a node, nil when there are none.
func (f *Fleet) sealAccess(nodeID string, a orchestrator.Access) ([]byte, error) {
	var s sealedAccess
	if a.TLS != nil {
		s.CA, s.Certificate, s.Key = a.TLS.CA, a.TLS.Certificate, string(a.TLS.Key)
	}
	if a.SSH != nil {
		s.PrivateKey, s.HostKey = string(a.SSH.PrivateKey), a.SSH.HostKey
	}
	if s == (sealedAccess{}) {
		return nil, nil
	}
	plain, err := json.Marshal(s) //nolint:gosec // it is sealed at once
	if err != nil {
		return nil, err
	}
	return f.store.Seal(plain, store.AccessContext(nodeID))
}

// unsealAccess opens the keys of a node. Its errors are of class Invalid: new keys help, a retry does not.
func (f *Fleet) unsealAccess(row *ent.Node) (orchestrator.Access, error) {
	var a orchestrator.Access
	if len(row.Access) == 0 {
		return a, nil
	}
	var s sealedAccess
	plain, err := f.store.Unseal(row.Access, store.AccessContext(row.ID))
	if err == nil {
		err = json.Unmarshal(plain, &s)
	}
	if err != nil { // what it says may quote the keys
		return a, driver.Errorf(driver.Invalid, "the keys in its row cannot be read; set them again with updateNode")
	}
	if s.CA != "" || s.Certificate != "" || s.Key != "" {
		a.TLS = &orchestrator.TLSKeys{CA: s.CA, Certificate: s.Certificate, Key: driver.Secret(s.Key)}
	}
	if s.PrivateKey != "" || s.HostKey != "" {
		a.SSH = &orchestrator.SSHKeys{PrivateKey: driver.Secret(s.PrivateKey), HostKey: s.HostKey}
	}
	return a, nil
}
