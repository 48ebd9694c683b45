package credentials

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/unicorn-web-services/uws/orchestrator/probe"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

const oldSecret, newSecret = "the-0ld-s3cret", "the-n3w-s3cret"

// badServer serves each connection until the test ends, and returns a target there.
func badServer(t *testing.T, serve func(net.Conn)) probe.Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return probe.Target{Address: l.Addr().String(), Public: []string{"user", "database"},
		Credentials: map[string]string{"user": "uws", "password": oldSecret, "database": "shop"}}
}

// postgresSaying answers the startup with some messages, and each query with the others. heard gets what was sent.
func postgresSaying(heard func(pgproto3.FrontendMessage), startup, query []pgproto3.BackendMessage) func(net.Conn) {
	return func(c net.Conn) {
		b := pgproto3.NewBackend(c, c)
		if _, err := b.ReceiveStartupMessage(); err != nil {
			return
		}
		for answer := startup; ; answer = query {
			for _, m := range answer {
				b.Send(m)
			}
			if b.Flush() != nil {
				return
			}
			_ = b.SetAuthType(pgproto3.AuthTypeCleartextPassword) // as which the next message is read
			m, err := b.Receive()
			if err != nil {
				return
			}
			heard(m)
		}
	}
}

const (
	patient = 20 * time.Second       // for what comes soon
	hasty   = 300 * time.Millisecond // for what never comes
)

func silent(c net.Conn) { _, _ = c.Read(make([]byte, 1<<16)); _, _ = c.Read(make([]byte, 1<<16)) }

// A change that the engine refuses is told from one that it did not answer, and no error holds a secret.
func TestChangeErrors(t *testing.T) {
	ignore := func(pgproto3.FrontendMessage) {}
	letIn := []pgproto3.BackendMessage{&pgproto3.AuthenticationOk{}, &pgproto3.ReadyForQuery{TxStatus: 'I'}}
	fails := func(code string) []pgproto3.BackendMessage {
		return []pgproto3.BackendMessage{&pgproto3.ErrorResponse{Severity: "ERROR", Code: code, Message: "no " + oldSecret + " " + newSecret}, &pgproto3.ReadyForQuery{TxStatus: 'I'}}
	}
	for _, tt := range []struct {
		name, engine string
		serve        func(net.Conn)
		timeout      time.Duration
		refused      bool
		text         string
	}{
		{"refuses the login", "postgres", postgresSaying(ignore, fails(pgInvalidPassword), nil), patient, true, "no *** *** (28P01)"},
		{"refuses the change", "postgres", postgresSaying(ignore, letIn, fails("42501")), patient, true, "no *** *** (42501)"},
		{"closes", "postgres", func(net.Conn) {}, patient, false, "no answer: "},
		{"silent", "postgres", silent, hasty, false, "no complete answer in time"},
		{"silent after the login", "postgres", postgresSaying(ignore, letIn, nil), hasty, false, "no complete answer in time"},
		{"wants the password itself", "postgres", postgresSaying(func(m pgproto3.FrontendMessage) {
			t.Errorf("it got %T", m)
		}, []pgproto3.BackendMessage{&pgproto3.AuthenticationCleartextPassword{}}, nil), patient, false, "no answer: "},
		{"another protocol", "postgres", func(c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-" + oldSecret + "\r\n")); silent(c) }, patient, false, "no "},
		{"closes", "mongodb", func(net.Conn) {}, hasty, false, "no "},
		{"silent", "mongodb", silent, hasty, false, "no complete answer in time"},
		{"another protocol", "mongodb", func(c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-" + oldSecret + "\r\n")); silent(c) }, hasty, false, "no "},
	} {
		t.Run(tt.engine+" "+tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
			defer cancel()
			change, _ := lookupChange(tt.engine)
			start := time.Now()
			err := change(ctx, badServer(t, tt.serve), map[string]string{"password": newSecret})
			if err == nil {
				t.Fatal("it was done")
			}
			if took := time.Since(start); took > patient/2 {
				t.Errorf("it took %s", took)
			}
			if _, refused := errors.AsType[*refusedError](err); refused != tt.refused {
				t.Errorf("%T; refused should be %t", err, tt.refused)
			}
			if !strings.HasPrefix(err.Error(), tt.text) || strings.Contains(err.Error(), oldSecret) || strings.Contains(err.Error(), newSecret) {
				t.Errorf("%q, want %q and no secret", err, tt.text)
			}
		})
	}
}

// MongoDB's own no is one too: here to a password that somebody else changed.
func TestChangeRefusedByMongoDB(t *testing.T) {
	program, dir := filepath.Join(uwstest.EnginesFolder(t), "ferretdb-1.24.0/ferretdb"), t.TempDir()
	if _, err := os.Stat(program); err != nil && os.Getenv("UWS_TEST_ENGINES") == "" {
		t.Skipf("SKIPPED, CHANGES ARE NOT TESTED AGAINST THE REAL ENGINE: %v (make engines builds it)", err)
	}
	target := badServer(t, silent)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target.Address = l.Addr().String()
	_ = l.Close()
	cmd := exec.Command(program)
	cmd.Env = []string{"FERRETDB_HANDLER=sqlite", "FERRETDB_SQLITE_URL=file:" + dir + "/", "FERRETDB_STATE_DIR=" + dir, "FERRETDB_LISTEN_ADDR=" + target.Address,
		"FERRETDB_DEBUG_ADDR=-", "FERRETDB_LOG_LEVEL=WARN", "FERRETDB_TELEMETRY=disable", "FERRETDB_TEST_ENABLE_NEW_AUTH=true",
		"FERRETDB_SETUP_DATABASE=admin", "FERRETDB_SETUP_USERNAME=uws", "FERRETDB_SETUP_PASSWORD=" + oldSecret}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	for probe.MongoDB(ctx, target).Verdict != probe.OK {
		if ctx.Err() != nil {
			t.Fatal("it does not come up")
		}
	}
	if err := changeMongoDB(ctx, target, map[string]string{"password": newSecret}); err != nil {
		t.Fatal(err)
	}
	err = changeMongoDB(ctx, target, map[string]string{"password": "an0ther-s3cret"})
	if _, refused := errors.AsType[*refusedError](err); !refused || !strings.Contains(err.Error(), "AuthenticationFailed") {
		t.Errorf("%T %v", err, err)
	}
	target.Credentials["password"] = newSecret
	if err := changeMongoDB(ctx, target, map[string]string{"password": newSecret}); err != nil {
		t.Errorf("with the right password: %v", err)
	}
	cut := badServer(t, func(c net.Conn) { // by the network, when the change is on its way
		engine, err := target.Dial(ctx)
		if err != nil {
			return
		}
		defer engine.Close()
		go func() { _, _ = io.Copy(c, engine) }()
		sent := make([]byte, 4096)
		for {
			n, err := c.Read(sent)
			if err != nil || bytes.Contains(sent[:n], []byte("updateUser")) {
				return
			}
			_, _ = engine.Write(sent[:n])
		}
	})
	cut.Credentials = target.Credentials
	err = changeMongoDB(ctx, cut, map[string]string{"password": newSecret})
	if _, refused := errors.AsType[*refusedError](err); refused || err == nil || !strings.HasPrefix(err.Error(), "no answer: ") {
		t.Errorf("%T %v", err, err)
	}
}

// PostgreSQL may log its statements: they hold what it keeps of a password, for the user and for uws's own role.
func TestChangeSendsNoPassword(t *testing.T) {
	heard := make(chan string, 10)
	target := badServer(t, postgresSaying(func(m pgproto3.FrontendMessage) {
		if q, ok := m.(*pgproto3.Query); ok {
			heard <- q.String
		}
	}, []pgproto3.BackendMessage{&pgproto3.AuthenticationOk{}, &pgproto3.ReadyForQuery{TxStatus: 'I'}},
		[]pgproto3.BackendMessage{&pgproto3.CommandComplete{CommandTag: []byte("ALTER ROLE")}, &pgproto3.ReadyForQuery{TxStatus: 'I'}}))
	target.Credentials["adminUser"], target.Credentials["adminPassword"] = "uws_admin", "an0ther-s3cret"
	if err := changePostgres(t.Context(), target, map[string]string{"password": newSecret, "adminPassword": newSecret}); err != nil {
		t.Fatal(err)
	}
	got := <-heard
	if strings.Contains(got, newSecret) || strings.Count(got, "PASSWORD 'SCRAM-SHA-256$4096:") != 2 ||
		!strings.Contains(got, `ALTER ROLE "uws" `) || !strings.Contains(got, `ALTER ROLE "uws_admin" `) {
		t.Error(got)
	}
}
