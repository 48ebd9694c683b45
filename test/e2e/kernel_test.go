package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// lacking is the variable with the numbers of system calls. A test binary that is started with it makes them fail and executes
// its first argument.
const lacking = "E2E_LACKING"

func olderKernel() {
	numbers := os.Getenv(lacking)
	if numbers == "" {
		return
	}
	runtime.LockOSThread()
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}}
	for number := range strings.SplitSeq(numbers, ",") {
		n, _ := strconv.Atoi(number)
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(n), Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	if err == nil {
		err = unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
	}
	if err == nil {
		err = os.Unsetenv(lacking)
	}
	if err == nil {
		err = syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
	}
	fmt.Println(err)
	os.Exit(1)
}

// without returns a program that runs uws as on a kernel without these system calls.
func without(t *testing.T, dir string, numbers ...int) string {
	t.Helper()
	var list []string
	for _, n := range numbers {
		list = append(list, strconv.Itoa(n))
	}
	path := filepath.Join(filepath.Dir(dir), "older-kernel")
	must(t, os.WriteFile(path, []byte("#!/bin/sh\nexport "+lacking+"="+strings.Join(list, ",")+"\nexec "+os.Args[0]+" "+uwstest.Binary+" \"$@\"\n"), 0o755))
	return path
}

// If the kernel lacks parts of the sandbox, engines start with the rest, and the log has one warning. With the flag that requires
// the sandbox, they are not started.
func TestSandboxOnOlderKernels(t *testing.T) {
	for label, lacks := range map[string][]int{
		"seccomp": {unix.SYS_LANDLOCK_CREATE_RULESET}, "none": {unix.SYS_LANDLOCK_CREATE_RULESET, unix.SYS_SECCOMP},
	} {
		t.Run(label, func(t *testing.T) {
			dir := folder(t)
			binary := without(t, dir, lacks...)
			p := started(t, binary, dir, "--engines", uwstest.EnginesFolder(t))
			s := launch(t, p, "DB", "older", nil)
			keys := reveal(t, p, s.ID)
			must(t, stories.Postgres.Write(t.Context(), s.Endpoint, keys, "meow"))
			restart := enginePID(t, s.ID)
			kill(t, restart, syscall.SIGKILL)
			healthy(t, p, s.ID, 1)
			if got := labelOfNode(t, p, "sandbox"); got != label {
				t.Errorf("the node says %q, want %q", got, label)
			}
			if n := strings.Count(p.Output.String(), "less of a sandbox"); n != 1 {
				t.Errorf("the log has the warning %d times, want once", n)
			}
			filters, want := statusOf(t, enginePID(t, s.ID))["Seccomp_filters"], "1" // that of uws, in this test
			if slices.Equal(lacks, []int{unix.SYS_LANDLOCK_CREATE_RULESET}) {
				want = "2"
			}
			if filters != want {
				t.Errorf("the engine has %s filters, want %s", filters, want)
			}
			must(t, p.Stop())

			p = started(t, binary, dir, "--engines", uwstest.EnginesFolder(t), "--engine-sandbox", "require")
			var out struct {
				Nodes []struct {
					Healthy bool
					Reason  string
				}
			}
			must(t, p.Query(t.Context(), `{ nodes { healthy reason } }`, nil, &out))
			if len(out.Nodes) != 1 || out.Nodes[0].Healthy || !strings.Contains(out.Nodes[0].Reason, "sandbox") {
				t.Errorf("the nodes are %+v", out.Nodes)
			}
		})
	}
}
