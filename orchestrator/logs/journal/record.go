package journal

import (
	"bytes"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Record is one line of output.
type Record struct {
	At     time.Time
	Stream Stream
	Level  Level
	Run    string // eight characters; empty if unknown
	Text   string // of printable characters, at most MaxText bytes

	Offset int64 // of its first byte in the journal
	End    int64 // of the byte after it
}

// MaxText is the greatest length of a record's text in bytes. Longer ones are cut.
const MaxText = 32 << 10

// Stream is what a line was written to.
type Stream byte

const (
	Stdout Stream = 'o'
	Stderr Stream = 'e'
	Note   Stream = 'u' // a note of uws itself, such as of a gap
)

// Level is the severity of a line.
type Level byte

const (
	NoLevel Level = '-' // not recognised
	Debug   Level = 'D'
	Info    Level = 'I'
	Warn    Level = 'W'
	Error   Level = 'E'
	Fatal   Level = 'F'
)

// A record is one line of a file: its time, stream, level and run, each of fixed width, and its text. A batch of records ends
// with a line that begins with commitMark and names the position in the source after it.
const (
	timeLayout = "2006-01-02T15:04:05.000000000Z"
	timeWidth  = len(timeLayout)
	runWidth   = 8
	noRun      = "--------"
	headWidth  = timeWidth + len(" o I ") + runWidth + len(" ")
	commitMark = "@ "
	cutMark    = " … (cut: the line is longer)"
)

// appendRecord appends r as a line.
func appendRecord(b []byte, r *Record) []byte {
	b = r.At.UTC().AppendFormat(b, timeLayout)
	b = append(b, ' ', byte(r.Stream), ' ', byte(r.Level), ' ')
	if len(r.Run) == runWidth {
		b = append(b, r.Run...)
	} else {
		b = append(b, noRun...)
	}
	b = append(b, ' ')
	b = appendText(b, r.Text, MaxText)
	return append(b, '\n')
}

// Printable returns text as [Record.Text] holds it, of at most limit bytes and a mark where it was cut.
func Printable(text string, limit int) string { return string(appendText(nil, text, limit)) }

// appendText appends text as one line of valid UTF-8: bytes that are not become U+FFFD, escape sequences of terminals are
// dropped, and other characters that are not printable are written as escapes of Go strings.
func appendText(b []byte, text string, limit int) []byte {
	limit += len(b)
	for i := 0; i < len(text); {
		if len(b) >= limit {
			return append(b, cutMark...)
		}
		c := text[i]
		switch {
		case c >= ' ' && c < 0x7f || c == '\t':
			b = append(b, c)
			i++
		case c == '\r' && i == len(text)-1:
			i++
		case c == 0x1b:
			i += escapeSequence(text[i:])
		default:
			r, size := utf8.DecodeRuneInString(text[i:])
			if r == utf8.RuneError || unicode.IsPrint(r) {
				b = utf8.AppendRune(b, r)
			} else {
				b = appendEscaped(b, r)
			}
			i += size
		}
	}
	return b
}

// escapeSequence returns the length of the terminal's escape sequence that s begins with: of colours and cursor movements
// (CSI), else of ESC alone.
func escapeSequence(s string) int {
	if len(s) < 2 || s[1] != '[' {
		return 1
	}
	for i := 2; i < len(s) && i < 32; i++ {
		if s[i] >= 0x40 && s[i] <= 0x7e {
			return i + 1
		}
	}
	return 2
}

func appendEscaped(b []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	if r < 0x80 {
		return append(b, '\\', 'x', digits[r>>4], digits[r&15])
	}
	b = append(b, `\u{`...)
	started := false
	for shift := 20; shift >= 0; shift -= 4 {
		if d := r >> shift & 15; d != 0 || started || shift == 0 {
			b, started = append(b, digits[d]), true
		}
	}
	return append(b, '}')
}

// parseRecord parses a line without its line ending. It returns false for a commit, and for a line that a crash of the
// machine damaged.
func parseRecord(line []byte) (r Record, ok bool) {
	if len(line) < headWidth || line[timeWidth] != ' ' || line[headWidth-1] != ' ' {
		return r, false
	}
	at, err := time.Parse(timeLayout, string(line[:timeWidth]))
	if err != nil {
		return r, false
	}
	r = Record{At: at, Stream: Stream(line[timeWidth+1]), Level: Level(line[timeWidth+3]), Text: string(line[headWidth:])}
	if run := string(line[headWidth-1-runWidth : headWidth-1]); run != noRun {
		r.Run = run
	}
	return r, true
}

// isRecord reports whether a line holds a record, without parsing it.
func isRecord(line []byte) bool {
	return len(line) >= headWidth && line[timeWidth] == ' ' && line[0] != commitMark[0]
}

// parseCommit returns the position in the source that a line names.
func parseCommit(line []byte) (source string, ok bool) {
	if !bytes.HasPrefix(line, []byte(commitMark)) {
		return "", false
	}
	return string(line[len(commitMark):]), true
}

// oneLine is s without line endings, which would end a commit early.
func oneLine(s string) string { return strings.NewReplacer("\n", "", "\r", "").Replace(s) }
