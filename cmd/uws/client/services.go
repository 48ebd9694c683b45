package client

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/cmd/uws/client/api"
)

// Commands are those that talk to a running server.
type Commands struct {
	Login   loginCommand   `cmd:"" group:"client" help:"Sign this computer in to a server with a token."`
	Logout  logoutCommand  `cmd:"" group:"client" help:"Delete the token that uws login stored."`
	Ls      lsCommand      `cmd:"" group:"client" help:"List services."`
	Get     getCommand     `cmd:"" group:"client" help:"Show a service: its state, use, warnings and newest events."`
	Top     topCommand     `cmd:"" group:"client" help:"Show what services use."`
	Logs    logsCommand    `cmd:"" group:"client" help:"Print the log of a service."`
	Events  eventsCommand  `cmd:"" group:"client" help:"Print events, oldest first."`
	Launch  launchCommand  `cmd:"" group:"client" help:"Launch a service."`
	Start   startCommand   `cmd:"" group:"client" help:"Start a service that is stopped, has failed or is in a crash loop."`
	Stop    stopCommand    `cmd:"" group:"client" help:"Stop a service. It stays stopped until it is started."`
	Restart restartCommand `cmd:"" group:"client" help:"Stop and start a service, and clear its count of failures."`
	Check   checkCommand   `cmd:"" group:"client" help:"Probe a service now."`
	Rm      rmCommand      `cmd:"" group:"client" help:"Remove a service. Its data is retained."`
	Swap    swapCommand    `cmd:"" group:"client" help:"Exchange the names and ports of two services, so that clients of one reach the other."`
	Move    moveCommand    `cmd:"" group:"client" set:"wait=24h" help:"Move a service with its data to another node."`
	Backup  backupCommands `cmd:"" group:"client" help:"Back up services, and make services of backups."`
}

// filterFlags select services.
type filterFlags struct {
	Kind   []string `placeholder:"KIND" help:"Only these kinds: BUCKET, DB, NOSQL, QUEUE, SECRETS."`
	Health []string `placeholder:"HEALTH" help:"Only these: HEALTHY, SUSPECT, UNHEALTHY, STARTING, UNKNOWN."`
	Label  []string `short:"l" placeholder:"NAME[=VALUE]" help:"Only services that have all of these labels."`
}

func (f filterFlags) filter() *api.ServiceFilter {
	out := &api.ServiceFilter{}
	for _, kind := range f.Kind {
		out.Kind = append(out.Kind, api.ServiceKind(strings.ToUpper(kind)))
	}
	for _, health := range f.Health {
		out.Health = append(out.Health, api.ServiceHealth(strings.ToUpper(health)))
	}
	for _, label := range f.Label {
		name, value, ok := strings.Cut(label, "=")
		selector := api.LabelSelector{Name: name}
		if ok {
			selector.Values = []string{value}
		}
		out.Labels = append(out.Labels, selector)
	}
	return out
}

// list returns all services that a filter selects.
func (s *server) list(ctx context.Context, filter *api.ServiceFilter) ([]api.Row, error) {
	var all []api.Row
	var after *string
	for {
		page, err := api.ListServices(ctx, s.api(), filter, after)
		if err != nil {
			return nil, explain(err)
		}
		for _, n := range page.Services.Nodes {
			all = append(all, n.Row)
		}
		if !page.Services.PageInfo.HasNextPage {
			return all, nil
		}
		after = page.Services.PageInfo.EndCursor
	}
}

// find returns the service with a name or an id.
func (s *server) find(ctx context.Context, nameOrID string) (api.Row, error) {
	named, err := s.list(ctx, &api.ServiceFilter{NameContains: &nameOrID})
	if err != nil {
		return api.Row{}, err
	}
	var near []string
	for _, row := range named {
		if row.Name == nameOrID {
			return row, nil
		}
		near = append(near, row.Name)
	}
	got, err := api.FindService(ctx, s.api(), nameOrID)
	if err != nil {
		return api.Row{}, explain(err)
	}
	if got.Service != nil {
		return got.Service.Row, nil
	}
	if len(near) > 0 {
		return api.Row{}, notFound("there is no service named %q; there is %s", nameOrID, strings.Join(near[:min(3, len(near))], ", "))
	}
	return api.Row{}, notFound("there is no service named %q; `uws ls` lists them", nameOrID)
}

func nodeOf(row api.Row) string {
	if row.Node == nil {
		return "-"
	}
	return row.Node.Name
}

// backedUp is how well a service is backed up, and how old its newest backup is.
func backedUp(r api.Row) string {
	if r.Backup.LastAt == nil {
		return string(r.Backup.State)
	}
	return string(r.Backup.State) + " " + age(*r.Backup.LastAt)
}

func rows() table[api.Row] {
	return table[api.Row]{
		head: []string{"NAME", "KIND", "PHASE", "HEALTH", "NODE", "ENDPOINT", "RESTARTS", "BACKUP", "AGE"},
		row: func(r api.Row) []string {
			return []string{r.Name, string(r.Kind), string(r.Phase), string(r.Health), nodeOf(r), text(r.Endpoint), fmt.Sprint(r.Restarts), backedUp(r), age(r.CreatedAt)}
		},
		name: func(r api.Row) string { return r.Name },
	}
}

type lsCommand struct {
	Connection
	filterFlags `embed:""`
	outputFlags `embed:""`
}

// Help implements [kong.HelpProvider].
func (lsCommand) Help() string { return "Example: uws ls --kind DB --health UNHEALTHY" }

func (c lsCommand) Run(ctx context.Context, out *Terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	all, err := s.list(ctx, c.filter())
	if err != nil {
		return err
	}
	if len(all) == 0 && c.Output == "table" {
		out.Printf("There are no services. Launch one: uws launch QUEUE orders\n")
		return nil
	}
	return printAll(out, c.Output, rows(), all)
}

type getCommand struct {
	Connection
	Service     string `arg:"" help:"Name or id of the service."`
	outputFlags `embed:""`
}

// Help implements [kong.HelpProvider].
func (getCommand) Help() string { return "Example: uws get orders -o json" }

func (c getCommand) Run(ctx context.Context, out *Terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	row, err := s.find(ctx, c.Service)
	if err != nil {
		return err
	}
	if c.Output == "name" {
		out.Printf("%s\n", row.Name)
		return nil
	}
	got, err := api.GetService(ctx, s.api(), row.Id)
	if err != nil {
		return explain(err)
	}
	if got.Service == nil {
		return notFound("service %s has just been removed", row.Name)
	}
	if c.Output != "table" {
		return encode(out, c.Output, got.Service)
	}
	show(out, got)
	return nil
}

// show prints a service for people.
func show(out *Terminal, got *api.GetServiceResponse) {
	v := got.Service
	line := func(name, format string, args ...any) { out.Printf("%-12s %s\n", name, fmt.Sprintf(format, args...)) }
	line("Name", "%s", v.Name)
	line("Id", "%s", v.Id)
	line("Kind", "%s (%s %s)", v.Kind, v.Template.Name, v.Template.Version)
	line("State", "%s, %s: %s", v.Phase, v.Health, v.Reason)
	if v.NextRestartAt != nil {
		line("Next start", "%s", v.NextRestartAt.Local().Format("15:04:05"))
	}
	if v.Node != nil {
		line("Node", "%s", v.Node.Name)
	}
	line("Endpoint", "%s", text(v.Endpoint))
	if v.HeldBack != nil {
		line("Quarantine", "%s. `uws backup end-quarantine %s` ends it.", *v.HeldBack, v.Name)
	}
	line("Restarts", "%d", v.Restarts)
	line("Age", "%s", age(v.CreatedAt))
	if u := v.Usage; u != nil {
		line("Processor", "%s cores", ofLimit(cores(u.Cpu), u.CpuLimit, cores))
		line("Memory", "%s", ofLimit(size(&u.MemoryBytes), u.MemoryLimitBytes, size))
		line("Disk", "%s", size(u.DiskBytes))
	}
	for _, stat := range v.EngineStats {
		value := fmt.Sprintf("%.0f", stat.Value)
		if stat.Unit == api.StatUnitBytes {
			value = size(&stat.Value)
		}
		line(strings.ReplaceAll(stat.Name, "_", " "), "%s", value)
	}
	if v.Uptime.Share != nil {
		line("Uptime", "%.3f %% of 30 days, %.0f s down", 100**v.Uptime.Share, v.Uptime.DownSeconds)
	}
	line("Backup", "%s: %s", v.Backup.State, v.Backup.Reason)
	if at := v.Backup.LastAt; at != nil {
		line("Backed up", "%s ago, %s, one of %d", age(*at), size(v.Backup.SizeBytes), v.Backup.Count)
	}
	if from, to := v.Backup.RestorableFrom, v.Backup.RestorableTo; v.Backup.PointInTime && from != nil && to != nil {
		line("Restorable", "to any moment from %s to %s", from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339))
	}
	for _, w := range v.Warnings {
		line("Warning", "%s: %s", w.Code, w.Text)
	}
	out.Printf("\nNewest events:\n")
	for i := len(got.Events.Nodes) - 1; i >= 0; i-- {
		printEvent(out, got.Events.Nodes[i].EventRow)
	}
}
