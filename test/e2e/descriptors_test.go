package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// An engine inherits no descriptor of uws, of another service, or of the parent of uws: not at its launch, not at a restart
// after a crash, and not when it is restarted by the next uws.
func TestDescriptors(t *testing.T) {
	dir := folder(t)
	inherited := filepath.Join(filepath.Dir(dir), "inherited")
	must(t, os.WriteFile(inherited, []byte("x"), 0o600))
	binary := filepath.Join(filepath.Dir(dir), "with-descriptor")
	must(t, os.WriteFile(binary, []byte("#!/bin/sh\nexec 7<"+inherited+"\nexec "+uwstest.Binary+" \"$@\"\n"), 0o755))
	serve := func() *uwstest.Process { return started(t, binary, dir, "--engines", uwstest.EnginesFolder(t)) }

	p := serve()
	all := launchAll(t, p)
	wantOwnDescriptors(t, p, dir, len(all))
	pids := map[string]int{}
	for _, s := range all {
		pids[s.ID] = enginePID(t, s.ID)
		kill(t, pids[s.ID], syscall.SIGKILL)
	}
	for _, s := range all {
		restarted(t, p, s.ID, pids[s.ID])
		pids[s.ID] = enginePID(t, s.ID)
	}
	wantOwnDescriptors(t, p, dir, len(all))

	must(t, p.Kill())
	p = serve()
	for _, s := range all {
		healthy(t, p, s.ID, 0)
		if now := enginePID(t, s.ID); now != pids[s.ID] {
			t.Errorf("%s was not adopted: process %d was replaced by %d", s.Name, pids[s.ID], now)
		}
	}
	wantOwnDescriptors(t, p, dir, len(all))
	for _, s := range all {
		kill(t, pids[s.ID], syscall.SIGKILL)
	}
	for _, s := range all {
		restarted(t, p, s.ID, pids[s.ID])
	}
	wantOwnDescriptors(t, p, dir, len(all))
}

// everybodys are prefixes of files that many processes open independently, as Go's runtime opens the limits of its
// control group. Every other name stands for one shared file, socket or pipe.
var everybodys = []string{"/dev/", "/proc/", "/sys/", "anon_inode:"}

// wantOwnDescriptors checks all descriptors of engines with data in dir.
func wantOwnDescriptors(t *testing.T, p *uwstest.Process, dir string, services int) {
	t.Helper()
	ofUWS := map[descriptor]bool{}
	for _, d := range descriptors(t, p.Cmd.Process.Pid) {
		if !slices.ContainsFunc(everybodys, func(prefix string) bool { return strings.HasPrefix(d.target, prefix) }) {
			ofUWS[d] = true
		}
	}
	engines, err := uwstest.EngineProcesses(dir)
	must(t, err)
	mains := map[string]string{}
	seen := map[string]bool{}
	for _, e := range engines {
		if mains[e.Service] == "" {
			mains[e.Service] = workFolder(t, enginePID(t, e.Service))
		}
		for _, d := range descriptors(t, e.PID) {
			seen[e.Service] = true
			own := slices.ContainsFunc(append([]string{mains[e.Service], filepath.Join(dir, "process", "services", e.Service)}, everybodys...), func(prefix string) bool {
				return strings.HasPrefix(d.target, prefix)
			})
			if ofUWS[d] || (strings.HasPrefix(d.target, "/") && !own) {
				t.Errorf("process %d of service %s has %+v", e.PID, e.Service, d)
			}
		}
	}
	if len(seen) != services {
		t.Errorf("found processes of %d services, want %d", len(seen), services)
	}
}

// descriptor is an open file. uws opens the log of an engine too, but reads it; the engine can only write to it.
type descriptor struct {
	target    string
	writeOnly bool
}

// descriptors returns the open descriptors of a process, none if it has ended.
func descriptors(t *testing.T, pid int) (all []descriptor) {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	must(t, err)
	for _, l := range links {
		target, err := os.Readlink(l)
		if err != nil {
			continue
		}
		info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, filepath.Base(l)))
		if err != nil {
			continue
		}
		var flags int
		_, text, _ := strings.Cut(string(info), "flags:")
		if _, err := fmt.Sscanf(strings.TrimSpace(text), "%o", &flags); err != nil {
			t.Fatalf("the flags in %q: %v", info, err)
		}
		all = append(all, descriptor{target, flags&syscall.O_ACCMODE == syscall.O_WRONLY})
	}
	return all
}
