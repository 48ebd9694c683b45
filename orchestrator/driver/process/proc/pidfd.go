package proc

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/orchestrator/driver/machine"
)

// Handle refers to one process. Unlike a pid it never refers to another process later: it is a pidfd that was verified by
// the start time. Its methods return [os.ErrClosed] once it is closed.
type Handle struct {
	PID   int
	Start uint64 // ticks after boot
	f     *os.File
}

// Open returns a handle of the process with this pid and this start time.
// Errors: [os.ErrProcessDone] if it has ended, also if another process has the pid now.
func Open(pid int, start uint64) (*Handle, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	switch {
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.EINVAL):
		return nil, os.ErrProcessDone
	case err != nil:
		return nil, fmt.Errorf("opening process %d: %w", pid, err)
	}
	h := &Handle{PID: pid, Start: start, f: os.NewFile(uintptr(fd), "pidfd")}
	// If the process with the pid has this start time now, the pidfd, which is older, refers to that process.
	if st, err := machine.Linux.Stat(pid); err != nil || st.Start != start {
		return nil, errors.Join(os.ErrProcessDone, h.f.Close())
	}
	return h, nil
}

// Close frees the handle and ends Wait and Exited. The process is not affected.
func (h *Handle) Close() error { return h.f.Close() }

// Stat returns the state of the process.
// Errors: [os.ErrProcessDone] if it has ended and its pid was freed.
func (h *Handle) Stat() (machine.Stat, error) {
	st, err := machine.Linux.Stat(h.PID)
	if err == nil && st.Start != h.Start {
		err = os.ErrProcessDone
	}
	return st, err
}

// Signal sends a signal.
// Errors: [os.ErrProcessDone] if the process has ended.
func (h *Handle) Signal(sig syscall.Signal) error {
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

// Wait returns when the process has ended, and reaps it if it is a child of this process. It returns the exit code of a
// child (128+n if signal n ended it), nil for others. It blocks no thread: the runtime's poller watches the pidfd.
func (h *Handle) Wait() (*int, error) {
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

// Exited returns when the process has ended. It does not reap it.
func (h *Handle) Exited() error {
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

// siginfo is siginfo_t on 64-bit Linux, as waitid fills it.
type siginfo struct {
	Signo, Errno, Code, _ int32
	Pid                   int32
	UID                   uint32
	Status                int32
	_                     [100]byte
}

// reap reports, without blocking, whether the process of a pidfd has ended, and reaps it if it is a child.
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
		case unix.ECHILD: // not a child, or reaped already
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
