package process_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/drivertest"
)

// The processes of PostgreSQL share their buffers, which are not counted for each.
func TestUsageOfSharedMemory(t *testing.T) {
	l := newLaunched(t, "postgres")
	l.start()
	uses, err := l.d.(driver.UsageReader).Usage(t.Context(), []string{"one"})
	l.must(err)
	main := l.processes("one")[0] // the others overwrite their environment
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", main, main))
	l.must(err)
	pids := append(strings.Fields(string(children)), fmt.Sprint(main))
	var sum, most int64
	for _, pid := range pids {
		statm, err := os.ReadFile(fmt.Sprintf("/proc/%s/statm", pid))
		l.must(err)
		var size, resident int64
		_, err = fmt.Sscan(string(statm), &size, &resident)
		l.must(err)
		sum, most = sum+resident*int64(os.Getpagesize()), max(most, resident*int64(os.Getpagesize()))
	}
	use := uses["one"]
	if use.Processes == nil || *use.Processes < len(pids) || len(pids) < 2 {
		t.Fatalf("it has the processes %v, and Usage says %+v", pids, use)
	}
	if use.MemoryBytes < most*9/10 || use.MemoryBytes > sum*3/4 {
		t.Errorf("Usage says %d kB; its largest process has %d kB, all %d kB", use.MemoryBytes>>10, most>>10, sum>>10)
	}
}

// Children that left the session and have another environment are measured with the service that they come from.
func TestUsageOfEscapedChildren(t *testing.T) {
	m := newMachine(t)
	d := m.Open("first")
	m.start(d, m.puppet("plain"))
	child := drivertest.FreePort(t)
	m.start(d, m.puppet("leaky", fmt.Sprint("escape=127.0.0.1:", child)))
	drivertest.Eventually(t, "the child listens", func() bool { return answers(child) })
	uses, err := d.(driver.UsageReader).Usage(t.Context(), []string{"leaky", "plain"})
	if err != nil {
		t.Fatal(err)
	}
	for service, want := range map[string]int{"plain": 1, "leaky": 2} {
		if use := uses[service]; use.Processes == nil || *use.Processes != want || use.Descriptors == nil || *use.Descriptors < want*3 {
			t.Errorf("%s: %+v, want %d processes", service, use, want)
		}
	}
}
