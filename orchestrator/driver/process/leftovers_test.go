package process_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/drivertest"
)

// What a killed engine leaves names no process but in one file of PostgreSQL, and no file with another program's pid, as after
// a reboot, no lock, socket or pipe, whether the engine made it or has been known to, stops a start. To engines that cannot
// signal others their pids are harmless in any case; TestForeignPIDOfOrdinaryUser of test/e2e has one that can.
func TestLeftovers(t *testing.T) {
	for template, known := range map[string]string{
		"postgres": "postmaster.pid", "redis": "", "nats": "", "setec": "", "ferretdb": "", "versitygw": "",
	} {
		t.Run(template, func(t *testing.T) {
			l := newLaunched(t, template)
			l.start()
			data := l.d.Layout("one", "data").Data
			pids := l.processes("one")
			for _, pid := range pids {
				l.must(syscall.Kill(pid, syscall.SIGKILL))
			}
			drivertest.Eventually(t, "its end is seen", func() bool { return !l.inspect().Running })
			foreign := sleeper(t)
			own, other := strconv.Itoa(pids[0]), strconv.Itoa(foreign.Process.Pid)

			var naming []string
			l.must(filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
				if err != nil || e.IsDir() {
					return err
				}
				name, err := filepath.Rel(data, path)
				if err != nil {
					return err
				}
				switch {
				case !e.Type().IsRegular(): // a socket, a pipe or a link
					naming = append(naming, name)
				case name == driver.MarkFile:
				case regexp.MustCompile(`(?i)pid|lock|sock`).MatchString(filepath.Base(name)) || names(t, path, own):
					naming = append(naming, name)
				}
				return nil
			}))
			if got := strings.Join(naming, " "); got != known {
				t.Errorf("left behind: %q, want %q", got, known)
			}
			for _, name := range naming {
				path := filepath.Join(data, name)
				text, err := os.ReadFile(path)
				l.must(err)
				l.must(os.WriteFile(path, bytes.ReplaceAll(text, []byte(own), []byte(other)), 0o600))
			}
			for _, name := range []string{
				template + ".pid", template + ".lock", "lock", "LOCK", ".lock", "redis-server.pid", "nats-server.pid", "temp-" + own + ".rdb",
				"appendonlydir/temp-rewriteaof-" + own + ".aof", "appendonlydir/temp-rewriteaof-bg-" + own + ".aof", "jetstream/lock", "sqlite/lock",
				"state/state.json.lock", "secrets.db.lock", "secrets.db.tmp", "buckets/.sgwtmp/lock",
			} {
				if path := filepath.Join(data, name); exists(filepath.Dir(path)) && !exists(path) {
					l.plant(path, other+"\n")
				}
			}
			for _, name := range []string{".s.PGSQL." + strconv.Itoa(l.port), "engine.sock", template + ".sock"} {
				l.must(syscall.Mknod(filepath.Join(data, name), syscall.S_IFSOCK|0o777, 0))
			}
			l.plant(filepath.Join(data, ".s.PGSQL."+strconv.Itoa(l.port)+".lock"), other+"\n")

			l.must(l.d.Start(t.Context(), "one"))
			l.healthy()
			mustBeAlive(t, foreign)
		})
	}
}

// plant writes a file as the engine would.
func (l *launched) plant(path, text string) {
	l.Helper()
	l.must(os.WriteFile(path, []byte(text), 0o600))
	info, err := os.Stat(filepath.Dir(path))
	l.must(err)
	owner := info.Sys().(*syscall.Stat_t)
	l.must(os.Chown(path, int(owner.Uid), int(owner.Gid)))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// names reports whether a small file has a pid as a word.
func names(t *testing.T, path, pid string) bool {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 1<<16 {
		return false
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(pid)) { // nearly all of the files of PostgreSQL: many, and the expression is slow
		return false
	}
	return regexp.MustCompile(`(^|[^0-9A-Za-z_.-])` + pid + `([^0-9A-Za-z_.-]|$)`).Match(text)
}

// What only initdb reads is gone as soon as it has ended; what older versions left is gone once it was adopted.
func TestPasswordOfInit(t *testing.T) {
	l := newLaunched(t, "postgres")
	l.start()
	path := filepath.Join(l.d.Layout("one", "data").Config, "password")
	gone := func(when string) {
		t.Helper()
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s there is %s: %v", when, path, err)
		}
	}
	gone("after the first start")
	l.must(os.WriteFile(path, []byte("left"), 0o600))
	l.d = l.Open("postgres")
	gone("after the adoption")
	l.healthy()
}

// An engine has the descriptors that it was given and no other, also when uws was itself started with some.
func TestInheritedDescriptors(t *testing.T) {
	m := newMachine(t)
	path := filepath.Join(m.root, "inherited")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m.inherited = []*os.File{f}
	spec := m.puppet("crashed")
	m.crash("first", spec)
	pids := m.processes("crashed")
	if len(pids) == 0 {
		t.Fatal("there is no process")
	}
	for _, pid := range pids {
		if open := opened(t, pid); slices.Contains(open, path) {
			t.Errorf("process %d has %v", pid, open)
		}
	}
	_ = m.Open("first")
}

// opened are the targets of a process's descriptors.
func opened(t *testing.T, pid int) []string {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(links) < 3 {
		t.Fatalf("the descriptors of process %d are %v, %v", pid, links, err)
	}
	var targets []string
	for _, l := range links {
		if target, err := os.Readlink(l); err == nil {
			targets = append(targets, target)
		}
	}
	return targets
}
