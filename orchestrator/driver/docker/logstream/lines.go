package logstream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

const (
	// MaxBatch is the number of bytes after which Feed leaves the rest for the next batch; a line counts with its overhead.
	MaxBatch    = 256 << 10
	lineSize    = 96 // bytes of a line beside its text
	maxStamp    = 35 // bytes of the longest timestamp, one with an offset
	maxReported = 1 << 10
	headerSize  = 8
)

// Types of frames.
const (
	typeStdout = 1
	typeStderr = 2
	typeError  = 3 // the engine's own words about why it sends no more
)

// ErrFrame is returned for what is not the beginning of a frame.
var ErrFrame = errors.New("the engine sent something else than the log of a container")

// Lines makes lines of the frames of one stream of an engine. It is for one goroutine.
//
// An engine splits a line of more than 16 KiB into several messages. All have the timestamp of the first, and all but the last
// lack the line's end. Messages of the other stream can be between them. A message that lacks the line's end and is followed by
// one with another timestamp is what a program wrote last before it ended.
type Lines struct {
	after     Position
	run       func(time.Time) string
	start     time.Time // when the run began that goes on
	skip      int64     // lines that are yet to be left out: they were passed on before
	filtering bool      // what comes was passed on before: the position's anchor has not come yet
	anchored  bool

	header   [headerSize]byte
	headed   int   // bytes of header that are there
	left     int64 // bytes of the frame that are to come
	stream   *stream
	stamping bool // the timestamp is not complete
	stamp    []byte
	reported []byte // by a frame of typeError
	failing  bool
	messages int // that have begun

	streams [2]stream
	seen    anchor // of the next position, unless a line holds another
	newest  time.Time
	count   int64 // lines so far, with those that were left out

	recent recent
	ignore bool // the frame was sent before
	seed   maphash.Seed
	last   sum // of the last line

	batch []driver.LogLine
	size  int
}

// anchor is a message that a position can be told from.
type anchor struct {
	order int // of the anchors of one stream
	at    time.Time
	count int64 // lines before it
	exact bool  // see Position
}

// sum identifies a line.
type sum struct {
	at     time.Time
	stream driver.LogStream
	text   uint64
}

// stream is the state of stdout or stderr.
type stream struct {
	name  driver.LogStream
	begun bool // a line has begun and not ended
	at    time.Time
	text  []byte // of that line, at most driver.MaxLogLine bytes
	hold  anchor // the position is told from this one until the line ends
	drop  bool   // the line is before the anchor
	later bool   // the line is not the first one of its message
}

// New returns Lines for a stream that was asked for with after.Query. What comes before the position is left out. Run returns the id of the run that wrote a line at a time.
func New(after Position, run func(time.Time) string) *Lines {
	l := &Lines{after: after, run: run, skip: after.Lines, filtering: !after.Since.IsZero(),
		seen: anchor{at: after.Since, exact: after.Exact}, newest: after.Newest, seed: maphash.MakeSeed()}
	l.streams[0].name, l.streams[1].name = driver.Stdout, driver.Stderr
	return l
}

// Anchored reports whether the message that the position is told from has come.
func (l *Lines) Anchored() bool { return l.anchored }

// Feed takes the next bytes of the stream and returns how many it has used: all, unless the batch is full.
// Errors: [ErrFrame]; what the engine reports.
func (l *Lines) Feed(p []byte) (used int, err error) {
	for len(p) > used && !l.Full() {
		n, err := l.feed(p[used:])
		used += n
		if err != nil {
			return used, err
		}
	}
	return used, nil
}

// feed takes a part of a header or of a frame.
func (l *Lines) feed(p []byte) (used int, err error) {
	if l.left == 0 {
		n := copy(l.header[l.headed:], p)
		if l.headed += n; l.headed == headerSize {
			l.headed = 0
			return n, l.frame()
		}
		return n, nil
	}
	p = p[:min(int64(len(p)), l.left)]
	used = len(p)
	switch {
	case l.failing:
		l.reported = append(l.reported, p[:min(len(p), maxReported-len(l.reported))]...)
	case l.stamping:
		used = l.stamped(p)
	default:
		used = l.text(p)
	}
	l.left -= int64(used)
	if l.left > 0 {
		return used, nil
	}
	if l.failing {
		return used, fmt.Errorf("the engine cannot read the log: %q", bytes.TrimSpace(l.reported))
	}
	if l.stamping { // the frame is shorter than a timestamp
		l.undated()
	}
	return used, nil
}

// frame begins a frame whose header is complete.
func (l *Lines) frame() error {
	kind := l.header[0]
	if kind < typeStdout || kind > typeError || l.header[1] != 0 || l.header[2] != 0 || l.header[3] != 0 {
		return fmt.Errorf("%w: a frame of type %x", ErrFrame, l.header[:4])
	}
	l.left = int64(binary.BigEndian.Uint32(l.header[4:]))
	if l.failing = kind == typeError; l.failing {
		return nil
	}
	l.messages++
	l.stream, l.ignore = &l.streams[kind-typeStdout], false
	l.stamping, l.stamp = l.left > 0, l.stamp[:0]
	return nil
}

// stamped takes a part of the timestamp and returns its length.
func (l *Lines) stamped(p []byte) int {
	end := bytes.IndexByte(p, ' ')
	if end < 0 {
		end = len(p)
	}
	n := min(end, maxStamp+1-len(l.stamp))
	l.stamp = append(l.stamp, p[:n]...)
	switch {
	case len(l.stamp) > maxStamp:
		l.undated()
	case n < len(p): // at the space
		at, err := time.Parse(time.RFC3339Nano, string(l.stamp))
		if err != nil || at.UnixNano() <= 0 || at.Year() > 2200 { // beyond what nanoseconds can hold
			l.undated()
			return n
		}
		l.stamping = false
		l.begin(at.UTC())
		n++
	}
	return n
}

// undated begins the text of a frame without a timestamp: what was taken for one is the text's beginning.
func (l *Lines) undated() {
	l.stamping = false
	l.begin(time.Time{})
	for p := l.stamp; len(p) > 0; {
		p = p[l.text(p):]
	}
}

// begin begins a message, which goes on with the stream's line if that has not ended and is of the same time.
func (l *Lines) begin(at time.Time) {
	s := l.stream
	if s.begun && s.at.Equal(at) {
		return
	}
	if !at.Before(l.start) {
		l.EndBefore(l.start)
	}
	if s.begun {
		l.end(s)
	}
	if l.ignore = !at.IsZero() && l.recent.again(at, s.name == driver.Stderr, at.Before(l.newest)); l.ignore {
		return
	}
	l.anchored = l.anchored || at.Equal(l.after.Since)
	l.filtering = l.filtering && !l.anchored && !at.After(l.after.Newest)
	switch {
	case l.filtering:
	case at.After(l.newest):
		l.newest, l.seen = at, anchor{order: l.seen.order + 1, at: at, count: l.count}
	case !at.IsZero() && at.Before(l.newest.Add(-disorder)) && !at.Equal(l.seen.at):
		l.seen = anchor{order: l.seen.order + 1, at: at, count: l.count, exact: true}
	}
	s.begun, s.at, s.hold, s.drop, s.later = true, at, l.seen, l.filtering, false
	if at.After(l.after.Newest) && !slices.ContainsFunc(l.streams[:], l.repeated) {
		l.skip = 0 // the engine no longer has some of the lines that were passed on, or leaves them out
	}
}

// repeated reports whether a line has begun that may have been passed on before.
func (l *Lines) repeated(s stream) bool { return s.begun && !s.at.After(l.after.Newest) }

// text takes a part of a message up to the end of a line, and returns its length.
func (l *Lines) text(p []byte) int {
	s := l.stream
	if l.ignore {
		return len(p)
	}
	if !s.begun { // a further line of one message
		s.begun, s.hold, s.drop, s.later = true, l.seen, l.filtering, true
	}
	line, _, ends := bytes.Cut(p, []byte{'\n'})
	s.text = append(s.text, line[:min(len(line), driver.MaxLogLine-len(s.text))]...)
	if !ends {
		return len(p)
	}
	l.end(s)
	return len(line) + 1
}

// end ends the line of a stream.
func (l *Lines) end(s *stream) {
	defer func() { s.text = s.text[:0] }()
	s.begun = false
	if s.drop {
		return
	}
	this := sum{s.at, s.name, maphash.Bytes(l.seed, s.text)}
	if this == l.last && !s.at.IsZero() && !s.later { // repeated, see recent; no two messages of a stream have one time
		return
	}
	l.last = this
	l.count++
	if l.skip > 0 && !s.at.After(l.after.Newest) {
		l.skip--
		return
	}
	line := driver.LogLine{At: s.at, Stream: s.name, Run: l.run(s.at), Text: string(s.text)}
	if line.At.IsZero() {
		line.At = time.Now()
	}
	l.batch = append(l.batch, line)
	l.size += len(line.Text) + lineSize
}

// EndBefore ends lines that began before a time. It is called when no more comes of what was written before.
func (l *Lines) EndBefore(t time.Time) {
	for i := range l.streams {
		if s := &l.streams[i]; s.begun && s.at.Before(t) {
			l.end(s)
		}
	}
}

// End ends all lines: the stream had all that there is.
func (l *Lines) End() {
	for i := range l.streams {
		if l.streams[i].begun {
			l.end(&l.streams[i])
		}
	}
}

// Cut reports whether a frame has not been complete.
func (l *Lines) Cut() bool { return l.headed > 0 || l.left > 0 }

// Full reports whether the batch must be taken before more is fed.
func (l *Lines) Full() bool { return l.size+driver.MaxLogLine > MaxBatch }

// Batch returns the lines since Taken.
func (l *Lines) Batch() []driver.LogLine { return l.batch }

// Taken drops the batch.
func (l *Lines) Taken() {
	clear(l.batch)
	l.batch, l.size = l.batch[:0], 0
}

// Messages returns how many messages have begun.
func (l *Lines) Messages() int { return l.messages }

// Start sets when the run began that goes on. Its messages end the lines of earlier runs.
func (l *Lines) Start(t time.Time) { l.start = t }

// Newest returns the time of the newest message, or of the position if none was newer.
func (l *Lines) Newest() time.Time { return l.newest }

// Position returns the place after all lines that were put into batches.
func (l *Lines) Position() Position {
	a := l.seen
	for _, s := range l.streams {
		if s.begun && s.hold.order < a.order {
			a = s.hold
		}
	}
	return Position{
		Container: l.after.Container, Since: a.at, Newest: l.newest, Lines: l.count - a.count + l.skip, Exact: a.exact,
	}
}
