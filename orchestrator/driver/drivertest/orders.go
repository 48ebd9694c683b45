package drivertest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
)

// obey follows orders for a running puppet, a line each. It closes the connection when it has done so.
func obey(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		var verb string
		var n int
		if _, err := fmt.Fscanln(c, &verb, &n); err == nil {
			if err := carryOut(c, verb, n); err != nil {
				fmt.Println("puppet:", verb, err)
			}
		}
		_ = c.Close()
	}
}

var (
	eaten      [][]byte
	dataFolder string
	forked     []*os.Process
	rounds     atomic.Int64
)

func fork(args ...string) error {
	child := exec.CommandContext(context.Background(), os.Args[0], args...)
	if err := child.Start(); err != nil {
		return err
	}
	forked = append(forked, child.Process)
	return nil
}

// carryOut carries out one order.
func carryOut(c net.Conn, verb string, n int) error {
	inData := func(name string) string { return filepath.Join(dataFolder, name) }
	switch verb {
	case "exit":
		os.Exit(n)
	case "print":
		printLines(n)
	case "half": // of a line
		fmt.Printf("half %d ", n)
	case "flood": // with that many MB, without a pause
		flood(n)
	case "eat": // that many MiB, and keep them: every page is written to
		eaten = append(eaten, bytes.Repeat([]byte{1}, n<<20))
	case "burn": // that many milliseconds of processor time
		return burn(n)
	case "burn-child": // the same in a child, which has ended then
		return exec.CommandContext(context.Background(), os.Args[0], "burn="+strconv.Itoa(n), "exit=0").Run()
	case "open": // that many descriptors
		for range n {
			if _, err := syscall.Dup(1); err != nil {
				return err
			}
		}
	case "fork": // that many children that only SIGKILL ends
		for range n {
			if err := fork("stubborn", "listen=127.0.0.1:0"); err != nil {
				return err
			}
		}
	case "fork-burning": // one that burns that many milliseconds first
		return fork("burn="+strconv.Itoa(n), "stubborn", "listen=127.0.0.1:0")
	case "storm": // begins: that many at a time start children that end at once
		for range n {
			go func() {
				for exec.CommandContext(context.Background(), os.Args[0], "exit=0").Run() == nil {
					rounds.Add(1)
				}
			}()
		}
	case "rounds": // of the storm are waited for
		for end := rounds.Load() + int64(n); rounds.Load() < end; {
			runtime.Gosched()
		}
	case "kill": // these children, without waiting for them
		for _, child := range forked {
			if err := child.Kill(); err != nil {
				return err
			}
		}
	case "echo": // what comes next
		_, err := io.Copy(c, c)
		return err
	case "write": // until a file of the data has that many MiB
		return write(inData("written"), int64(n)<<20)
	case "truncate": // that file to that many MiB
		return os.Truncate(inData("written"), int64(n)<<20)
	case "remove": // a file that came with the data
		return os.Remove(inData("z/gone"))
	case "sparse": // make a file of that many MiB without content
		f, err := os.Create(inData("holes"))
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Truncate(int64(n) << 20)
	case "link": // give the written file another name
		return os.Link(inData("written"), inData("linked"))
	case "symlink": // to the root
		return os.Symlink("/", inData("root"))
	}
	return nil
}

// burn uses that many milliseconds of processor time.
func burn(milliseconds int) error {
	used := func() (int, error) {
		var u syscall.Rusage
		err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return int(1000*(u.Utime.Sec+u.Stime.Sec) + (u.Utime.Usec+u.Stime.Usec)/1000), err
	}
	before, err := used()
	for now := before; err == nil && now-before < milliseconds; {
		now, err = used()
	}
	return err
}

// write appends to a file until it has that size on the disk.
func write(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if _, err := f.Write(bytes.Repeat([]byte{1}, int(size-info.Size()))); err != nil {
		return err
	}
	return f.Sync()
}
