package orchestrator

import (
	"context"
	"slices"
	"strings"
	"time"
)

// LogStream is what a line of a log was written to.
type LogStream string

// Streams of a log.
const (
	LogStdout LogStream = "STDOUT"
	LogStderr LogStream = "STDERR"
	LogNote   LogStream = "NOTE" // a note of uws itself, such as of lines that are missing
)

// LogLevel is the severity of a line of a log.
type LogLevel string

// Levels of lines, from the least severe to the most.
const (
	LogDebug   LogLevel = "DEBUG"
	LogInfo    LogLevel = "INFO"
	LogWarning LogLevel = "WARNING"
	LogError   LogLevel = "ERROR"
	LogFatal   LogLevel = "FATAL"
)

// LogLine is one line of the output of a service, without its credentials.
type LogLine struct {
	Cursor string // of the line; empty in the tail of an event
	At     time.Time
	Stream LogStream
	Level  *LogLevel // nil if the line names none
	Run    *string   // names the run that wrote it; nil if unknown
	Text   string    // of printable characters
}

// LogQuery selects lines of a log: all that is set must hold.
type LogQuery struct {
	First    int    // lines at most, 1 to [MaxPage]
	Before   string // cursor of the line before which they stand; empty: the end of the log
	Since    time.Time
	Contains string // in any case of its ASCII letters
	Run      string
	Level    LogLevel // or a more severe one; lines without a level belong to the line before them
}

// LogLevels returns the levels from the least severe to the most.
func LogLevels() []LogLevel {
	return []LogLevel{LogDebug, LogInfo, LogWarning, LogError, LogFatal}
}

// Matcher returns a function that reports whether a line is selected by q, apart from First and Before. tooOld reports whether
// only later lines can be.
func (q LogQuery) Matcher() func(line *LogLine) (selected, tooOld bool) {
	contains, least := strings.ToLower(q.Contains), slices.Index(LogLevels(), q.Level)
	severity := map[LogLevel]int{}
	for i, level := range LogLevels() {
		severity[level] = i
	}
	return func(line *LogLine) (selected, tooOld bool) {
		if line.At.Before(q.Since) {
			return false, true
		}
		return (q.Run == "" || line.Run != nil && *line.Run == q.Run) &&
			(least < 0 || line.Level != nil && severity[*line.Level] >= least) &&
			(contains == "" || strings.Contains(strings.ToLower(line.Text), contains)), false
	}
}

// LogPage is a page of a log.
type LogPage struct {
	Lines []LogLine // oldest first
	More  bool      // there are older ones
	End   string    // cursor of what follows the page; of the end of the log where the page is empty
}

// LogBatch is one message of WatchLogs.
type LogBatch struct {
	Lines []LogLine
	// Dropped is the number of lines before these that were left out, because they came faster than they can be passed on.
	Dropped int
	// Reset reports that lines after the cursor that the watch began at are not kept any more.
	Reset    bool
	Cursor   string
	Position int64
}

// LogReader reads and follows the logs of services.
type LogReader interface {
	// Logs returns the newest lines of a service's log that the query selects.
	Logs(ctx context.Context, id string, query LogQuery) (LogPage, error)
	// LogTail returns the end of the log of the run that an event is about, oldest line first; none if there was no such run, or it
	// is not kept any more.
	LogTail(ctx context.Context, e *Event) ([]LogLine, error)
	// WatchLogs calls yield with what is added to the log of a service after the cursor, until ctx ends (nil), the service is
	// gone (nil) or yield fails: at most one message in 100 ms, and of about 64 KiB. A position is an offset in the log.
	WatchLogs(ctx context.Context, id string, span Span, yield func(*LogBatch) error) (position int64, err error)
}
