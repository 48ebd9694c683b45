// Command fanout measures what one event costs that goes to many GraphQL subscribers, beside a direct broadcast on
// gorilla/websocket, gqlgen's own transport, and graphql-ws on Node. Each server runs on a core of its own and
// the client, the same for all, on another. All on loopback.
//
//	go run ./bench/fanout                    the table of docs/BENCHMARKS.md
//	go run ./bench/fanout -sizes 1000 -runs 1 uws gorilla
//	go run ./bench/fanout -churn 100000      connects and disconnects; what is left of them
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// kinds of servers: the first is the limit that the others are compared with.
var kinds = []string{"gorilla", "uws", "gqlgen", "node"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	sizes := flag.String("sizes", "1000,5000,10000", "subscribers, in turn")
	runs := flag.Int("runs", 3, "runs of each, of which the median counts")
	serve := flag.String("serve", "", "be a server of this kind")
	churn := flag.Int("churn", 0, "only connect and disconnect so often")
	flag.Parse()
	var err error
	switch {
	case *serve != "":
		err = runServer(ctx, *serve)
	case os.Getenv(pinnedClient) == "": // the client has a core of its own
		err = again(ctx)
	case *churn > 0:
		err = measureChurn(ctx, *churn)
	default:
		err = measureAll(ctx, *sizes, *runs, flag.Args())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fanout:", err)
		os.Exit(1)
	}
}

const pinnedClient = "FANOUT_CLIENT"

// again runs this program on the second core.
func again(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", "1", self}, os.Args[1:]...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), pinnedClient+"=1"), os.Stdout, os.Stderr
	return cmd.Run()
}

func measureAll(ctx context.Context, sizes string, runs int, wanted []string) error {
	if len(wanted) == 0 {
		wanted = kinds
	}
	fmt.Printf("%s, %d cores, %s\n", runtime.Version(), cores(), processor())
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "N\tserver\tdeliveries/s\tserver µs each\tp50 ms\tp99 ms\tkB a connection\tallocations each\tburst: server µs each\tCPU / limit\trate / limit\tp99 / limit")
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil {
			return err
		}
		results := map[string][]result{}
		for range runs {
			for _, kind := range wanted {
				r, err := measure(ctx, kind, n)
				if err != nil {
					return fmt.Errorf("%s, %d subscribers: %w", kind, n, err)
				}
				results[kind] = append(results[kind], r)
			}
		}
		limit := median(results[kinds[0]])
		for _, kind := range wanted {
			r := median(results[kind])
			fmt.Fprintf(out, "%d\t%s\t%.0f\t%.1f\t%.1f\t%.1f\t%.1f\t%.2f\t%.1f\t%.2f\t%.2f\t%.2f\n", n, kind, r.rate, r.cpu, r.p50, r.p99, r.memory, r.mallocs, r.burst,
				r.cpu/limit.cpu, r.rate/limit.rate, r.p99/limit.p99)
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// median of each figure by itself.
func median(all []result) (m result) {
	of := func(figure func(*result) *float64) {
		values := []float64{0}[:0]
		for i := range all {
			values = append(values, *figure(&all[i]))
		}
		slices.Sort(values)
		if len(values) > 0 {
			*figure(&m) = values[len(values)/2]
		}
	}
	for _, figure := range figures {
		of(figure)
	}
	return m
}

// peer is a server that is measured, as a process on the first core.
type peer struct {
	cmd     *exec.Cmd
	address string
	control net.Conn
	lines   *bufio.Reader
}

// startPeer starts a server of a kind. It says on its standard output where it listens for WebSockets and for control.
func startPeer(ctx context.Context, kind string) (*peer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"-c", "0", self, "-serve", kind}
	repo, err := uwstest.Repo()
	if err != nil {
		return nil, err
	}
	if kind == "node" {
		args = []string{"-c", "0", "node", filepath.Join(repo, "test", "graphql-ws", "fanout.mjs")}
	}
	p := &peer{cmd: exec.CommandContext(ctx, "taskset", args...)}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	var control string
	if _, err := fmt.Fscan(out, &p.address, &control); err != nil {
		return nil, fmt.Errorf("the server did not start: %w", err)
	}
	go io.Copy(io.Discard, out) //nolint:errcheck // ends with the process
	if p.control, err = new(net.Dialer).DialContext(ctx, "tcp", control); err != nil {
		return nil, err
	}
	p.lines = bufio.NewReader(p.control)
	return p, nil
}

// do sends one line and gives the answer.
func (p *peer) do(line string) (string, error) {
	if _, err := fmt.Fprintln(p.control, line); err != nil {
		return "", err
	}
	answer, err := p.lines.ReadString('\n')
	return strings.TrimSpace(answer), err
}

func (p *peer) stop() {
	_ = p.control.Close()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func cores() int {
	n := 0
	b, _ := os.ReadFile("/proc/cpuinfo") // for the table's head only
	for line := range strings.SplitSeq(string(b), "\n") {
		if strings.HasPrefix(line, "processor") {
			n++
		}
	}
	return n
}

func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo") // for the table's head only
	for line := range strings.SplitSeq(string(b), "\n") {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimLeft(name, "\t: ")
		}
	}
	return "unknown processor"
}
