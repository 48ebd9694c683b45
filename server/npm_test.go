package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// runNode runs a program of test/graphql-ws and returns its lines. `make test` installs its packages.
func runNode(t *testing.T, args ...string) []json.RawMessage {
	t.Helper()
	repo, err := uwstest.Repo()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Dir = repo + "/test/graphql-ws"
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	var lines []json.RawMessage
	for scan := bufio.NewScanner(bytes.NewReader(out)); scan.Scan(); {
		lines = append(lines, bytes.Clone(scan.Bytes()))
	}
	return lines
}

// The server complies with every MUST of GraphQL over HTTP, as checked by the working group's audits, and with every
// SHOULD except those listed.
func TestHTTPAudits(t *testing.T) {
	const status = "a document that is wrong is 422, so that tools which look at the status only see it"
	const null = "gqlgen writes data: null"
	unkept := map[string]string{"572B": status, "FDE2": status, "7B9B": status, "D586": null, "5E5B": null} // SHOULDs by id
	passed := 0
	for _, line := range runNode(t, "audits.mjs", serve(t, options(newFake()))+"/graphql") {
		var audit struct{ ID, Name, Status, Reason string }
		if err := json.Unmarshal(line, &audit); err != nil {
			t.Fatal(err)
		}
		switch {
		case audit.Status == "ok" || audit.Status == "notice":
			passed++
		case audit.Status == "warn" && unkept[audit.ID] != "":
			t.Logf("%s %s: %s (%s)", audit.ID, audit.Name, audit.Reason, unkept[audit.ID])
		default:
			t.Errorf("%s %s: %s: %s", audit.ID, audit.Name, audit.Status, audit.Reason)
		}
	}
	if passed < 50 {
		t.Errorf("only %d audits were run", passed)
	}
}

// Tests with the standard client of the protocol: queries, mutations, subscriptions, their errors, and the close codes
// for violations that it never commits.
func TestStockClient(t *testing.T) {
	api := newFake()
	url := serve(t, options(api))
	go func() {
		<-api.watching
		api.feed <- serviceEvent(1, "s1", catalog.Bucket)
	}()
	var got []string
	for _, line := range runNode(t, "protocol.mjs", "ws"+strings.TrimPrefix(url, "http")+"/graphql") {
		got = append(got, string(line))
	}
	want := []string{
		`{"query":{"data":{"node":{"name":"far"}}}}`,
		`{"mutation":{"data":{"startService":{"id":"s1"}}}}`,
		`{"invalid":"INVALID_INPUT"}`,
		`{"failed":{"data":null,"code":"NOT_FOUND"}}`,
		`{"refused":"NOT_FOUND"}`,
		`{"subscription":{"data":{"serviceHealthChanged":{"serviceId":"s1"}}}}`,
		`{"pong":true}`,
		`{"unauthorized":4401}`, `{"again":4429}`, `{"duplicate":4409}`, `{"bad":4400}`, `{"subprotocol":400}`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Apollo's clients first try persisted queries, and continue without them.
func TestApolloClients(t *testing.T) {
	lines := runNode(t, "apollo.mjs", serve(t, options(newFake()))+"/graphql")
	want := []string{`{"version":3,"names":["local","local"],"requests":3}`, `{"version":4,"names":["local","local"],"requests":3}`}
	for i, line := range lines {
		if i >= len(want) || string(line) != want[i] {
			t.Errorf("got %s", line)
		}
	}
	if len(lines) != len(want) {
		t.Errorf("%d clients answered, want %d", len(lines), len(want))
	}
}
