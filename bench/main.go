// Command bench measures uws beside peers, each comparison within one run: absolute times depend on the
// machine, ratios much less.
//
//	go run ./bench heal   an engine is killed; how long until it answers again, beside a 60-line supervisor
//	go run ./bench list   services(first: 50) of 1,000, beside a bare handler that returns the same bytes
//	go run ./bench idle   memory and CPU of uws with five services that are healthy
//	go run ./bench probes 5,000 HTTP services of which some hang, beside a bare net/http pool
//	go run ./bench hostile 1,000 clients that ask without end and do not read, by WebSocket and by HTTP: what uws's memory grows by
//	go run ./bench logs   100 subscribers of a log that grows by 5,000 lines a second, beside a loop that reads the file and writes to 100 sockets
//	go run ./bench usage  the drivers measure 1,000 processes and 300 containers: control groups beside the stats API of the engine
//	go run ./bench backup a database of $UWS_BENCH_MB is backed up, again after changes, under load, restored and proven, beside reading and copying it
//	go run ./bench docker-heal   an engine is killed in its container, beside restart=always and a program that answers `die`
//	go run ./bench docker-heal-postgres   the same with a PostgreSQL, beside the same container with restart=always
//	go run ./bench docker-hang   an engine hangs in its container; how long until it is healthy again
//	go run ./bench docker-many   300 containers on one engine: what uws and the engine use, and how long adoption takes
//
// It runs the binary in build/ with the engines beside it: `make bench` builds both.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) == 3 && children[args[0]] != nil {
		if err := children[args[0]](ctx, args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench "+args[0]+":", err)
			return 1
		}
		return 0
	}
	all := map[string]func(context.Context, bench) error{"heal": heal, "list": list, "idle": idle, "probes": probes, "hostile": hostile, "logs": logs, "usage": usage, "backup": backups,
		"docker-heal": dockerHeal, "docker-heal-postgres": dockerHealPostgres, "docker-hang": dockerHang, "docker-many": dockerMany}
	if len(args) != 1 || all[args[0]] == nil {
		fmt.Fprintln(os.Stderr, "usage: go run ./bench heal|list|idle|probes|hostile|logs|usage|backup|docker-heal|docker-heal-postgres|docker-hang|docker-many")
		return 2
	}
	if strings.HasPrefix(args[0], "docker-") || args[0] == "usage" { // with an engine of its own
		return dockertest.Inside(func() int { return runOne(ctx, all[args[0]]) })
	}
	return runOne(ctx, all[args[0]])
}

func runOne(ctx context.Context, one func(context.Context, bench) error) int {
	b, err := newBench()
	if err == nil {
		defer os.RemoveAll(b.dir)
		fmt.Printf("%s, %d cores, %s\n", runtime.Version(), runtime.NumCPU(), kernel())
		err = one(ctx, b)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// children are what this program is when it starts itself, with two arguments each.
var children = map[string]func(context.Context, []string) error{"probes-targets": serveTargets, "probes-prober": runProber, "logs-loop": runLoop}

func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown kernel"
	}
	return "Linux " + strings.TrimSpace(string(b))
}

// bench is where a measurement finds things.
type bench struct {
	binary  string // uws
	engines string
	dir     string // for data; others can reach it
}

func newBench() (bench, error) {
	repo, err := uwstest.Repo()
	if err != nil {
		return bench{}, err
	}
	b := bench{binary: filepath.Join(repo, "build", "uws"), engines: filepath.Join(repo, "build", "engines")}
	if _, err := os.Stat(b.binary); err != nil {
		return b, fmt.Errorf("build/uws is missing; run `make engines` first: %w", err)
	}
	if b.dir, err = os.MkdirTemp("", "uws-bench-"); err != nil {
		return b, err
	}
	return b, os.Chmod(b.dir, 0o755)
}

func (b bench) serve(ctx context.Context, dataDir string) (*uwstest.Process, error) {
	return uwstest.Start(ctx, b.binary, dataDir, "--engines", b.engines)
}

// sample is a list of durations of one kind.
type sample []time.Duration

func (s sample) at(quantile float64) time.Duration {
	sorted := append(sample(nil), s...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
	return sorted[min(int(quantile*float64(len(sorted))), len(sorted)-1)]
}

func (s sample) String() string {
	return fmt.Sprintf("min %6.2f  median %6.2f  p99 %6.2f  max %6.2f ms  (n=%d)",
		ms(s.at(0)), ms(s.at(0.5)), ms(s.at(0.99)), ms(s.at(1)), len(s))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

// stop ends uws after a measurement, whose figures are printed by then.
func stop(p *uwstest.Process) {
	if err := p.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: stopping uws:", err)
	}
}
