package client

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/unicorn-web-services/uws/cmd/uws/client/api"
)

type targetsCommand struct {
	Connection
	outputFlags `embed:""`
}

// Help implements [kong.HelpProvider].
func (targetsCommand) Help() string { return "Example: uws backup targets" }

func (c targetsCommand) Run(ctx context.Context, out *Terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	got, err := api.ListTargets(ctx, s.api())
	if err != nil {
		return explain(err)
	}
	all := make([]api.Target, len(got.BackupTargets))
	for i, t := range got.BackupTargets {
		all[i] = t.Target
	}
	if len(all) == 0 && c.Output == "table" {
		out.Printf("There are no backup targets. Make one: uws backup target-create disk --folder /mnt/backups\n")
		return nil
	}
	return printAll(out, c.Output, table[api.Target]{
		head: []string{"NAME", "PLACE", "STATE", "BACKUPS", "STORED", "POLICIES", "RECOVERY KIT", "CHECKED"},
		row: func(t api.Target) []string {
			state, kit := "reachable", "not taken"
			if !t.Reachable {
				state = t.Reason
			}
			if t.RecoveryKitTakenAt != nil {
				kit = "taken"
			}
			return []string{t.Name, place(t), state, fmt.Sprint(t.BackupCount), size(t.StoredBytes), fmt.Sprint(t.PolicyCount), kit, ago(t.CheckedAt)}
		},
		name: func(t api.Target) string { return t.Name },
	}, all)
}

// place is where a target is.
func place(t api.Target) string {
	switch {
	case t.Folder != nil:
		return *t.Folder
	case t.Bucket == nil: // the caller is limited to kinds
		return "-"
	}
	where := *t.Bucket
	if t.Prefix != nil {
		where += "/" + *t.Prefix
	}
	if t.Endpoint != nil {
		return where + " at " + *t.Endpoint
	}
	return where + " of service " + text(t.ServiceId)
}

// secretFlags are where the secret key of an S3 is read. It has no flag: command lines are visible to all users of a machine.
type secretFlags struct {
	SecretKeyFile string `placeholder:"FILE" help:"File with the secret key of the S3; - for standard input. Default: UWS_S3_SECRET_KEY, else it is asked for in a terminal."`
}

// secretKey returns the secret key of an S3.
func (f secretFlags) secretKey(out *Terminal) (*string, error) {
	if key := os.Getenv("UWS_S3_SECRET_KEY"); f.SecretKeyFile == "" && key != "" {
		return &key, nil
	}
	var raw []byte
	var err error
	input, isFile := out.In.(*os.File)
	switch {
	case f.SecretKeyFile != "":
		raw, err = readInput(out, f.SecretKeyFile)
	case out.Interactive && isFile:
		fmt.Fprint(out.Err, "Secret key of the S3: ")
		raw, err = term.ReadPassword(int(input.Fd()))
		fmt.Fprintln(out.Err)
	default:
		return nil, wrongUsage("the secret key of the S3 is missing: set UWS_S3_SECRET_KEY, or give --secret-key-file")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the secret key: %w", err)
	}
	key := strings.TrimSpace(string(raw))
	if key == "" {
		return nil, errors.New("the secret key of the S3 is empty")
	}
	return &key, nil
}

// maxInput bounds files that are read: more than any kit or key.
const maxInput = 100 << 10

// readInput reads a small file; - is standard input.
func readInput(out *Terminal, path string) ([]byte, error) {
	in := out.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err == nil && len(raw) > maxInput {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxInput)
	}
	return raw, err
}

type targetCreateCommand struct {
	Connection
	Name              string `arg:"" help:"Its name: a-z, 0-9 and '-', beginning with a letter."`
	Folder            string `xor:"place" required:"" placeholder:"DIR" help:"An empty folder on the server's machine, as an absolute path. It is made if it does not exist."`
	S3Service         string `name:"s3-service" xor:"place" required:"" placeholder:"SERVICE" help:"A BUCKET service. The bucket is made if it does not exist."`
	Endpoint          string `xor:"place" required:"" placeholder:"URL" help:"Any other S3."`
	Bucket            string `placeholder:"NAME" help:"The bucket."`
	Prefix            string `placeholder:"PREFIX" help:"What keys begin with, so that several targets can share a bucket."`
	Region            string `placeholder:"REGION" help:"Region of the S3. Default: us-east-1."`
	AccessKey         string `placeholder:"KEY" help:"Access key of the S3."`
	CA                string `name:"ca" placeholder:"FILE" help:"Certificate in PEM of the CA that signed the S3's. Default: the CAs of the server's machine."`
	WriteMiBPerSecond int    `name:"write-mib-per-second" placeholder:"MIB" help:"Write no faster. Default: no limit."`
	secretFlags       `embed:""`
}

// Help implements [kong.HelpProvider].
func (targetCreateCommand) Help() string {
	return "The target is written to, read and cleaned up before the answer. Take its recovery kit next: without it, the backups are lost with this installation.\n\n" +
		"Examples:\n  uws backup target-create disk --folder /mnt/backups\n  uws backup target-create far --endpoint https://s3.example --bucket backups --access-key me --secret-key-file key"
}

func (c targetCreateCommand) Run(ctx context.Context, out *Terminal) error {
	if (c.Folder == "") == (c.Bucket == "") {
		return wrongUsage("give --bucket with --s3-service and --endpoint, and with these alone")
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	in := api.CreateBackupTargetInput{Name: c.Name, Folder: given(c.Folder), WriteMiBPerSecond: given(c.WriteMiBPerSecond)}
	if c.Folder == "" {
		if in.S3, err = c.s3(ctx, s, out); err != nil {
			return err
		}
	}
	got, err := api.CreateTarget(ctx, s.api(), in)
	if err != nil {
		return explain(err)
	}
	out.Printf("Backup target %s is ready. Take its recovery kit next: uws backup recovery-kit %s --file FILE\n", c.Name, c.Name)
	warn(out, got.CreateBackupTarget.Target)
	return nil
}

func (c targetCreateCommand) s3(ctx context.Context, s *server, out *Terminal) (*api.BackupS3Input, error) {
	in := &api.BackupS3Input{Endpoint: given(c.Endpoint), Region: given(c.Region), Bucket: c.Bucket, Prefix: given(c.Prefix), AccessKey: given(c.AccessKey)}
	if c.S3Service != "" {
		row, err := s.find(ctx, c.S3Service)
		in.ServiceId = &row.Id
		return in, err
	}
	if c.CA != "" {
		pem, err := readInput(out, c.CA)
		if err != nil {
			return nil, err
		}
		in.Ca = new(string(pem))
	}
	var err error
	in.SecretKey, err = c.secretKey(out)
	return in, err
}

// given returns nil for a flag that was left out.
func given[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}

// warn prints what to know about a target.
func warn(out *Terminal, t api.Target) {
	for _, w := range t.Warnings {
		fmt.Fprintf(out.Err, "uws: warning: %s\n", w)
	}
}

// targetFlags name the target of a command.
type targetFlags struct {
	Connection
	Target string `arg:"" help:"Name or id of the target."`
}

// found opens the server and finds the target.
func (f targetFlags) found(ctx context.Context) (*server, api.Target, error) {
	s, err := f.open()
	if err != nil {
		return nil, api.Target{}, err
	}
	t, err := s.target(ctx, f.Target)
	return s, t, err
}

type targetTestCommand struct {
	targetFlags `embed:""`
}

func (c targetTestCommand) Run(ctx context.Context, out *Terminal) error {
	s, t, err := c.found(ctx)
	if err != nil {
		return err
	}
	got, err := api.TestTarget(ctx, s.api(), t.Id)
	if err != nil {
		return explain(err)
	}
	if !got.TestBackupTarget.Reachable {
		return fmt.Errorf("backup target %s does not work: %s", t.Name, cmp.Or(got.TestBackupTarget.Reason, "it is not reachable"))
	}
	out.Printf("Backup target %s works. It holds %s.\n", t.Name, size(got.TestBackupTarget.StoredBytes))
	return nil
}

type targetRmCommand struct {
	targetFlags `embed:""`
}

// Help implements [kong.HelpProvider].
func (targetRmCommand) Help() string {
	return "It can be taken over again with import-target and its recovery kit.\n\nExample: uws backup target-rm disk"
}

func (c targetRmCommand) Run(ctx context.Context, out *Terminal) error {
	s, t, err := c.found(ctx)
	if err != nil {
		return err
	}
	if _, err := api.DeleteTarget(ctx, s.api(), t.Id); err != nil {
		return explain(err)
	}
	out.Printf("Backup target %s is forgotten. What is stored there stays.\n", t.Name)
	return nil
}

type recoveryKitCommand struct {
	targetFlags `embed:""`
	File        string `placeholder:"FILE" help:"Write it to a new file, readable by you alone. Default: print it."`
}

// Help implements [kong.HelpProvider].
func (recoveryKitCommand) Help() string {
	return "Whoever has the kit can read the backups. Keep it away from the machines that it is to save.\n\nExample: uws backup recovery-kit disk --file disk.kit"
}

func (c recoveryKitCommand) Run(ctx context.Context, out *Terminal) error {
	s, t, err := c.found(ctx)
	if err != nil {
		return err
	}
	take := func() (string, error) {
		got, err := api.RecoveryKit(ctx, s.api(), t.Id)
		if err != nil {
			return "", explain(err)
		}
		return got.RecoveryKit.RecoveryKit, nil
	}
	if c.File == "" {
		kit, err := take()
		if err == nil {
			out.Printf("%s", kit)
		}
		return err
	}
	// Made before the kit is taken: one that is lost counts as taken.
	f, err := os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	kit, err := take()
	if err == nil {
		_, err = f.WriteString(kit)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(c.File))
	}
	out.Printf("The recovery kit of %s is in %s. It is a secret: keep it away from this machine.\n", t.Name, c.File)
	return nil
}

type importTargetCommand struct {
	Connection
	Name        string `arg:"" help:"The target's name here."`
	Kit         string `required:"" placeholder:"FILE" help:"File with its recovery kit; - for standard input."`
	secretFlags `embed:""`
}

// Help implements [kong.HelpProvider].
func (importTargetCommand) Help() string {
	return "Services that were backed up there need not exist here: uws backup restore makes them.\n\nExample: uws backup import-target disk --kit disk.kit"
}

func (c importTargetCommand) Run(ctx context.Context, out *Terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	kit, err := readInput(out, c.Kit)
	if err != nil {
		return fmt.Errorf("reading the recovery kit: %w", err)
	}
	in := api.ImportBackupTargetInput{Name: c.Name, RecoveryKit: string(kit)}
	if isS3(in.RecoveryKit) {
		if in.SecretKey, err = c.secretKey(out); err != nil {
			return err
		}
	}
	got, err := api.ImportTarget(ctx, s.api(), in)
	if err != nil {
		return explain(err)
	}
	t := got.ImportBackupTarget.Target
	out.Printf("Backup target %s is taken over, with %d backups. `uws backup ls --target %s` lists them.\n", t.Name, t.BackupCount, t.Name)
	return nil
}

// isS3 reports whether a recovery kit is that of a bucket, whose secret key is not in the kit.
func isS3(kit string) bool {
	for lines := bufio.NewScanner(strings.NewReader(kit)); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "bucket:") {
			return true
		}
	}
	return false
}
