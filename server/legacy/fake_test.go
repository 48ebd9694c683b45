package legacy_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
	"github.com/unicorn-web-services/uws/orchestrator/store"
	"github.com/unicorn-web-services/uws/server"
)

// fakeAPI is the part of a control plane that the old endpoints call, made of fixed services. It records every call.
type fakeAPI struct {
	orchestrator.API // nil: any other call panics

	services []*orchestrator.Service
	pages    []orchestrator.List[*orchestrator.Service] // what Services returns, with the page's number as the cursor
	pageErr  error                                      // what Services returns after the last of the pages
	err      error                                      // returned by every call if set
	checkErr error                                      // returned by Check if set
	panics   bool

	mu    sync.Mutex
	calls []string
}

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("CET", 3600))

// newFake returns a fake with service s1, which runs on node n1, and s2, which is on no node yet.
func newFake() *fakeAPI {
	return &fakeAPI{services: []*orchestrator.Service{
		{
			ID: "s1", Kind: catalog.Bucket, NodeID: "n1", Instance: "run-1", DesiredState: lifecycle.WantRunning,
			Phase: lifecycle.Running, Health: lifecycle.HealthSuspect, CreatedAt: at.Add(123456789),
		},
		{
			ID: "s2", Kind: catalog.Bucket, DesiredState: lifecycle.WantRunning,
			Phase: lifecycle.Pending, Health: lifecycle.HealthUnknown, CreatedAt: at,
		},
	}}
}

// call records a call and returns the fake's error.
func (f *fakeAPI) call(format string, args ...any) error {
	f.mu.Lock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	f.mu.Unlock()
	if f.panics {
		panic("secret of the panic")
	}
	return f.err
}

// called returns the calls so far and forgets them.
func (f *fakeAPI) called() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

func (f *fakeAPI) find(id string) (*orchestrator.Service, error) {
	i := slices.IndexFunc(f.services, func(s *orchestrator.Service) bool { return s.ID == id })
	if i < 0 {
		return nil, orchestrator.Errorf(orchestrator.NotFound, "id", "there is no service with the id %q", id)
	}
	return f.services[i], nil
}

func (f *fakeAPI) Launch(_ context.Context, in orchestrator.LaunchInput) (*orchestrator.Service, error) {
	return f.services[0], f.call("Launch %s Name:%s Template:%s NodeID:%s Reattach:%s", in.Kind, in.Name, in.Template, in.NodeID, in.Reattach)
}

func (f *fakeAPI) Services(_ context.Context, filter orchestrator.ServiceFilter, page orchestrator.Page) (orchestrator.List[*orchestrator.Service], error) {
	if err := f.call("Services %+v %+v", filter, page); err != nil {
		return orchestrator.List[*orchestrator.Service]{}, err
	}
	n := 0
	_, _ = fmt.Sscan(page.After, &n)
	if n == len(f.pages) {
		return orchestrator.List[*orchestrator.Service]{}, f.pageErr
	}
	return f.pages[n], nil
}

func (f *fakeAPI) Service(_ context.Context, id string) (*orchestrator.Service, error) {
	if err := f.call("Service %s", id); err != nil {
		return nil, err
	}
	return f.find(id)
}

func (f *fakeAPI) Check(_ context.Context, id string) (*orchestrator.Service, probe.Result, error) {
	if err := f.call("Check %s", id); err != nil {
		return nil, probe.Result{}, err
	}
	s, err := f.find(id)
	if err == nil {
		err = f.checkErr
	}
	return s, probe.Result{Verdict: probe.Alive, Detail: "wrong password", At: at, Duration: 1500 * time.Millisecond}, err
}

// Remove returns nothing for the service "gone".
func (f *fakeAPI) Remove(_ context.Context, id string, deleteData bool) (*orchestrator.Service, error) {
	if err := f.call("Remove %s deleteData=%v", id, deleteData); err != nil || id == "gone" {
		return nil, err
	}
	return f.find(id)
}

func (f *fakeAPI) Endpoint(s *orchestrator.Service) string {
	_ = f.call("Endpoint %s", s.ID)
	if s.NodeID == "" {
		return ""
	}
	return "http://127.0.0.1:20000"
}

func (f *fakeAPI) LastCheck(*orchestrator.Service) *time.Time { return &at }

// options returns the options of a server for the fake, and a token of an ADMIN.
func options(t testing.TB, api *fakeAPI) (server.Options, string) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	unlimited := auth.Rate{Burst: 1e6}
	access, err := auth.Open(t.Context(), auth.Options{
		Store: st, Rates: auth.Rates{Mutations: unlimited, SignIns: unlimited, Failures: unlimited, Refusals: unlimited},
	})
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := access.CreateToken(auth.With(t.Context(), auth.CommandLine()), auth.TokenInput{Name: rand.Text(), Role: auth.Admin})
	if err != nil {
		t.Fatal(err)
	}
	return server.Options{API: api, Access: access, Registry: prometheus.NewPedanticRegistry()}, token
}

// serve starts a server with the old endpoints of the fake and returns its URL. All requests are an ADMIN's.
func serve(t *testing.T, api *fakeAPI, change ...func(*server.Options)) string {
	t.Helper()
	opts, token := options(t, api)
	for _, c := range change {
		c(&opts)
	}
	s, err := server.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+token)
		s.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(ts.Close)
	return ts.URL
}
