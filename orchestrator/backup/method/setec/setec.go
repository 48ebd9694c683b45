// Package setec counts the secrets of a setec server.
package setec

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// Method describes setec.
type Method struct {
	// Silence is how long an answer may take; zero: 1 min.
	Silence time.Duration
}

var (
	_ method.Describer = Method{}
	_ method.Checker   = Method{}
)

const (
	maxList = 64 << 20
	canary  = "uws/canary" // is made by uws's setec itself
)

// Describe counts the secrets. Their names and values are not kept.
func (m Method) Describe(ctx context.Context, of method.Instance) (method.Contents, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, cmp.Or(m.Silence, time.Minute), method.ErrSilent)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+of.Address+"/api/list", strings.NewReader("{}"))
	if err != nil {
		return method.Contents{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Sec-X-Tailscale-No-Browsers", "setec")
	request.Header.Set("Authorization", "Bearer "+of.Credentials["token"])
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return method.Contents{}, fmt.Errorf("listing secrets: %w", cmp.Or(context.Cause(ctx), err))
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxList))
	if err != nil {
		return method.Contents{}, fmt.Errorf("listing secrets: %w", cmp.Or(context.Cause(ctx), err))
	}
	if response.StatusCode != http.StatusOK {
		return method.Contents{}, fmt.Errorf("listing secrets: the server answers %s: %.100q", response.Status, text)
	}
	var secrets []struct{ Name string }
	if err := json.Unmarshal(text, &secrets); err != nil {
		return method.Contents{}, fmt.Errorf("listing secrets: %w", err)
	}
	group := method.Group{Kind: method.SecretsAll}
	for _, secret := range secrets {
		if secret.Name != canary {
			group.Count++
		}
	}
	return method.Contents{Groups: []method.Group{group}}, nil
}

// Check counts the secrets again.
func (m Method) Check(ctx context.Context, restored method.Instance, expected method.Saved) (method.Report, error) {
	began := time.Now()
	there, err := m.Describe(ctx, restored)
	if err != nil {
		return method.Report{}, err
	}
	var report method.Report
	for _, want := range expected.Contents.Groups {
		if got := there.Groups[0].Count; got != want.Count {
			report.Fail(fmt.Sprintf("has %d secrets, and %d were saved", got, want.Count))
		}
	}
	report.Add("secrets", there.Groups[0].Count)
	report.Duration = time.Since(began)
	return report, nil
}
