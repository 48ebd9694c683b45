package process

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/unicorn-web-services/uws/internal/sandbox"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/folders"
)

// Values of Options.Sandbox.
const (
	SandboxAuto    = "auto"    // what the kernel supports; what is missing is logged
	SandboxRequire = "require" // New fails if the kernel lacks Landlock or seccomp
	SandboxOff     = "off"
)

// sandboxLabel is the node's label with the kind of sandbox that engines run in.
const sandboxLabel = "sandbox"

// The files of the machine that engines can read. They can also execute those in programFolders.
var (
	programFolders = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/nix/store"}
	readFolders    = []string{
		"/etc", "/proc", "/sys",
		"/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", // targets of the link /etc/resolv.conf
		"/var/lib/ca-certificates", // target of the link /etc/ssl on SUSE
	}
	devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}
)

// openSandbox detects what sandbox the kernel supports.
func (d *Driver) openSandbox() error {
	if d.opt.Sandbox == SandboxOff {
		d.opt.Log.Warn("engines start without a sandbox, as was asked for")
		return nil
	}
	d.sandbox = sandbox.Detect()
	if d.sandbox.Complete() {
		return nil
	}
	if d.opt.Sandbox == SandboxRequire {
		return driver.Errorf(driver.Invalid, "engines shall start in a sandbox only, which needs a kernel with Landlock (Linux 5.13, in the list of `lsm=`) and seccomp; "+
			"there is: %s", d.sandbox)
	}
	d.opt.Log.Warn("engines start with less of a sandbox than they could have: this kernel, or what uws runs in, has no Landlock or no seccomp",
		"sandbox", d.sandbox.String())
	return nil
}

func (d *Driver) sandboxText() string {
	if d.opt.Sandbox == SandboxOff {
		return SandboxOff
	}
	return d.sandbox.String()
}

// profile returns what a service's engine may do with files: execute the machine's programs and its own, read its
// configuration, and write to data and to its own temporary folder. It shares /dev/shm with other engines.
func (d *Driver) profile(service, program, data string) sandbox.Profile {
	p := sandbox.Profile{
		Run: programFolders, Read: append([]string{d.configDir(service)}, readFolders...), Write: []string{data, d.tempDir(service)},
		Devices: devices, Shared: []string{"/dev/shm"},
		Private: append([]string{d.opt.Dir, d.volumesDir()}, d.opt.Private...),
	}
	if rel, err := filepath.Rel(d.enginesDir(), program); err == nil && filepath.IsLocal(rel) {
		name, _, _ := strings.Cut(rel, "/")
		program = filepath.Join(d.enginesDir(), name)
	}
	p.Run = append([]string{program}, p.Run...)
	return p
}

// emptyTemp makes the temporary folder of a service's engine, and removes what an earlier run left there.
func (d *Driver) emptyTemp(service string, owner uint32) error {
	dir := d.tempDir(service)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return folders.Give(dir, owner)
}
