// Package monitoring tests deploy/grafana and deploy/prometheus with Grafana's schema, Prometheus's own tool, and the metrics
// that a real Prometheus scrapes from a real uws.
package monitoring

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

func TestMain(m *testing.M) { os.Exit(uwstest.Main(m, uwstest.UWS)) }

const (
	dashboardFile = "../../deploy/grafana/uws.json"
	rulesFile     = "../../deploy/prometheus/uws.rules.yml"
)

// Grafana's published schema accepts the dashboard, and no field is unknown to it.
func TestDashboardIsValid(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	raw, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard.Dashboard //nolint:staticcheck // the format that every version of Grafana imports
	for _, err := range []error{d.UnmarshalJSONStrict(raw), d.Validate()} {
		if err == nil {
			continue
		}
		if found, ok := errors.AsType[cog.BuildErrors](err); !ok || len(found) > 0 { // success is an empty list, not nil
			t.Error(err)
		}
	}
}

func TestAlertRules(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", "uws.rules.yml"}, {"test", "rules", "uws.rules.test.yml"}} {
		cmd := exec.Command("promtool", args...)
		cmd.Dir = filepath.Dir(rulesFile)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s (tools/prometheus installs it): %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// quiet are the panels that are empty while there is no problem, or soon after the start.
var quiet = map[string]bool{"Hours until the disk is full": true, "Warnings": true}

// A Prometheus that is configured as in docs/monitoring.md has data for every panel and variable, and evaluates every rule.
func TestRealPrometheus(t *testing.T) {
	p := uwstest.Serve(t, nil, uwstest.Binary, filepath.Join(uwstest.Folder(t), "data"), "--engines", uwstest.EnginesFolder(t))
	queue := stories.Launch(t, p, "QUEUE", "jobs", nil)
	prom := startPrometheus(t, p)
	prom.until(t, "the first sample", `uws_service_restarts_total{service="jobs"}`)
	pid, err := uwstest.EnginePID(queue.ID)
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatal(err)
	}
	stories.Healthy(t, p, queue.ID, 1)

	panels, variables := read(t)
	for _, v := range variables {
		prom.until(t, "variable "+v.Name, v.series())
	}
	for _, panel := range panels {
		for _, target := range panel.Targets {
			expr := filled(target.Expr)
			if quiet[panel.Title] {
				if _, err := prom.query(t.Context(), expr); err != nil {
					t.Errorf("panel %q: %v", panel.Title, err)
				}
				continue
			}
			prom.until(t, "panel "+panel.Title, expr)
		}
	}
	prom.until(t, "an alert about the token of the test", `ALERTS{alertname="UWSTokenExpiresSoon",alertstate="firing"}`)
	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError, State string }
		}
	}
	if err := prom.get(t.Context(), "/api/v1/rules", nil, &rules); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			seen++
			if r.Health != "ok" {
				t.Errorf("rule %s: %s %s", r.Name, r.Health, r.LastError)
			}
			if r.State == "firing" && r.Name != "UWSTokenExpiresSoon" {
				t.Errorf("%s fires although there is no problem", r.Name)
			}
		}
	}
	if seen == 0 {
		t.Error("Prometheus has no rules")
	}
}

type panel struct {
	Title   string
	Targets []struct{ Expr string }
}

type variable struct{ Name, Definition string }

var labelValues = regexp.MustCompile(`^label_values\((.*), \w+\)$`)

// series returns the selector whose series a variable takes its values from.
func (v variable) series() string { return filled(labelValues.FindStringSubmatch(v.Definition)[1]) }

// filled replaces the variables of an expression as Grafana does, for a Prometheus that scrapes once a second.
func filled(expr string) string {
	return strings.NewReplacer("$job", "uws", "$kind", ".*", "$node", ".*", "$__rate_interval", "1m").Replace(expr)
}

// read returns the dashboard's panels that have queries, and its variables that are read from Prometheus.
func read(t *testing.T) (panels []panel, variables []variable) {
	t.Helper()
	raw, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels     []panel
		Templating struct {
			List []variable
		}
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		if len(p.Targets) > 0 {
			panels = append(panels, p)
		}
	}
	for _, v := range d.Templating.List {
		if v.Definition != "" {
			variables = append(variables, v)
		}
	}
	if len(panels) < 20 || len(variables) != 3 {
		t.Fatalf("%d panels, variables %v", len(panels), variables)
	}
	return panels, variables
}

// server is a Prometheus that scrapes a uws.
type server struct{ url string }

var listening = regexp.MustCompile(`msg="Listening on" address=(\S+)`)

func startPrometheus(t *testing.T, p *uwstest.Process) server {
	t.Helper()
	var made struct{ CreateToken struct{ Secret string } }
	if err := p.Query(t.Context(), `mutation($at: Time!) { createToken(input: {name: "prometheus", role: VIEWER, expiresAt: $at}) { secret } }`,
		map[string]any{"at": time.Now().Add(24 * time.Hour).UTC()}, &made); err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: uws
    authorization: {credentials: %q}
    static_configs: [{targets: [%q]}]
`, rules, made.CreateToken.Secret, strings.TrimPrefix(p.URL, "http://"))
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	out := &uwstest.Output{}
	cmd := exec.CommandContext(ctx, "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", "--web.listen-address=127.0.0.1:0")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; tools/prometheus installs it", err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
	})
	var s server
	err = uwstest.Until(t.Context(), "Prometheus listens", func() (bool, error) {
		if m := listening.FindStringSubmatch(out.String()); m != nil {
			s.url = "http://" + m[1]
		}
		return s.url != "", nil
	})
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return s
}

// errStarting is returned while Prometheus reads its storage.
var errStarting = errors.New("prometheus is starting")

// get sends a request to Prometheus's API.
func (s server) get(ctx context.Context, path string, values url.Values, data any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path+"?"+values.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusServiceUnavailable {
		return errStarting
	}
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("%s: %w: %s", resp.Status, err, body)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", resp.Status, answer.Error)
	}
	return json.Unmarshal(answer.Data, data)
}

// query returns how many series an expression has now.
func (s server) query(ctx context.Context, expr string) (int, error) {
	var data struct{ Result []json.RawMessage }
	err := s.get(ctx, "/api/v1/query", url.Values{"query": {expr}}, &data)
	return len(data.Result), err
}

// until waits until an expression has data.
func (s server) until(t *testing.T, what, expr string) {
	t.Helper()
	err := uwstest.Until(t.Context(), what, func() (bool, error) {
		n, err := s.query(t.Context(), expr)
		if errors.Is(err, errStarting) {
			return false, nil
		}
		return n > 0, err
	})
	if err != nil {
		t.Fatalf("%s: %v: %s", what, err, expr)
	}
}
