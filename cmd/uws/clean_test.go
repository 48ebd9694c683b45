package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// Commands escape terminal control characters in data that others supplied.
func TestTerminalsAreSafe(t *testing.T) {
	dir := newStore(t)
	const hostile = "x\u009b2J\u202egnp\x1b[31m\u2066"
	st, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	k, err := auth.Open(t.Context(), auth.Options{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.SignIn(t.Context(), hostile, "192.0.2.1\u009b", hostile); err == nil {
		t.Fatal("signed in")
	}
	k.Refused(t.Context(), "192.0.2.1", auth.HTTP, hostile, errors.New(hostile))
	err = st.Write.Token.Create().SetID("t1").SetHash(make([]byte, 32)).SetName(hostile). // created before names were checked
												SetRole("VIEWER").SetCreatedAt(time.Now()).SetCreatedBy(hostile).Exec(t.Context())
	if err := errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"audit"}, {"token", "list"}, {"token", "revoke", hostile}, {"token", "create", "--name", hostile, "--role", "VIEWER"}, {"login-link", "--name", hostile}} {
		_, stdout, stderr := call(t, append(args, "--data-dir", dir)...)
		if out := stdout + stderr; out == "" || strings.ContainsAny(out, "\u009b\u202e\x1b\u2066") {
			t.Errorf("%q prints %q", args, out)
		}
	}
}

func TestLogsAreClean(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out strings.Builder
		log := logFlags{LogLevel: "info", LogFormat: format}.logger(&out)
		log.With("with", "tcp://u:PLANTED@h").Info("node tcp://u:PLANTED@h\u009b\u202e", "endpoint", "tcp://u:PLANTED@h", "error", errors.New("dial tcp://u:PLANTED@h\x1b"))
		if got := out.String(); strings.Contains(got, "PLANTED") || strings.Count(got, "tcp://***@h") != 4 || strings.ContainsAny(got, "\u009b\u202e\x1b") {
			t.Errorf("%s: got %q", format, got)
		}
	}
}
