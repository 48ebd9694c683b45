package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/cmd/uws/client/api"
)

type restoreCommand struct {
	Connection
	Backup       string `arg:"" help:"Id of the backup, or the service whose newest complete backup it is. The service may be gone."`
	Name         string `required:"" placeholder:"NAME" help:"Name of the new service."`
	Node         string `placeholder:"NAME" help:"Node to make it on. Default: one is chosen."`
	At           string `placeholder:"TIME" help:"Moment to restore to, such as 2026-11-28T10:14:00Z, where the log is kept. With a service: from its newest backup before that."`
	Rotate       bool   `help:"Replace its credentials once it works. Else they are those that it had."`
	NoQuarantine bool   `help:"Let it act on others at once. Else it follows no subscriptions, runs no scheduled jobs and takes no messages from other streams until uws backup end-quarantine."`
	waitFlags    `embed:""`
}

// Help implements [kong.HelpProvider].
func (restoreCommand) Help() string {
	return "No service that exists is touched.\n\nExample: uws backup restore shop --name shop-copy --wait"
}

func (c restoreCommand) Run(ctx context.Context, out *Terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	in := api.RestoreBackupInput{Name: c.Name, RotateCredentials: c.Rotate, Quarantine: !c.NoQuarantine}
	if c.At != "" {
		at, err := time.Parse(time.RFC3339, c.At)
		if err != nil {
			return wrongUsage(fmt.Sprintf("--at: %q is not a time such as 2026-11-28T10:14:00Z or 2026-11-28T11:14:00+01:00", c.At))
		}
		in.At = &at
	}
	b, err := s.newest(ctx, c.Backup, in.At)
	if err != nil {
		return err
	}
	if c.Node != "" {
		if in.NodeId, err = s.node(ctx, c.Node); err != nil {
			return err
		}
	}
	got, err := api.RestoreBackup(ctx, s.api(), b, in)
	if err != nil {
		return explain(err)
	}
	r := got.RestoreBackup.RestoreRow
	return c.follow(ctx, out, s, s.restoring(r, "restore", fmt.Sprintf("complete: service %s works", r.Name)))
}

// restoring is a restore that is waited for. done is said when it is complete.
func (s *server) restoring(r api.RestoreRow, what, done string) job {
	return job{r.Id, fmt.Sprintf("%s %s of %s", what, r.Id, r.Name), func(ctx context.Context) (string, error) {
		got, err := api.GetRestore(ctx, s.api(), r.Id)
		switch {
		case err != nil:
			return "", err
		case got.Restore == nil:
			return "", notFound("the %s is not recorded any more", what)
		case got.Restore.State == api.RestoreStateComplete:
			return done, nil
		case got.Restore.FinishedAt == nil:
			return "", nil
		}
		return "", errors.New(got.Restore.Reason)
	}}
}

// newest returns the id of a backup: that with this id, or the newest complete one of a service, that ended before a time if
// one is given.
func (s *server) newest(ctx context.Context, idOrService string, before *time.Time) (string, error) {
	got, err := api.GetBackup(ctx, s.api(), idOrService)
	if err != nil {
		return "", explain(err)
	}
	if got.Backup != nil {
		return got.Backup.Id, nil
	}
	all, err := s.backupsOf(ctx, idOrService, &api.BackupFilter{State: []api.BackupState{api.BackupStateComplete}})
	if err != nil {
		return "", err
	}
	if len(all) == 0 {
		return "", notFound("service %s has no complete backup; `uws backup create %s` makes one", idOrService, idOrService)
	}
	for _, b := range all {
		if before == nil || b.FinishedAt != nil && !b.FinishedAt.After(*before) {
			return b.Id, nil
		}
	}
	return "", notFound("service %s has no backup that ended before %s; `uws backup ls %s` lists them", idOrService, before.Format(time.RFC3339), idOrService)
}

// node returns the id of the node with a name or an id.
func (s *server) node(ctx context.Context, nameOrID string) (*string, error) {
	got, err := api.ListNodeNames(ctx, s.api())
	if err != nil {
		return nil, explain(err)
	}
	for _, n := range got.Nodes {
		if n.Name == nameOrID || n.Id == nameOrID {
			return &n.Id, nil
		}
	}
	return nil, notFound("there is no node named %q", nameOrID)
}

type endQuarantineCommand struct {
	serviceFlags `embed:""`
}

// Help implements [kong.HelpProvider].
func (endQuarantineCommand) Help() string {
	return "PostgreSQL is restarted, and follows its subscriptions; streams take messages from others again. Do it when the original is gone, or must not do the same any more.\n\nExample: uws backup end-quarantine shop-copy"
}

func (c endQuarantineCommand) Run(ctx context.Context, out *Terminal) error {
	s, row, err := c.found(ctx)
	if err == nil {
		_, err = api.EndQuarantine(ctx, s.api(), row.Id)
		err = explain(err)
	}
	if err == nil {
		out.Printf("%s is not in quarantine any more.\n", row.Name)
	}
	return err
}

type restoresCommand struct {
	Connection
	outputFlags `embed:""`
}

// Help implements [kong.HelpProvider].
func (restoresCommand) Help() string { return "Example: uws backup restores" }

func (c restoresCommand) Run(ctx context.Context, out *Terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	var all []api.RestoreRow
	for after := (*string)(nil); ; {
		page, err := api.ListRestores(ctx, s.api(), after)
		if err != nil {
			return explain(err)
		}
		for _, n := range page.Restores.Nodes {
			all = append(all, n.RestoreRow)
		}
		if !page.Restores.PageInfo.HasNextPage {
			break
		}
		after = page.Restores.PageInfo.EndCursor
	}
	return printAll(out, c.Output, table[api.RestoreRow]{
		head: []string{"ID", "NAME", "KIND", "BACKUP", "STATE", "SIZE", "AGE", "REASON"},
		row: func(r api.RestoreRow) []string {
			return []string{r.Id, r.Name, string(r.Kind), r.BackupId, string(r.State), size(&r.Bytes), age(r.CreatedAt), r.Reason}
		},
		name: func(r api.RestoreRow) string { return r.Id },
	}, all)
}

type cancelCommand struct {
	Connection
	ID string `arg:"" help:"Id of the backup or the restore."`
}

// Help implements [kong.HelpProvider].
func (cancelCommand) Help() string {
	return "Nothing of it stays.\n\nExample: uws backup cancel $(uws backup restores -o name | head -1)"
}

func (c cancelCommand) Run(ctx context.Context, out *Terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	what := "Backup"
	got, err := api.GetBackup(ctx, s.api(), c.ID)
	if err != nil {
		return explain(err)
	}
	if got.Backup != nil {
		_, err = api.CancelBackup(ctx, s.api(), c.ID)
	} else {
		what = "Restore"
		_, err = api.CancelRestore(ctx, s.api(), c.ID)
	}
	if err = explain(err); err != nil {
		return err
	}
	out.Printf("%s %s is being cancelled.\n", what, c.ID)
	return nil
}

// targetNames returns the names of the targets by their ids.
func (s *server) targetNames(ctx context.Context) (map[string]string, error) {
	got, err := api.ListTargets(ctx, s.api())
	if err != nil {
		return nil, explain(err)
	}
	names := map[string]string{}
	for _, t := range got.BackupTargets {
		names[t.Id] = t.Name
	}
	return names, nil
}

// target returns the target with a name or an id.
func (s *server) target(ctx context.Context, nameOrID string) (api.Target, error) {
	got, err := api.ListTargets(ctx, s.api())
	if err != nil {
		return api.Target{}, explain(err)
	}
	i := slices.IndexFunc(got.BackupTargets, func(t api.ListTargetsBackupTargetsBackupTarget) bool { return t.Name == nameOrID || t.Id == nameOrID })
	if i < 0 {
		return api.Target{}, notFound("there is no backup target named %q; `uws backup targets` lists them", nameOrID)
	}
	return got.BackupTargets[i].Target, nil
}
