package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// database connects to a database service.
func database(t *testing.T, p *uwstest.Process, s *uwstest.Service) (db *pgx.Conn, password string) {
	t.Helper()
	password = reveal(t, p, s.ID)["password"]
	db, err := pgx.Connect(t.Context(), strings.Replace(s.Endpoint, "postgres://", "postgres://uws:"+url.QueryEscape(password)+"@", 1)+"?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.WithoutCancel(t.Context())) })
	return db, password
}

// say has PostgreSQL write numbered warnings to its log.
func say(t *testing.T, db *pgx.Conn, from, to int) {
	t.Helper()
	if _, err := db.Exec(t.Context(), fmt.Sprintf(`DO $$ BEGIN FOR i IN %d..%d LOOP RAISE WARNING 'number %%', i; END LOOP; END $$`, from, to-1)); err != nil {
		t.Fatal(err)
	}
}

// numbers waits until a log ends with a number, and returns the numbers in it.
func numbers(t *testing.T, p *uwstest.Process, id string, last int) (all []int) {
	t.Helper()
	err := uwstest.Until(t.Context(), fmt.Sprintf("the log has number %d", last), func() (bool, error) {
		lines, err := stories.Log(t.Context(), p, id)
		all = nil
		for _, line := range lines {
			if _, text, ok := strings.Cut(line.Text, "WARNING:  number "); ok {
				var n int
				if _, err := fmt.Sscan(text, &n); err != nil {
					return false, err
				}
				all = append(all, n)
				if line.Level != "WARNING" || line.Stream != "STDERR" {
					t.Errorf("the line %+v is no warning", line)
				}
			}
		}
		return len(all) > 0 && all[len(all)-1] == last, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Each line of a database is in its log once and in order, although uws is killed while it is written, and it keeps writing while uws
// is away.
func TestLogsOutliveACrash(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	s := launch(t, p, "DB", "accounts", nil)
	db, _ := database(t, p, s)
	n := 0
	for range 3 {
		say(t, db, n, n+2000)
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		say(t, db, n+2000, n+2500)
		n += 2500
		p = serve(t, dir)
		s = healthy(t, p, s.ID, 0)
	}
	for i, got := range numbers(t, p, s.ID, n-1) {
		if got != i {
			t.Fatalf("the number %d is at place %d", got, i)
		}
	}
}

// Whatever form a database prints its password in, no way out of uws has it.
func TestLogsWithoutCredentials(t *testing.T) {
	p := serve(t, folder(t))
	s := launch(t, p, "DB", "accounts", nil)
	db, password := database(t, p, s)
	basic := base64.StdEncoding.EncodeToString([]byte("uws:" + password))
	for i, planted := range []string{password, url.QueryEscape("a b:" + password), basic, base64.RawURLEncoding.EncodeToString([]byte(password)), fmt.Sprintf("%x", password)} {
		if _, err := db.Exec(t.Context(), fmt.Sprintf("SELECT 'planted %d %s' FROM nowhere", i, planted)); err == nil {
			t.Fatal("there is a table nowhere")
		}
	}
	var text string
	err := uwstest.Until(t.Context(), "all statements are logged", func() (_ bool, err error) {
		text, err = stories.LogText(t.Context(), p, s.ID, "tail=all")
		return strings.Contains(text, "planted 4"), err
	})
	if err != nil {
		t.Fatal(err)
	}
	kill(t, enginePID(t, s.ID), syscall.SIGKILL)
	healthy(t, p, s.ID, 1)
	var out struct {
		Events struct {
			Nodes []struct{ LogTail []stories.LogLine }
		}
	}
	if err := p.Query(t.Context(), `query($id: ID!) { events(filter: {serviceId: $id}) { nodes { logTail { text } } } }`, map[string]any{"id": s.ID}, &out); err != nil {
		t.Fatal(err)
	}
	tail := fmt.Sprint(out)
	if !strings.Contains(tail, "planted 4") {
		t.Errorf("the log of the crash lacks what the database wrote last: %s", tail)
	}
	for _, shown := range []string{text, tail} {
		for _, form := range []string{password, basic, base64.RawURLEncoding.EncodeToString([]byte(password)), fmt.Sprintf("%x", password)} {
			if strings.Contains(shown, form) {
				t.Errorf("it shows %.6s…", form)
			}
		}
		if strings.Count(shown, "***") < 5 {
			t.Errorf("five passwords were planted, and it has\n%s", shown)
		}
	}
	errors, err := stories.LogText(t.Context(), p, s.ID, "level=error&tail=all")
	if err != nil || !strings.Contains(errors, "planted 0") || strings.Contains(errors, " LOG: ") {
		t.Errorf("the errors alone, with their statements: %s (%v)", errors, err)
	}
}

// Following a log over curl goes on over a restart of the engine.
func TestLogsFollowed(t *testing.T) {
	p := serve(t, folder(t))
	s := launch(t, p, "QUEUE", "jobs", nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lines := make(chan string, 1000)
	done := make(chan error, 1)
	go func() { done <- stories.FollowLog(ctx, p, s.ID, func(line string) { lines <- line }) }()
	until := func(what string) {
		t.Helper()
		for {
			select {
			case line := <-lines:
				if strings.Contains(line, what) {
					return
				}
			case err := <-done:
				t.Fatalf("it ended before %q: %v", what, err)
			}
		}
	}
	until("Server is ready")
	kill(t, enginePID(t, s.ID), syscall.SIGKILL)
	until("Server is ready")
	healthy(t, p, s.ID, 1)
	stories.Remove(t, p, s.ID, "DELETE")
	if err := <-done; err != nil {
		t.Errorf("when the service is removed it ends with %v", err)
	}
}
