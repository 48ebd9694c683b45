package probe

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestWriteChecks runs each write check on a disk with free space, on a full disk, and with free space again. Reads
// succeed throughout.
func TestWriteChecks(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: a small file system can only be mounted as root")
	}
	for _, tt := range []struct {
		probe    string
		start    func(testing.TB) Target
		tellsWhy bool // that the disk is full, not only that something failed
	}{
		{"s3", func(t testing.TB) Target { tg, _ := startS3(t); return tg }, false},
		{"postgres", func(t testing.TB) Target { p := newPostgres(t); p.start(); becomeOK(t, "postgres", p.tg); return p.tg }, true},
		{"mongodb", func(t testing.TB) Target { tg, _ := startMongoDB(t); return tg }, true},
		{"redis", func(t testing.TB) Target { tg, _ := startRedis(t, "appendonly yes"); return tg }, true},
		{"nats", func(t testing.TB) Target {
			tg, _ := startNATS(t, "jetstream { store_dir: \"DIR\" }")
			becomeOK(t, "nats", tg)
			return tg
		}, false},
	} {
		t.Run(tt.probe, func(t *testing.T) {
			disk := smallDisk(t)
			t.Setenv("TMPDIR", disk)
			tg := tt.start(t)
			write := func() Result {
				f, _ := LookupWrite(tt.probe)
				return Run(t.Context(), f, tg, patient, time.Now)
			}
			for range 3 {
				expect(t, write(), OK, "wrote 64 KiB and deleted it")
			}
			leavesNothing(t, disk)
			ballast := fill(t, disk)
			for start := time.Now(); write().Verdict == OK && time.Since(start) < patient; {
				// During an fsync, Redis postpones writing its log by up to two seconds.
			}
			for range 3 {
				if r := write(); r.Verdict != Alive || r.DiskFull != tt.tellsWhy || r.Refused {
					t.Errorf("full: %+v", r)
				}
			}
			if r := run(t, tt.probe, tg, patient); r.Verdict != OK && tt.probe != "redis" {
				t.Errorf("reading: %+v", r)
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			for start := time.Now(); write().Verdict != OK; {
				if time.Since(start) > patient {
					t.Fatalf("with room again: %+v", write())
				}
			}
			leavesNothing(t, disk)
		})
	}
}

func TestEveryTypeHasAWriteCheckOrNone(t *testing.T) {
	var none []string
	for _, name := range Types() {
		if _, has := LookupWrite(name); !has {
			none = append(none, name)
		}
	}
	if got := strings.Join(none, " "); got != "http openbao setec tcp" {
		t.Errorf("none: %s", got)
	}
}

// leavesNothing waits until no object of a write check is left in an engine's files.
func leavesNothing(t *testing.T, dir string) {
	t.Helper()
	for start := time.Now(); ; {
		var left []string
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if strings.Contains(filepath.Base(path), writeName) {
				left = append(left, path)
			}
			if errors.Is(err, fs.ErrNotExist) { // the engine has just removed a file
				return nil
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		if time.Since(start) > patient {
			t.Fatalf("left behind: %v", left)
		}
	}
}

// smallDisk mounts a file system of 200 MiB until the test ends.
func smallDisk(t testing.TB) string {
	t.Helper()
	dir := reachable(t)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=200m,mode=777"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill uses up the free space of a disk.
func fill(t testing.TB, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := bytes.Repeat([]byte{1}, 4096)
	for {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			return path
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
