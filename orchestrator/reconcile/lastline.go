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
	lastLines        = 20 // of an engine's log, among which its fatal error is looked for
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
	reader, ok := n.Driver().(driver.OutputReader)
	if !ok || !failedByItself(code) {
		return "", ""
	}
	ctx, cancel := context.WithTimeout(ctx, lastLinesTimeout)
	defer cancel()
	log, err := reader.Logs(ctx, row.ID, lastLines)
	if err != nil {
		r.log.Debug("reading the log of a failed instance failed", "service", row.Name, "error", err)
		return "", ""
	}
	defer log.Close()
	var lines []string
	scanner := bufio.NewScanner(log)
	scanner.Buffer(nil, maxLogLine)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
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
