package credentials

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

const (
	// RotateTimeout bounds one call of [Vault.Advance].
	RotateTimeout = time.Minute
	// maxRotateReplacements is how many new instances have to fail before an engine counts as one that does not read its
	// credentials from its configuration. One may be lost to an engine that restarted by itself.
	maxRotateReplacements = 2
)

// Rotation returns how the credentials of a service that was launched with a template are changed; nil if they cannot be. One
// that was launched before templates defined it uses today's template.
func (v *Vault) Rotation(then catalog.Template) *catalog.Rotate {
	if then.Rotate != nil {
		return then.Rotate
	}
	now, ok := v.Catalog.Lookup(then.Name)
	if !ok || now.Major() != then.Major() || now.Probe.Type != then.Probe.Type || !subset(then.Credentials, now.Credentials) {
		return nil
	}
	return now.Rotate
}

func subset[T comparable](some, all []T) bool {
	return !slices.ContainsFunc(some, func(v T) bool { return !slices.Contains(all, v) })
}

// Rotate stores new credentials of a service as pending ones, with which [Vault.Advance] goes on.
func (v *Vault) Rotate(ctx context.Context, id string) (*orchestrator.Service, error) {
	return v.stage(ctx, id, "rotation of the credentials requested", v.renew)
}

// stage stores pending credentials.
func (v *Vault) stage(ctx context.Context, id, reason string, make func(*ent.Service) ([]byte, error)) (*orchestrator.Service, error) {
	var s *ent.Service
	err := v.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) (err error) {
		if s, err = tx.Service.Get(ctx, id); err != nil {
			return err
		}
		pending, err := make(s)
		if err != nil {
			return err
		}
		now := store.Now()
		if s, err = tx.Service.UpdateOne(s).SetPendingCredentials(pending).SetUpdatedAt(now).Save(ctx); err != nil {
			return err
		}
		return v.Fleet.ChangeEvent(tx, now, s, s).SetReason(reason).SetReasonCode(lifecycle.CodeRotationRequested).Exec(ctx)
	})
	if err != nil {
		return nil, snapshot.NotFound(err, "service", id)
	}
	fault.Point("rotate-staged")
	v.Log.Info("rotation requested", "service", s.Name, "id", s.ID, "reason", reason)
	return snapshot.ServiceOf(s), nil
}

// renew returns new credentials for a service, sealed. The error says why it cannot have any now.
func (v *Vault) renew(s *ent.Service) ([]byte, error) {
	r := v.Rotation(s.Definition)
	if r == nil {
		return nil, orchestrator.Errorf(orchestrator.Conflict, "id", "template %s does not define how credentials are changed: its `rotate` is missing. Change them in the engine itself, or add `rotate` if the template is yours", s.Template)
	}
	if err := Changeable(snapshot.ServiceOf(s)); err != nil {
		return nil, err
	}
	old, err := v.unseal(s.Credentials, s.Volume)
	if err != nil {
		return nil, err
	}
	fresh, err := s.Definition.Renew(old, *r)
	if err != nil {
		return nil, err
	}
	return v.Seal(fresh, s.Volume)
}

// Changeable returns an error unless the credentials of a service can be changed now.
func Changeable(s *orchestrator.Service) error {
	switch {
	case s.DesiredState == lifecycle.WantRemoved:
		return orchestrator.Errorf(orchestrator.Conflict, "id", "service %s is being removed; nothing else can be done with it", s.Name)
	case s.Rotating:
		return orchestrator.Errorf(orchestrator.Conflict, "id", "the credentials of service %s are being changed already; wait until `rotating` is false", s.Name)
	case s.DesiredState == lifecycle.WantStopped:
		return orchestrator.Errorf(orchestrator.Conflict, "id", "service %s is stopped, and its credentials are changed with its engine running; start it with startService first", s.Name)
	case s.Phase != lifecycle.Running || !s.Health.Healthy():
		return orchestrator.Errorf(orchestrator.Conflict, "id", "service %s is %s and %s, and its credentials are changed while it works; wait until it is HEALTHY", s.Name, s.Phase, s.Health)
	}
	return nil
}

// turn is what follows from the answers of an engine to its new and to its old credentials.
type turn int

const (
	turnWait   turn = iota // it cannot be told yet
	turnChange             // it knows the old ones
	turnBoth               // it accepts both
	turnDone               // it accepts the new ones alone
	turnLost               // it accepts neither
)

func turnOf(fresh, old probe.Result) turn {
	switch {
	case fresh.Verdict == probe.OK && old.Refused:
		return turnDone
	case fresh.Verdict == probe.OK && old.Verdict == probe.OK:
		return turnBoth
	case fresh.Refused && old.Verdict == probe.OK:
		return turnChange
	case fresh.Refused && old.Refused:
		return turnLost
	}
	return turnWait
}

// Advance goes on with a rotation from wherever it stopped. replacements is how often it asked for a new instance before;
// asked reports whether it did so now. An error has it tried again.
func (v *Vault) Advance(ctx context.Context, row *ent.Service, k Keys, replacements int) (asked bool, err error) {
	fault.Point("rotate-begin")
	if separating(k) {
		return false, v.separate(ctx, row, k)
	}
	r := v.Rotation(row.Definition)
	next, detail, err := v.askBoth(ctx, row, k)
	if err != nil {
		return false, err
	}
	if next == turnChange || next == turnBoth && (r == nil || r.How != catalog.RotateByRestart) {
		if r != nil && r.How == catalog.RotateByRestart && replacements < maxRotateReplacements {
			return true, v.replace(ctx, row)
		}
		refused, err := v.change(ctx, row, r, k)
		if err != nil {
			return false, err
		}
		fault.Point("rotate-changed")
		if next, detail, err = v.askBoth(ctx, row, k); err != nil {
			return false, err
		}
		if next == turnChange && refused != "" {
			return false, v.end(ctx, row, false, "rotation given up, the credentials stay as they were: "+refused)
		}
	}
	fault.Point("rotate-verified")
	switch next {
	case turnDone:
		return false, v.end(ctx, row, true, "credentials rotated: the engine accepts the new ones and refuses the old ones")
	case turnBoth:
		return false, v.end(ctx, row, true, "credentials rotated, but the engine accepts the old ones too: it does not check who logs in from here")
	case turnLost:
		return false, v.end(ctx, row, false, "rotation given up: the engine refuses the new credentials and the stored ones, which somebody changed in the engine itself")
	}
	return false, errors.New("the credentials cannot be changed yet: " + detail)
}

// askBoth asks the engine which credentials it accepts. detail is its answer where that is not clear.
func (v *Vault) askBoth(ctx context.Context, row *ent.Service, k Keys) (turn, string, error) {
	fresh, err := v.ask(ctx, row, k.Fresh)
	if err != nil {
		return turnWait, "", err
	}
	old, err := v.ask(ctx, row, k.Old)
	if err != nil {
		return turnWait, "", err
	}
	detail := fresh.Detail
	if fresh.Verdict == probe.OK {
		detail = old.Detail
	}
	return turnOf(fresh, old), detail, ctx.Err()
}

// change brings the engine to accept the new credentials. refused is why it cannot.
func (v *Vault) change(ctx context.Context, row *ent.Service, r *catalog.Rotate, k Keys) (refused string, err error) {
	switch {
	case r == nil:
		return "the template does not define any more how they are changed", nil
	case r.How == catalog.RotateByRestart:
		return "the engine still requires the old ones after a restart", nil
	}
	change, ok := lookupChange(r.How)
	if !ok {
		return "this uws does not support the rotation method " + r.How, nil
	}
	target, _, err := v.Target(row, k.Old)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, max(row.Definition.Probe.Timeout, 10*time.Second))
	defer cancel()
	err = change(ctx, target, k.Fresh)
	if no, ok := errors.AsType[*refusedError](err); ok {
		return no.detail, nil
	}
	return "", err
}

// replace raises the generation of the service's spec, so that a new instance gives its engine the new credentials.
func (v *Vault) replace(ctx context.Context, row *ent.Service) error {
	return v.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		return tx.Service.UpdateOneID(row.ID).Where(service.PendingCredentials(row.PendingCredentials)).AddSpecGeneration(1).Exec(ctx)
	})
}

// end stores the pending credentials as those of the service, or drops them, with an event that says why.
func (v *Vault) end(ctx context.Context, row *ent.Service, rotated bool, reason string) error {
	code := lifecycle.CodeRotationFailed
	if rotated {
		code = lifecycle.CodeRotated
	}
	var s *ent.Service
	err := v.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) (err error) {
		now := store.Now()
		up := tx.Service.UpdateOneID(row.ID).Where(service.PendingCredentials(row.PendingCredentials)).
			ClearPendingCredentials().SetUpdatedAt(now)
		if rotated {
			up.SetCredentials(row.PendingCredentials).SetRecordStale(true) // it has the old ones
		}
		if s, err = up.Save(ctx); err != nil {
			return err
		}
		return v.Fleet.ChangeEvent(tx, now, s, s).SetReason(reason).SetReasonCode(code).Exec(ctx)
	})
	if err != nil {
		return err
	}
	fault.Point("rotate-stored")
	v.Log.Info("rotation ended", "service", s.Name, "id", s.ID, "rotated", rotated, "reason", reason)
	return nil
}
