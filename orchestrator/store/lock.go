package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// LockedError is returned if another uws uses the data folder.
type LockedError struct {
	Dir string
	PID int // 0 if it is not written yet
}

func (e *LockedError) Error() string {
	who := "another uws"
	if e.PID != 0 {
		who = fmt.Sprintf("another uws (pid %d)", e.PID)
	}
	return fmt.Sprintf("%s uses this data folder: %s; stop it first, or choose another folder", who, e.Dir)
}

// folderLock is an advisory lock on a file that contains the owner's pid. The kernel releases it when the process ends
// for any reason. The engines that uws starts do not inherit it.
type folderLock struct {
	path string
	file *os.File // nil unless held
}

// acquire takes the lock, or fails at once with a *LockedError. It is a no-op if the lock is already held.
func (l *folderLock) acquire() error {
	if l.file != nil {
		return nil
	}
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return notWritable(filepath.Dir(l.path), err)
	}
	if err := flock(f); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			_, seekErr := f.Seek(0, io.SeekStart)
			err = errors.Join(&LockedError{Dir: filepath.Dir(l.path), PID: readPID(f)}, seekErr)
		} else {
			err = fmt.Errorf("lock %s: %w", l.path, err)
		}
		return errors.Join(err, f.Close())
	}
	l.file = f
	if err := writePID(f); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", l.path, err), l.release())
	}
	return nil
}

// Served reports whether a uws serves the folder. It changes nothing.
func Served(dir string) bool {
	f, err := os.Open(filepath.Join(dir, lockName))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// lockPatience is how long to wait for a lock whose owner is dead. A program that the owner was starting when it was
// killed holds the lock too, between fork and exec.
const lockPatience = 2 * time.Second

// flock takes the lock. It waits only if the owner is dead.
func flock(f *os.File) error {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(lockPatience); ; <-again.C {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(end) {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if pid := readPID(f); pid == 0 || syscall.Kill(pid, 0) == nil {
			return err
		}
	}
}

// release empties the file and releases the lock. It is a no-op if the lock is not held.
func (l *folderLock) release() error {
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	return errors.Join(f.Truncate(0), f.Close())
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// readPID returns the pid in the file, or 0 if there is none.
func readPID(f *os.File) int {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}

// prepareDir creates the folder if it does not exist. If root creates it, other users can enter it, because engines run
// with their own uids in folders below. Secret files in it have mode 0600.
func prepareDir(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("data folder %s is a file; choose a folder", dir)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return notWritable(dir, err)
	}
	mode := fs.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return notWritable(dir, err)
	}
	if err := os.Chmod(dir, mode); err != nil { // the umask may have removed bits
		return notWritable(dir, err)
	}
	return nil
}

func notWritable(dir string, err error) error {
	return fmt.Errorf("data folder %s must be a folder that user id %d can write to; change its permissions, or choose another folder: %w",
		dir, os.Geteuid(), err)
}
