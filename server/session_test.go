package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/server"
)

// keyIn returns the page's half of the session secret in a response.
func keyIn(t *testing.T, response *http.Response) string {
	t.Helper()
	var in struct{ SessionKey string }
	if err := json.NewDecoder(response.Body).Decode(&in); err != nil || in.SessionKey == "" {
		t.Fatalf("no session key: %v", err)
	}
	return in.SessionKey
}

// signIn creates a session and returns its Cookie header and its key.
func signIn(t *testing.T, url, secret string) (cookie, key string) {
	t.Helper()
	response := postJSON(t, http.DefaultClient, url+"/auth/sign-in", `{"secret":"`+secret+`"}`)
	if response.StatusCode != http.StatusOK || len(response.Cookies()) != 1 {
		t.Fatalf("got %s", response.Status)
	}
	return response.Cookies()[0].Name + "=" + response.Cookies()[0].Value, keyIn(t, response)
}

// Browsers send cookies to every port of a host, so neither half of a session secret authenticates by itself.
func TestHalfASessionIsNothing(t *testing.T) {
	opts := options(newFake())
	opts.Access = newAuth(t, auth.Options{Rates: many})
	url, token := serveLocked(t, opts), tokenOf(t, opts.Access, auth.Admin)
	cookie, key := signIn(t, url, token)
	otherCookie, otherKey := signIn(t, url, token)
	name, value, _ := strings.Cut(cookie, "=")
	for what, header := range map[string]http.Header{
		"the cookie alone":               {"Cookie": {cookie}},
		"the key alone":                  {"Uws-Session-Key": {key}},
		"the key of another session":     {"Cookie": {cookie}, "Uws-Session-Key": {otherKey}},
		"the cookie of another session":  {"Cookie": {otherCookie}, "Uws-Session-Key": {key}},
		"the cookie twice":               {"Cookie": {cookie}, "Uws-Session-Key": {value}},
		"the cookie as a token":          {"Authorization": {"Bearer " + value}},
		"both halves as a token":         {"Authorization": {"Bearer " + value + " " + key}},
		"a token as the cookie":          {"Cookie": {name + "=" + token}},
		"a token as both":                {"Cookie": {name + "=" + token}, "Uws-Session-Key": {token}},
		"a token as the key":             {"Cookie": {cookie}, "Uws-Session-Key": {token}},
		"the key as a cookie of its own": {"Cookie": {cookie + "; Uws-Session-Key=" + key}},
	} {
		if got := request(t, http.MethodPost, url+"/graphql", whoAmI, header).StatusCode; got != http.StatusUnauthorized {
			t.Errorf("%s: POST /graphql answers %d", what, got)
		}
		if got := request(t, http.MethodGet, url+"/audit.jsonl", "", header).StatusCode; got != http.StatusUnauthorized {
			t.Errorf("%s: GET /audit.jsonl answers %d", what, got)
		}
		s := dialWith(t, url, header)
		s.say(`{"type":"connection_init"}`)
		s.expectClose(4403)
	}
	only := http.Header{"Cookie": {cookie}}
	for _, query := range []string{"Uws-Session-Key", "uws-session-key", "sessionKey", "key", "access_token"} {
		if got := request(t, http.MethodGet, url+"/audit.jsonl?"+query+"="+key, "", only).StatusCode; got != http.StatusUnauthorized {
			t.Errorf("the key in the query string as %s: got %d", query, got)
		}
	}
	both := http.Header{"Cookie": {cookie}, "Uws-Session-Key": {key}}
	if got := request(t, http.MethodGet, url+"/audit.jsonl", "", both).StatusCode; got != http.StatusOK {
		t.Errorf("both halves: got %d", got)
	}
}

// With TLS the name of the cookie restricts it to this host and to TLS. Later requests may come through a proxy that
// hides that there is TLS.
func TestCookieNameWithTLS(t *testing.T) {
	opts := options(newFake())
	opts.Access = newAuth(t, auth.Options{})
	origin, err := server.ParsePublicURL("https://uws.example")
	if err != nil {
		t.Fatal(err)
	}
	opts.PublicURLs = []server.Origin{origin}
	url, token := serveLocked(t, opts), tokenOf(t, opts.Access, auth.Admin)
	header := http.Header{"Content-Type": {"application/json"}}
	response := sendAs(t, http.MethodPost, url+"/auth/sign-in", "uws.example", header, `{"secret":"`+token+`"}`)
	cookies, key := response.Cookies(), keyIn(t, response)
	if len(cookies) != 1 || !strings.HasPrefix(cookies[0].Name, "__Host-uws_") || !cookies[0].Secure || cookies[0].Path != "/" || cookies[0].Domain != "" {
		t.Fatalf("the cookie is %v", cookies)
	}
	for _, host := range []string{"uws.example", strings.TrimPrefix(url, "http://")} {
		both := http.Header{"Cookie": {cookies[0].Name + "=" + cookies[0].Value}, "Uws-Session-Key": {key}}
		if got := sendAs(t, http.MethodGet, url+"/audit.jsonl", host, both, "").StatusCode; got != http.StatusOK {
			t.Errorf("Host %s: got %d", host, got)
		}
	}
	plain := strings.TrimPrefix(cookies[0].Name, "__Host-")
	both := http.Header{"Cookie": {plain + "=" + cookies[0].Value}, "Uws-Session-Key": {key}}
	if got := sendAs(t, http.MethodGet, url+"/audit.jsonl", "uws.example", both, "").StatusCode; got != http.StatusUnauthorized {
		t.Errorf("with TLS the cookie of plain HTTP is taken: got %d", got)
	}
}
