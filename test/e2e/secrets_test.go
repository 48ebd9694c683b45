package e2e

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// plantedKey is used as a private key. It is not valid.
const plantedKey = "plantedplantedplantedPRIVATEKEYplanted"

// No secret appears in debug logs, metrics, events, errors, command lines, or unsealed in the store. The test runs a service of
// each kind, rotates one, registers a node with keys, and causes errors.
func TestPlantedSecrets(t *testing.T) {
	ctx, dir := t.Context(), folder(t)
	p := serve(t, dir, "--log-level", "debug")
	secrets, errs := map[string]string{"planted key": plantedKey}, ""
	collect := func(s *uwstest.Service) {
		for name, value := range reveal(t, p, s.ID) {
			if len(value) >= 16 { // a shorter value is a user name
				secrets[s.Name+" "+name+" "+fmt.Sprint(len(secrets))] = value
			}
		}
	}
	var all []*uwstest.Service
	for _, c := range stories.Engines {
		s := launch(t, p, c.Kind, "planted-"+c.Template, map[string]any{"template": c.Template})
		collect(s)
		all = append(all, s)
	}
	for _, s := range all {
		if s.Kind == "DB" || s.Kind == "QUEUE" {
			rotate(t, p, s.ID)
			collect(s)
		}
	}
	for name, input := range map[string]map[string]any{
		"tls": {"endpoint": "tcp://127.0.0.1:1", "tls": map[string]any{"ca": plantedKey, "certificate": plantedKey, "key": plantedKey}},
		"ssh": {"endpoint": "ssh://nobody@127.0.0.1:1", "ssh": map[string]any{"privateKey": plantedKey, "hostKey": plantedKey}},
	} {
		input["name"], input["driver"], input["serviceAddress"] = name, "DOCKER", "127.0.0.2"
		err := p.Query(ctx, `mutation($input: RegisterNodeInput!) { registerNode(input: $input) { id } }`, map[string]any{"input": input}, nil)
		if err == nil {
			t.Errorf("node %s was registered", name)
		}
		errs += fmt.Sprintln(err)
	}
	for _, err := range []error{p.Do(ctx, "rotateCredentials", "none"), p.Do(ctx, "rotateCredentials", `"`), p.Do(ctx, "revealCredentials", all[0].ID)} {
		errs += fmt.Sprintln(err)
	}
	key, err := os.ReadFile(filepath.Join(dir, "uws.key"))
	if err != nil {
		t.Fatal(err)
	}
	secrets["store key"] = keyMaterial(t, key)

	places := map[string]string{
		"the log": p.Output.String(), "an error": errs, "the metrics": get(t, p.URL+"/metrics"),
		"the events": strings.Join(allReasons(t, p), "\n"), "a command line": commandLines(t),
	}
	for _, file := range []string{"uws.db", "uws.db-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		places[file] = string(b)
	}
	for place, text := range places {
		if text == "" {
			t.Errorf("nothing was found in %s", place)
		}
		for name, secret := range secrets {
			if strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret)) ||
				strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(secret))) {
				t.Errorf("%s holds a secret: %s", place, name)
			}
		}
	}
	if len(secrets) < 9 {
		t.Errorf("the test only searched for %d secrets", len(secrets))
	}
}

// keyMaterial returns the secret part of a key file.
func keyMaterial(t *testing.T, file []byte) string {
	t.Helper()
	_, after, ok := strings.Cut(string(file), `"value":"`)
	value, _, closed := strings.Cut(after, `"`)
	if !ok || !closed {
		t.Fatal("the key file has no value")
	}
	return value
}

// allReasons returns all texts of events.
func allReasons(t *testing.T, p *uwstest.Process) []string {
	t.Helper()
	var out struct {
		Events struct{ Nodes []map[string]any }
	}
	err := p.Query(t.Context(), `{ events(first: 500) { nodes { reason serviceName nodeName } } }`, nil, &out)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range out.Events.Nodes {
		all = append(all, fmt.Sprint(e))
	}
	return all
}

// commandLines returns the command lines of all processes.
func commandLines(t *testing.T) string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, path := range paths {
		if b, err := os.ReadFile(path); err == nil { // otherwise the process has ended
			all.Write(b)
			all.WriteByte('\n')
		}
	}
	return all.String()
}
