package probe

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
)

// setecCanary is a secret that uws's setec creates when it starts.
const setecCanary = "uws/canary"

// Setec reads the canary with the credential token. A refusal in setec's format is Alive, with its text. Everything
// else is Dead.
func Setec(ctx context.Context, t Target) Result {
	body := strings.NewReader(`{"Name":"` + setecCanary + `"}`)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+t.Address+"/api/get", body)
	if err != nil {
		return notAsked(t, "the address is not right")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Sec-X-Tailscale-No-Browsers", "setec")
	request.Header.Set("Authorization", "Bearer "+t.Credentials["token"])
	a, failed := exchange(ctx, t, request, "setec")
	if a == nil {
		return failed
	}
	if a.status == http.StatusOK {
		var secret struct {
			Value   []byte
			Version uint32
		}
		if err := json.Unmarshal(a.body, &secret); err == nil && len(secret.Value) > 0 && secret.Version > 0 {
			return ok(t, "read the secret %s", setecCanary)
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
