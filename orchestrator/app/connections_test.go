package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// Connection strings come from the template that the service was launched with, and templates of earlier versions
// have none.
func TestConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		old := w.healthy(w.launch("old").ID)
		withConnections := echoTemplate + `
connections:
  - name: url
    value: tcp://:${credential.password}@${host}:${port.main}/${service.name}
  - name: env
    value: |-
      export SECRET='${credential.password}'
      export ID=${service.id}
`
		if err := os.WriteFile(filepath.Join(w.dir, "templates", "echo.yaml"), []byte(withConnections), 0o600); err != nil {
			t.Fatal(err)
		}
		w.restart()
		if got, err := w.Connections(t.Context(), old.ID); err != nil || len(got) != 0 {
			t.Errorf("the earlier service: %v, %v", got, err)
		}

		s := w.healthy(w.launch("new").ID)
		credentials, err := w.Reveal(t.Context(), s.ID)
		if err != nil {
			t.Fatal(err)
		}
		password := credentials[0].Value
		want := []catalog.ConnectionString{
			{Name: "url", Value: fmt.Sprintf("tcp://:%s@127.0.0.1:%d/new", password, s.Ports["main"])},
			{Name: "env", Value: fmt.Sprintf("export SECRET='%s'\nexport ID=%s", password, s.ID)},
		}
		if got, err := w.Connections(t.Context(), s.ID); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
		if url := w.Endpoint(s); strings.Contains(url, password) {
			t.Errorf("the endpoint is %s", url)
		}
		_, err = w.Connections(t.Context(), "no")
		wantCode(t, err, orchestrator.NotFound, "no service")
	})
}
