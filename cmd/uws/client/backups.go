package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/cmd/uws/client/api"
)

// backupCommands are those about backups. They wait for as long as a large backup takes.
type backupCommands struct {
	Create        backupCommand        `cmd:"" set:"wait=24h" help:"Back up a service now."`
	Ls            backupsCommand       `cmd:"" help:"List backups, newest first."`
	Get           contentsCommand      `cmd:"" help:"Show a backup and what is in it."`
	Objects       objectsCommand       `cmd:"" help:"List the objects in a backup of a bucket."`
	Cat           catCommand           `cmd:"" help:"Print an object in a backup of a bucket, or write it to a file."`
	Restore       restoreCommand       `cmd:"" set:"wait=24h" help:"Make a new service of a backup."`
	Restores      restoresCommand      `cmd:"" help:"List restores: those under way, and those of the last 30 days."`
	Cancel        cancelCommand        `cmd:"" help:"Cancel a backup or a restore."`
	EndQuarantine endQuarantineCommand `cmd:"" help:"Let a service that was made of a backup act on others, as the original does."`
	Pin           pinCommand           `cmd:"" help:"Keep a backup whatever its policy says."`
	Unpin         unpinCommand         `cmd:"" help:"Keep a backup no longer than its policy says."`
	Rm            rmBackupCommand      `cmd:"" help:"Delete a backup."`

	Targets      targetsCommand      `cmd:"" help:"List the places for backups."`
	TargetCreate targetCreateCommand `cmd:"" help:"Make a place for backups: a folder on the server's machine, or a bucket."`
	TargetTest   targetTestCommand   `cmd:"" help:"Write to a target, read and delete there."`
	TargetRm     targetRmCommand     `cmd:"" help:"Forget a target and its backups. What is stored there stays."`
	RecoveryKit  recoveryKitCommand  `cmd:"" help:"Print what is needed to restore from a target when this installation is lost. It is a secret."`
	ImportTarget importTargetCommand `cmd:"" help:"Take over a target, with its backups, by its recovery kit."`

	Policies  policiesCommand  `cmd:"" help:"List policies: when services are backed up, and how long backups are kept."`
	PolicySet policySetCommand `cmd:"" help:"Make a policy, or change it."`
	PolicyRm  policyRmCommand  `cmd:"" help:"Delete a policy. Its backups stay."`
}

// backups returns all backups that a filter selects, newest first.
func (s *server) backups(ctx context.Context, filter *api.BackupFilter) ([]api.BackupRow, error) {
	var all []api.BackupRow
	var after *string
	first := 500
	for {
		page, err := api.ListBackups(ctx, s.api(), filter, &first, after)
		if err != nil {
			return nil, explain(err)
		}
		for _, n := range page.Backups.Nodes {
			all = append(all, n.BackupRow)
		}
		if !page.Backups.PageInfo.HasNextPage {
			return all, nil
		}
		after = page.Backups.PageInfo.EndCursor
	}
}

// backupsOf returns those of a service by its name or id. The service may be gone.
func (s *server) backupsOf(ctx context.Context, service string, filter *api.BackupFilter) ([]api.BackupRow, error) {
	row, missing := s.find(ctx, service)
	if missing == nil {
		filter.ServiceId = &row.Id
		return s.backups(ctx, filter)
	}
	if e, ok := errors.AsType[*Error](missing); !ok || e.Code != exitNotFound {
		return nil, missing
	}
	all, err := s.backups(ctx, filter)
	all = slices.DeleteFunc(all, func(b api.BackupRow) bool { return b.ServiceName != service && b.ServiceId != service })
	if err == nil && len(all) == 0 {
		err = missing
	}
	return all, err
}

// backup returns the backup with an id.
func (s *server) backup(ctx context.Context, id string) (*api.GetBackupBackup, error) {
	got, err := api.GetBackup(ctx, s.api(), id)
	if err != nil {
		return nil, explain(err)
	}
	if got.Backup == nil {
		return nil, notFound("there is no backup with the id %q; `uws backup ls` lists them", id)
	}
	return got.Backup, nil
}

type backupCommand struct {
	serviceFlags `embed:""`
	Target       string `placeholder:"NAME" help:"Where to. Default: the target of its policy."`
	waitFlags    `embed:""`
}

// Help implements [kong.HelpProvider].
func (backupCommand) Help() string { return "Example: uws backup create shop --target disk --wait" }

func (c backupCommand) Run(ctx context.Context, out *Terminal) error {
	s, row, err := c.found(ctx)
	if err != nil {
		return err
	}
	var target *string
	if c.Target != "" {
		t, err := s.target(ctx, c.Target)
		if err != nil {
			return err
		}
		target = &t.Id
	}
	got, err := api.BackUp(ctx, s.api(), row.Id, target)
	if err != nil {
		return explain(err)
	}
	b := got.BackUpService.BackupRow
	return c.follow(ctx, out, s, job{b.Id, fmt.Sprintf("backup %s of %s", b.Id, b.ServiceName), func(ctx context.Context) (string, error) {
		got, err := api.GetBackup(ctx, s.api(), b.Id)
		switch {
		case err != nil:
			return "", err
		case got.Backup == nil:
			return "", notFound("the backup was deleted meanwhile")
		case got.Backup.State == api.BackupStateQueued || got.Backup.State == api.BackupStateRunning:
			return "", nil
		case got.Backup.State == api.BackupStateComplete:
			return fmt.Sprintf("complete: %s, of which %s were new", size(&got.Backup.Bytes), size(&got.Backup.StoredBytes)), nil
		}
		return "", errors.New(got.Backup.Reason)
	}})
}

type backupsCommand struct {
	Connection
	Service     string `arg:"" optional:"" help:"Only those of this service, by its name or id. It may be gone."`
	Target      string `placeholder:"NAME" help:"Only those in this target."`
	outputFlags `embed:""`
}

// Help implements [kong.HelpProvider].
func (backupsCommand) Help() string { return "Example: uws backup ls shop" }

func (c backupsCommand) Run(ctx context.Context, out *Terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	filter := &api.BackupFilter{}
	if c.Target != "" {
		t, err := s.target(ctx, c.Target)
		if err != nil {
			return err
		}
		filter.TargetId = &t.Id
	}
	list := s.backups
	if c.Service != "" {
		list = func(ctx context.Context, f *api.BackupFilter) ([]api.BackupRow, error) {
			return s.backupsOf(ctx, c.Service, f)
		}
	}
	all, err := list(ctx, filter)
	if err != nil {
		return err
	}
	targets, err := s.targetNames(ctx)
	if err != nil {
		return err
	}
	return printAll(out, c.Output, table[api.BackupRow]{
		head: []string{"ID", "SERVICE", "KIND", "TARGET", "STATE", "PINNED", "SIZE", "NEW", "PROVEN", "AGE"},
		row: func(b api.BackupRow) []string {
			return []string{b.Id, b.ServiceName, string(b.Kind), targets[b.TargetId], string(b.State), yes(b.Pinned), size(&b.Bytes), size(&b.StoredBytes), ago(b.ProvenAt), age(b.CreatedAt)}
		},
		name: func(b api.BackupRow) string { return b.Id },
	}, all)
}

func yes(v bool) string {
	if v {
		return "yes"
	}
	return "-"
}

// ago is the age of a time that may be missing.
func ago(at *time.Time) string {
	if at == nil {
		return "-"
	}
	return age(*at)
}

// backupFlags name the backup of a command.
type backupFlags struct {
	Connection
	ID string `arg:"" help:"Id of the backup."`
}

// change changes a backup, and says what has become of it.
func (f backupFlags) change(ctx context.Context, out *Terminal, done string, do func(context.Context, *server, string) error) error {
	s, err := f.open()
	if err == nil {
		err = explain(do(ctx, s, f.ID))
	}
	if err == nil {
		out.Printf("Backup %s is %s.\n", f.ID, done)
	}
	return err
}

type contentsCommand struct {
	backupFlags `embed:""`
	outputFlags `embed:""`
}

// Help implements [kong.HelpProvider].
func (contentsCommand) Help() string {
	return "Example: uws backup get $(uws backup ls shop -o name | head -1)"
}

func (c contentsCommand) Run(ctx context.Context, out *Terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	b, err := s.backup(ctx, c.ID)
	if err != nil {
		return err
	}
	switch c.Output {
	case "name":
		out.Printf("%s\n", b.Id)
		return nil
	case "json", "yaml":
		return encode(out, c.Output, b)
	}
	targets, err := s.targetNames(ctx)
	if err != nil {
		return err
	}
	line := func(name, format string, args ...any) { out.Printf("%-12s %s\n", name, fmt.Sprintf(format, args...)) }
	line("Id", "%s", b.Id)
	line("Service", "%s (%s %s %s)", b.ServiceName, b.Kind, b.Template.Name, b.Template.Version)
	line("Target", "%s", targets[b.TargetId])
	line("State", "%s: %s", b.State, b.Reason)
	line("Taken for", "%s", b.Trigger)
	line("Begun", "%s", moment(b.StartedAt))
	line("Over", "%s", moment(b.FinishedAt))
	line("Size", "%s in %d files, %s new", size(&b.Bytes), b.Files, size(&b.StoredBytes))
	if b.PausedSeconds > 0 {
		line("Paused", "%.1f s", b.PausedSeconds)
	}
	line("Pinned", "%s", yes(b.Pinned))
	line("Proven", "%s", moment(b.ProvenAt))
	if len(b.Contents) > 0 {
		out.Printf("Contents\n")
	}
	for _, g := range b.Contents {
		out.Printf("  %s\n", described(g.Numbers))
		for _, i := range g.Items {
			out.Printf("    %s\n", described(i.Numbers))
		}
	}
	return nil
}

func moment(at *time.Time) string {
	if at == nil {
		return "-"
	}
	return at.Local().Format("2006-01-02 15:04:05")
}

// described is a part of a backup's contents on one line.
func described(g api.Numbers) string {
	var numbers []string
	for _, v := range g.Values {
		text := fmt.Sprintf("%.0f %s", v.Value, strings.ReplaceAll(v.Name, "_", " "))
		if v.Name == "bytes" {
			text = size(&v.Value)
		}
		if v.Estimate {
			text = "about " + text
		}
		numbers = append(numbers, text)
	}
	name := strings.TrimSpace(g.Type + " " + g.Name)
	if len(numbers) == 0 {
		return name
	}
	return name + ": " + strings.Join(numbers, ", ")
}

type pinCommand struct {
	backupFlags `embed:""`
}

func (c pinCommand) Run(ctx context.Context, out *Terminal) error {
	return c.change(ctx, out, "pinned", func(ctx context.Context, s *server, id string) error {
		_, err := api.PinBackup(ctx, s.api(), id, true)
		return err
	})
}

type unpinCommand struct {
	backupFlags `embed:""`
}

func (c unpinCommand) Run(ctx context.Context, out *Terminal) error {
	return c.change(ctx, out, "not pinned", func(ctx context.Context, s *server, id string) error {
		_, err := api.PinBackup(ctx, s.api(), id, false)
		return err
	})
}

type rmBackupCommand struct {
	backupFlags `embed:""`
}

// Help implements [kong.HelpProvider].
func (rmBackupCommand) Help() string {
	return "The space is free again after the target's next maintenance, within two days.\n\nExample: uws backup rm $(uws backup ls shop -o name | tail -1)"
}

func (c rmBackupCommand) Run(ctx context.Context, out *Terminal) error {
	return c.change(ctx, out, "being deleted", func(ctx context.Context, s *server, id string) error {
		_, err := api.DeleteBackup(ctx, s.api(), id)
		return err
	})
}
