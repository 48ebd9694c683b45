package server

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// oldEndpoints are those of one kind.
type oldEndpoints struct {
	oldKind
	api orchestrator.API
}

// oldService is a service as the old endpoints show it. What is not known yet is null.
type oldService struct {
	ServiceID       string     `json:"service_id"`
	ContainerID     *string    `json:"container_id"` // of the instance that was seen healthy last; opaque
	NodeID          *string    `json:"node_id"`
	IPAddress       *string    `json:"ip_address"`
	Port            *int       `json:"port"`
	Status          string     `json:"status"`
	IsHealthy       bool       `json:"is_healthy"`
	CreatedAt       time.Time  `json:"created_at"`
	LastHealthCheck *time.Time `json:"last_health_check"`
	ServiceURL      *string    `json:"service_url"`
}

// oldHealth is the answer of a health check.
type oldHealth struct {
	ServiceID       string         `json:"service_id"`
	Status          string         `json:"status"`
	IsHealthy       bool           `json:"is_healthy"`
	LastHealthCheck *time.Time     `json:"last_health_check"`
	Probe           *probe.Verdict `json:"probe"` // null: there was nothing to probe
	Reason          string         `json:"reason"`
}

func (e oldEndpoints) launch(w *oldAnswer, r *http.Request) error {
	fields, err := e.fields(w, r, "name", "template", "node_id", "reattach")
	if err != nil {
		return err
	}
	name, given := fields["name"]
	if !given {
		name = e.name + "-" + strings.ToLower(rand.Text()[:12])
	}
	s, err := e.api.Launch(r.Context(), orchestrator.LaunchInput{
		Kind: e.kind, Name: name, Template: fields["template"], NodeID: fields["node_id"], Reattach: fields["reattach"],
	})
	if err != nil {
		return err
	}
	return e.show(w, s)
}

// list streams all services of the kind, a page at a time.
func (e oldEndpoints) list(w *oldAnswer, r *http.Request) error {
	filter := orchestrator.ServiceFilter{Kinds: []catalog.Kind{e.kind}}
	page := orchestrator.Page{First: orchestrator.MaxPage}
	separator := byte('[')
	for {
		list, err := e.api.Services(r.Context(), filter, page)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		for _, s := range list.Items {
			data, err := json.Marshal(e.describe(s))
			if err != nil {
				return err
			}
			out.WriteByte(separator)
			out.Write(data)
			separator = ','
		}
		more := list.More && len(list.Cursors) > 0
		if !more {
			if separator == '[' {
				out.WriteByte('[')
			}
			out.WriteString("]\n")
		}
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write(out.Bytes()); err != nil || !more {
			return nil //nolint:nilerr // a client that is gone is nobody's error
		}
		page.After = list.Cursors[len(list.Cursors)-1]
	}
}

func (e oldEndpoints) get(w *oldAnswer, r *http.Request) error {
	s, err := e.find(r)
	if err != nil {
		return err
	}
	return e.show(w, s)
}

// health probes now, where there is something to probe.
func (e oldEndpoints) health(w *oldAnswer, r *http.Request) error {
	s, err := e.find(r)
	if err != nil {
		return err
	}
	out := oldHealth{Reason: s.Reason}
	checked, result, err := e.api.Check(r.Context(), s.ID)
	switch {
	case err == nil:
		s, out.Probe, out.Reason = checked, &result.Verdict, result.Detail
	case orchestrator.CodeOf(err) != orchestrator.Conflict: // which says that it is stopped, or on no node yet
		return err
	}
	out.ServiceID, out.Status, out.IsHealthy, out.LastHealthCheck = s.ID, oldStatus(s), isHealthy(s), e.lastCheck(s)
	writeJSON(w, http.StatusOK, out)
	return nil
}

// remove keeps the data.
func (e oldEndpoints) remove(w *oldAnswer, r *http.Request) error {
	if _, err := e.fields(w, r); err != nil {
		return err
	}
	s, err := e.find(r)
	if err != nil {
		return err
	}
	removed, err := e.api.Remove(r.Context(), s.ID, false)
	if err != nil {
		return err
	}
	if removed != nil {
		return e.show(w, removed)
	}
	out := e.describe(s)
	out.Status, out.IsHealthy = "removed", false
	writeJSON(w, http.StatusOK, out)
	return nil
}

// find is the service that the path names. One of another kind is none.
func (e oldEndpoints) find(r *http.Request) (*orchestrator.Service, error) {
	id := r.PathValue("service_id")
	s, err := e.api.Service(r.Context(), id)
	if err == nil && s.Kind == e.kind {
		return s, nil
	}
	if err == nil || orchestrator.CodeOf(err) == orchestrator.NotFound {
		return nil, orchestrator.Errorf(orchestrator.NotFound, "id", "there is no %s service with the id %.64q", e.name, id)
	}
	return nil, err
}

func (e oldEndpoints) show(w *oldAnswer, s *orchestrator.Service) error {
	writeJSON(w, http.StatusOK, e.describe(s))
	return nil
}

func (e oldEndpoints) describe(s *orchestrator.Service) oldService {
	endpoint := e.api.Endpoint(s)
	out := oldService{
		ServiceID: s.ID, ContainerID: orNull(s.Instance), NodeID: orNull(s.NodeID), Status: oldStatus(s), IsHealthy: isHealthy(s),
		CreatedAt: oldTime(s.CreatedAt), LastHealthCheck: e.lastCheck(s), ServiceURL: orNull(endpoint),
	}
	if u, err := url.Parse(endpoint); err == nil {
		out.IPAddress = orNull(u.Hostname())
		if port, err := strconv.Atoi(u.Port()); err == nil {
			out.Port = &port
		}
	}
	return out
}

func (e oldEndpoints) lastCheck(s *orchestrator.Service) *time.Time {
	at := e.api.LastCheck(s)
	if at == nil {
		return nil
	}
	utc := oldTime(*at)
	return &utc
}

// oldTime has no more digits than Python reads.
func oldTime(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func oldStatus(s *orchestrator.Service) string {
	if s.DesiredState == lifecycle.WantRemoved {
		return strings.ToLower(string(lifecycle.Removing))
	}
	return strings.ToLower(string(s.Phase))
}

func isHealthy(s *orchestrator.Service) bool {
	return s.Health.Healthy() && s.DesiredState != lifecycle.WantRemoved
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// fields are the texts of the request's body, which may be empty, and holds no others than those named.
func (e oldEndpoints) fields(w *oldAnswer, r *http.Request, names ...string) (map[string]string, error) {
	body, bad := readJSON(w.ResponseWriter, r, maxBody)
	if bad != nil {
		return nil, bad
	}
	there := "there is " + strings.Join(names, ", ")
	if len(names) == 0 {
		there = "there is none"
	}
	raw := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(body)) > 0 && json.Unmarshal(body, &raw) != nil {
		return nil, orchestrator.Errorf(orchestrator.InvalidInput, "", "the body must be empty or one JSON object; of fields %s", there)
	}
	fields := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		if !slices.Contains(names, name) {
			return nil, orchestrator.Errorf(orchestrator.InvalidInput, "", "unknown field %.64q; %s", name, there)
		}
		var text *string
		if json.Unmarshal(raw[name], &text) != nil {
			return nil, orchestrator.Errorf(orchestrator.InvalidInput, "", "%s must be a string", name)
		}
		if text != nil { // null is as good as nothing
			fields[name] = *text
		}
	}
	return fields, nil
}
