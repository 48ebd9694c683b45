package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxDetail = 300 // bytes
	maxQuote  = 100 // bytes of an answer that is quoted in a detail
	// minSecret is the shortest credential that is taken for a secret when details are cleaned: a user
	// name such as "uws" is not, and taking it out would spoil the sentence.
	minSecret = 8
	minPart   = 4 // of a secret, from which on it is one
)

func ok(t Target, format string, args ...any) Result   { return result(t, OK, format, args) }
func dead(t Target, format string, args ...any) Result { return result(t, Dead, format, args) }

// refusal begins each detail that blames the credentials, and no other.
const refusal = "refuses our "

func alive(t Target, format string, args ...any) Result {
	r := result(t, Alive, format, args)
	r.Refused = strings.HasPrefix(r.Detail, refusal)
	return r
}

func result(t Target, v Verdict, format string, args []any) Result {
	return Result{Verdict: v, Detail: tidy(t, fmt.Sprintf(format, args...))}
}

// tidy makes hostile text fit for people, logs and terminals: one line of printable characters without
// credentials, of at most maxDetail bytes.
func tidy(t Target, s string) string { return clip(redact(t, printable(s)), maxDetail) }

// quote is the beginning of an answer. Credentials go before it is cut, so that no part of one stays, and
// so does the beginning of one at the end of what was read.
func quote(t Target, answer []byte) string {
	s := redact(t, printable(string(answer)))
	for _, secret := range t.Credentials {
		for n := min(len(secret)-1, len(s)); n >= minPart && len(secret) >= minSecret; n-- {
			if strings.HasSuffix(s, secret[:n]) {
				s = s[:len(s)-n] + "***"
				break
			}
		}
	}
	return `"` + clip(s, maxQuote) + `"`
}

func printable(s string) string {
	var b strings.Builder
	space := true // none at the beginning
	for _, r := range s {
		switch {
		case r == utf8.RuneError || (!unicode.IsPrint(r) && !unicode.IsSpace(r)):
			b.WriteByte('?')
			space = false
		case unicode.IsSpace(r):
			if !space {
				b.WriteByte(' ')
			}
			space = true
		default:
			b.WriteRune(r)
			space = false
		}
	}
	return strings.TrimRight(b.String(), " ")
}

func redact(t Target, s string) string {
	for _, secret := range t.Credentials {
		if len(secret) >= minSecret {
			s = strings.ReplaceAll(s, secret, "***")
		}
	}
	return s
}

func clip(s string, limit int) string {
	const more = "…"
	if len(s) <= limit {
		return s
	}
	s = s[:limit-len(more)]
	for len(s) > 0 && !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + more
}

// dialFailed says why there is no connection.
func dialFailed(ctx context.Context, t Target, err error, limit time.Duration) Result {
	var dns *net.DNSError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return dead(t, "the check was called off")
	case ourTrouble(err):
		return alive(t, "could not check: this machine has %s", reason(err))
	case errors.Is(err, syscall.ECONNREFUSED):
		return dead(t, "refused the connection")
	case errors.Is(err, syscall.ECONNRESET):
		return dead(t, "reset the connection")
	case errors.As(err, &dns):
		return alive(t, "could not check: the name of its node cannot be looked up")
	case timedOut(err):
		return dead(t, "no connection within %s", limit)
	}
	return dead(t, "no connection: %s", reason(err))
}

// readFailed says why there is no answer, after got bytes of one.
func readFailed(ctx context.Context, t Target, err error, got int, limit time.Duration) Result {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return dead(t, "the check was called off")
	case timedOut(err) && got == 0:
		return dead(t, "no answer within %s", limit)
	case timedOut(err):
		return dead(t, "no complete answer within %s", limit)
	case errors.Is(err, errTooLong):
		return dead(t, "its answer is longer than %d KiB", maxAnswer>>10)
	case errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE):
		return dead(t, "reset the connection")
	case got == 0 && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)):
		return dead(t, "closed the connection without an answer")
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return dead(t, "closed the connection in the middle of its answer")
	}
	return dead(t, "no answer: %s", reason(err))
}

func timedOut(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// ourTrouble is true where this machine ran out of something it needs to ask anybody.
func ourTrouble(err error) bool {
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// reason is the innermost cause, without addresses.
func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}
