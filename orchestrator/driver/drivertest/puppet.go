package drivertest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// puppetEnv makes a test binary a puppet.
const puppetEnv = "DRIVERTEST_PUPPET"

// Puppet is an engine that behaves as badly as a test asks it to. A test binary that provides it as the engine
// "puppet" calls this first in its TestMain; it returns only when the binary was not started as an engine.
func Puppet() {
	if os.Getenv(puppetEnv) == "" {
		return
	}
	if err := puppet(os.Args[1:]); err != nil {
		fmt.Println("puppet:", err)
		os.Exit(70)
	}
	os.Exit(0)
}

// greeting is what a puppet sends on each connection.
const greeting = "hello"

func greet(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = c.Write([]byte(greeting))
		_ = c.Close()
	}
}

// printLines prints that many lines, which are numbered from the start of the puppet on.
func printLines(n int) {
	for range n {
		printed++
		fmt.Printf("line %d\n", printed)
	}
}

var printed int

// floodLine is the length of a line of a flood, with its end.
const floodLine = 100

func flood(megabytes int) {
	var b bytes.Buffer
	for i := range megabytes * 1e6 / floodLine {
		fmt.Fprintf(&b, "flood %0*d\n", floodLine-len("flood \n"), i)
		if b.Len() >= 1000*floodLine {
			_, _ = b.WriteTo(os.Stdout)
		}
	}
	_, _ = b.WriteTo(os.Stdout)
}

// chatter prints numbered lines until the puppet ends, every third of them to standard error.
func chatter() {
	tick := time.NewTicker(200 * time.Microsecond)
	for i := 1; ; i++ {
		to := os.Stdout
		if i%3 == 0 {
			to = os.Stderr
		}
		fmt.Fprintf(to, "tick %d\n", i)
		<-tick.C
	}
}

// puppet obeys its arguments in order: what it does before, and last how it lives.
func puppet(args []string) error {
	ctx := context.Background()
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	for _, arg := range args {
		verb, value, _ := strings.Cut(arg, "=")
		switch verb {
		case "exit": // at once, with that code
			code, err := strconv.Atoi(value)
			if err != nil {
				return err
			}
			os.Exit(code)
		case "print": // that many numbered lines
			n, err := strconv.Atoi(value)
			if err != nil {
				return err
			}
			printLines(n)
		case "out", "err": // the text of a Go string, to that stream
			text, err := strconv.Unquote(`"` + value + `"`)
			if err != nil {
				return err
			}
			to := os.Stdout
			if verb == "err" {
				to = os.Stderr
			}
			if _, err := to.WriteString(text); err != nil {
				return err
			}
		case "long": // a line of that many bytes
			n, err := strconv.Atoi(value)
			if err != nil {
				return err
			}
			if _, err := os.Stdout.Write(append(bytes.Repeat([]byte("x"), n), '\n')); err != nil {
				return err
			}
		case "chatter":
			go chatter()
		case "count": // starts, in a file of that folder
			f, err := os.OpenFile(filepath.Join(value, "starts"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				return err
			}
			if _, err := f.WriteString("started\n"); err != nil {
				return err
			}
			data, err := os.ReadFile(f.Name())
			if err != nil {
				return err
			}
			fmt.Println("starts:", strings.Count(string(data), "\n"))
		case "fork": // a child that only SIGKILL ends
			child := exec.CommandContext(ctx, os.Args[0], "stubborn", "listen="+value)
			child.Stdout, child.Stderr = os.Stdout, os.Stderr
			if err := child.Start(); err != nil {
				return err
			}
		case "escape": // the same in a session of its own, with an empty environment but for being a puppet
			child := exec.CommandContext(ctx, os.Args[0], "stubborn", "listen="+value)
			child.Env = []string{puppetEnv + "=1"}
			child.Stdout, child.Stderr = os.Stdout, os.Stderr
			child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := child.Start(); err != nil {
				return err
			}
		case "identity":
			status, err := os.ReadFile("/proc/self/status")
			if err != nil {
				return err
			}
			fmt.Print(string(status))
		case "read": // what should be forbidden
			_, err := os.ReadDir(value)
			fmt.Printf("reading %s: %v\n", value, err)
		case "environment":
			fmt.Println(strings.Join(os.Environ(), "\n"))
		case "data": // is that folder
			dataFolder = value
		case "burn": // that many milliseconds of processor time
			n, err := strconv.Atoi(value)
			if err != nil {
				return err
			}
			if err := burn(n); err != nil {
				return err
			}
		case "obey": // orders that come in on that address, see carryOut
			l, err := new(net.ListenConfig).Listen(ctx, "tcp", value)
			if err != nil {
				return err
			}
			go obey(l)
		case "stubborn":
			signal.Ignore(syscall.SIGTERM)
			term = nil
		case "listen": // the sign that all before is done
			l, err := new(net.ListenConfig).Listen(ctx, "tcp", value)
			if err != nil {
				return err
			}
			defer l.Close()
			fmt.Println("listening")
			go greet(l)
		default:
			return fmt.Errorf("unknown argument %q", arg)
		}
	}
	<-term
	fmt.Println("bye")
	return nil
}
