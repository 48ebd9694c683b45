package probe

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// fakeBao answers as OpenBao's API documentation describes, because the real server cannot be downloaded in the
// development environment. Its zero value answers like a healthy server.
type fakeBao struct {
	health, login       int    // statuses
	healthBody, refusal string // replace those of a healthy server
	user, password      string
}

func (f fakeBao) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/v1/sys/health":
		w.WriteHeader(max(f.health, 200))
		body := f.healthBody
		if body == "" {
			body = fmt.Sprintf(`{"initialized":%t,"sealed":%t,"standby":%t,"version":"2.5.0"}`, f.health != 501, f.health == 501 || f.health == 503, f.health == 429)
		}
		_, _ = io.WriteString(w, body)
	case r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/v1/auth/userpass/login/"):
		f.answerLogin(w, r)
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errors":[]}`)
	}
}

func (f fakeBao) answerLogin(w http.ResponseWriter, r *http.Request) {
	var in struct{ Password string }
	err := json.NewDecoder(r.Body).Decode(&in)
	switch {
	case f.login != 0:
		w.WriteHeader(f.login)
		_, _ = io.WriteString(w, f.refusal)
	case err != nil || in.Password != f.password || r.URL.Path != "/v1/auth/userpass/login/"+f.user:
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"errors":["invalid username or password"]}`)
	default:
		_, _ = io.WriteString(w, `{"auth":{"client_token":"b.AAAAAQ","token_type":"batch","policies":["uws-probe"]},"data":null}`)
	}
}

func TestOpenBao(t *testing.T) {
	const user, password = "uws-probe", "pr0be\"pr0be\\pr0be"
	credentials := map[string]string{"probeUser": user, "probePassword": password}
	for _, tt := range []struct {
		name    string
		server  fakeBao
		change  map[string]string // in the credentials
		verdict Verdict
		detail  string // exact, or a prefix
	}{
		{"well", fakeBao{}, nil, OK, "is unsealed, and logged in"},
		{"wrong password", fakeBao{}, map[string]string{"probePassword": "another-password"}, Alive, "refuses our login: invalid username or password"},
		{"no password", fakeBao{}, map[string]string{"probePassword": ""}, Alive, "refuses our login: invalid username or password"},
		{"hostile user", fakeBao{}, map[string]string{"probeUser": "a/../b?c#d"}, Alive, "refuses our login: invalid username or password"},
		{"standby", fakeBao{health: 429}, nil, Alive, "is a standby: it waits for its turn to serve"},
		{"secondary", fakeBao{health: 472}, nil, Alive, "is a standby"},
		{"performance standby", fakeBao{health: 473}, nil, Alive, "is a standby"},
		{"not initialised", fakeBao{health: 501}, nil, Alive, "is not initialised"},
		{"sealed", fakeBao{health: 503}, nil, Alive, "is sealed: its key does not open the secrets"},
		{"an error", fakeBao{health: 500, healthBody: `{"errors":["internal error"]}`}, nil, Alive, "answers with an error: 500 Internal Server Error, internal error"},
		{"another status", fakeBao{health: 299}, nil, Dead, "answered something that is not OpenBao: 299"},
		{"something else", fakeBao{healthBody: `{"ok":true}`}, nil, Dead, `answered something that is not OpenBao: 200 OK, "{"ok":true}"`},
		{"no JSON", fakeBao{health: 503, healthBody: "<html>"}, nil, Dead, `answered something that is not OpenBao: 503 Service Unavailable, "<html>"`},
		{"locked out", fakeBao{login: 403, refusal: `{"errors":["permission denied"]}`}, nil, Alive, "refuses our login: permission denied"},
		{"no logins", fakeBao{login: 404, refusal: `{"errors":["no handler for route"]}`}, nil, Alive, "knows no logins with a password: its first start did not finish (no handler for route)"},
		{"sealed meanwhile", fakeBao{login: 503, refusal: `{"errors":["Vault is sealed"]}`}, nil, Alive, "answers with an error: 503 Service Unavailable, Vault is sealed"},
		{"no reason", fakeBao{login: 500, refusal: `{"errors":[]}`}, nil, Alive, "answers with an error: 500 Internal Server Error, without a reason"},
		{"no token", fakeBao{login: 200, refusal: `{"auth":null,"token":"b.SECRET"}`}, nil, Dead, "answered something that is not OpenBao: 200 OK, without a token"},
		{"echoes the password", fakeBao{login: 400, refusal: `{"errors":["another-password is wrong"]}`}, map[string]string{"probePassword": "another-password"}, Alive, "refuses our login: *** is wrong"},
		{"not its refusal", fakeBao{login: 400, refusal: `<html>`}, nil, Dead, `answered something that is not OpenBao: 400 Bad Request, "<html>"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.server.user, tt.server.password = user, password
			s := httptest.NewServer(tt.server)
			defer s.Close()
			tg := Target{Address: strings.TrimPrefix(s.URL, "http://"), Credentials: maps.Clone(credentials)}
			maps.Copy(tg.Credentials, tt.change)
			r := run(t, "openbao", tg, patient)
			if r.Verdict != tt.verdict || !strings.HasPrefix(r.Detail, tt.detail) || strings.Contains(r.Detail, "SECRET") {
				t.Errorf("got %s, %s; want %s, %s", r.Verdict, r.Detail, tt.verdict, tt.detail)
			}
		})
	}
}
