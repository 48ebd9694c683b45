package process

import (
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

const (
	// defaultUIDs is where the uids of volumes begin: far above those of people, system services, containers'
	// subordinate ranges and systemd's dynamic users.
	defaultUIDs = 0x70000000
	// uidBlock is how many volumes of one installation can have a uid of their own.
	uidBlock = 8192

	defaultLogBytes = 10 << 20
)

// Options of a [Driver].
type Options struct {
	Dir          string       // absolute folder of all that the driver keeps; made when missing
	Installation string       // this installation's random id: 1 to 64 letters, digits, - and _
	ClonedFrom   string       // id of the installation whose folder this is a copy of; empty: none
	Engines      string       // folder of prebuilt engines; empty or missing: none
	BuildEngines bool         // build an engine that is missing with the local Go
	Version      string       // of uws, to name the archive that holds engines; may be empty
	UIDBase      uint32       // first uid of volumes when running as root; 0: chosen by the installation
	LogBytes     int64        // size at which a log is rotated; 0: 10 MiB
	Sandbox      string       // SandboxAuto, SandboxRequire or SandboxOff; empty: SandboxAuto
	Private      []string     // paths besides Dir that no engine may read, wherever they lie
	Log          *slog.Logger // nil: slog.Default()
}

// Validate says which field is wrong and what would be right.
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
	if o.UIDBase != 0 && (o.UIDBase < 1000 || o.UIDBase > 1<<31-uidBlock) {
		errs = append(errs, fmt.Errorf("option UIDBase %d must be 0 or from 1000 to %d", o.UIDBase, 1<<31-uidBlock))
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
		o.UIDBase = uidsOf(o.Installation)
	}
	if o.LogBytes == 0 {
		o.LogBytes = defaultLogBytes
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// uidsOf returns the first uid of an installation's block, so that two installations on one machine do not share uids.
func uidsOf(installation string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(installation))
	return defaultUIDs + h.Sum32()%(1<<14)*uidBlock
}

// asRoot reports whether engines run under uids of their own.
func asRoot() bool { return os.Geteuid() == 0 }
