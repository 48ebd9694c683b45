package sandbox_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/internal/sandbox"
)

// confined makes the test binary run one action and report the result.
const confined = "SANDBOXTEST"

func TestMain(m *testing.M) {
	if what := os.Getenv(confined); what != "" {
		fmt.Println(try(what))
		return
	}
	os.Exit(m.Run())
}

// try runs one action; "ok" means success.
func try(what string) string {
	verb, path, _ := strings.Cut(what, " ")
	var err error
	switch verb {
	case "read":
		_, err = os.ReadFile(path)
	case "list":
		_, err = os.ReadDir(path)
	case "write":
		err = os.WriteFile(path, []byte("x"), 0o600)
	case "connect":
		var c net.Conn
		if c, err = net.Dial("unix", path); err == nil {
			err = c.Close()
		}
	case "node":
		err = unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))
	case "signal":
		err = unix.Kill(os.Getppid(), 0)
	case "socket":
		var fd int
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0); err == nil {
			err = unix.Close(fd)
		}
	default:
		err = call(verb)
	}
	if err == nil {
		return "ok"
	}
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

// call makes a system call whose arguments are invalid, so that without the filter it fails with another error.
func call(name string) error {
	var zero [16]uint64
	numbers := map[string][]uintptr{
		"ptrace": {unix.SYS_PTRACE, 0xffff}, "process_vm_readv": {unix.SYS_PROCESS_VM_READV, uintptr(os.Getpid())},
		"process_vm_writev": {unix.SYS_PROCESS_VM_WRITEV, uintptr(os.Getpid())}, "mount": {unix.SYS_MOUNT}, "umount2": {unix.SYS_UMOUNT2},
		"fsopen": {unix.SYS_FSOPEN}, "move_mount": {unix.SYS_MOVE_MOUNT}, "open_tree": {unix.SYS_OPEN_TREE}, "pivot_root": {unix.SYS_PIVOT_ROOT},
		"kexec_load": {unix.SYS_KEXEC_LOAD, 0, 1 << 30}, "bpf": {unix.SYS_BPF, 0xffff}, "perf_event_open": {unix.SYS_PERF_EVENT_OPEN},
		"keyctl": {unix.SYS_KEYCTL, 0xffff}, "add_key": {unix.SYS_ADD_KEY}, "request_key": {unix.SYS_REQUEST_KEY},
		"init_module": {unix.SYS_INIT_MODULE}, "finit_module": {unix.SYS_FINIT_MODULE, 1 << 20}, "delete_module": {unix.SYS_DELETE_MODULE},
		"reboot": {unix.SYS_REBOOT}, "swapon": {unix.SYS_SWAPON}, "setns": {unix.SYS_SETNS, 1 << 20}, "unshare": {unix.SYS_UNSHARE, 0},
		"userfaultfd": {unix.SYS_USERFAULTFD, 0xffff}, "io_uring_setup": {unix.SYS_IO_URING_SETUP, 0}, "pidfd_getfd": {unix.SYS_PIDFD_GETFD, 1 << 20},
		"clone": {unix.SYS_CLONE, unix.CLONE_NEWUSER | unix.CLONE_THREAD}, "clone3": {unix.SYS_CLONE3, uintptr(unsafe.Pointer(&zero)), 1},
	}
	args, ok := numbers[name]
	if !ok {
		return fmt.Errorf("no system call %s", name)
	}
	var all [4]uintptr
	copy(all[:], args)
	if _, _, errno := unix.Syscall(all[0], all[1], all[2], all[3]); errno != 0 {
		return errno
	}
	return nil
}

// in returns the result of an action of a program in the sandbox.
func in(t *testing.T, s sandbox.Support, p sandbox.Profile, what string) string {
	t.Helper()
	p.Run = append(p.Run, "/usr", "/lib", "/lib64", filepath.Dir(os.Args[0]))
	p.Read, p.Devices = append(p.Read, "/proc", "/sys"), []string{"/dev/null"}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), confined+"="+what)
	var out []byte
	err := s.Do(p, func() (err error) {
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v: %s", what, err, out)
	}
	said, _, _ := strings.Cut(string(out), "\n")
	return said
}

func whole(t *testing.T) sandbox.Support {
	t.Helper()
	s := sandbox.Detect()
	if !s.Complete() {
		t.Fatalf("this machine has %s: these tests need a kernel with Landlock and seccomp", s)
	}
	return s
}

func TestFiles(t *testing.T) {
	s, dir := whole(t), t.TempDir()
	at := func(path string) string { return filepath.Join(dir, path) }
	for _, d := range []string{"system/deep/own", "system/beside", "private"} {
		if err := os.MkdirAll(at(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"system/a", "system/deep/key", "system/deep/own/a", "system/deep/b", "system/beside/a", "private/a"} {
		if err := os.WriteFile(at(f), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(at("private"), at("system/link")); err != nil {
		t.Fatal(err)
	}
	p := sandbox.Profile{
		Read: []string{at("system"), at("missing")}, Write: []string{at("system/deep/own")},
		Private: []string{at("system/deep"), at("missing")},
	}
	for what, want := range map[string]string{
		"read system/a": "ok", "list system/beside": "ok", "read system/beside/a": "ok", "write system/a": "EACCES", "write system/beside/new": "EACCES",
		"read private/a": "EACCES", "read system/link/a": "EACCES", "list private": "EACCES",
		"read system/deep/key": "EACCES", "list system/deep": "EACCES", "read system/deep/b": "EACCES", "write system/deep/new": "EACCES",
		"read system/deep/own/a": "ok", "write system/deep/own/a": "ok", "write system/deep/own/new": "ok", "list system/deep/own": "ok",
		"node system/deep/own/device": "EACCES",
	} {
		verb, path, _ := strings.Cut(what, " ")
		if got := in(t, s, p, verb+" "+at(path)); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	p.Private = []string{at("system/deep/key")} // a file
	for what, want := range map[string]string{"read system/deep/key": "EACCES", "read system/deep/b": "ok", "read system/a": "ok"} {
		verb, path, _ := strings.Cut(what, " ")
		if got := in(t, s, p, verb+" "+at(path)); got != want {
			t.Errorf("with a private file: %s: %s, want %s", what, got, want)
		}
	}
	p = sandbox.Profile{Shared: []string{dir}}
	for what, want := range map[string]string{"write new": "ok", "read system/a": "ok", "write system/a": "ok", "list .": "EACCES"} {
		verb, path, _ := strings.Cut(what, " ")
		if got := in(t, s, p, verb+" "+at(path)); got != want {
			t.Errorf("in a shared folder: %s: %s, want %s", what, got, want)
		}
	}
}

// Denied system calls fail with EPERM, also for root, instead of with the kernel's own error.
func TestCalls(t *testing.T) {
	s := whole(t)
	for what, want := range map[string]string{
		"ptrace": "EPERM", "process_vm_readv": "EPERM", "process_vm_writev": "EPERM", "mount": "EPERM", "umount2": "EPERM", "fsopen": "EPERM",
		"move_mount": "EPERM", "open_tree": "EPERM", "pivot_root": "EPERM", "kexec_load": "EPERM", "bpf": "EPERM", "perf_event_open": "EPERM",
		"keyctl": "EPERM", "add_key": "EPERM", "request_key": "EPERM", "init_module": "EPERM", "finit_module": "EPERM", "delete_module": "EPERM",
		"reboot": "EPERM", "swapon": "EPERM", "setns": "EPERM", "unshare": "EPERM", "userfaultfd": "EPERM", "io_uring_setup": "EPERM",
		"pidfd_getfd": "EPERM", "clone": "EPERM", "clone3": "ENOSYS", "socket": "EAFNOSUPPORT",
	} {
		if got := in(t, s, sandbox.Profile{}, what); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
		if got := in(t, sandbox.Support{}, sandbox.Profile{}, what); got == want && what != "reboot" {
			t.Errorf("%s: %s without a filter: the test shows nothing", what, got)
		}
	}
	if got := in(t, s, sandbox.Profile{Namespaces: true}, "clone"); got == "EPERM" {
		t.Errorf("clone with namespaces: %s", got)
	}
}

func TestScopes(t *testing.T) {
	s := whole(t)
	if s.Landlock < 6 {
		t.Fatalf("this machine has %s: this test needs Landlock 6", s)
	}
	l, err := net.Listen("unix", "@uws-sandbox-test-"+fmt.Sprint(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	connect := "connect " + l.Addr().String()
	for what, want := range map[string]string{connect: "EPERM", "signal": "EPERM"} {
		if got := in(t, s, sandbox.Profile{}, what); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
		if got := in(t, sandbox.Support{}, sandbox.Profile{}, what); got != "ok" {
			t.Errorf("%s: %s without a sandbox", what, got)
		}
	}
}

// The sandbox applies to one thread, which is never the first one: its restrictions would be shown as those of the
// process, and processes in the same Landlock domain could inspect it.
func TestThread(t *testing.T) {
	s := whole(t)
	for range 200 {
		err := s.Do(sandbox.Profile{}, func() error {
			if unix.Gettid() == unix.Getpid() {
				return errors.New("it is the first thread")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := in(t, s, sandbox.Profile{}, "read /etc/passwd"); got != "EACCES" {
		t.Fatal(got)
	}
	for range 100 {
		if _, err := os.ReadFile("/etc/passwd"); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("/proc/self/status")
	if err != nil || strings.Contains(string(text), "NoNewPrivs:\t1") {
		t.Errorf("this process is in a sandbox: %v", err)
	}
}

// If the kernel supports nothing, programs run, and still cannot gain privileges.
func TestNothing(t *testing.T) {
	if got := in(t, sandbox.Support{}, sandbox.Profile{}, "read /etc/passwd"); got != "ok" {
		t.Error(got)
	}
	for want, s := range map[string]sandbox.Support{
		"none": {}, "seccomp": {Seccomp: true}, "landlock 7": {Landlock: 7}, "landlock 6, seccomp": {Landlock: 6, Seccomp: true},
	} {
		if s.String() != want || s.Complete() != (want == "landlock 6, seccomp") {
			t.Errorf("%q, complete %t, want %q", s, s.Complete(), want)
		}
	}
}
