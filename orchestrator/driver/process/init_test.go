package process

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/driver/process/folders"
)

// Where there are no user namespaces, the init runs as nobody, to whom its folders belong as long as it runs.
func TestInitWithoutNamespaces(t *testing.T) {
	if !asRoot() {
		t.Skip("SKIPPED: only root gives volumes uids of their own")
	}
	const owner, nobody = 0x70000007, 65534
	dir := t.TempDir()
	if err := folders.Give(dir, owner); err != nil {
		t.Fatal(err)
	}
	ownerNow := func() uint32 {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		return folders.Owner(info)
	}
	failed := errors.New("the command failed")
	for _, refused := range []error{&os.PathError{Op: "fork/exec", Err: syscall.EPERM}, syscall.ENOSPC, syscall.EINVAL} {
		runs := 0
		err := (&Driver{}).runAs(owner, func(id identityOf) error {
			var attr syscall.SysProcAttr
			id(&attr)
			if runs++; runs == 1 {
				if attr.Cloneflags != syscall.CLONE_NEWUSER || len(attr.UidMappings) != 1 || attr.UidMappings[0].HostID != owner || ownerNow() != owner {
					t.Errorf("first it ran with %+v, in a folder of %d", attr, ownerNow())
				}
				return refused
			}
			if attr.Cloneflags != 0 || attr.Credential.Uid != nobody || attr.Credential.Gid != nobody || ownerNow() != nobody {
				t.Errorf("then it ran with %+v, in a folder of %d", attr, ownerNow())
			}
			return failed
		}, dir)
		if !errors.Is(err, failed) || runs != 2 || ownerNow() != owner {
			t.Errorf("it ran %d times and said %v; the folder belongs to %d", runs, err, ownerNow())
		}
	}
	err := (&Driver{}).runAs(owner, func(identityOf) error { return failed }, dir)
	if !errors.Is(err, failed) || ownerNow() != owner {
		t.Errorf("a command that fails by itself: %v, the folder belongs to %d", err, ownerNow())
	}
}
