package probe

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// OpenBao requests the server's health, and then logs in with the credentials probeUser and probePassword, which reads
// from the unsealed storage. A standby, a sealed or uninitialised server, and a refusal are Alive, with that state. An
// answer that is not OpenBao's is Dead.
func OpenBao(ctx context.Context, t Target) Result {
	if r, ready := baoHealth(ctx, t); !ready {
		return r
	}
	return baoLogin(ctx, t)
}

// baoHealth returns a result if the server is not ready.
func baoHealth(ctx context.Context, t Target) (r Result, ready bool) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.Address+"/v1/sys/health", nil)
	if err != nil {
		return notAsked(t, "the address is not right"), false
	}
	a, failed := exchange(ctx, t, request, "OpenBao")
	if a == nil {
		return failed, false
	}
	var health struct{ Initialized, Sealed *bool }
	if err := json.Unmarshal(a.body, &health); err == nil && health.Initialized != nil && health.Sealed != nil {
		switch a.status {
		case http.StatusOK:
			return Result{}, true
		case http.StatusTooManyRequests, 472, 473:
			return alive(t, "is a standby: it waits for its turn to serve"), false
		case http.StatusNotImplemented:
			return alive(t, "is not initialised"), false
		case http.StatusServiceUnavailable:
			return alive(t, "is sealed: its key does not open the secrets"), false
		}
	}
	if refusal, ok := baoErrors(a); ok {
		return alive(t, "answers with an error: %s, %s", a.words(), refusal), false
	}
	return dead(t, "answered something that is not OpenBao: %s, %s", a.words(), quote(t, a.body)), false
}

func baoLogin(ctx context.Context, t Target) Result {
	body, err := json.Marshal(map[string]string{"password": t.Credentials["probePassword"]})
	if err != nil {
		return notAsked(t, "the password is not right")
	}
	address := "http://" + t.Address + "/v1/auth/userpass/login/" + url.PathEscape(t.Credentials["probeUser"])
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(string(body)))
	if err != nil {
		return notAsked(t, "the address is not right")
	}
	request.Header.Set("Content-Type", "application/json")
	a, failed := exchange(ctx, t, request, "OpenBao")
	if a == nil {
		return failed
	}
	if a.status == http.StatusOK {
		var login struct {
			Auth struct {
				Token string `json:"client_token"`
			}
		}
		if err := json.Unmarshal(a.body, &login); err == nil && login.Auth.Token != "" {
			return ok(t, "is unsealed, and logged in")
		}
	}
	why, said := baoErrors(a)
	switch {
	case !said:
		return dead(t, "answered something that is not OpenBao: %s, %s", a.words(), quoteBaoLogin(t, a))
	case a.status == http.StatusBadRequest || a.status == http.StatusForbidden:
		return refusal{"refuses our login: " + why, true}.alive(t)
	case a.status == http.StatusNotFound:
		return alive(t, "knows no logins with a password: its first start did not finish (%s)", why)
	}
	return alive(t, "answers with an error: %s, %s", a.words(), why)
}

// quoteBaoLogin quotes an answer to a login, unless it could contain a token.
func quoteBaoLogin(t Target, a *httpAnswer) string {
	if a.status == http.StatusOK {
		return "without a token"
	}
	return quote(t, a.body)
}

// baoErrors returns the error messages in an answer in OpenBao's format.
func baoErrors(a *httpAnswer) (words string, ok bool) {
	var refusal struct{ Errors *[]string }
	if a.status < 400 || json.Unmarshal(a.body, &refusal) != nil || refusal.Errors == nil {
		return "", false
	}
	if len(*refusal.Errors) == 0 {
		return "without a reason", true
	}
	return strings.Join(*refusal.Errors, ", "), true
}
