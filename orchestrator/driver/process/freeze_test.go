package process_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/drivertest"
)

// running returns the states of the threads of a service that are not stopped.
func (m *machine) running(service string) []string {
	m.Helper()
	var found []string
	for _, pid := range m.processes(service) {
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil {
			m.Fatal(err)
		}
		for _, path := range stats {
			text, err := os.ReadFile(path)
			if err == nil && !strings.Contains(string(text), ") T ") && !strings.Contains(string(text), ") Z ") {
				found = append(found, string(text[:min(len(text), 60)]))
			}
		}
	}
	return found
}

// order has a puppet carry out an order.
func order(t *testing.T, port int, verb string, n int) {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = fmt.Fprintln(c, verb, n)
	_, _ = c.Read(make([]byte, 1)) // until it is closed
}

// Children are frozen too, also those that are being started, and go on.
func TestFreezeOfManyProcesses(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	port := drivertest.FreePort(t)
	spec := m.puppet("storm")
	spec.Args = append([]string{fmt.Sprint("obey=127.0.0.1:", port)}, spec.Args...)
	m.start(d, spec)
	order(t, port, "fork", 3)
	order(t, port, "storm", 4)
	freezer := d.(driver.Freezer)
	for range 20 {
		order(t, port, "rounds", 10)
		ctx, cancel := context.WithTimeout(t.Context(), drivertest.Patience)
		defer cancel()
		if err := freezer.Freeze(ctx, "storm"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if left := m.running("storm"); len(left) > 0 {
				t.Fatalf("frozen, but these run: %q", left)
			}
		}
		if err := freezer.Thaw(ctx, "storm"); err != nil {
			t.Fatal(err)
		}
	}
}

// An instance that somebody else stopped is not frozen, and Thaw leaves it as it is.
func TestFreezeOfStopped(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	spec := m.puppet("stopped")
	m.start(d, spec)
	want := func(what string, paused, frozen bool) {
		t.Helper()
		drivertest.Eventually(t, what, func() bool {
			o, err := d.Inspect(t.Context(), "stopped")
			return err == nil && o.Running && o.Paused == paused && o.Frozen == frozen
		})
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	freezer := d.(driver.Freezer)
	m.Pause("stopped")
	must(freezer.Thaw(t.Context(), "stopped"))
	want("it stays stopped", true, false)
	must(freezer.Freeze(t.Context(), "stopped"))
	want("it is frozen", true, true)
	must(freezer.Thaw(t.Context(), "stopped"))
	want("it goes on", false, false)
}
