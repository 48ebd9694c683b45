package e2e

import (
	"errors"
	"net"
	"net/url"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// setAddress sets the service address of the only node.
func setAddress(t *testing.T, p *uwstest.Process, address string) error {
	t.Helper()
	var nodes struct{ Nodes []struct{ ID string } }
	if err := p.Query(t.Context(), `{ nodes { id } }`, nil, &nodes); err != nil {
		t.Fatal(err)
	}
	return p.Query(t.Context(), `mutation($id: ID!, $a: String!) { updateNode(id: $id, input: {serviceAddress: $a}) { id } }`,
		map[string]any{"id": nodes.Nodes[0].ID, "a": address}, nil)
}

// listensOn checks that an engine listens on the service's address, and on no other.
func listensOn(t *testing.T, s *uwstest.Service, address string) {
	t.Helper()
	u, err := url.Parse(s.Endpoint)
	if err != nil || u.Hostname() != address {
		t.Fatalf("%s has the endpoint %s (%v), want one at %s", s.Name, s.Endpoint, err, address)
	}
	for _, host := range []string{address, "127.0.0.1", "127.0.0.3", "::1"} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", net.JoinHostPort(host, u.Port()))
		switch {
		case host == address && err != nil, host != address && !errors.Is(err, syscall.ECONNREFUSED):
			t.Errorf("%s at %s: %v", s.Name, host, err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}

// Engines listen on the service address of their node, and probes connect to it.
func TestServiceAddressOfProcesses(t *testing.T) {
	p := serve(t, folder(t))
	if err := setAddress(t, p, "127.0.0.2"); err != nil {
		t.Fatal(err)
	}
	wantAllOn(t, p, "127.0.0.2")
}

// wantAllOn launches a service of each template, and checks that it listens only on the given address.
func wantAllOn(t *testing.T, p *uwstest.Process, address string) {
	t.Helper()
	services := map[string]uwstest.Service{}
	for template, kind := range map[string]string{
		"versitygw": "BUCKET", "postgres": "DB", "ferretdb": "NOSQL", "redis": "NOSQL", "nats": "QUEUE", "setec": "SECRETS",
	} {
		s, err := p.Launch(t.Context(), kind, template, map[string]any{"template": template})
		if err != nil {
			t.Fatal(err)
		}
		services[template] = s
	}
	for _, s := range services {
		listensOn(t, healthy(t, p, s.ID, 0), address)
	}
}

// An address that the machine does not have is refused. So is one that is not loopback, unless the flag allows it.
func TestServiceAddressBeyondLoopback(t *testing.T) {
	const own, own6 = "198.51.100.7", "2001:db8::7" // reserved for documentation, so that no machine has them
	setOwn := func(act string) {
		for _, address := range []string{own + "/32", own6 + "/128", "fe80::77/128"} {
			if out, err := exec.Command("ip", "address", act, address, "dev", "lo").CombinedOutput(); err != nil {
				t.Fatalf("ip address %s: %v, %s", act, err, out)
			}
		}
	}
	setOwn("add")
	t.Cleanup(func() { setOwn("del") })
	p := serve(t, folder(t))
	for address, says := range map[string]string{
		"198.51.100.8": "is no address of this machine", "2001:db8::8": "is no address of this machine",
		own: "--allow-unencrypted-services", own6: "--allow-unencrypted-services", "fe80::77": "link-local",
	} {
		err := setAddress(t, p, address)
		if e, ok := errors.AsType[*uwstest.GraphQLError](err); !ok || e.Code != "INVALID_INPUT" || !strings.Contains(e.Message, says) {
			t.Errorf("%s: %v, want INVALID_INPUT that says %q", address, err, says)
		}
	}
	allowed := serve(t, folder(t), "--allow-unencrypted-services")
	if err := setAddress(t, allowed, own); err != nil {
		t.Fatal(err)
	}
	queue := launch(t, allowed, "QUEUE", "orders", nil)
	listensOn(t, queue, own)
	if err := allowed.Query(t.Context(), `mutation($id: ID!) { removeService(id: $id, data: DELETE) { id } }`, map[string]any{"id": queue.ID}, nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, allowed, queue.ID, "gone", func(s *uwstest.Service) bool { return s == nil })
	if err := setAddress(t, allowed, own6); err != nil {
		t.Fatal(err)
	}
	listensOn(t, launch(t, allowed, "QUEUE", "orders6", nil), own6)
}

// Engines also listen only on an IPv6 service address. Clients over IPv6 are tested in test/clients.
func TestServiceAddressIPv6(t *testing.T) {
	p := serve(t, folder(t)) // loopback needs no flag
	if err := setAddress(t, p, "::1"); err != nil {
		t.Fatal(err)
	}
	wantAllOn(t, p, "::1")
}
