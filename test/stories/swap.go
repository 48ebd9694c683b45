package stories

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// Swapped is the answer of swapServices.
type Swapped struct {
	Begun           bool
	Steps, Warnings []string
	DataAsOf        *string
}

// Swap exchanges two services, or says what that would do.
func Swap(t *testing.T, p *uwstest.Process, a, b string, confirm bool) (Swapped, error) {
	t.Helper()
	var out struct{ SwapServices Swapped }
	err := p.Query(t.Context(), `mutation($a: ID!, $b: ID!, $c: Boolean!) { swapServices(a: $a, b: $b, confirm: $c) { begun steps warnings dataAsOf } }`,
		map[string]any{"a": a, "b": b, "c": confirm}, &out)
	return out.SwapServices, err
}

// SwapRestored gives the clients of a service the one that was restored from its backup, and then the first one again. They find
// each at the same address with the same credentials, whatever those of the restored one were before.
func SwapRestored(t *testing.T, p *uwstest.Process, e Engine, folder string) {
	t.Helper()
	ctx := t.Context()
	a := Launch(t, p, e.Kind, e.Template+"-a", map[string]any{"template": e.Template})
	target, _ := Target(t, p, e.Template, filepath.Join(folder, e.Template))
	b := RestoreBackup(t, p, BackUp(t, p, a.ID, target).ID, e.Template+"-b")
	keys, err := p.Credentials(ctx, a.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Client.Write(ctx, a.Endpoint, keys, "meow"); err != nil {
		t.Fatal(err)
	}
	if err := p.Do(ctx, "rotateCredentials", b.ID); err != nil {
		t.Fatal(err)
	}
	await(t, p, b.ID, "has other credentials", func(s swapState) bool {
		return !s.Rotating && s.Health == "HEALTHY" && s.Generation == s.ObservedGeneration
	})

	plan, err := Swap(t, p, a.ID, b.ID, false)
	if err != nil || plan.Begun || plan.DataAsOf == nil || !strings.Contains(strings.Join(plan.Steps, " "), "is given the credentials") {
		t.Fatalf("the plan is %+v (%v)", plan, err)
	}
	if s, err := p.Service(ctx, a.ID); err != nil || s.Name != a.Name || s.Endpoint != a.Endpoint {
		t.Errorf("the plan changed something: %+v (%v)", s, err)
	}
	swapped(t, p, a, b.ID, a.ID)
	if err := e.Client.Write(ctx, a.Endpoint, keys, "purr"); err != nil {
		t.Errorf("clients cannot write to the restored service: %v", err)
	}
	swapped(t, p, a, a.ID, b.ID)
	if text, err := e.Client.Read(ctx, a.Endpoint, keys); err != nil || text != "meow" {
		t.Errorf("after the second exchange clients read %q (%v)", text, err)
	}
	if s, err := p.Service(ctx, b.ID); err != nil || s.Name != b.Name || s.Endpoint != b.Endpoint {
		t.Errorf("the restored service does not have its own name and address again: %+v (%v)", s, err)
	}
	now, err := p.Credentials(ctx, a.ID)
	if err != nil || fmt.Sprint(now) != fmt.Sprint(keys) {
		t.Errorf("the credentials are others (%v)", err)
	}
	Remove(t, p, a.ID, "DELETE")
	Remove(t, p, b.ID, "DELETE")
}

// swapped exchanges two services, and waits until to is where as was at first.
func swapped(t *testing.T, p *uwstest.Process, as *uwstest.Service, to, from string) {
	t.Helper()
	if got, err := Swap(t, p, from, to, true); err != nil || !got.Begun {
		t.Fatalf("%+v (%v)", got, err)
	}
	await(t, p, from, "is stopped", func(s swapState) bool { return s.Phase == "STOPPED" })
	await(t, p, to, "is where clients look for it", func(s swapState) bool {
		return s.Name == as.Name && s.Endpoint == as.Endpoint && s.Health == "HEALTHY" && s.Generation == s.ObservedGeneration
	})
}

type swapState struct {
	uwstest.Service
	Rotating                       bool
	Generation, ObservedGeneration int
}

// await waits until a service is in a state.
func await(t *testing.T, p *uwstest.Process, id, what string, ok func(swapState) bool) {
	t.Helper()
	var out struct{ Service swapState }
	err := uwstest.Until(t.Context(), "service "+id+" "+what, func() (bool, error) {
		err := p.Query(t.Context(), `query($i: ID!) { service(id: $i) { name phase health reason endpoint rotating generation observedGeneration } }`, map[string]any{"i": id}, &out)
		return ok(out.Service), err
	})
	if err != nil {
		t.Fatalf("%v: %+v", err, out.Service)
	}
}
