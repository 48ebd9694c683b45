package backup

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/backuppolicy"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/backup/plan"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/snapshot"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// policy is a policy with its schedule parsed.
type policy struct {
	orchestrator.BackupPolicy
	schedule plan.Schedule
	moment   plan.Moment // of the schedule when it was looked at last
}

// at returns the schedule at a time. b.mu is held.
func (p *policy) at(now time.Time) plan.Moment {
	p.moment = p.schedule.At(now, p.moment)
	return p.moment
}

// maxKeep is how many backups each rule of a policy keeps at most.
const maxKeep = 1000

func policyOf(row *ent.BackupPolicy) (*policy, error) {
	p := &policy{BackupPolicy: orchestrator.BackupPolicy{
		ID: row.ID, ServiceID: row.ServiceID, Labels: row.Labels, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
		BackupPlan: orchestrator.BackupPlan{
			TargetID: row.TargetID, Schedule: row.Schedule, TimeZone: row.TimeZone,
			Keep:        orchestrator.Keep{Last: row.KeepLast, Daily: row.KeepDaily, Weekly: row.KeepWeekly, Monthly: row.KeepMonthly},
			PointInTime: row.PointInTime, ProveEvery: time.Duration(row.ProveEverySeconds) * time.Second, ProveNodeID: row.ProveNodeID,
			FinalBackup: row.FinalBackup, Paused: row.Paused,
		},
	}}
	for _, k := range row.Kinds {
		p.Kinds = append(p.Kinds, catalog.Kind(k))
	}
	var err error
	p.schedule, _, err = plan.ReadSchedule(row.Schedule, row.TimeZone)
	return p, err
}

// policies are all policies, with those of services by their ids: there can be as many as services.
type policies struct {
	all      []*policy
	own      map[string]*policy
	defaults []*orchestrator.BackupPolicy
	byID     map[string]*policy
}

func newPolicies(all []*policy) policies {
	p := policies{all: all, own: map[string]*policy{}, byID: map[string]*policy{}}
	for _, one := range all {
		p.byID[one.ID] = one
		if one.ServiceID != "" {
			p.own[one.ServiceID] = one
		} else {
			p.defaults = append(p.defaults, &one.BackupPolicy)
		}
	}
	return p
}

// of returns the policy of a service, nil if none applies.
func (p *policies) of(s *orchestrator.Service) *policy {
	if own := p.own[s.ID]; own != nil {
		return own
	}
	if found := plan.Policy(s, p.defaults); found != nil {
		return p.byID[found.ID]
	}
	return nil
}

// loadPolicies reads the policies.
func (b *Backups) loadPolicies(ctx context.Context) error {
	rows, err := b.Store.Read.BackupPolicy.Query().Order(backuppolicy.ByCreatedAt(), backuppolicy.ByID()).All(ctx)
	if err != nil {
		return fmt.Errorf("reading the backup policies: %w", err)
	}
	all := make([]*policy, 0, len(rows))
	for _, row := range rows {
		p, err := policyOf(row)
		if err != nil { // a time zone that this machine does not have
			b.log.Error("a backup policy cannot be followed", "policy", row.ID, "error", err)
			p.Paused = true
		}
		all = append(all, p)
	}
	b.mu.Lock()
	b.policies = newPolicies(all)
	b.mu.Unlock()
	b.lookSoon()
	return nil
}

// policyFor returns the policy that applies to a service, nil if none does, as to the bucket that is the policy's target. b.mu is
// held.
func (b *Backups) policyFor(s *orchestrator.Service) *policy {
	p := b.policies.of(s)
	if p == nil {
		return nil
	}
	if t := b.targets[p.TargetID]; t != nil && t.row.ServiceID == s.ID {
		return nil // a bucket cannot hold its own backup
	}
	return p
}

// BackupPolicies implements [orchestrator.BackupReader].
func (b *Backups) BackupPolicies(context.Context) ([]orchestrator.BackupPolicy, error) {
	services := b.Snapshot.All()
	b.mu.Lock()
	defer b.mu.Unlock()
	applies := map[string]int{}
	for _, s := range services {
		if p := b.policyFor(s); p != nil {
			applies[p.ID]++
		}
	}
	all := make([]orchestrator.BackupPolicy, len(b.policies.all))
	for i, p := range b.policies.all {
		all[i] = p.BackupPolicy
		all[i].Services = applies[p.ID]
	}
	return all, nil
}

// SetBackupPolicy implements [orchestrator.BackupTargetVerbs].
func (b *Backups) SetBackupPolicy(ctx context.Context, id string, in orchestrator.BackupPolicyInput) (orchestrator.BackupPolicy, error) {
	labels, err := b.checkPolicy(ctx, in)
	if err != nil {
		return orchestrator.BackupPolicy{}, err
	}
	var row *ent.BackupPolicy
	err = b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		if err := targetExists(ctx, tx, "targetId", in.TargetID); err != nil {
			return err
		}
		now := store.Now()
		if id != "" {
			if err := sameScope(ctx, tx, id, in, labels); err != nil {
				return err
			}
			up := tx.BackupPolicy.UpdateOneID(id).SetUpdatedAt(now).AddVersion(1)
			fillPolicy(up.Mutation(), in.BackupPlan)
			row, err = up.Save(ctx)
			return err
		}
		if in.ServiceID != "" {
			taken, err := tx.BackupPolicy.Query().Where(backuppolicy.ServiceID(in.ServiceID)).FirstID(ctx)
			if !ent.IsNotFound(err) {
				if err == nil {
					err = orchestrator.Errorf(orchestrator.Conflict, "serviceId", "the service has a policy already; replace it by giving its id, %q", taken)
				}
				return err
			}
		}
		kinds := make([]string, len(in.Kinds))
		for i, k := range in.Kinds {
			kinds[i] = string(k)
		}
		create := tx.BackupPolicy.Create().SetID(orchestrator.NewID()).SetServiceID(in.ServiceID).SetKinds(kinds).SetLabels(labels).SetCreatedAt(now).SetUpdatedAt(now)
		fillPolicy(create.Mutation(), in.BackupPlan)
		row, err = create.Save(ctx)
		return err
	})
	if err == nil {
		err = b.loadPolicies(ctx)
	}
	if err != nil {
		return orchestrator.BackupPolicy{}, snapshot.NotFound(err, "policy", id)
	}
	all, err := b.BackupPolicies(ctx)
	i := slices.IndexFunc(all, func(p orchestrator.BackupPolicy) bool { return p.ID == row.ID })
	if err != nil || i < 0 { // deleted meanwhile
		p, _ := policyOf(row)
		return p.BackupPolicy, err
	}
	return all[i], nil
}

func fillPolicy(m *ent.BackupPolicyMutation, p orchestrator.BackupPlan) {
	m.SetTargetID(p.TargetID)
	m.SetSchedule(p.Schedule)
	m.SetTimeZone(p.TimeZone)
	m.SetKeepLast(p.Keep.Last)
	m.SetKeepDaily(p.Keep.Daily)
	m.SetKeepWeekly(p.Keep.Weekly)
	m.SetKeepMonthly(p.Keep.Monthly)
	m.SetPointInTime(p.PointInTime)
	m.SetProveEverySeconds(int64(p.ProveEvery / time.Second))
	m.SetProveNodeID(p.ProveNodeID)
	m.SetFinalBackup(p.FinalBackup)
	m.SetPaused(p.Paused)
}

// sameScope refuses to replace a policy by one for other services.
func sameScope(ctx context.Context, tx *ent.Tx, id string, in orchestrator.BackupPolicyInput, labels map[string]string) error {
	row, err := tx.BackupPolicy.Get(ctx, id)
	if err != nil {
		return err
	}
	was, _ := policyOf(row)
	slices.Sort(was.Kinds)
	kinds := slices.Sorted(slices.Values(in.Kinds))
	if was.ServiceID != in.ServiceID || !slices.Equal(was.Kinds, kinds) || fmt.Sprint(was.Labels) != fmt.Sprint(labels) {
		return orchestrator.Errorf(orchestrator.Conflict, "id", "this policy is for other services; serviceId, kinds and labels cannot be changed. Delete it and make a new one")
	}
	return nil
}

// checkPolicy returns InvalidInput or NotFound for a policy that cannot be followed.
func (b *Backups) checkPolicy(ctx context.Context, in orchestrator.BackupPolicyInput) (labels map[string]string, err error) {
	if labels, err = orchestrator.CheckLabels("labels", in.Labels); err != nil {
		return nil, err
	}
	if in.ServiceID != "" {
		if len(in.Kinds)+len(labels) > 0 {
			return nil, orchestrator.Errorf(orchestrator.InvalidInput, "kinds", "a policy of one service has neither kinds nor labels; leave them out, or leave serviceId out")
		}
		if _, err := b.Snapshot.Service(ctx, in.ServiceID); err != nil {
			if orchestrator.CodeOf(err) == orchestrator.NotFound {
				err = orchestrator.Errorf(orchestrator.NotFound, "serviceId", "there is no service with id %q", in.ServiceID)
			}
			return nil, err
		}
	}
	if _, field, err := plan.ParseSchedule(in.Schedule, in.TimeZone); err != nil {
		return nil, orchestrator.Errorf(orchestrator.InvalidInput, field, "%v", err)
	}
	for name, n := range map[string]int{"last": in.Keep.Last, "daily": in.Keep.Daily, "weekly": in.Keep.Weekly, "monthly": in.Keep.Monthly} {
		if n < 0 || n > maxKeep {
			return nil, orchestrator.Errorf(orchestrator.InvalidInput, "keep."+name, "must be 0 to %d, not %d", maxKeep, n)
		}
	}
	if in.Keep == (orchestrator.Keep{}) {
		return nil, orchestrator.Errorf(orchestrator.InvalidInput, "keep", "at least one backup must be kept")
	}
	if in.ProveEvery != 0 && (in.ProveEvery < time.Hour || in.ProveEvery > 366*24*time.Hour) {
		return nil, orchestrator.Errorf(orchestrator.InvalidInput, "proveEvery", "must be 3600 to 31622400 seconds, or 0 for never, not %g", in.ProveEvery.Seconds())
	}
	if in.ProveNodeID != "" && b.Fleet.Lookup(in.ProveNodeID) == nil {
		return nil, orchestrator.Errorf(orchestrator.NotFound, "proveNodeId", "there is no node with id %q; `nodes` lists them", in.ProveNodeID)
	}
	return labels, nil
}

// DeleteBackupPolicy implements [orchestrator.BackupTargetVerbs].
func (b *Backups) DeleteBackupPolicy(ctx context.Context, id string) error {
	err := b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error { return tx.BackupPolicy.DeleteOneID(id).Exec(ctx) })
	if err == nil {
		err = b.loadPolicies(ctx)
	}
	return snapshot.NotFound(err, "policy", id)
}

// targetExists returns NotFound if there is no such target.
func targetExists(ctx context.Context, tx *ent.Tx, field, id string) error {
	_, err := tx.BackupTarget.Get(ctx, id)
	if ent.IsNotFound(err) {
		return orchestrator.Errorf(orchestrator.NotFound, field, "there is no backup target with id %q; `backupTargets` lists them", id)
	}
	return err
}
