package reconcile

import (
	"strings"
	"testing"
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
		word, line := fatalLine(strings.Split(log, "\n"))
		wantWord, part, _ := strings.Cut(want, ": ")
		if word != wantWord && want[0] != ':' || !strings.Contains(line, part) {
			t.Errorf("of %q: %q, %q; want %q", log, word, line, want)
		}
	}
}
