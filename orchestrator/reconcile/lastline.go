package reconcile

import (
	"bufio"
	"context"
	"regexp"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

const (
	lastLines        = 20  // of a run, among which its fatal error is looked for
	tailLines        = 200 // of a log, among which those of the run are: the next one may have written some already
	lastLinesTimeout = 5 * time.Second
	maxLogLine       = 1 << 16 // bytes; what is longer is not read to its end
)

// fatal finds the lines with which engines end, and their own word for it: PostgreSQL and FerretDB (FATAL, PANIC), NATS
// ([FTL]), Redis ("FATAL CONFIG FILE ERROR", "Fatal error"), programs in Go ("panic:", "fatal error:", "level=fatal"),
// MongoDB ("s":"F").
var fatal = []struct {
	line *regexp.Regexp
	word string
}{
	{regexp.MustCompile(`\bPANIC\b|^panic: `), "PANIC"},
	{regexp.MustCompile(`\bFATAL\b|\[FTL\]|\bFatal error\b|^fatal error: |level=fatal|"level":"fatal"|"s":"F"`), "FATAL"},
}

// lastLine reads the end of the log of an instance that failed by itself: the line that tells why, and the engine's own
// word for it, empty where it has none. Of an instance that was killed, or ended well, there is nothing to tell.
func (r *Reconciler) lastLine(ctx context.Context, c *controller, row *ent.Service, n *fleet.Node, o driver.Observed) (word, line string) {
	code := o.ExitCode
	if o.Running && o.Before.Seen {
		code = &o.Before.ExitCode
	}
	if !failedByItself(code) {
		return "", ""
	}
	ctx, cancel := context.WithTimeout(ctx, lastLinesTimeout)
	defer cancel()
	lines, err := lastLinesOf(ctx, n.Driver(), o)
	if err != nil {
		r.log.Debug("reading the log of a failed instance failed", "service", row.Name, "error", err)
		return "", ""
	}
	word, line = fatalLine(lines)
	k, err := c.openKeys(r.vault, row)
	if err != nil { // nothing unredacted is shown
		return word, ""
	}
	for _, credentials := range []map[string]string{k.Old, k.Fresh} {
		line = probe.Tidy(probe.Target{Credentials: credentials, Public: row.Definition.PublicCredentials()}, line)
	}
	return word, line
}

// lastLinesOf returns the newest lines of the run that failed.
func lastLinesOf(ctx context.Context, d driver.Driver, o driver.Observed) ([]string, error) {
	reader, ok := d.(driver.LogReader)
	if !ok {
		return lastOutputOf(ctx, d, o.Service)
	}
	tail, err := reader.TailLogs(ctx, o.Service, tailLines)
	if err != nil {
		return nil, err
	}
	lines := linesOfFailed(tail, o)
	return lines[max(0, len(lines)-lastLines):], nil
}

// linesOfFailed returns the lines of the run that failed: the newest, or the one before it where the engine has started it again
// by itself. If no line is known to be of that run, it returns those of which the run is unknown.
func linesOfFailed(tail []driver.LogLine, o driver.Observed) []string {
	failed := o.Instance
	if o.Running && o.Before.Seen {
		failed = ""
		for _, l := range tail {
			if l.Run != "" && l.Run != o.Instance {
				failed = l.Run
			}
		}
	}
	var lines, unknown []string
	for _, l := range tail {
		switch l.Run {
		case "":
			unknown = append(unknown, l.Text)
		case failed:
			lines = append(lines, l.Text)
		}
	}
	if lines == nil {
		return unknown
	}
	return lines
}

// lastOutputOf is for drivers that have no [driver.LogReader] yet.
func lastOutputOf(ctx context.Context, d driver.Driver, service string) (lines []string, err error) {
	reader, ok := d.(driver.OutputReader)
	if !ok {
		return nil, nil
	}
	log, err := reader.Logs(ctx, service, lastLines)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	scanner := bufio.NewScanner(log)
	scanner.Buffer(nil, maxLogLine)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	return lines, nil
}

// failedByItself reports whether an exit code is an engine's own: not 0, and no signal but those of a crash.
func failedByItself(code *int) bool {
	return code != nil && *code != 0 && (*code < 128 || *code == 128+6 || *code == 128+11) // SIGABRT, SIGSEGV
}

// fatalLine is the newest fatal line, or the last one at all, without a word.
func fatalLine(lines []string) (word, line string) {
	for i := len(lines) - 1; i >= 0; i-- {
		for _, f := range fatal {
			if f.line.MatchString(lines[i]) {
				return f.word, lines[i]
			}
		}
		if line == "" {
			line = lines[i]
		}
	}
	return "", line
}

// ended reports whether a run of a service ended since the loop last took note of one, and not on purpose.
func ended(row *ent.Service, o driver.Observed) bool {
	if row.DesiredState != lifecycle.WantRunning || row.Phase != lifecycle.Starting && row.Phase != lifecycle.Running {
		return false
	}
	return o.Restarts > row.EngineRestarts || o.Instance != "" && !o.Running && o.Instance != row.Ended
}
