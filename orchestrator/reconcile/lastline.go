package reconcile

import (
	"context"
	"regexp"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/logs"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

const (
	lastLines       = 20  // of a run, among which its fatal error is looked for
	newestLines     = 200 // of a log, among which those of the run are: the next one may have written some already
	readTailTimeout = 5 * time.Second
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

// readTail reads what a run wrote last that ended: the line that tells why, with the engine's own word for it, both empty if it was
// killed or ended well, and the newest lines. Nothing is returned that could not be redacted.
func (r *Reconciler) readTail(ctx context.Context, c *controller, row *ent.Service, n *fleet.Node, o driver.Observed) (word, line string, tail []orchestrator.LogLine) {
	reader, ok := n.Driver().(driver.LogReader)
	if !ok {
		return "", "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTailTimeout)
	defer cancel()
	newest, err := reader.TailLogs(ctx, row.ID, newestLines)
	if err != nil {
		r.log.Debug("reading the log of a failed instance failed", "service", row.Name, "error", err)
		return "", "", nil
	}
	k, err := c.openKeys(r.vault, row)
	if err != nil {
		r.log.Warn("reading the log of a failed instance failed", "service", row.Name, "error", err)
		return "", "", nil
	}
	failed, redactor := linesOfFailed(newest, o), logs.RedactorOf(k, row.Definition)
	tail = logs.Tail(failed, redactor)
	code := o.ExitCode
	if o.Running && o.Before.Seen {
		code = &o.Before.ExitCode
	}
	if !failedByItself(code) {
		return "", "", tail
	}
	word, line = fatalLine(failed[max(0, len(failed)-lastLines):])
	return word, probe.Tidy(probe.Target{}, redactor.Redact(line)), tail
}

// linesOfFailed returns the lines of the run that failed: the newest, or the one before it where the engine has started it again
// by itself. If no line is known to be of that run, it returns those of which the run is unknown.
func linesOfFailed(newest []driver.LogLine, o driver.Observed) []driver.LogLine {
	failed := o.Instance
	if o.Running && o.Before.Seen {
		failed = ""
		for _, l := range newest {
			if l.Run != "" && l.Run != o.Instance {
				failed = l.Run
			}
		}
	}
	var lines, unknown []driver.LogLine
	for _, l := range newest {
		switch l.Run {
		case "":
			unknown = append(unknown, l)
		case failed:
			lines = append(lines, l)
		}
	}
	if lines == nil {
		return unknown
	}
	return lines
}

// failedByItself reports whether an exit code is an engine's own: not 0, and no signal but those of a crash.
func failedByItself(code *int) bool {
	return code != nil && *code != 0 && (*code < 128 || *code == 128+6 || *code == 128+11) // SIGABRT, SIGSEGV
}

// fatalLine is the newest fatal line, or the last one at all, without a word.
func fatalLine(lines []driver.LogLine) (word, line string) {
	for i := len(lines) - 1; i >= 0; i-- {
		for _, f := range fatal {
			if f.line.MatchString(lines[i].Text) {
				return f.word, lines[i].Text
			}
		}
		if line == "" {
			line = lines[i].Text
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
