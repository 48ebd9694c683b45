package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tailscale/setec/audit"
	"github.com/tailscale/setec/client/setec"
	"github.com/tailscale/setec/types/api"
)

const (
	token = "t0kent0kent0kent0ken"
	key   = "k3yk3yk3yk3yk3yk3yk3y"
)

func serve(t *testing.T, path, key string) *httptest.Server {
	t.Helper()
	v, err := newVault(path, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(newHandler(v, token))
	t.Cleanup(s.Close)
	return s
}

// client returns the standard client with an HTTP client that adds a token.
func client(s *httptest.Server, token string) setec.Client {
	return setec.Client{Server: s.URL, DoHTTP: func(r *http.Request) (*http.Response, error) {
		r.Header.Set("Authorization", "Bearer "+token)
		return s.Client().Do(r)
	}}
}

func TestStockClient(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets.db")
	c := client(serve(t, path, key), token)
	version, err := c.Put(t.Context(), "team/db", []byte("hunter22"))
	if err != nil || version != 1 {
		t.Fatalf("put: version %v, %v", version, err)
	}
	if version, err = c.Put(t.Context(), "team/db", []byte("hunter33")); err != nil || version != 2 {
		t.Fatalf("put: version %v, %v", version, err)
	}
	if err := c.Activate(t.Context(), "team/db", 2); err != nil {
		t.Fatal(err)
	}
	again := client(serve(t, path, key), token) // as after a restart
	got, err := again.Get(t.Context(), "team/db")
	if err != nil || string(got.Value) != "hunter33" {
		t.Errorf("got %+v, %v", got, err)
	}
	all, err := again.List(t.Context())
	if err != nil || len(all) != 2 || all[0].Name != "team/db" || all[1].Name != canary {
		t.Errorf("listed %+v, %v", all, err)
	}
	if err := again.Delete(t.Context(), "team/db"); err != nil {
		t.Error(err)
	}
	stored, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(stored), "hunter") || strings.Contains(string(stored), "team") {
		t.Errorf("the file is not encrypted: %v", err)
	}
}

func TestWithoutToken(t *testing.T) {
	s := serve(t, filepath.Join(t.TempDir(), "secrets.db"), key)
	for _, wrong := range []string{"", "x", token + "x", token[:len(token)-1]} {
		if _, err := client(s, wrong).Get(t.Context(), canary); err == nil || errors.Is(err, api.ErrNotFound) {
			t.Errorf("the token %q: %v", wrong, err)
		}
	}
	for path, want := range map[string]int{"/": 401, "/static/x": 401, "/api/list": 401, "/healthz": 200} {
		if got := status(t, s.URL+path); got != want {
			t.Errorf("%s without a token: %d", path, got)
		}
	}
}

// A wrong key opens nothing and changes nothing. With the right key everything is as before.
func TestSealed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets.db")
	c := client(serve(t, path, key), token)
	if _, err := c.Put(t.Context(), "a", []byte("b")); err != nil {
		t.Fatal(err)
	}
	other := serve(t, path, strings.Repeat("x", 20))
	if _, err := client(other, token).Get(t.Context(), canary); err == nil || !strings.Contains(err.Error(), "sealed") {
		t.Errorf("with another key: %v", err)
	}
	if got := status(t, other.URL+"/healthz"); got != http.StatusServiceUnavailable {
		t.Errorf("/healthz says %d", got)
	}
	if got, err := client(serve(t, path, key), token).Get(t.Context(), "a"); err != nil || string(got.Value) != "b" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A deleted canary is recreated at the next start.
func TestCanary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets.db")
	c := client(serve(t, path, key), token)
	if err := c.Delete(t.Context(), canary); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), canary); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	if _, err := client(serve(t, path, key), token).Get(t.Context(), canary); err != nil {
		t.Error(err)
	}
}

func TestAuditLeavesOutTheProbe(t *testing.T) {
	var out strings.Builder
	w := audit.New(&auditLog{out: &out})
	for _, e := range []audit.Entry{{Action: "get", Secret: canary}, {Action: "get", Secret: "mine"}, {Action: "delete", Secret: canary}} {
		if err := w.WriteEntries(&e); err != nil {
			t.Fatal(err)
		}
	}
	if got := out.String(); strings.Count(got, "\n") != 2 || strings.Count(got, canary) != 1 || !strings.Contains(got, `"mine"`) {
		t.Errorf("wrote %s", got)
	}
}

func TestRunRefuses(t *testing.T) {
	for _, c := range [][3]string{{"", token, key}, {t.TempDir(), "short", key}, {t.TempDir(), token, ""}} {
		if err := run("127.0.0.1:0", c[0], c[1], c[2]); err == nil {
			t.Errorf("%q was accepted", c)
		}
	}
}

func status(t *testing.T, url string) int {
	t.Helper()
	q, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	_, _ = io.Copy(io.Discard, r.Body)
	return r.StatusCode
}
