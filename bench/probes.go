package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const (
	probeTargets = 5000
	probeTimeout = 2 * time.Second
	probeRounds  = 5

	spreadInterval = 10 * time.Second
	spreadFor      = 2 * spreadInterval

	// The goals are Gatus's healthy part, 0.10 s of CPU per 1,000 and half of Gatus's memory. Gatus's module cannot be
	// had from the Go proxy. Where it was measured, without a limit of its own, beside the bare pool, the two
	// took 0.79 and 0.32 s for the healthy part, and 0.156 and 0.081 s of CPU; it used 170 MB or more.
	goalHealthy = 0.79 / 0.32  // of the bare pool
	goalCPU     = 0.10 / 0.081 // of the bare pool
	goalRSS     = 170e6 / 2
	goalCycle   = probeTimeout + 500*time.Millisecond
)

// prober asks all targets, once or again and again. It runs in a process of its own.
type prober interface {
	prepare(ctx context.Context) error // what is not measured
	begin(ctx context.Context)         // asks all targets at once
	end() error
	close() error
}

// probes measures how long the targets wait to be asked when all are due at once and some of them hang, and
// what that costs; then what it costs to ask each at its own time.
func probes(ctx context.Context, _ bench) error {
	for _, hanging := range []int{probeTargets / 100, 600} { // 600 are more than there are probes at a time
		if err := probesAtOnce(ctx, hanging); err != nil {
			return err
		}
	}
	return probesSpread(ctx)
}

func probesAtOnce(ctx context.Context, hanging int) error {
	fmt.Printf("\n%d targets at once, %d of them hang, timeout %s, median of %d rounds\n", probeTargets, hanging, probeTimeout, probeRounds)
	fmt.Println("who               healthy done  whole cycle  CPU per 1,000  peak RSS")
	t, err := startTargets(ctx, hanging)
	if err != nil {
		return err
	}
	defer t.stop()
	all := map[string]*rounds{"uws": {}, "net/http": {}}
	for range probeRounds {
		for _, who := range []string{"uws", "net/http"} {
			r, err := oneRound(ctx, t, who)
			if err != nil {
				return fmt.Errorf("%s: %w", who, err)
			}
			all[who].add(r)
		}
	}
	for _, who := range []string{"uws", "net/http"} {
		fmt.Printf("%-16s  %9.3f s   %8.3f s   %9.3f s    %6.1f MB\n", who, all[who].healthy.at(0.5).Seconds(),
			all[who].cycle.at(0.5).Seconds(), all[who].cpu.at(0.5).Seconds(), float64(all[who].rss)/1e6)
	}
	own, bare := all["uws"], all["net/http"]
	fmt.Printf("of net/http: healthy part %.2f (goal: at most %.2f), CPU %.2f (goal: at most %.2f); RSS goal %.0f MB, cycle goal %s\n",
		ratio(own.healthy.at(0.5), bare.healthy.at(0.5)), goalHealthy, ratio(own.cpu.at(0.5), bare.cpu.at(0.5)), goalCPU, goalRSS/1e6, goalCycle)
	return nil
}

// round is what one round took.
type round struct {
	healthy, cycle, cpu time.Duration // cpu per 1,000 probes
	rss                 int64
}

type rounds struct {
	healthy, cycle, cpu sample
	rss                 int64 // the highest
}

func (r *rounds) add(one round) {
	r.healthy, r.cycle, r.cpu = append(r.healthy, one.healthy), append(r.cycle, one.cycle), append(r.cpu, one.cpu)
	r.rss = max(r.rss, one.rss)
}

// oneRound runs a prober in a process of its own for one round.
func oneRound(ctx context.Context, t *targetProcess, who string) (round, error) {
	p, err := startProber(ctx, t, who, 0)
	if err != nil {
		return round{}, err
	}
	defer p.stop()
	if err := t.ask(ctx, "reset", nil); err != nil {
		return round{}, err
	}
	before, err := cpu(p.pid())
	if err != nil {
		return round{}, err
	}
	began, err := p.say("begin")
	if err != nil {
		return round{}, err
	}
	var seen roundState
	if err := t.ask(ctx, "wait", &seen); err != nil {
		return round{}, err
	}
	after, err := cpu(p.pid())
	if err != nil {
		return round{}, err
	}
	rss, err := peak(p.pid())
	if err != nil {
		return round{}, err
	}
	_, err = p.say("end")
	return round{
		healthy: seen.LastHealthy.Sub(began), cycle: max(seen.LastHealthy.Sub(began), seen.LastGaveUp.Sub(began)),
		cpu: (after - before) * 1000 / time.Duration(seen.Requests), rss: rss,
	}, err
}

// probesSpread lets every prober ask each target at its own time.
func probesSpread(ctx context.Context) error {
	fmt.Printf("\n%d targets every %s, each at its own time, %d of them hang, for %s\n", probeTargets, spreadInterval, probeTargets/100, spreadFor)
	fmt.Println("who               probes/s  CPU per 1,000  of a core  peak RSS")
	t, err := startTargets(ctx, probeTargets/100)
	if err != nil {
		return err
	}
	defer t.stop()
	for _, who := range []string{"uws", "net/http"} {
		if err := spread(ctx, t, who); err != nil {
			return fmt.Errorf("%s: %w", who, err)
		}
	}
	return nil
}

func spread(ctx context.Context, t *targetProcess, who string) error {
	p, err := startProber(ctx, t, who, spreadInterval)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := t.ask(ctx, "reset", nil); err != nil {
		return err
	}
	if _, err := p.say("begin"); err != nil {
		return err
	}
	var first, before, after roundState
	if err := t.ask(ctx, "wait", &first); err != nil {
		return err
	}
	if err := pause(ctx, spreadInterval); err != nil { // the burst of the start is over
		return err
	}
	used, err := cpu(p.pid())
	if err := errors.Join(err, t.ask(ctx, "state", &before), pause(ctx, spreadFor), t.ask(ctx, "state", &after)); err != nil {
		return err
	}
	usedAfter, err := cpu(p.pid())
	if err != nil {
		return err
	}
	rss, err := peak(p.pid())
	if err != nil {
		return err
	}
	n := after.Requests - before.Requests
	fmt.Printf("%-16s  %8.0f  %9.3f s    %6.1f %%  %6.1f MB\n", who, float64(n)/spreadFor.Seconds(),
		(usedAfter-used).Seconds()*1000/float64(n), 100*ratio(usedAfter-used, spreadFor), float64(rss)/1e6)
	_, err = p.say("end")
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// child is this program again, in a process of its own. It ends with its standard input.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startChild(ctx context.Context, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.CommandContext(ctx, self, args...)}
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReaderSize(out, 1<<20)
	return c, c.cmd.Start()
}

func (c *child) pid() int { return c.cmd.Process.Pid }

func (c *child) stop() {
	_ = c.in.Close()
	_ = c.cmd.Wait()
}

// read decodes one line.
func (c *child) read(into any) error {
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%s ended early: %w", c.cmd.Args[1], err)
	}
	return json.Unmarshal(line, into)
}

type targetProcess struct {
	*child
	list targetList
}

func startTargets(ctx context.Context, hanging int) (*targetProcess, error) {
	c, err := startChild(ctx, "probes-targets", strconv.Itoa(probeTargets), strconv.Itoa(hanging))
	if err != nil {
		return nil, err
	}
	t := &targetProcess{child: c}
	if err := c.read(&t.list); err != nil {
		c.stop()
		return nil, err
	}
	return t, nil
}

// ask asks the targets, and decodes what they answer unless into is nil.
func (t *targetProcess) ask(ctx context.Context, what string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.list.Control+"/"+what, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("the targets were not all asked: %w", err)
	}
	defer resp.Body.Close()
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

type proberProcess struct{ *child }

func startProber(ctx context.Context, t *targetProcess, who string, interval time.Duration) (*proberProcess, error) {
	c, err := startChild(ctx, "probes-prober", who, interval.String())
	if err != nil {
		return nil, err
	}
	p := &proberProcess{c}
	ports, err := json.Marshal(t.list.Ports)
	if err != nil {
		return nil, err
	}
	if _, err := p.say(string(ports)); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// say sends a line and answers with the time at which the prober took it.
func (p *proberProcess) say(line string) (time.Time, error) {
	if _, err := fmt.Fprintln(p.in, line); err != nil {
		return time.Time{}, err
	}
	var at time.Time
	return at, p.read(&at)
}

// runProber is the process of a prober: `probes-prober WHO INTERVAL`. It reads the ports, "begin" and "end".
func runProber(ctx context.Context, args []string) error {
	interval, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	ports, err := readPorts(in)
	if err != nil {
		return err
	}
	var p prober = newBarePool(ports, interval)
	if args[0] == "uws" {
		if interval == 0 {
			interval = 30 * time.Second // later than the round lasts
		}
		if p, err = newControlPlane(ctx, ports, interval); err != nil {
			return err
		}
	}
	defer p.close()
	if err := p.prepare(ctx); err != nil {
		return err
	}
	for _, what := range []func() error{
		func() error { return nil }, // ready
		func() error { p.begin(ctx); return nil },
		p.end,
	} {
		at := time.Now()
		if err := what(); err != nil {
			return err
		}
		if err := json.NewEncoder(os.Stdout).Encode(at); err != nil {
			return err
		}
		if _, err := in.ReadString('\n'); err != nil {
			return nil //nolint:nilerr // the parent has seen enough
		}
	}
	return nil
}

// peak is the most memory that a process had resident, in bytes.
func peak(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) < 1 {
		return 0, fmt.Errorf("no VmHWM in the status of process %d", pid)
	}
	kb, err := strconv.ParseInt(fields[0], 10, 64)
	return kb << 10, err
}
