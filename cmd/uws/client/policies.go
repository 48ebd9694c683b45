package client

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/cmd/uws/client/api"
)

// policies returns all policies.
func (s *server) policies(ctx context.Context) ([]api.Policy, error) {
	got, err := api.ListPolicies(ctx, s.api())
	if err != nil {
		return nil, explain(err)
	}
	all := make([]api.Policy, len(got.BackupPolicies))
	for i, p := range got.BackupPolicies {
		all[i] = p.Policy
	}
	return all, nil
}

type policiesCommand struct {
	Connection
	outputFlags `embed:""`
}

// Help implements [kong.HelpProvider].
func (policiesCommand) Help() string { return "Example: uws backup policies" }

func (c policiesCommand) Run(ctx context.Context, out *Terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	all, err := s.policies(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 && c.Output == "table" {
		out.Printf("There are no backup policies. Make one for all services: uws backup policy-set --target NAME\n")
		return nil
	}
	targets, err := s.targetNames(ctx)
	if err != nil {
		return err
	}
	services := map[string]string{}
	if slices.ContainsFunc(all, func(p api.Policy) bool { return p.ServiceId != nil }) && c.Output == "table" {
		rows, err := s.list(ctx, &api.ServiceFilter{})
		if err != nil {
			return err
		}
		for _, row := range rows {
			services[row.Id] = row.Name
		}
	}
	return printAll(out, c.Output, table[api.Policy]{
		head: []string{"ID", "FOR", "TARGET", "SCHEDULE", "KEEP", "PROVE EVERY", "SERVICES", "STATE"},
		row: func(p api.Policy) []string {
			state, keep, prove := "active", p.Keep, "never"
			if p.Paused {
				state = "paused"
			}
			if p.ProveEvery > 0 {
				prove = (time.Duration(p.ProveEvery) * time.Second).String()
			}
			return []string{
				p.Id, policyScope(p, services), targets[p.TargetId], p.Schedule + " " + p.TimeZone,
				fmt.Sprintf("%d last, %d daily, %d weekly, %d monthly", keep.Last, keep.Daily, keep.Weekly, keep.Monthly), prove, fmt.Sprint(p.ServiceCount), state,
			}
		},
		name: func(p api.Policy) string { return p.Id },
	}, all)
}

// policyScope is which services a policy is for.
func policyScope(p api.Policy, services map[string]string) string {
	if p.ServiceId != nil {
		if name := services[*p.ServiceId]; name != "" {
			return "service " + name
		}
		return "service " + *p.ServiceId
	}
	var parts []string
	for _, k := range p.Kinds {
		parts = append(parts, string(k))
	}
	for _, l := range p.Labels {
		parts = append(parts, strings.TrimSuffix(l.Name+"="+l.Value, "="))
	}
	if len(parts) == 0 {
		return "all services"
	}
	return strings.Join(parts, " ")
}

type policySetCommand struct {
	Connection
	Service     string         `arg:"" optional:"" help:"The service that it is of, by its name or id. Default: it is a default for services without a policy of their own."`
	Kind        []string       `placeholder:"KIND" help:"Kinds of services that a default is for. Default: all."`
	Label       []string       `short:"l" placeholder:"NAME[=VALUE]" help:"Labels that services must have for a default."`
	Target      string         `placeholder:"NAME" help:"Where backups go. Needed for a new policy."`
	Schedule    string         `placeholder:"CRON" help:"When: minute, hour, day of month, month, day of week, such as '0 */6 * * *'. Default: 0 3 * * *."`
	TimeZone    string         `placeholder:"ZONE" help:"Time zone of the schedule, such as Europe/Berlin. Default: UTC."`
	KeepLast    *int           `placeholder:"N" help:"Keep the newest ones. Default: 3."`
	KeepDaily   *int           `placeholder:"N" help:"Keep the newest one of each of so many days. Default: 7."`
	KeepWeekly  *int           `placeholder:"N" help:"Keep the newest one of each of so many weeks. Default: 4."`
	KeepMonthly *int           `placeholder:"N" help:"Keep the newest one of each of so many months. Default: 6."`
	ProveEvery  *time.Duration `placeholder:"DURATION" help:"How often a backup is restored on trial and checked; 0 for never. Default: 168h."`
	ProveOn     string         `placeholder:"NODE" help:"Node where that is done. Default: that of the service."`
	PointInTime *bool          `negatable:"" help:"Keep the log too, so that PostgreSQL can be restored to any moment. Default: it is not kept."`
	FinalBackup *bool          `negatable:"" help:"Take a last backup when a service is removed with its data. Default: it is taken."`
	Paused      *bool          `negatable:"" help:"Back nothing up for now."`
}

// Help implements [kong.HelpProvider].
func (policySetCommand) Help() string {
	return "If there is a policy for the same services already, what is given is changed, and the rest stays.\n\n" +
		"Examples:\n  uws backup policy-set --target disk\n  uws backup policy-set shop --target far --schedule '0 */6 * * *' --keep-daily 30\n  uws backup policy-set shop --paused"
}

func (c policySetCommand) Run(ctx context.Context, out *Terminal) error {
	if c.Service != "" && len(c.Kind)+len(c.Label) > 0 {
		return wrongUsage("a policy of one service has neither --kind nor --label")
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	in, err := c.services(ctx, s)
	if err != nil {
		return err
	}
	all, err := s.policies(ctx)
	if err != nil {
		return err
	}
	var id *string
	if i := slices.IndexFunc(all, func(p api.Policy) bool { return sameServices(p, in) }); i >= 0 {
		id = &all[i].Id
		keep(&in, all[i])
	}
	if err := c.fill(ctx, s, &in); err != nil {
		return err
	}
	if in.TargetId == "" {
		return wrongUsage("a new policy needs --target; `uws backup targets` lists them")
	}
	got, err := api.SetPolicy(ctx, s.api(), id, in)
	if err != nil {
		return explain(err)
	}
	p := got.SetBackupPolicy.Policy
	out.Printf("Policy %s applies to %d services. They are backed up at %s %s.\n", p.Id, p.ServiceCount, p.Schedule, p.TimeZone)
	return nil
}

// services returns an input with the services that the policy is for.
func (c policySetCommand) services(ctx context.Context, s *server) (in api.BackupPolicyInput, err error) {
	if c.Service != "" {
		row, err := s.find(ctx, c.Service)
		in.ServiceId = &row.Id
		return in, err
	}
	for _, k := range c.Kind {
		in.Kinds = append(in.Kinds, api.ServiceKind(strings.ToUpper(k)))
	}
	for _, l := range c.Label {
		name, value, _ := strings.Cut(l, "=")
		in.Labels = append(in.Labels, api.LabelInput{Name: name, Value: value})
	}
	return in, nil
}

// sameServices reports whether a policy is for the same services as an input.
func sameServices(p api.Policy, in api.BackupPolicyInput) bool {
	labels := map[api.LabelInput]bool{}
	for _, l := range in.Labels {
		labels[l] = true
	}
	for _, l := range p.Labels {
		if !labels[api.LabelInput(l)] {
			return false
		}
	}
	return text(p.ServiceId) == text(in.ServiceId) && len(p.Labels) == len(labels) &&
		slices.Equal(slices.Compact(slices.Sorted(slices.Values(p.Kinds))), slices.Compact(slices.Sorted(slices.Values(in.Kinds))))
}

// keep fills an input with what a policy says.
func keep(in *api.BackupPolicyInput, p api.Policy) {
	in.TargetId, in.Schedule, in.TimeZone, in.ProveNodeId = p.TargetId, p.Schedule, p.TimeZone, p.ProveNodeId
	in.Keep = &api.BackupKeepInput{Last: &p.Keep.Last, Daily: &p.Keep.Daily, Weekly: &p.Keep.Weekly, Monthly: &p.Keep.Monthly}
	in.PointInTime, in.ProveEvery, in.FinalBackup, in.Paused = &p.PointInTime, &p.ProveEvery, &p.FinalBackup, &p.Paused
}

// fill fills an input with the flags that were given.
func (c policySetCommand) fill(ctx context.Context, s *server, in *api.BackupPolicyInput) error {
	if c.Target != "" {
		t, err := s.target(ctx, c.Target)
		if err != nil {
			return err
		}
		in.TargetId = t.Id
	}
	if c.ProveOn != "" {
		node, err := s.node(ctx, c.ProveOn)
		if err != nil {
			return err
		}
		in.ProveNodeId = node
	}
	if c.Schedule != "" {
		in.Schedule = c.Schedule
	}
	if c.TimeZone != "" {
		in.TimeZone = c.TimeZone
	}
	if in.Keep == nil {
		in.Keep = &api.BackupKeepInput{}
	}
	replace(&in.Keep.Last, c.KeepLast)
	replace(&in.Keep.Daily, c.KeepDaily)
	replace(&in.Keep.Weekly, c.KeepWeekly)
	replace(&in.Keep.Monthly, c.KeepMonthly)
	replace(&in.PointInTime, c.PointInTime)
	replace(&in.FinalBackup, c.FinalBackup)
	replace(&in.Paused, c.Paused)
	if c.ProveEvery != nil {
		in.ProveEvery = new(c.ProveEvery.Seconds())
	}
	return nil
}

// replace replaces a value by that of a flag, if it was given.
func replace[T any](to **T, flag *T) {
	if flag != nil {
		*to = flag
	}
}

type policyRmCommand struct {
	Connection
	Policy string `arg:"" help:"Id of the policy, or the service that it is of."`
}

// Help implements [kong.HelpProvider].
func (policyRmCommand) Help() string {
	return "Its backups stay until they are deleted by hand.\n\nExample: uws backup policy-rm shop"
}

func (c policyRmCommand) Run(ctx context.Context, out *Terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	all, err := s.policies(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(p api.Policy) bool { return p.Id == c.Policy })
	if i < 0 {
		row, err := s.find(ctx, c.Policy)
		if err != nil {
			return notFound("there is no policy and no service %q; `uws backup policies` lists the policies", c.Policy)
		}
		if i = slices.IndexFunc(all, func(p api.Policy) bool { return text(p.ServiceId) == row.Id }); i < 0 {
			return notFound("service %s has no policy of its own; `uws backup policies` lists them", row.Name)
		}
	}
	if _, err := api.DeletePolicy(ctx, s.api(), all[i].Id); err != nil {
		return explain(err)
	}
	out.Printf("Policy %s is deleted. Its backups stay.\n", all[i].Id)
	return nil
}
