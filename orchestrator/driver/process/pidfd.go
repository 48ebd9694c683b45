package process

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// handle is a process that cannot be mistaken for another: a pidfd, verified by start time.
type handle struct {
	pid   int
	start uint64 // ticks after boot
	f     *os.File
}

// openHandle opens the process that has this pid and this start time; os.ErrProcessDone when it has ended,
// also when the pid belongs to another process by now.
func openHandle(pid int, start uint64) (*handle, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	switch {
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.EINVAL):
		return nil, os.ErrProcessDone
	case err != nil:
		return nil, fmt.Errorf("opening process %d: %w", pid, err)
	}
	h := &handle{pid: pid, start: start, f: os.NewFile(uintptr(fd), "pidfd")}
	// Whoever has the pid now is whom the pidfd is of, or that one has ended: verify after opening.
	if st, err := readStat(pid); err != nil || st.start != start {
		return nil, errors.Join(os.ErrProcessDone, h.f.Close())
	}
	return h, nil
}

// signal sends a signal; os.ErrProcessDone when the process has ended.
func (h *handle) signal(sig syscall.Signal) error {
	conn, err := h.f.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) }); err != nil {
		return err
	}
	if errors.Is(sent, unix.ESRCH) {
		return os.ErrProcessDone
	}
	return sent
}

// wait returns when the process has ended, with its exit code where it was our child (128+n when ended by
// signal n), else nil. It costs no thread: the runtime's poller watches the pidfd. Closing the handle ends it
// with os.ErrClosed.
func (h *handle) wait() (*int, error) {
	conn, err := h.f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var code *int
	var failed error
	err = conn.Read(func(fd uintptr) bool {
		var ended bool
		ended, code, failed = reap(int(fd))
		return ended || failed != nil
	})
	return code, errors.Join(err, failed)
}

// exited returns when the process has ended, and does not reap it. Closing the handle ends it too.
func (h *handle) exited() error {
	conn, err := h.f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Read(func(fd uintptr) bool {
		var ended bool
		ended, _, failed = pollExit(int(fd))
		return ended || failed != nil
	})
	return errors.Join(err, failed)
}

// siginfo is siginfo_t as waitid fills it on 64-bit Linux.
type siginfo struct {
	Signo, Errno, Code, _ int32
	Pid                   int32
	UID                   uint32
	Status                int32
	_                     [100]byte
}

// reap asks, without blocking, whether the process of a pidfd has ended, and frees it if it is our child.
func reap(fd int) (ended bool, code *int, err error) {
	var info siginfo
	for {
		_, _, errno := unix.Syscall6(unix.SYS_WAITID, unix.P_PIDFD, uintptr(fd),
			uintptr(unsafe.Pointer(&info)), //nolint:gosec // as waitid takes it
			unix.WEXITED|unix.WNOHANG, 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false, nil, nil
		case unix.ECHILD: // not our child, or reaped already
			return pollExit(fd)
		case 0:
		default:
			return false, nil, os.NewSyscallError("waitid", errno)
		}
		if info.Pid == 0 {
			return false, nil, nil
		}
		status := int(info.Status)
		if info.Code != 1 { // CLD_EXITED; else killed or dumped by the signal Status
			status += 128
		}
		return true, &status, nil
	}
}

func pollExit(fd int) (ended bool, code *int, err error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} //nolint:gosec // fds fit
	for {
		n, err := unix.Poll(fds, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return n > 0, nil, os.NewSyscallError("poll", err)
	}
}
