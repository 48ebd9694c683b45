package legacy

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

// services are the endpoints of one kind.
type services struct {
	kind kind
	opts Options
}

// service is a service in the JSON of the old endpoints. What is not known yet is null.
type service struct {
	ServiceID       string     `json:"service_id"`
	ContainerID     *string    `json:"container_id"` // of the instance that was last healthy; opaque
	NodeID          *string    `json:"node_id"`
	IPAddress       *string    `json:"ip_address"`
	Port            *int       `json:"port"`
	Status          string     `json:"status"`
	IsHealthy       bool       `json:"is_healthy"`
	CreatedAt       time.Time  `json:"created_at"`
	LastHealthCheck *time.Time `json:"last_health_check"`
	ServiceURL      *string    `json:"service_url"`
}

// health is the answer to a health check.
type health struct {
	ServiceID       string         `json:"service_id"`
	Status          string         `json:"status"`
	IsHealthy       bool           `json:"is_healthy"`
	LastHealthCheck *time.Time     `json:"last_health_check"`
	Probe           *probe.Verdict `json:"probe"` // null: nothing could be probed
	Reason          string         `json:"reason"`
}

func (e services) launch(w *answer, r *http.Request) error {
	fields, err := e.fields(w, r, "name", "template", "node_id", "reattach")
	if err != nil {
		return err
	}
	name, given := fields["name"]
	if !given {
		name = e.kind.name + "-" + strings.ToLower(rand.Text()[:12])
	}
	s, err := e.opts.API.Launch(r.Context(), orchestrator.LaunchInput{
		Kind: e.kind.is, Name: name, Template: fields["template"], NodeID: fields["node_id"], Reattach: fields["reattach"],
	})
	if err != nil {
		return err
	}
	return e.show(w, s)
}

// list streams all services of the kind, a page at a time.
func (e services) list(w *answer, r *http.Request) error {
	filter := orchestrator.ServiceFilter{Kinds: []catalog.Kind{e.kind.is}}
	page := orchestrator.Page{First: orchestrator.MaxPage}
	separator := byte('[')
	for {
		list, err := e.opts.API.Services(r.Context(), filter, page)
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
			return nil //nolint:nilerr // the client has closed the connection
		}
		page.After = list.Cursors[len(list.Cursors)-1]
	}
}

func (e services) get(w *answer, r *http.Request) error {
	s, err := e.find(r)
	if err != nil {
		return err
	}
	return e.show(w, s)
}

// health probes the service at once. A service that cannot be probed is no error.
func (e services) health(w *answer, r *http.Request) error {
	s, err := e.find(r)
	if err != nil {
		return err
	}
	out := health{Reason: s.Reason}
	checked, result, err := e.opts.API.Check(r.Context(), s.ID)
	switch {
	case err == nil:
		s, out.Probe, out.Reason = checked, &result.Verdict, result.Detail
	case orchestrator.CodeOf(err) != orchestrator.Conflict: // Conflict: it is stopped, or on no node yet
		return err
	}
	out.ServiceID, out.Status, out.IsHealthy, out.LastHealthCheck = s.ID, statusOf(s), isHealthy(s), e.lastCheck(s)
	e.opts.WriteJSON(w, http.StatusOK, out)
	return nil
}

// remove removes the service and retains its data.
func (e services) remove(w *answer, r *http.Request) error {
	if _, err := e.fields(w, r); err != nil {
		return err
	}
	s, err := e.find(r)
	if err != nil {
		return err
	}
	removed, err := e.opts.API.Remove(r.Context(), s.ID, false)
	if err != nil {
		return err
	}
	if removed != nil {
		return e.show(w, removed)
	}
	out := e.describe(s)
	out.Status, out.IsHealthy = "removed", false
	e.opts.WriteJSON(w, http.StatusOK, out)
	return nil
}

// find returns the service that the path names. Errors: [orchestrator.NotFound] also for a service of another kind.
func (e services) find(r *http.Request) (*orchestrator.Service, error) {
	id := r.PathValue("service_id")
	s, err := e.opts.API.Service(r.Context(), id)
	if err == nil && s.Kind == e.kind.is {
		return s, nil
	}
	if err == nil || orchestrator.CodeOf(err) == orchestrator.NotFound {
		return nil, orchestrator.Errorf(orchestrator.NotFound, "id", "there is no %s service with the id %.64q", e.kind.name, id)
	}
	return nil, err
}

func (e services) show(w *answer, s *orchestrator.Service) error {
	e.opts.WriteJSON(w, http.StatusOK, e.describe(s))
	return nil
}

func (e services) describe(s *orchestrator.Service) service {
	endpoint := e.opts.API.Endpoint(s)
	out := service{
		ServiceID: s.ID, ContainerID: orNull(s.Instance), NodeID: orNull(s.NodeID), Status: statusOf(s), IsHealthy: isHealthy(s),
		CreatedAt: timeOf(s.CreatedAt), LastHealthCheck: e.lastCheck(s), ServiceURL: orNull(endpoint),
	}
	if u, err := url.Parse(endpoint); err == nil {
		out.IPAddress = orNull(u.Hostname())
		if port, err := strconv.Atoi(u.Port()); err == nil {
			out.Port = &port
		}
	}
	return out
}

func (e services) lastCheck(s *orchestrator.Service) *time.Time {
	at := e.opts.API.LastCheck(s)
	if at == nil {
		return nil
	}
	utc := timeOf(*at)
	return &utc
}

// timeOf returns t in UTC, in microseconds: Python reads no more digits.
func timeOf(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func statusOf(s *orchestrator.Service) string {
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

// fields returns the fields of the request's body, which may be empty. It refuses fields other than names.
func (e services) fields(w *answer, r *http.Request, names ...string) (map[string]string, error) {
	body, err := e.opts.ReadJSON(w.ResponseWriter, r)
	if err != nil {
		return nil, err
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
		if text != nil { // null is the same as no field
			fields[name] = *text
		}
	}
	return fields, nil
}
