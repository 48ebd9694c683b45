package repo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// TestMain is also a process that saves until it is killed.
func TestMain(m *testing.M) {
	if text := os.Getenv("UWS_REPO_TEST_SAVE"); text != "" {
		fmt.Fprintln(os.Stderr, saveForever(text))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// child is what a process that saves is told.
type child struct {
	Location Location
	Secret   string
	Key      string
	Scratch  string
}

func saveForever(text string) error {
	var c child
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	key, err := ParseKey(c.Key)
	if err != nil {
		return err
	}
	if c.Location.S3 != nil {
		c.Location.S3.SecretKey = driver.Secret(c.Secret)
	}
	r, err := Open(context.Background(), Options{Location: c.Location, Key: key, Scratch: c.Scratch})
	if err != nil {
		return err
	}
	p := part("data", fileItem("f", random(100<<20)), fileItem("g", random(10)))
	for {
		if _, err := r.Save(context.Background(), nil, func(n int64) { fmt.Println(n) }, p); err != nil {
			return err
		}
		fmt.Println("saved")
		if _, err := r.Maintain(context.Background(), true); err != nil {
			return err
		}
		fmt.Println("maintained")
	}
}

// A process that is killed at any time leaves a repository that opens, verifies and saves again, and that maintenance rids of
// what the process left behind.
func TestKilled(t *testing.T) {
	onEach(t, func(t *testing.T, at place) {
		o := options(t, at.Location)
		r := created(t, o)
		before := saved(t, r, nil, part("data", fileItem("f", random(3<<20))))
		c := child{Location: at.Location, Secret: testSecret, Key: o.Key.Text(), Scratch: t.TempDir()}
		for _, when := range []string{"1048576", fmt.Sprint(50 << 20), fmt.Sprint(100<<20 + 10), "saved", "maintained"} {
			c.kill(t, when)
			r := opened(t, o)
			must(t, r.Verify(t.Context(), before.ID, nil))
			all, err := r.Snapshots(t.Context(), nil)
			must(t, err)
			for _, s := range all {
				must(t, r.Verify(t.Context(), s.ID, nil))
			}
			s := saved(t, r, nil, part("data", fileItem("f", random(1<<20))))
			must(t, r.Verify(t.Context(), s.ID, nil), r.Delete(t.Context(), s.ID))
		}
		cl := &clock{}
		o.Now, o.AtOnce = cl.now, true
		r = opened(t, o)
		all, err := r.Snapshots(t.Context(), nil)
		must(t, err)
		for _, s := range all {
			if s.ID != before.ID {
				must(t, r.Delete(t.Context(), s.ID))
			}
		}
		for range 3 {
			cl.add(3 * time.Second)
			_, err := r.Maintain(t.Context(), true)
			must(t, err)
		}
		if size, err := r.Size(t.Context()); err != nil || size > 30<<20 {
			t.Errorf("%d bytes are left behind, %v", size, err)
		}
		must(t, opened(t, o).Verify(t.Context(), before.ID, nil))
	})
}

// kill starts a process that saves, and kills it when it has written a line.
func (c child) kill(t *testing.T, line string) {
	t.Helper()
	text, err := json.Marshal(c)
	must(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "UWS_REPO_TEST_SAVE="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != line {
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	if lines.Text() != line {
		t.Fatalf("the process ended before it wrote %q", line)
	}
}

// Files that a dead process was writing are removed when they are a day old.
func TestUnfinishedFiles(t *testing.T) {
	o := options(t, Location{Folder: t.TempDir()})
	r := created(t, o)
	old, young := filepath.Join(o.Location.Folder, "p", "x.f"+temporary+"1"), filepath.Join(o.Location.Folder, "x.f"+temporary+"2")
	must(t, os.MkdirAll(filepath.Dir(old), 0o700), os.WriteFile(old, nil, 0o600), os.WriteFile(young, nil, 0o600))
	yesterday := time.Now().Add(-25 * time.Hour)
	must(t, os.Chtimes(old, yesterday, yesterday))
	_, err := r.Maintain(t.Context(), true)
	must(t, err)
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	_, err = os.Stat(young)
	must(t, err)
}

// Saves at the same time do not disturb each other, nor does maintenance.
func TestSavesAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, at place) {
		r := created(t, options(t, at.Location))
		same := random(5 << 20)
		var all sync.WaitGroup
		var ids [4]string
		for i := range ids {
			all.Go(func() {
				s, err := r.Save(t.Context(), map[string]string{"n": fmt.Sprint(i)}, nil,
					part("data", fileItem("same", same), fileItem("own", random(3<<20)), fileItem("small", fmt.Sprint(i))))
				if err != nil {
					t.Error(err)
				}
				ids[i] = s.ID
			})
		}
		all.Go(func() {
			if _, err := r.Maintain(t.Context(), true); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		for i, id := range ids {
			must(t, r.Verify(t.Context(), id, nil))
			f, _, err := r.OpenFile(t.Context(), id, "data/small")
			must(t, err)
			if got, err := io.ReadAll(f); err != nil || string(got) != fmt.Sprint(i) {
				t.Errorf("%q %v", got, err)
			}
			must(t, f.Close())
		}
	})
}

// Maintenance runs once at a time, and by the owner alone.
func TestMaintenanceAlone(t *testing.T) {
	onEach(t, func(t *testing.T, at place) {
		o := options(t, at.Location)
		r := created(t, o)
		saved(t, r, nil, part("data", fileItem("f", random(1<<20))))
		second := opened(t, o)
		slow := &slowRecord{store: second.st.store, entered: make(chan struct{}), leave: make(chan struct{})}
		second.st.store = slow
		done := make(chan error, 1)
		go func() {
			_, err := second.Maintain(t.Context(), true)
			done <- err
		}()
		select {
		case <-slow.entered:
		case err := <-done:
			t.Fatalf("maintenance ended: %v", err)
		}
		if _, err := r.Maintain(t.Context(), true); !errors.Is(err, ErrBusy) {
			t.Errorf("%v", err)
		}
		close(slow.leave)
		must(t, <-done)
		_, err := r.Maintain(t.Context(), true)
		must(t, err)

		o.Owner, o.Scratch = "another", t.TempDir()
		other := opened(t, o)
		if _, err := other.Maintain(t.Context(), false); !errors.Is(err, ErrNotOwner) || !strings.Contains(err.Error(), "uws@uws") {
			t.Errorf("%v", err)
		}
		must(t, other.Own(t.Context()))
		_, err = other.Maintain(t.Context(), false)
		must(t, err)
		o.Owner, o.Scratch = "uws", t.TempDir()
		if _, err := opened(t, o).Maintain(t.Context(), false); !errors.Is(err, ErrNotOwner) {
			t.Errorf("%v", err)
		}
	})
}

// slowRecord stops before the first record of maintenance.
type slowRecord struct {
	store
	once           sync.Once
	entered, leave chan struct{}
}

func (s *slowRecord) put(ctx context.Context, name string, data []byte, via func(io.Reader) io.Reader) error {
	if name == "kopia.maintenance" {
		s.once.Do(func() { close(s.entered); <-s.leave })
	}
	return s.store.put(ctx, name, data, via)
}

// Clocks that differ by more than five minutes stop maintenance with the reason. Everything else goes on.
func TestClockSkew(t *testing.T) {
	onEach(t, func(t *testing.T, at place) {
		o := options(t, at.Location)
		c := &clock{}
		o.Now = c.now
		r := created(t, o)
		for _, skew := range []time.Duration{-2 * time.Hour, 2 * time.Hour} {
			c.more.Store(int64(skew))
			s := saved(t, r, nil, part("data", fileItem("f", random(1<<20))))
			must(t, r.Verify(t.Context(), s.ID, nil))
			if _, err := r.Maintain(t.Context(), true); !errors.Is(err, ErrClock) || !strings.Contains(err.Error(), "Correct the clock") {
				t.Errorf("%v", err)
			}
		}
		c.more.Store(int64(4 * time.Minute))
		_, err := r.Maintain(t.Context(), true)
		must(t, err)
		if all, err := opened(t, o).Snapshots(t.Context(), nil); err != nil || len(all) != 2 {
			t.Errorf("%v %v", all, err)
		}
	})
}
