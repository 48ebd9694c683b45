package logs

import (
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/logs/journal"
)

func TestLevels(t *testing.T) {
	for line, want := range map[string]journal.Level{
		`2026-11-27 13:43:47.123 UTC [42] FATAL:  password authentication failed for user "uws"`: journal.Fatal,
		`2026-11-27 13:43:47.123 UTC [42] LOG:  database system is ready to accept connections`:  journal.Info,
		`2026-11-27 13:43:47.123 UTC [42] ERROR:  relation "a" does not exist at character 15`:   journal.Error,
		`2026-11-27 13:43:47.123 UTC [42] WARNING:  there is no transaction in progress`:         journal.Warn,
		`2026-11-27 13:43:47.123 UTC [42] DEBUG2:  x`:                                            journal.Debug,
		`42:M 27 Nov 2026 13:43:47.123 * Ready to accept connections tcp`:                        journal.Info,
		`42:M 27 Nov 2026 13:43:47.123 # WARNING Memory overcommit must be enabled!`:             journal.Warn,
		`42:C 27 Nov 2026 13:43:47.123 . x`:                                                      journal.Debug,
		`[42] 2026/11/27 13:43:47.123456 [INF] Server is ready`:                                  journal.Info,
		`[42] 2026/11/27 13:43:47.123456 [ERR] Error trying to connect`:                          journal.Error,
		`[42] 2026/11/27 13:43:47.123456 [FTL] unable to listen`:                                 journal.Fatal,
		`{"t":{"$date":"2026-11-27T13:43:47.123+00:00"},"s":"I",  "c":"NETWORK","msg":"ERROR"}`:  journal.Info,
		`{"t":{"$date":"2026-11-27T13:43:47.123+00:00"},"s":"D2", "c":"NETWORK"}`:                journal.Debug,
		`2026-11-27T13:43:47.123Z [ERROR] core: failed to unseal`:                                journal.Error,
		"2026-11-27T13:43:47.123Z\tWARN\tferretdb/main.go:1\tx":                                  journal.Warn,
		`time=2026-11-27T13:43:47.123Z level=ERROR msg="x"`:                                      journal.Error,
		`{"time":"2026-11-27T13:43:47Z","level":"warn","msg":"x"}`:                               journal.Warn,
		"panic: runtime error: index out of range":                                               journal.Fatal,
		"2026/11/27 13:43:47 listening on :8080":                                                 journal.NoLevel,
		"no errors here":                                                                         journal.NoLevel,
		"":                                                                                       journal.NoLevel,
	} {
		if got := levelOf(line); got != want {
			t.Errorf("the level of %q is %c, want %c", line, got, want)
		}
	}
	for line, want := range map[string]bool{
		"2026-11-27 13:43:47.123 UTC [42] DETAIL:  Role has no password.": true,
		"\tat line 5": true, "goroutine 1 [running]:": false, "DETAIL": false,
	} {
		if got := continued(line); got != want {
			t.Errorf("continued(%q) is %t, want %t", line, got, want)
		}
	}
}

// A line that was written while nobody read it has its own time, and no line has one before that of the line before it.
func TestTimeOf(t *testing.T) {
	read := time.Date(2026, 11, 27, 14, 0, 0, 0, time.UTC)
	written := time.Date(2026, 11, 27, 13, 43, 47, 123e6, time.UTC)
	local := time.Date(2026, 11, 27, 13, 43, 47, 123e6, time.Local)
	for line, want := range map[string]time.Time{
		"2026-11-27 13:43:47.123 UTC [42] LOG:  x":                       written,
		"2026-11-27T13:43:47.123Z [INFO] x":                              written,
		"time=2026-11-27T14:43:47.123+01:00 level=INFO":                  written,
		`{"t":{"$date":"2026-11-27T13:43:47.123+00:00"},"s":"I"}`:        written,
		"[42] 2026/11/27 13:43:47.123 [INF] x":                           local,
		"42:M 27 Nov 2026 13:43:47.123 * x":                              local,
		"2026-11-27 13:43:47.123 XYZ [42] a zone that is not known here": read,
		"2026-11-27T13:59:59Z a second ago":                              read,
		"2027-11-27T13:59:59Z a clock that is wrong":                     read,
		"no time": read,
	} {
		if got := timeOf(line, read, time.Time{}); !got.Equal(want) {
			t.Errorf("the time of %q is %s, want %s", line, got, want)
		}
	}
	if got := timeOf("2026-11-27T13:43:47.123Z x", read, read.Add(time.Hour)); !got.Equal(read.Add(time.Hour)) {
		t.Errorf("a line is at %s, before the one before it", got)
	}
}

func BenchmarkTime(b *testing.B) {
	now := time.Now()
	for b.Loop() {
		timeOf(`2026-11-27 13:43:47.123 UTC [42] LOG:  checkpoint complete`, now, time.Time{})
		timeOf(`[42] 2026/11/27 13:43:47.123456 [INF] Server is ready`, now, time.Time{})
		timeOf(`some text`, now, time.Time{})
	}
}
