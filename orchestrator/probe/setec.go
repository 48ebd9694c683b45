package probe

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// setecCanary is a secret that uws's setec creates when it starts.
const setecCanary = "uws/canary"

// Setec reads the canary with the credential token. A refusal in setec's format is Alive, with its text. Everything
// else is Dead.
func Setec(ctx context.Context, t Target) Result {
	a, failed := setecCall(ctx, t, "get", `{"Name":"`+setecCanary+`"}`)
	if a == nil {
		return failed
	}
	if a.status == http.StatusOK {
		var secret struct {
			Value   []byte
			Version uint32
		}
		if err := json.Unmarshal(a.body, &secret); err == nil && len(secret.Value) > 0 && secret.Version > 0 {
			r := ok(t, "read the secret %s", setecCanary)
			if t.Stats {
				r.Stats = setecStats(ctx, t)
			}
			return r
		}
	}
	switch said := strings.TrimSpace(string(a.body)); {
	case a.status == http.StatusUnauthorized && said == "unauthorized":
		return refusal{"refuses our token", true}.alive(t)
	case a.status == http.StatusServiceUnavailable && said == "sealed":
		return alive(t, "is sealed: its key does not open the secrets")
	case a.status == http.StatusNotFound && said == "not found":
		return alive(t, "does not have the secret %s any more; restart the service to recreate it", setecCanary)
	case a.status == http.StatusForbidden && said == "access denied":
		return alive(t, "refuses us: %s", a.words())
	case a.status == http.StatusInternalServerError && (said == "internal error" || said == "unable to identify caller"):
		return alive(t, "answers with an error: %s", a.words())
	}
	return dead(t, "answered something that is not setec: %s, %s", a.words(), quote(t, a.body))
}

// setecCall calls a method of the API. If there is no answer, the result says why.
func setecCall(ctx context.Context, t Target, method, body string) (*httpAnswer, Result) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+t.Address+"/api/"+method, strings.NewReader(body))
	if err != nil {
		return nil, notAsked(t, "the address is not right")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Sec-X-Tailscale-No-Browsers", "setec")
	request.Header.Set("Authorization", "Bearer "+t.Credentials["token"])
	return exchange(ctx, t, request, "setec")
}

// setecStats counts the secrets of users; nothing if that fails, takes too long, or the list of their names is longer than 64 KiB.
func setecStats(ctx context.Context, t Target) []Stat {
	ctx, cancel := context.WithTimeout(ctx, statsPatience)
	defer cancel()
	a, _ := setecCall(ctx, t, "list", "{}")
	var secrets []struct{ Name string }
	if a == nil || a.status != http.StatusOK || json.Unmarshal(a.body, &secrets) != nil {
		return nil
	}
	secrets = slices.DeleteFunc(secrets, func(s struct{ Name string }) bool { return s.Name == setecCanary })
	return []Stat{{"secrets", StatCount, float64(len(secrets))}}
}
