package programs

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/engines"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// download fetches an engine from an npm package with the local npm, which verifies the package by the checksum in the lock
// file.
func (s *Store) download(ctx context.Context, e engines.Engine, report func(driver.Progress)) error {
	npm, err := findNPM()
	if err != nil {
		return s.absent(e, "there is no npm to fetch it with", "install Node.js with npm")
	}
	err = s.install(e.ID(), func(tmp string) (string, error) {
		return e.Binary, npmInstall(ctx, npm, e, tmp, report)
	})
	if err != nil {
		return fmt.Errorf("fetching %s %s: %w", e.Name, e.Version, err)
	}
	return nil
}

// findNPM returns the path of npm. npm needs Node.js.
func findNPM() (string, error) {
	if _, err := exec.LookPath("node"); err != nil {
		return "", err
	}
	return exec.LookPath("npm")
}

// permanentNPM are npm's codes for errors that another try does not change.
var permanentNPM = []string{"EINTEGRITY", "E401", "E403", "E404", "ETARGET", "EBADPLATFORM", "EBADENGINE", "EUSAGE"}

// npmInstall fills the empty folder into with the engine of an npm package.
func npmInstall(ctx context.Context, npm string, e engines.Engine, into string, report func(driver.Progress)) error {
	module, err := os.MkdirTemp(filepath.Dir(into), "module-")
	if err != nil {
		return err
	}
	if err := e.WriteModule(module); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
	cmd.Dir, cmd.Env = module, withoutOwn(os.Environ())
	step := fmt.Sprintf("downloading %s %s", e.Name, e.Version)
	stop := watchSize(module, e.NPM.Bytes, func(percent float64) { report(driver.Progress{Step: step, Percent: percent}) })
	said, err := runTool(ctx, cmd, func(string) {})
	stop()
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return toolError("npm ci", permanentNPM, said, err)
	}
	root := filepath.Join(module, "node_modules", e.NPM.Package)
	if err := makeLinks(root, e.NPM); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(root, e.NPM.Folder))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.Rename(filepath.Join(root, e.NPM.Folder, entry.Name()), filepath.Join(into, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// watchSize reports the size of a folder in percent of size until the returned function is called. npm reports no progress,
// but unpacks while it downloads.
func watchSize(dir string, size int64, report func(percent float64)) (stop func()) {
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			report(min(99, 100*float64(sizeOf(dir))/float64(max(1, size))))
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	return func() { close(done); watching.Wait() }
}

// sizeOf returns the size of all files in a folder. It is approximate while the folder changes.
func sizeOf(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil //nolint:nilerr // it was removed meanwhile
		}
		if info, err := e.Info(); err == nil {
			size += info.Size()
		}
		return nil
	})
	return size
}

// makeLinks makes the symbolic links that a package lists.
func makeLinks(root string, n *engines.NPM) error {
	if n.Links == "" {
		return nil
	}
	list := filepath.Join(root, n.Folder, n.Links)
	data, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string } // the target is the link
	if err := json.Unmarshal(data, &links); err != nil {
		return driver.Errorf(driver.Invalid, "reading %s: %w", list, err)
	}
	for _, l := range links {
		if !filepath.IsLocal(l.Source) || !filepath.IsLocal(l.Target) {
			return driver.Errorf(driver.Invalid, "%s names %q and %q, which are not both inside the package", list, l.Source, l.Target)
		}
		to, err := filepath.Rel(filepath.Dir(l.Target), l.Source)
		if err != nil {
			return err
		}
		if err := os.Symlink(to, filepath.Join(root, l.Target)); err != nil {
			return err
		}
	}
	return os.Remove(list)
}
