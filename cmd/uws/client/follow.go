package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/cmd/uws/client/api"
)

// retryInterval is how long a command that follows waits before it connects again.
const retryInterval = 2 * time.Second

type logsCommand struct {
	serviceFlags `embed:""`
	Follow       bool   `short:"f" help:"Go on with what is written from now on."`
	Tail         string `short:"n" default:"100" placeholder:"LINES" help:"How many of the newest lines; all for all of them. Default: ${default}."`
	Since        string `placeholder:"TIME" help:"Lines since then: a time, or how long ago, such as 10m."`
	Level        string `placeholder:"LEVEL" help:"Lines of this level and more severe ones: debug, info, warning, error, fatal."`
	Grep         string `placeholder:"TEXT" help:"Lines with this text, in upper or lower case."`
	Run_         string `name:"run" placeholder:"RUN" help:"Lines of one run."`
}

// Help implements [kong.HelpProvider].
func (logsCommand) Help() string {
	return "Each line has its time, its stream, its run and its text. Credentials of the service are replaced by ***.\n\nExample: uws logs shop -f --level error"
}

func (c logsCommand) Run(ctx context.Context, out *Terminal) error {
	s, row, err := c.found(ctx)
	if err != nil {
		return err
	}
	query := url.Values{"tail": {c.Tail}}
	for name, value := range map[string]string{"since": c.Since, "level": c.Level, "contains": c.Grep, "run": c.Run_} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if c.Follow {
		query.Set("follow", "1")
	}
	var printed tail
	for {
		err := s.printLog(ctx, out, row.Id, query, &printed)
		if !c.Follow || err == nil || ctx.Err() != nil || !errors.Is(err, errBroken) {
			return err
		}
		fmt.Fprintf(out.Err, "uws: %v; connecting again\n", err)
		if printed.at != "" {
			query.Set("tail", "all")
			query.Set("since", printed.at)
		}
		if !pause(ctx, retryInterval) {
			return nil
		}
	}
}

// errBroken is what errors of connections are.
var errBroken = errors.New("the connection broke")

// broken is an error of a connection that can be made again.
func broken(err error) error { return fmt.Errorf("%w: %w", errBroken, err) }

// tail is the time of the newest line that was printed, and the lines of that time.
type tail struct {
	at    string
	lines []string
}

// add reports whether a line is new, and notes it. After a reconnection the lines of the newest time come again.
func (t *tail) add(line string) bool {
	switch at, _, _ := strings.Cut(line, " "); {
	case at != t.at:
		t.at, t.lines = at, []string{line}
	case slices.Contains(t.lines, line):
		return false
	default:
		t.lines = append(t.lines, line)
	}
	return true
}

// printLog prints a log until its end.
func (s *server) printLog(ctx context.Context, out *Terminal, id string, query url.Values, printed *tail) error {
	address := s.base.JoinPath("services", id, "logs")
	address.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return err
	}
	response, err := s.http.Do(r)
	if err != nil {
		return broken(s.unreachable(err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return refused(response)
	}
	lines := bufio.NewReader(response.Body)
	for {
		line, err := lines.ReadString('\n')
		if line != "" && printed.add(line) {
			out.Printf("%s", line)
		}
		switch {
		case errors.Is(err, io.EOF) || ctx.Err() != nil:
			return nil
		case err != nil:
			return broken(err)
		}
	}
}

// refused is the error of an answer of the endpoints that are not GraphQL.
func refused(response *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	code := 1
	switch response.StatusCode {
	case http.StatusNotFound:
		code = exitNotFound
	case http.StatusConflict:
		code = exitConflict
	}
	return &Error{code, strings.TrimSpace(string(body))}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

type eventsCommand struct {
	Connection
	Service string `arg:"" optional:"" help:"Only those of this service, by its name or id."`
	Follow  bool   `short:"f" help:"Go on with events of services as they come."`
	Tail    int    `short:"n" default:"20" placeholder:"N" help:"How many of the newest. Default: ${default}."`
}

// Help implements [kong.HelpProvider].
func (eventsCommand) Help() string { return "Example: uws events shop -f" }

func (c eventsCommand) Run(ctx context.Context, out *Terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	filter := &api.EventFilter{}
	if c.Service != "" {
		row, err := s.find(ctx, c.Service)
		if err != nil {
			return err
		}
		filter.ServiceId = &row.Id
	}
	page, err := api.ListEvents(ctx, s.api(), filter, &c.Tail)
	if err != nil {
		return explain(err)
	}
	for i := len(page.Events.Nodes) - 1; i >= 0; i-- {
		printEvent(out, page.Events.Nodes[i].EventRow)
	}
	if !c.Follow {
		return nil
	}
	since := page.Events.PageInfo.StartCursor
	for ctx.Err() == nil {
		err := s.followEvents(ctx, out, filter.ServiceId, &since)
		if ctx.Err() != nil {
			break
		}
		if !errors.Is(err, errBroken) {
			return explain(err)
		}
		fmt.Fprintf(out.Err, "uws: %v; connecting again\n", err)
		pause(ctx, retryInterval)
	}
	return nil
}

func printEvent(out *Terminal, e api.EventRow) {
	what, state := text(e.ServiceName), ""
	if e.ServiceName == nil {
		what = text(e.NodeName)
	}
	if e.Phase != nil && e.Health != nil {
		state = fmt.Sprintf("%s, %s: ", *e.Phase, *e.Health)
	}
	out.Printf("%s  %s  %s%s\n", e.At.Local().Format("2006-01-02 15:04:05"), what, state, e.Reason)
}

// followEvents prints events after a cursor, which it moves, until the connection breaks.
func (s *server) followEvents(ctx context.Context, out *Terminal, id *string, since **string) error {
	feed, _ := s.feed()
	ended, err := feed.Start(ctx)
	if err != nil {
		return broken(err)
	}
	defer feed.Close()
	events, _, err := api.WatchEvents(ctx, feed, *since, id)
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return broken(err)
		case message, ok := <-events:
			if !ok {
				return errBroken
			}
			if len(message.Errors) > 0 {
				return message.Errors
			}
			e := message.Data.ServiceHealthChanged
			*since = &e.Cursor
			printEvent(out, api.EventRow{At: e.At, ServiceName: &e.Name, Phase: e.Phase, Health: &e.Health, Reason: e.Reason})
		}
	}
}

type topCommand struct {
	Connection
	filterFlags `embed:""`
	Sort        string `default:"memory" enum:"memory,cpu,disk,name" help:"Sort by memory, cpu, disk or name. Default: ${default}."`
	Watch       bool   `short:"w" help:"Print it again every 10 s."`
	outputFlags `embed:""`
}

// Help implements [kong.HelpProvider].
func (topCommand) Help() string { return "Example: uws top --sort cpu --watch" }

type using = api.ListUsageServicesServiceConnectionNodesService

func (c topCommand) Run(ctx context.Context, out *Terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	for {
		all, err := s.usage(ctx, c.filter())
		if err != nil {
			return err
		}
		c.sort(all)
		if c.Watch && out.Interactive {
			fmt.Fprint(out.Out, "\x1b[H\x1b[2J")
		}
		if err := printAll(out, c.Output, usageTable(), all); err != nil || !c.Watch {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(10 * time.Second):
		}
	}
}

func (s *server) usage(ctx context.Context, filter *api.ServiceFilter) ([]using, error) {
	var all []using
	var after *string
	for {
		page, err := api.ListUsage(ctx, s.api(), filter, after)
		if err != nil {
			return nil, explain(err)
		}
		all = append(all, page.Services.Nodes...)
		if !page.Services.PageInfo.HasNextPage {
			return all, nil
		}
		after = page.Services.PageInfo.EndCursor
	}
}

func (c topCommand) sort(all []using) {
	key := func(u using) float64 {
		if u.Usage == nil {
			return -1
		}
		v := map[string]*float64{"cpu": u.Usage.Cpu, "memory": &u.Usage.MemoryBytes, "disk": u.Usage.DiskBytes}[c.Sort]
		if v == nil {
			return 0
		}
		return *v
	}
	sort.SliceStable(all, func(i, j int) bool {
		if a, b := key(all[i]), key(all[j]); c.Sort != "name" && a != b {
			return a > b
		}
		return all[i].Name < all[j].Name
	})
}

func usageTable() table[using] {
	return table[using]{
		head: []string{"NAME", "KIND", "HEALTH", "NODE", "CPU", "MEMORY", "DISK", "RECEIVED/S", "SENT/S", "PROCESSES", "WARNINGS"},
		row: func(u using) []string {
			node := "-"
			if u.Node != nil {
				node = u.Node.Name
			}
			cells := []string{u.Name, string(u.Kind), string(u.Health), node, "-", "-", "-", "-", "-", "-"}
			if v := u.Usage; v != nil {
				cells = append(cells[:4], ofLimit(cores(v.Cpu), v.CpuLimit, cores), ofLimit(size(&v.MemoryBytes), v.MemoryLimitBytes, size), size(v.DiskBytes),
					size(v.ReceivedBytesPerSecond), size(v.SentBytesPerSecond), text(v.Processes))
			}
			codes := []string{}
			for _, w := range u.Warnings {
				codes = append(codes, string(w.Code))
			}
			return append(cells, strings.Join(codes, " "))
		},
		name: func(u using) string { return u.Name },
	}
}
