package sandbox

import (
	"slices"

	"golang.org/x/sys/unix"
)

// denied are the system calls that fail with EPERM on all architectures. A database needs none of them.
var denied = []uint32{
	// memory and descriptors of other processes
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE, unix.SYS_KCMP, unix.SYS_PIDFD_GETFD,
	// file systems
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE, unix.SYS_FSOPEN,
	unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_QUOTACTL,
	unix.SYS_QUOTACTL_FD, unix.SYS_FANOTIFY_INIT, unix.SYS_SWAPON, unix.SYS_SWAPOFF,
	// namespaces; clone is filtered by its flags
	unix.SYS_UNSHARE, unix.SYS_SETNS,
	// the kernel itself
	unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_REBOOT,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	unix.SYS_SYSLOG, unix.SYS_ACCT, unix.SYS_VHANGUP, unix.SYS_LOOKUP_DCOOKIE,
	// kernel keyrings
	unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
	// clock and names of the machine
	unix.SYS_SETTIMEOFDAY, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
}

// families are the socket families that are allowed. All others fail with EAFNOSUPPORT.
var families = []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET

// Offsets in struct seccomp_data. Both architectures are little endian, so the lower half of an argument comes first.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetFirst  = 16 // first argument
)

// x32 is the bit of the second set of system calls of amd64.
const x32 = 0x40000000

func statement(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }

func load(offset uint32) unix.SockFilter {
	return statement(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset)
}

// skip jumps over n statements unless the condition holds.
func skip(condition uint16, k uint32, n uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | condition | unix.BPF_K, K: k, Jf: n}
}

func result(errno uint32) unix.SockFilter {
	return statement(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ERRNO|errno)
}

// program returns the filter. System calls of another architecture, whose numbers have other meanings, fail with
// ENOSYS.
func program(namespaces bool) []unix.SockFilter {
	p := []unix.SockFilter{
		load(offsetArch),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: auditArch, Jt: 1},
		result(uint32(unix.ENOSYS)),
		load(offsetNumber),
		skip(unix.BPF_JGE, x32, 1),
		result(uint32(unix.ENOSYS)),
	}
	for _, number := range slices.Concat(denied, deniedHere) {
		p = append(p, skip(unix.BPF_JEQ, number, 1), result(uint32(unix.EPERM)))
	}
	if !namespaces {
		p = append(p,
			// The flags of clone3 are in memory, which a filter cannot read. If it fails, the C library uses clone.
			skip(unix.BPF_JEQ, unix.SYS_CLONE3, 1), result(uint32(unix.ENOSYS)),
			skip(unix.BPF_JEQ, unix.SYS_CLONE, 4), load(offsetFirst),
			skip(unix.BPF_JSET, newNamespaces, 1), result(uint32(unix.EPERM)), load(offsetNumber),
		)
	}
	p = append(p, skip(unix.BPF_JEQ, unix.SYS_SOCKET, uint8(len(families)+2)), load(offsetFirst)) //nolint:gosec // fits
	for i, family := range families {
		p = append(p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: family, Jt: uint8(len(families) - i)}) //nolint:gosec // fits
	}
	return append(p, result(uint32(unix.EAFNOSUPPORT)), statement(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ALLOW))
}

// filter installs the filter on the calling thread.
func filter(namespaces bool) error {
	if auditArch == 0 {
		return unix.ENOSYS
	}
	return install(program(namespaces))
}
