package machine_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/tools/txtar"

	"github.com/unicorn-web-services/uws/orchestrator/driver/machine"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// recorded has the files of a machine of another kind.
func recorded(t *testing.T, name string) machine.Files {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
	must(t, err)
	dir := t.TempDir()
	for _, f := range archive.Files {
		path := filepath.Join(dir, f.Name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, f.Data, 0o600))
	}
	return machine.Files(dir)
}

// Both versions of control groups, and both ways in which Docker names them.
func TestGroups(t *testing.T) {
	id := func(digit string) string { return strings.Repeat(digit, 32) }
	for _, test := range []struct {
		name, tree, id string
		pid            int
		cpu            time.Duration
		memory         int64
		pids           []int
	}{
		{"version 1", "version1", id("42"), 42, 1500 * time.Millisecond, 60_000_000, []int{42, 57}},
		{"systemd", "unified", id("42"), 42, 1500 * time.Millisecond, 60_000_000, []int{42, 57}},
		{"cgroupfs", "unified", id("43"), 43, 7 * time.Microsecond, 0, []int{43}},
	} {
		t.Run(test.name, func(t *testing.T) {
			groups, err := recorded(t, test.tree).Groups()
			must(t, err)
			group, err := groups.Of(test.pid, test.id)
			must(t, err)
			cpu, err1 := group.CPU()
			memory, err2 := group.Memory()
			pids, err3 := group.Processes()
			must(t, err1, err2, err3)
			if cpu != test.cpu || memory != test.memory || !slices.Equal(pids, test.pids) {
				t.Errorf("it used %v and %d bytes by %v; want %v, %d, %v", cpu, memory, pids, test.cpu, test.memory, test.pids)
			}
		})
	}
}

// A process that is in another group, or in one that is not mounted here, is not taken for what it is asked for.
func TestForeignGroups(t *testing.T) {
	for _, tree := range []string{"version1", "unified"} {
		groups, err := recorded(t, tree).Groups()
		must(t, err)
		for what, asked := range map[string]struct {
			pid int
			id  string
		}{
			"another container": {42, strings.Repeat("9", 64)},
			"no container":      {42, ""},
			"no process":        {41, strings.Repeat("42", 32)},
			"above the mounts":  {77, strings.Repeat("42", 32)},
		} {
			if g, err := groups.Of(asked.pid, asked.id); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s, %s: %+v, %v", tree, what, g, err)
			}
		}
	}
}

// Size counts what is allocated on the disk of the folder, once.
func TestSize(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	size := func() int64 {
		t.Helper()
		bytes, err := machine.Size(t.Context(), dir)
		must(t, err)
		return bytes
	}
	empty := size()
	const written = 1 << 20
	f, err := os.Create(in("written"))
	must(t, err)
	_, err = f.Write(make([]byte, written))
	must(t, err, f.Sync(), f.Close())
	holes, err := os.Create(in("holes"))
	must(t, err, holes.Truncate(1<<40), holes.Close())
	must(t, os.Link(in("written"), in("linked")), os.Mkdir(in("more"), 0o700), os.Link(in("written"), in("more/linked")),
		os.Symlink("/", in("root")), os.Symlink("loop", in("loop")), syscall.Mkfifo(in("pipe"), 0o600))
	if grown := size() - empty; grown < written || grown > written+64<<10 {
		t.Errorf("it grew by %d bytes", grown)
	}
	if _, err := machine.Size(t.Context(), in("missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a folder that is missing: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := machine.Size(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if os.Geteuid() != 0 {
		t.Log("NOT TESTED: other file systems need root; CI runs this as root")
		return
	}
	before := size()
	must(t, os.Mkdir(in("mounted"), 0o700), unix.Mount("tmpfs", in("mounted"), "tmpfs", 0, ""))
	defer func() { must(t, unix.Unmount(in("mounted"), 0)) }()
	must(t, os.WriteFile(in("mounted/more"), make([]byte, written), 0o600))
	if grown := size() - before; grown > 64<<10 {
		t.Errorf("with another file system it grew by %d bytes", grown)
	}
}

// Files that disappear while Size reads are left out.
func TestSizeOfWhatVanishes(t *testing.T) {
	dir := t.TempDir()
	done := make(chan error, 1)
	go func() {
		var err error
		for i := 0; err == nil && i < 3_000; i++ {
			appearing, vanishing := filepath.Join(dir, fmt.Sprint(i)), filepath.Join(dir, fmt.Sprint(i-100))
			err = errors.Join(os.Mkdir(appearing, 0o700), os.WriteFile(filepath.Join(appearing, "f"), nil, 0o600), os.RemoveAll(vanishing))
		}
		done <- err
	}()
	for {
		select {
		case err := <-done:
			must(t, err)
			return
		default:
		}
		if _, err := machine.Size(t.Context(), dir); err != nil {
			t.Error(err)
			must(t, <-done)
			return
		}
	}
}

func TestUsage(t *testing.T) {
	before, err := machine.Linux.Usage()
	must(t, err)
	out, err := exec.Command("sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; times").Output()
	must(t, err)
	after, err := machine.Linux.Usage()
	must(t, err)
	if after.CPU <= before.CPU || after.MemoryBytes < 1<<20 || after.MemoryBytes >= after.MemoryTotal {
		t.Errorf("%+v, after %+v and a loop of %s", after, before, out)
	}
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "proc"), 0o700),
		os.WriteFile(filepath.Join(dir, "proc/stat"), []byte("cpu  100 20 3 9999 50 4 5 777 60 0\ncpu0 1 1 1\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "proc/meminfo"), []byte("MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    400 kB\n"), 0o600))
	use, err := machine.Files(dir).Usage()
	if err != nil || use.CPU != 1320*time.Millisecond || use.MemoryBytes != 600<<10 || use.MemoryTotal != 1000<<10 {
		t.Errorf("%+v, %v", use, err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "proc/meminfo"), []byte("MemTotal: 1000 kB\n"), 0o600))
	if use, err := machine.Files(dir).Usage(); err == nil {
		t.Errorf("without MemAvailable: %+v", use)
	}
}

func TestDescriptors(t *testing.T) {
	before := machine.Linux.Descriptors([]int{os.Getpid()})
	f, err := os.Open(os.DevNull)
	must(t, err)
	defer f.Close()
	after := machine.Linux.Descriptors([]int{os.Getpid(), 1 << 30})
	if before == nil || after == nil || *after != *before+1 {
		t.Errorf("%v, and with one more %v", before, after)
	}
}
