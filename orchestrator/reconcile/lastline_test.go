package reconcile

import (
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

func TestFatalLine(t *testing.T) {
	for log, want := range map[string]string{
		"LOG:  starting\n2026 UTC [7] FATAL:  could not access file \"x\"\nLOG:  database system is shut down": "FATAL: could not access",
		"2026 UTC [7] PANIC:  could not locate a valid checkpoint record\nLOG:  aborted":                       "PANIC: could not locate",
		"[1] 2026 [FTL] Can't start JetStream: no space":                                                       "FATAL: Can't start",
		"*** FATAL CONFIG FILE ERROR (Redis 7.0) ***\nReading the configuration file":                          "FATAL: CONFIG FILE",
		"panic: runtime error\n\ngoroutine 1 [running]:":                                                       "PANIC: runtime error",
		"listening\nlisten tcp: address already in use":                                                        ": already in use",
		"": ": ",
	} {
		var lines []driver.LogLine
		for text := range strings.SplitSeq(log, "\n") {
			lines = append(lines, driver.LogLine{Text: text})
		}
		word, line := fatalLine(lines)
		wantWord, part, _ := strings.Cut(want, ": ")
		if word != wantWord && want[0] != ':' || !strings.Contains(line, part) {
			t.Errorf("of %q: %q, %q; want %q", log, word, line, want)
		}
	}
}

// Only the lines of the run that failed tell why, as far as it is known which they are.
func TestLinesOfFailed(t *testing.T) {
	seen := driver.End{Seen: true, ExitCode: 1}
	for name, test := range map[string]struct {
		tail string // a run and a text, each
		o    driver.Observed
		want string
	}{
		"ended":            {"1:a 2:b 2:c", driver.Observed{Instance: "2"}, "b c"},
		"restarted":        {"1:a 2:b 2:c 3:d", driver.Observed{Instance: "3", Running: true, Before: seen}, "b c"},
		"it wrote nothing": {"1:a", driver.Observed{Instance: "2"}, ""},
		"unknown":          {":a :b", driver.Observed{Instance: "2"}, "a b"},
		"restarted, and the run before is unknown": {":a 3:d", driver.Observed{Instance: "3", Running: true, Before: seen}, "a"},
		"known and unknown":                        {":a 2:b", driver.Observed{Instance: "2"}, "b"},
	} {
		var tail []driver.LogLine
		for _, l := range strings.Fields(test.tail) {
			run, text, _ := strings.Cut(l, ":")
			tail = append(tail, driver.LogLine{Run: run, Text: text})
		}
		var texts []string
		for _, l := range linesOfFailed(tail, test.o) {
			texts = append(texts, l.Text)
		}
		if got := strings.Join(texts, " "); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
