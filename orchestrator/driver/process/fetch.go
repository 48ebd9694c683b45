package process

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
)

// Prepare implements [driver.Driver]: the engine is taken from the prebuilt folder, or built, or downloaded. An engine
// that is not among our pins is run when the prebuilt folder has it: who can write there can replace uws too. A
// program of the machine's own is only looked for.
func (d *Driver) Prepare(ctx context.Context, spec driver.Spec, progress func(driver.Progress)) error {
	if spec.Program != "" {
		_, err := findProgram(spec.Program, spec.Package)
		return err
	}
	if err := checkEngine(spec.Engine, spec.EngineVersion); err != nil {
		return err
	}
	return d.engines.fetch(ctx, spec.Engine, spec.EngineVersion, progress)
}

// FetchAll fills the folder into with all engines that uws pins, building those that are missing or corrupt with
// the local Go, or downloading them with npm. Those that do not exist for this architecture are left out. The folder
// can then be given as [Options.Engines]. progress may be nil.
func FetchAll(ctx context.Context, into string, progress func(engine string, p driver.Progress)) error {
	all, err := engines.All()
	if err != nil {
		return err
	}
	s := newStore(into, Options{BuildEngines: true})
	defer s.close()
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

// flight is one fetch of an engine, which all who want that engine wait for.
type flight struct {
	cancel context.CancelFunc
	wanted int           // callers that wait; guarded by store.mu
	done   chan struct{} // closed at the end, when err is set
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

// fetch makes the engine be there, verified. Any number may ask for the same one: it is fetched once, each
// caller hears of progress, and the work stops when none is left that wants it.
func (s *store) fetch(ctx context.Context, name, version string, progress func(driver.Progress)) error {
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
			continue // the last of the others left at the very moment we joined
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

func (s *store) join(name, version string) (*flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
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

func (s *store) leave(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.wanted--; f.wanted == 0 {
		f.cancel()
	}
}

// close stops what is being fetched and waits for it.
func (s *store) close() {
	s.mu.Lock()
	s.closed = true
	for _, f := range s.flights {
		f.cancel()
	}
	s.mu.Unlock()
	s.building.Wait()
}

// get fetches one engine and verifies it.
func (s *store) get(ctx context.Context, name, version string, report func(driver.Progress)) error {
	// An earlier flight, or another process, may have been faster.
	if _, err := s.verified(name, version); err == nil {
		return nil
	}
	err := s.copyOrBuild(ctx, name, version, report)
	if err == nil {
		_, err = s.verified(name, version)
	}
	return err
}

func (s *store) copyOrBuild(ctx context.Context, name, version string, report func(driver.Progress)) error {
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
	case !s.build:
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

func (s *store) absent(e engines.Engine, why, remedy string) error {
	version := s.version
	if version == "" {
		version = "<version>"
	}
	return driver.UnavailableError("engine %s %s is not on this machine and %s; use the archive uws-%s-linux-%s.tar.gz made by `make dist`, "+
		"which holds uws and all engines, or %s", e.Name, e.Version, why, version, runtime.GOARCH, remedy)
}

// sweepOld removes what a fetch left that was killed a day ago or earlier: another process may be at work in the
// same folder.
func sweepOld(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !strings.HasPrefix(e.Name(), tempPrefix) || time.Since(info.ModTime()) < 24*time.Hour {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
