package programs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/engines"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/folders"
)

// FetchAll fills the folder into with all engines that uws pins. It builds those that are missing or corrupt with the local
// Go, or downloads them with npm. It leaves out those that do not exist for this architecture. The folder can then be used as
// [Options.Prebuilt]. progress may be nil.
func FetchAll(ctx context.Context, into string, progress func(engine string, p driver.Progress)) error {
	all, err := engines.All()
	if err != nil {
		return err
	}
	s := New(into, Options{Build: true})
	defer s.Close()
	for _, e := range all {
		each := func(p driver.Progress) {
			if progress != nil {
				progress(e.ID(), p)
			}
		}
		if !runsHere(e) {
			each(driver.Progress{Step: "left out: " + elsewhere(e), Percent: -1})
			continue
		}
		if err := s.fetch(ctx, e.Name, e.Version, each); err != nil {
			return err
		}
	}
	return nil
}

// flight is one fetch of an engine, shared by all callers that want that engine.
type flight struct {
	cancel context.CancelFunc
	wanted int           // callers that wait; guarded by Store.mu
	done   chan struct{} // closed at the end; err is set then
	err    error

	mu   sync.Mutex
	last driver.Progress
}

func (f *flight) report(p driver.Progress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = p
}

func (f *flight) progress() driver.Progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// fetch returns when the engine is in the store and verified. Concurrent calls for the same engine share one fetch, which
// reports its progress to each of them and is cancelled when the last one has left.
func (s *Store) fetch(ctx context.Context, name, version string, progress func(driver.Progress)) error {
	if progress == nil {
		progress = func(driver.Progress) {}
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := s.verified(name, version); err == nil {
			return nil
		}
		f, err := s.join(name, version)
		if err != nil {
			return err
		}
		err = f.wait(ctx, progress)
		s.leave(f)
		if errors.Is(err, context.Canceled) && ctx.Err() == nil {
			continue // the last other caller left, and so cancelled it, just as this one joined
		}
		return err
	}
}

func (f *flight) wait(ctx context.Context, progress func(driver.Progress)) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	progress(f.progress())
	for {
		select {
		case <-f.done:
			if f.err == nil {
				progress(driver.Progress{Step: f.progress().Step, Percent: 100})
			}
			return f.err
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			progress(f.progress())
		}
	}
}

func (s *Store) join(name, version string) (*flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("the store of engines is closed")
	}
	id := name + "-" + version
	if f := s.flights[id]; f != nil {
		f.wanted++
		return f, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &flight{cancel: cancel, wanted: 1, done: make(chan struct{}), last: driver.Progress{Step: "fetching " + name + " " + version, Percent: -1}}
	s.flights[id] = f
	s.building.Go(func() {
		defer cancel()
		err := s.get(ctx, name, version, f.report)
		s.mu.Lock()
		f.err = err
		delete(s.flights, id)
		s.mu.Unlock()
		close(f.done)
	})
	return f, nil
}

func (s *Store) leave(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.wanted--; f.wanted == 0 {
		f.cancel()
	}
}

// Close cancels the fetches in progress and waits for them. Later fetches fail.
func (s *Store) Close() {
	s.mu.Lock()
	s.closed = true
	for _, f := range s.flights {
		f.cancel()
	}
	s.mu.Unlock()
	s.building.Wait()
}

// get fetches one engine and verifies it.
func (s *Store) get(ctx context.Context, name, version string, report func(driver.Progress)) error {
	// An earlier flight or another process may have fetched it.
	if _, err := s.verified(name, version); err == nil {
		return nil
	}
	err := s.copyOrBuild(ctx, name, version, report)
	if err == nil {
		_, err = s.verified(name, version)
	}
	return err
}

func (s *Store) copyOrBuild(ctx context.Context, name, version string, report func(driver.Progress)) error {
	report(driver.Progress{Step: fmt.Sprintf("copying %s %s", name, version), Percent: -1})
	err := s.copyPrebuilt(name, version)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	e, pinned, err := engines.Find(name, version)
	switch {
	case err != nil:
		return err
	case !pinned:
		return driver.UnavailableError("there is no engine %s %s for this version of uws", name, version)
	case !runsHere(e):
		return driver.UnavailableError("engine %s %s cannot run here: %s; choose a template with another engine, or a Docker node", name, version, elsewhere(e))
	case !s.opts.Build:
		return s.absent(e, "fetching is switched off", "switch it on")
	case e.NPM != nil:
		return s.download(ctx, e, report)
	}
	goTool, err := findGo()
	if err != nil {
		return s.absent(e, "there is no Go to build it with", "install Go")
	}
	err = s.install(e.ID(), func(tmp string) (string, error) {
		b := build{goTool: goTool, engine: e, report: report}
		return e.Binary, b.run(ctx, filepath.Join(tmp, e.Binary))
	})
	if err != nil {
		return fmt.Errorf("building %s %s: %w", name, version, err)
	}
	return nil
}

// runsHere reports whether an engine exists for this machine's architecture.
func runsHere(e engines.Engine) bool { return e.NPM == nil || e.NPM.Arch == runtime.GOARCH }

func elsewhere(e engines.Engine) string {
	return fmt.Sprintf("it is there for linux-%s only, and this is linux-%s", e.NPM.Arch, runtime.GOARCH)
}

func (s *Store) absent(e engines.Engine, why, remedy string) error {
	version := s.opts.Version
	if version == "" {
		version = "<version>"
	}
	return driver.UnavailableError("engine %s %s is not on this machine and %s; use the archive uws-%s-linux-%s.tar.gz made by `make dist`, "+
		"which holds uws and all engines, or %s", e.Name, e.Version, why, version, runtime.GOARCH, remedy)
}

// sweepOld removes what fetches left that were killed a day ago or earlier. Younger folders may be in use by another
// process.
func sweepOld(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !strings.HasPrefix(e.Name(), folders.TempPrefix) || time.Since(info.ModTime()) < 24*time.Hour {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
