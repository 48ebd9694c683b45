package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/orchestrator/eventlog"
	"github.com/unicorn-web-services/uws/orchestrator/home"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// Arrival is how a store came to its present folder.
type Arrival int

const (
	Stayed Arrival = iota // it is where it was
	Moved                 // the folder was moved or restored, and the original no longer exists
	Cloned                // it is a copy, and the original still exists
)

// Identity distinguishes a store from copies of it.
type Identity struct {
	Store      string // random; changes whenever the store has moved
	Epoch      int64  // increases whenever a move is recorded
	ClonedFrom string // id of the installation that this one is a clone of; empty if it is not a clone
}

// Settle compares the folder of the store with the one where it was last served.
//
// If they differ and how is Stayed, it returns the difference in displaced and changes nothing; the caller must then
// serve the store read-only. Moved and Cloned record the present folder. Cloned also makes the store another
// installation and stops all services. A store without a recorded folder, because it is new or comes from an older uws,
// is recorded as being in the right place. Moved increases only the epoch of a store that has not moved.
func (s *Store) Settle(ctx context.Context, how Arrival) (id Identity, displaced string, err error) {
	now, err := home.Look(s.dir)
	if err != nil {
		return id, "", fmt.Errorf("data folder: %w", err)
	}
	row, err := s.Read.Installation.Query().Only(ctx)
	if err != nil {
		return id, "", fmt.Errorf("read the previous folder of the store: %w", err)
	}
	id = Identity{Store: row.Store, Epoch: row.Epoch, ClonedFrom: row.ClonedFrom}
	moved := ""
	if row.Home != nil {
		moved = row.Home.Moved(now)
	}
	a := arrival{how: how, from: row.Home, to: now, id: id}
	switch {
	case how == Cloned && row.Home != nil && moved == "":
		return id, "", fmt.Errorf("--clone: data folder %s is not a copy: it was last served from here. Copy it first, and serve the copy with --clone; serve the original without it", s.dir)
	case row.Home != nil && moved == "" && how == Moved:
		a.id.Epoch++
		a.to = *row.Home
		return a.id, "", s.record(ctx, a)
	case row.Home != nil && moved == "":
		return id, "", nil
	case row.Home != nil && how == Stayed:
		return id, moved, nil
	}
	a.id.Store, a.id.Epoch = strings.ToLower(rand.Text()), row.Epoch+1
	if how == Cloned {
		a.id.ClonedFrom = s.Installation
	}
	return a.id, "", s.record(ctx, a)
}

// arrival is a move of a store from one folder to another, and its new identity.
type arrival struct {
	how  Arrival
	from *home.Home // nil if no folder was recorded
	to   home.Home
	id   Identity
}

// record records the folder of the store in one transaction. If a user requested it, an event and a line of the audit
// log are added.
func (s *Store) record(ctx context.Context, a arrival) error {
	as := s.Installation
	err := s.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		err := tx.Installation.Update().SetHome(&a.to).SetStore(a.id.Store).SetEpoch(a.id.Epoch).SetClonedFrom(a.id.ClonedFrom).Exec(ctx)
		if err == nil && a.how == Cloned {
			as, err = s.becomeAnother(ctx, tx)
		}
		if err == nil && a.how != Stayed {
			err = a.tell(ctx, tx, as)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("record the folder of the store: %w", err)
	}
	s.Installation = as
	return nil
}

// tell adds the event and the line of the audit log for an arrival, for the installation as.
func (a arrival) tell(ctx context.Context, tx *ent.Tx, as string) error {
	from := "an unknown place"
	detail := map[string]any{"to": a.to.Path, "epoch": a.id.Epoch}
	if a.from != nil {
		from, detail["from"] = a.from.Path, a.from.Path
	}
	code, flag := lifecycle.CodeDataMoved, "--moved"
	text := fmt.Sprintf("data folder moved from %s to %s", from, a.to.Path)
	switch {
	case a.how == Cloned:
		code, flag = lifecycle.CodeDataCloned, "--clone"
		text = fmt.Sprintf("data folder cloned from %s to %s: now installation %s, before %s; all services are set to stopped, and data on Docker Engines stays with the original", from, a.to.Path, as, a.id.ClonedFrom)
		detail["installation"], detail["clonedFrom"] = as, a.id.ClonedFrom
	case a.from != nil && a.from.Moved(a.to) == "":
		text = fmt.Sprintf("data folder is still at %s", a.to.Path)
	case a.from != nil && a.from.Path == a.to.Path:
		text = fmt.Sprintf("data folder restored at %s: %s", a.to.Path, a.from.Moved(a.to))
	}
	text += " (uws serve " + flag + ")"
	now := time.Now().UTC()
	if err := eventlog.Append(tx, now).SetSubject("INSTALLATION").SetReason(text).SetReasonCode(code).Exec(ctx); err != nil {
		return err
	}
	asked, err := json.Marshal(detail)
	if err != nil {
		return err
	}
	return tx.Audit.Create().SetAt(now).SetActor("command line").SetCredential("").SetRole("ADMIN").SetAddress("").SetDoor("COMMAND").
		SetAction("serve " + flag).SetTarget(a.to.Path).SetDetail(string(asked)).SetResult("OK").SetMessage("").Exec(ctx)
}

// becomeAnother gives the store a new installation id, stops its services, and clears their ports, which the originals
// use. Services get new ports when they are started.
func (s *Store) becomeAnother(ctx context.Context, tx *ent.Tx) (id string, err error) {
	id = strings.ToLower(rand.Text())
	check, err := s.Seal([]byte(keyCheckText), keyCheckContext(id))
	if err != nil {
		return "", err
	}
	row, err := tx.Installation.Query().Only(ctx)
	if err != nil {
		return "", err
	}
	if err := tx.Installation.DeleteOne(row).Exec(ctx); err != nil {
		return "", err
	}
	err = tx.Installation.Create().SetID(id).SetKeyCheck(check).SetCreatedAt(row.CreatedAt).SetAccessChanges(row.AccessChanges + 1).
		SetHome(row.Home).SetStore(row.Store).SetEpoch(row.Epoch).SetClonedFrom(row.ClonedFrom).Exec(ctx)
	if err != nil {
		return "", err
	}
	ids, err := tx.Service.Query().Where(service.DesiredStateNEQ(lifecycle.WantRemoved)).IDs(ctx)
	for _, service := range ids {
		if err == nil {
			err = tx.Service.UpdateOneID(service).SetDesiredState(lifecycle.WantStopped).ClearPorts().ClearRequestedPorts().Exec(ctx)
		}
	}
	return id, err
}
