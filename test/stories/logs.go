package stories

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// LogLine is a line of a service's log.
type LogLine struct{ Cursor, Stream, Level, Run, Text string }

// Log returns the whole log of a service, oldest line first.
func Log(ctx context.Context, p *uwstest.Process, id string) (all []LogLine, err error) {
	for before := any(nil); ; {
		var out struct {
			ServiceLogs struct {
				Nodes    []LogLine
				PageInfo struct {
					StartCursor     string
					HasPreviousPage bool
				}
			}
		}
		err := p.Query(ctx, `query($id: ID!, $before: ID) { serviceLogs(id: $id, first: 1000, before: $before) {
			nodes { cursor stream level run text } pageInfo { startCursor hasPreviousPage } } }`, map[string]any{"id": id, "before": before}, &out)
		if err != nil {
			return nil, err
		}
		all = append(out.ServiceLogs.Nodes, all...)
		if !out.ServiceLogs.PageInfo.HasPreviousPage {
			return all, nil
		}
		before = out.ServiceLogs.PageInfo.StartCursor
	}
}

// LogText returns the log of a service as curl gets it.
func LogText(ctx context.Context, p *uwstest.Process, id, query string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/services/"+id+"/logs?"+query, nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+p.Token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(answer.Body)
	return string(body), errors.Join(err, answer.Body.Close())
}

// FollowLog passes on the log of a service, line by line, from its beginning until ctx ends or the server ends it.
func FollowLog(ctx context.Context, p *uwstest.Process, id string, got func(line string)) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/services/"+id+"/logs?tail=all&follow=1", nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+p.Token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		got(lines.Text())
	}
	return lines.Err()
}

// hasLog checks that what an engine wrote is in the API and as text, line by line with its run, and without credentials. What the
// program wrote that made its data comes before its first run.
func hasLog(t *testing.T, p *uwstest.Process, id string, keys map[string]string) {
	t.Helper()
	var lines []LogLine
	err := uwstest.Until(t.Context(), "the output of a run is collected", func() (bool, error) {
		var err error
		lines, err = Log(t.Context(), p, id)
		return len(lines) > 0 && lines[len(lines)-1].Run != "", err
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := LogText(t.Context(), p, id, "tail=all")
	if err != nil {
		t.Fatal(err)
	}
	running := false
	for _, line := range lines {
		if line.Run == "" && running || line.Stream != "STDOUT" && line.Stream != "STDERR" {
			t.Errorf("the line %+v has no run or stream", line)
		}
		running = line.Run != ""
		if !strings.Contains(text, strings.ToLower(line.Stream)+" "+cmp.Or(line.Run, "-")+" "+line.Text+"\n") {
			t.Errorf("as text it lacks %+v", line)
		}
	}
	for name, value := range keys {
		if len(value) > 12 && strings.Contains(text, value) { // shorter ones are names that everybody knows
			t.Errorf("the log has the credential %s", name)
		}
	}
}

// hasTail checks that the event of a kill has the last lines of the run that was killed, which are in its log too.
func hasTail(t *testing.T, p *uwstest.Process, id string) {
	t.Helper()
	var out struct {
		Events struct {
			Nodes []struct {
				ExitCode int
				LogTail  []LogLine
			}
		}
	}
	if err := p.Query(t.Context(), `query($id: ID!) { events(filter: {serviceId: $id}) { nodes { exitCode logTail { stream level run text } } } }`, map[string]any{"id": id}, &out); err != nil {
		t.Fatal(err)
	}
	lines, err := Log(t.Context(), p, id)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, line := range lines {
		there[line.Run+" "+line.Text] = true
	}
	for _, e := range out.Events.Nodes {
		if e.ExitCode != 137 {
			continue
		}
		if len(e.LogTail) == 0 {
			t.Error("the event of the kill has no log")
		}
		for _, line := range e.LogTail {
			if line.Run != e.LogTail[0].Run || !there[line.Run+" "+line.Text] {
				t.Errorf("the event of the kill has the line %+v, which the log lacks", line)
			}
		}
		return
	}
	t.Error("there is no event of the kill")
}
