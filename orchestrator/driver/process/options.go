package process

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/volumes"
)

const defaultLogBytes = 10 << 20

// Options of a [Driver].
type Options struct {
	Dir          string       // absolute path of the state folder; made if it is missing
	Installation string       // this installation's random id: 1 to 64 letters, digits, - and _
	ClonedFrom   string       // id of the installation whose folder this is a copy of; empty: none
	Engines      string       // folder of prebuilt engines; empty or missing: none
	BuildEngines bool         // build an engine that is missing with the local Go
	Version      string       // of uws, to name the archive that holds engines; may be empty
	UIDBase      uint32       // first uid of volumes if run as root; 0: derived from Installation
	LogBytes     int64        // that a service's logs may have on disk, beyond which the oldest is dropped; 0: 10 MiB
	Sandbox      string       // SandboxAuto, SandboxRequire or SandboxOff; empty: SandboxAuto
	Private      []string     // paths besides Dir that no engine may read
	Log          *slog.Logger // nil: slog.Default()
}

// Validate returns an error that names the fields that are wrong and what would be right.
func (o Options) Validate() error {
	var errs []error
	if !filepath.IsAbs(o.Dir) {
		errs = append(errs, fmt.Errorf("option Dir %q must be an absolute path", o.Dir))
	}
	if !driver.ValidID(o.Installation) {
		errs = append(errs, fmt.Errorf("option Installation %q must be 1 to 64 letters, digits, - and _", o.Installation))
	}
	if o.Engines != "" && !filepath.IsAbs(o.Engines) {
		errs = append(errs, fmt.Errorf("option Engines %q must be an absolute path or empty", o.Engines))
	}
	if o.UIDBase != 0 && (o.UIDBase < 1000 || o.UIDBase > 1<<31-volumes.Block) {
		errs = append(errs, fmt.Errorf("option UIDBase %d must be 0 or from 1000 to %d", o.UIDBase, 1<<31-volumes.Block))
	}
	if o.LogBytes < 0 {
		errs = append(errs, fmt.Errorf("option LogBytes %d must not be negative", o.LogBytes))
	}
	if !slices.Contains([]string{"", SandboxAuto, SandboxRequire, SandboxOff}, o.Sandbox) {
		errs = append(errs, fmt.Errorf("option Sandbox %q must be %s, %s or %s", o.Sandbox, SandboxAuto, SandboxRequire, SandboxOff))
	}
	return errors.Join(errs...)
}

func (o Options) withDefaults() Options {
	o.Dir = filepath.Clean(o.Dir)
	if o.UIDBase == 0 {
		o.UIDBase = volumes.BaseOf(o.Installation)
	}
	if o.LogBytes == 0 {
		o.LogBytes = defaultLogBytes
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// asRoot reports whether engines run under uids of their own.
func asRoot() bool { return os.Geteuid() == 0 }
