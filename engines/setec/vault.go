package main

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/netip"
	"os"
	"sync"

	"github.com/tailscale/setec/acl"
	"github.com/tailscale/setec/audit"
	"github.com/tailscale/setec/db"
	"github.com/tailscale/setec/server"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"
	"tailscale.com/client/tailscale/apitype"
	"tailscale.com/tailcfg"
)

// canary is a secret in every store. A client that can read it has verified that the store works.
const canary = "uws/canary"

// vault holds the secrets and their API. It is sealed, without an API, until the right key opens the store.
type vault struct {
	path string
	key  tink.AEAD

	mu  sync.Mutex
	api http.Handler // nil while sealed
}

func newVault(path, key string) (*vault, error) {
	// The key is a long random text, so it needs no stretching.
	raw, err := hkdf.Key(sha256.New, []byte(key), nil, "uws setec key encryption key", 32)
	if err != nil {
		return nil, err
	}
	cipher, err := subtle.NewXChaCha20Poly1305(raw)
	if err != nil {
		return nil, err
	}
	v := &vault{path: path, key: cipher}
	if _, err := v.open(); err != nil {
		// The server keeps running, sealed. A restart would fail in the same way, and clients get the reason.
		log.Printf("sealed: %v", err)
	}
	return v, nil
}

// open returns the API of the secrets. It opens the store if it is not open yet.
func (v *vault) open() (http.Handler, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.api != nil {
		return v.api, nil
	}
	d, err := db.Open(v.path, v.key, audit.New(&auditLog{out: os.Stdout}))
	if err != nil {
		return nil, fmt.Errorf("opening the secrets: %w", err)
	}
	if err := ensureCanary(d); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	if _, err := server.New(context.Background(), server.Config{DB: d, WhoIs: everybody, Mux: mux}); err != nil {
		return nil, err
	}
	v.api = mux
	return mux, nil
}

// ensureCanary creates the canary if it does not exist.
func ensureCanary(d *db.DB) error {
	caller := db.Caller{
		Principal:   audit.Principal{User: "uws", IP: netip.IPv6Loopback()},
		Permissions: acl.Rules{{Action: actions(), Secret: []acl.Secret{canary}}},
	}
	_, err := d.Get(caller, canary)
	if errors.Is(err, db.ErrNotFound) {
		_, err = d.Put(caller, canary, []byte(rand.Text()))
	}
	if err != nil {
		return fmt.Errorf("making the secret %s: %w", canary, err)
	}
	return nil
}

func actions() []acl.Action {
	return []acl.Action{acl.ActionGet, acl.ActionInfo, acl.ActionPut, acl.ActionCreateVersion, acl.ActionActivate, acl.ActionDelete}
}

// everybody identifies every caller as one user with full access. The token was checked before.
func everybody(context.Context, string) (*apitype.WhoIsResponse, error) {
	return &apitype.WhoIsResponse{
		Node:        &tailcfg.Node{Name: "uws"},
		UserProfile: &tailcfg.UserProfile{LoginName: "uws"},
		CapMap: tailcfg.PeerCapMap{server.ACLCap: {
			`{"action":["get","info","put","create-version","activate","delete"],"secret":["*"]}`,
		}},
	}, nil
}
