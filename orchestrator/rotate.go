package orchestrator

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/service"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// Credentials are changed in three steps, each of which may be the last before a crash: the new ones are stored beside
// the old, the engine is brought to accept them, and they take the place of the old ones once it accepts them alone. In
// between only the engine knows which are right, so it is asked.

const (
	rotateTimeout = time.Minute
	// maxRotateRestarts is how often an engine is restarted in vain before it counts as one that does not take its
	// credentials from its configuration. One restart may be lost to an engine that restarted by itself.
	maxRotateRestarts = 2
)

// keys are a service's credentials in clear.
type keys struct {
	use   map[string]string // what the engine is started with
	other map[string]string // what it may accept in their place while they are changed; else nil
	fresh map[string]string // the pending ones among the two; else nil
	old   map[string]string // the stored ones

	stored, pending []byte // what they were unsealed from
}

// keys of a service; they are unsealed once.
func (o *Orchestrator) keys(t *task, row *ent.Service) (keys, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.keys.old != nil && bytes.Equal(t.keys.stored, row.Credentials) && bytes.Equal(t.keys.pending, row.PendingCredentials) {
		return t.keys, nil
	}
	k, err := o.openKeys(row)
	if err == nil {
		t.keys = k
	}
	return k, err
}

func (o *Orchestrator) openKeys(row *ent.Service) (keys, error) {
	old, err := o.unseal(row.Credentials, row.Volume)
	k := keys{use: old, old: old, stored: row.Credentials, pending: row.PendingCredentials}
	if err != nil || len(row.PendingCredentials) == 0 {
		return k, err
	}
	if k.fresh, err = o.unseal(row.PendingCredentials, row.Volume); err != nil {
		return k, err
	}
	if r := o.rotation(row); r != nil && r.How == catalog.RotateByRestart {
		k.use, k.other = k.fresh, k.old
	} else {
		k.other = k.fresh
	}
	return k, nil
}

// rotation says how the credentials of a service are changed; nil: they cannot be. A service that was launched when
// templates did not say so goes by today's template.
func (o *Orchestrator) rotation(row *ent.Service) *catalog.Rotate {
	then := row.Definition
	if then.Rotate != nil {
		return then.Rotate
	}
	now, ok := o.opts.Catalog.Lookup(row.Template)
	if !ok || now.Major() != then.Major() || now.Probe.Type != then.Probe.Type || !slices.Equal(now.Credentials, then.Credentials) {
		return nil
	}
	return now.Rotate
}

// Rotate implements [API].
func (o *Orchestrator) Rotate(ctx context.Context, id string) (*ent.Service, error) {
	var s *ent.Service
	err := o.inTx(ctx, func(tx *ent.Tx) (err error) {
		if s, err = tx.Service.Get(ctx, id); err != nil {
			return err
		}
		pending, err := o.renew(s)
		if err != nil {
			return err
		}
		now := utcNow()
		if s, err = tx.Service.UpdateOne(s).SetPendingCredentials(pending).AddVersion(1).SetUpdatedAt(now).Save(ctx); err != nil {
			return err
		}
		return o.appendChange(tx, now, s, s).SetReason("rotation of the credentials requested").Exec(ctx)
	})
	if err != nil {
		return nil, notFound(err, "service", id)
	}
	fault.Point("rotate-staged")
	o.events.Committed()
	if t := o.task(id); t != nil {
		t.note(func() { t.rotateRestarts = 0 })
		t.keep(s)
	}
	o.log.Info("rotation of the credentials requested", "service", s.Name, "id", s.ID)
	o.queue.add(id)
	return s, nil
}

// renew makes new credentials for a service, sealed, or says why it cannot have any now.
func (o *Orchestrator) renew(s *ent.Service) ([]byte, error) {
	if err := notWhileRemoving(s); err != nil {
		return nil, err
	}
	r := o.rotation(s)
	switch {
	case r == nil:
		return nil, Errorf(Conflict, "id", "template %s does not say how credentials are changed: its `rotate` is missing. Change them in the engine itself, or add `rotate` if the template is yours", s.Template)
	case len(s.PendingCredentials) > 0:
		return nil, Errorf(Conflict, "id", "the credentials of service %s are being changed already; wait until `rotating` is false", s.Name)
	case s.DesiredState == lifecycle.WantStopped:
		return nil, Errorf(Conflict, "id", "service %s is stopped, and its credentials are changed with its engine running; start it with startService first", s.Name)
	case s.Phase != lifecycle.Running || !s.Health.Healthy():
		return nil, Errorf(Conflict, "id", "service %s is %s and %s, and its credentials are changed while it works; wait until it is HEALTHY", s.Name, s.Phase, s.Health)
	}
	old, err := o.unseal(s.Credentials, s.Volume)
	if err != nil {
		return nil, err
	}
	fresh, err := s.Definition.Renew(old, *r)
	if err != nil {
		return nil, err
	}
	return o.seal(fresh, s.Volume)
}

// turn is what follows from what an engine answers to its new and to its old credentials.
type turn int

const (
	turnWait   turn = iota // it did not answer well enough to tell
	turnChange             // it knows the old ones
	turnBoth               // it accepts whatever it is given
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

// rotate goes on with a change of credentials from wherever it got to. An error has it tried again.
func (o *Orchestrator) rotate(ctx context.Context, t *task, row *ent.Service) error {
	return o.at(ctx, row.NodeID, rotateTimeout, func(ctx context.Context, _ *node) error {
		fault.Point("rotate-begin")
		k, err := o.keys(t, row)
		if err != nil {
			return err
		}
		r := o.rotation(row)
		next, detail, err := o.askBoth(ctx, row, k)
		if err != nil {
			return err
		}
		if next == turnChange || next == turnBoth && (r == nil || r.How != catalog.RotateByRestart) {
			refused, err := o.changeCredentials(ctx, t, row, r, k)
			if err != nil || refused == turnRestarts {
				return err
			}
			fault.Point("rotate-changed")
			if next, detail, err = o.askBoth(ctx, row, k); err != nil {
				return err
			}
			if next == turnChange && refused != "" {
				return o.endRotation(ctx, t, row, false, "rotation given up, the credentials stay as they were: "+refused)
			}
		}
		fault.Point("rotate-verified")
		switch next {
		case turnDone:
			return o.endRotation(ctx, t, row, true, "credentials rotated: the engine accepts the new ones and refuses the old ones")
		case turnBoth:
			return o.endRotation(ctx, t, row, true, "credentials rotated, but the engine accepts the old ones too: it does not check who logs in from here")
		case turnLost:
			return o.endRotation(ctx, t, row, false, "rotation given up: the engine refuses the new credentials and the stored ones, which somebody changed in the engine itself")
		}
		return errors.New("the credentials cannot be changed yet: " + detail)
	})
}

// askBoth asks the engine which credentials it accepts, and says what it answered in the way.
func (o *Orchestrator) askBoth(ctx context.Context, row *ent.Service, k keys) (turn, string, error) {
	fresh, err := o.ask(ctx, row, k.fresh)
	if err != nil {
		return turnWait, "", err
	}
	old, err := o.ask(ctx, row, k.old)
	if err != nil {
		return turnWait, "", err
	}
	detail := fresh.Detail
	if fresh.Verdict == probe.OK {
		detail = old.Detail
	}
	return turnOf(fresh, old), detail, ctx.Err()
}

// ask probes with these credentials.
func (o *Orchestrator) ask(ctx context.Context, row *ent.Service, credentials map[string]string) (probe.Result, error) {
	target, f, err := o.target(row, credentials)
	if err != nil {
		return probe.Result{}, err
	}
	return probe.Run(ctx, f, target, row.Definition.Probe.Timeout, time.Now), nil
}

// turnRestarts is what changeCredentials answers where the service is about to be restarted.
const turnRestarts = "restarts"

// changeCredentials brings the engine to accept the new credentials. It answers with the reason why that is not to be.
func (o *Orchestrator) changeCredentials(ctx context.Context, t *task, row *ent.Service, r *catalog.Rotate, k keys) (refused string, err error) {
	if r == nil {
		return "the template does not say any more how they are changed", nil
	}
	if r.How == catalog.RotateByRestart {
		return o.rotateByRestart(ctx, t, row)
	}
	change, ok := probe.LookupChange(r.How)
	if !ok {
		return "this uws does not know how " + r.How + " changes them", nil
	}
	target, _, err := o.target(row, k.old)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, max(row.Definition.Probe.Timeout, 10*time.Second))
	defer cancel()
	err = change(ctx, target, k.fresh["password"])
	if no, ok := errors.AsType[*probe.RefusedError](err); ok {
		return no.Detail, nil
	}
	return "", err
}

// rotateByRestart asks for a restart, with which the engine gets its new credentials.
func (o *Orchestrator) rotateByRestart(ctx context.Context, t *task, row *ent.Service) (string, error) {
	var restarts int
	t.note(func() { restarts, t.rotateRestarts = t.rotateRestarts, t.rotateRestarts+1 })
	if restarts == maxRotateRestarts {
		return "the engine still wants the old ones after a restart", nil
	}
	s, err := o.store.Write.Service.UpdateOneID(row.ID).Where(service.PendingCredentials(row.PendingCredentials)).
		AddRestartGeneration(1).AddVersion(1).SetUpdatedAt(utcNow()).Save(ctx)
	if err == nil {
		t.keep(s)
	}
	return turnRestarts, err
}

// endRotation stores the pending credentials as those of the service, or drops them, with an event that says why.
func (o *Orchestrator) endRotation(ctx context.Context, t *task, row *ent.Service, store bool, reason string) error {
	var s *ent.Service
	err := o.inTx(ctx, func(tx *ent.Tx) (err error) {
		now := utcNow()
		up := tx.Service.UpdateOneID(row.ID).Where(service.PendingCredentials(row.PendingCredentials)).
			ClearPendingCredentials().AddVersion(1).SetUpdatedAt(now)
		if store {
			up.SetCredentials(row.PendingCredentials)
		}
		if s, err = up.Save(ctx); err != nil {
			return err
		}
		return o.appendChange(tx, now, s, s).SetReason(reason).Exec(ctx)
	})
	if err != nil {
		return err
	}
	fault.Point("rotate-stored")
	t.keep(s)
	o.events.Committed()
	o.log.Info("rotation ended", "service", s.Name, "id", s.ID, "rotated", store, "reason", reason)
	return nil
}

// either asks with the other credentials where those of the target are refused.
func either(f probe.Func, other map[string]string) probe.Func {
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

// accepted are the credentials that the engine of a service accepts now.
func (o *Orchestrator) accepted(ctx context.Context, row *ent.Service) (map[string]string, error) {
	k, err := o.openKeys(row)
	if err != nil || k.other == nil || row.NodeID == "" {
		return k.use, err
	}
	if r, err := o.ask(ctx, row, k.other); err == nil && r.Verdict == probe.OK {
		return k.other, nil
	}
	return k.use, nil
}
