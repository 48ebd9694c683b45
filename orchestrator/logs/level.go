package logs

import (
	"regexp"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/logs/journal"
)

// levelReach is the number of bytes of a line within which its level stands.
const levelReach = 160

// levelOf returns the level of a line, NoLevel if none is recognised. It knows the formats of the engines that uws comes with,
// and the usual ones:
//
//	PostgreSQL   2026-11-27 13:43:47.123 UTC [42] FATAL:  password authentication failed
//	Redis        42:M 27 Nov 2026 13:43:47.123 # WARNING: overcommit_memory is set to 0
//	NATS         [42] 2026/11/27 13:43:47.123456 [ERR] cannot bind
//	MongoDB      {"t":{"$date":"2026-11-27T13:43:47.123+00:00"},"s":"E",…}
//	OpenBao      2026-11-27T13:43:47.123Z [ERROR] core: …
//	FerretDB     2026-11-27T13:43:47.123Z	ERROR	…
//	log/slog     time=… level=ERROR msg=…
//	JSON         {"level":"error",…}
func levelOf(line string) journal.Level {
	line = line[:min(len(line), levelReach)]
	switch {
	case strings.HasPrefix(line, "{"):
		for _, key := range []string{`"s":"`, `"level":"`, `"severity":"`} {
			if _, value, ok := strings.Cut(line, key); ok {
				return levelOfWord(leadingWord(value))
			}
		}
		return journal.NoLevel
	case strings.HasPrefix(line, "panic: "), strings.HasPrefix(line, "fatal error: "):
		return journal.Fatal
	}
	if level := levelOfRedis(line); level != journal.NoLevel {
		return level
	}
	if _, value, ok := strings.Cut(line, "level="); ok {
		return levelOfWord(leadingWord(strings.TrimPrefix(value, `"`)))
	}
	for rest := line; rest != ""; {
		i := strings.IndexAny(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
		if i < 0 {
			break
		}
		word := leadingWord(rest[i:])
		after := rest[i+len(word):]
		if (i == 0 || strings.IndexByte(" \t[(|", rest[i-1]) >= 0) && (after == "" || strings.IndexByte(" \t])|:", after[0]) >= 0) && word == strings.ToUpper(word) {
			if level := levelOfWord(word); level != journal.NoLevel && len(word) > 1 {
				return level
			}
		}
		rest = after
	}
	return journal.NoLevel
}

// leadingWord returns the letters and digits that s begins with.
func leadingWord(s string) string {
	for i, c := range []byte(s) {
		if c < '0' || c > '9' && c < 'A' || c > 'Z' && c < 'a' || c > 'z' {
			return s[:i]
		}
	}
	return s
}

func levelOfWord(word string) journal.Level {
	switch strings.ToUpper(word) {
	case "TRACE", "TRC", "DEBUG", "DBG", "DEBUG1", "DEBUG2", "DEBUG3", "DEBUG4", "DEBUG5", "VERBOSE", "D1", "D2", "D3", "D4", "D5":
		return journal.Debug
	case "LOG", "INFO", "INF", "NOTICE", "I":
		return journal.Info
	case "WARNING", "WARN", "WRN", "W":
		return journal.Warn
	case "ERROR", "ERR", "E":
		return journal.Error
	case "FATAL", "FTL", "PANIC", "CRITICAL", "F":
		return journal.Fatal
	}
	return journal.NoLevel
}

// levelOfRedis returns the level of a line of Redis: "pid:role date time sign text".
func levelOfRedis(line string) journal.Level {
	pid, rest, ok := strings.Cut(line, ":")
	if !ok || pid == "" || leadingWord(pid) != pid || pid[0] > '9' {
		return journal.NoLevel
	}
	fields := strings.SplitN(rest, " ", 7)
	if len(fields) < 7 || len(fields[0]) != 1 {
		return journal.NoLevel
	}
	switch fields[5] {
	case ".", "-":
		return journal.Debug
	case "*":
		return journal.Info
	case "#":
		return journal.Warn
	}
	return journal.NoLevel
}

// continued reports whether a line belongs to the one before it: it is indented, or one of PostgreSQL's that explain the line
// before.
func continued(line string) bool {
	if line == "" || line[0] == ' ' || line[0] == '\t' {
		return true
	}
	_, rest, ok := strings.Cut(line[:min(len(line), levelReach)], "] ")
	if !ok {
		return false
	}
	switch word, _, _ := strings.Cut(rest, ":  "); word {
	case "DETAIL", "HINT", "CONTEXT", "STATEMENT", "QUERY", "LOCATION":
		return true
	}
	return false
}

// stamps are the layouts of the times with which engines begin their lines, and where they begin.
var stamps = []struct {
	at     *regexp.Regexp
	layout string
}{
	{regexp.MustCompile(`^(?:time=)?"?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))`), time.RFC3339Nano},
	{regexp.MustCompile(`^\{"t":\{"\$date":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))"`), time.RFC3339Nano},
	{regexp.MustCompile(`^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? [A-Z]{3,4}) `), "2006-01-02 15:04:05.999999999 MST"},
	{regexp.MustCompile(`^(?:\[\d+\] )?(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d+)?)`), "2006/01/02 15:04:05.999999999"},
	{regexp.MustCompile(`^\d+:[XCSM] (\d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d\.\d{3})`), "02 Jan 2006 15:04:05.000"},
}

// stampOf returns the time that the engine itself put on a line. Times without a zone are local.
func stampOf(line string) (time.Time, bool) {
	for _, s := range stamps {
		m := s.at.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		t, err := time.ParseInLocation(s.layout, m[1], time.Local)
		if zone, offset := t.Zone(); err == nil && offset == 0 && zone != "UTC" && zone != "GMT" && zone != "" && strings.HasSuffix(s.layout, "MST") {
			return time.Time{}, false // an abbreviation that is not known here
		}
		return t, err == nil
	}
	return time.Time{}, false
}

// lateAfter is how much older than the time at which a line was read its own time must be to be believed instead: the line was
// written while nobody read.
const lateAfter = 2 * time.Second

// timeOf returns when a line was written: when it was received or, if that was late, the time that the engine put on it. It is
// never before the time of the line before it.
func timeOf(line string, received, before time.Time) time.Time {
	if own, ok := stampOf(line); ok && received.Sub(own) > lateAfter {
		received = own
	}
	if received.Before(before) {
		return before
	}
	return received
}
