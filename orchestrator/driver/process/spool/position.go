package spool

import (
	"strconv"
	"strings"
)

// version begins the text of each position.
const version = "1:"

// cursor is how far a file has been read.
type cursor struct {
	at   int64 // negative: from the oldest
	mode mode
}

// mode is what to do with what lies between a cursor and the next end of a line.
type mode byte

const (
	whole   mode = 0   // it is a line
	cut     mode = 'c' // it is dropped: the rest of a line that was cut
	skipped mode = 's' // it is dropped and counted: the rest of a line whose beginning is gone
)

type position [fileCount]cursor

// oldest returns the position before all that there is.
func oldest() (p position) {
	for i := range p {
		p[i].at = -1
	}
	return p
}

// parsePosition returns the oldest position for a text that is none.
func parsePosition(text string) (p position, ok bool) {
	rest, ok := strings.CutPrefix(text, version)
	parts := strings.Split(rest, ",")
	if !ok || len(parts) != len(p) {
		return oldest(), false
	}
	for i, part := range parts {
		if n := len(part); n > 0 && (mode(part[n-1]) == cut || mode(part[n-1]) == skipped) {
			p[i].mode, part = mode(part[n-1]), part[:n-1]
		}
		at, err := strconv.ParseInt(part, 10, 64)
		if err != nil || at < 0 {
			return oldest(), false
		}
		p[i].at = at
	}
	return p, true
}

func (p position) String() string {
	b := []byte(version)
	for i, c := range p {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, max(0, c.at), 10)
		if c.mode != whole {
			b = append(b, byte(c.mode))
		}
	}
	return string(b)
}
