package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxDetail = 300 // bytes
	maxQuote  = 100 // maximum number of bytes of an answer that a detail quotes
	// minSecret is the length from which a credential is removed from details. A shorter one, such as the user name
	// "uws", is not secret, and removing it would make the text unreadable.
	minSecret = 8
	minPart   = 4 // parts of a secret are removed from this length on
)

func ok(t Target, format string, args ...any) Result   { return result(t, OK, format, args) }
func dead(t Target, format string, args ...any) Result { return result(t, Dead, format, args) }

func notAsked(t Target, format string, args ...any) Result {
	return result(t, NotAsked, "could not check: "+format, args)
}

func alive(t Target, format string, args ...any) Result { return result(t, Alive, format, args) }

// refusal is a well-formed error that the engine answered.
type refusal struct {
	words       string // text for users
	credentials bool   // the engine rejected the credentials
}

func (r refusal) Error() string { return r.words }

// alive returns the result of a probe that the engine refused.
func (r refusal) alive(t Target) Result {
	out := alive(t, "%s", r.words)
	out.Refused = r.credentials
	return out
}

// login returns the refusal of a user or password.
func login(said string) refusal { return refusal{"refuses our user or password: " + said, true} }

func result(t Target, v Verdict, format string, args []any) Result {
	return Result{Verdict: v, Detail: tidy(t, fmt.Sprintf(format, args...))}
}

// Tidy makes text of an engine fit for users: one line of printable characters without credentials, of at most
// maxDetail bytes.
func Tidy(t Target, text string) string { return tidy(t, text) }

// tidy makes untrusted text fit for users, logs and terminals: one line of printable characters without credentials, of
// at most maxDetail bytes.
func tidy(t Target, s string) string { return clip(redact(t, printable(s)), maxDetail) }

// quote returns the beginning of an answer, without credentials. They are removed before the answer is cut, so that no
// part of one remains. The beginning of a credential at the end of the answer is removed too.
func quote(t Target, answer []byte) string {
	s := redact(t, printable(string(answer)))
	for secret := range t.secrets() {
		for n := min(len(secret)-1, len(s)); n >= minPart && len(secret) >= minSecret; n-- {
			if strings.HasSuffix(s, secret[:n]) {
				s = s[:len(s)-n] + "***"
				break
			}
		}
	}
	return `"` + clip(s, maxQuote) + `"`
}

// secrets returns the credentials that must not appear in any text.
func (t Target) secrets() iter.Seq[string] {
	return func(yield func(string) bool) {
		for name, value := range t.Credentials {
			if !slices.Contains(t.Public, name) && !yield(value) {
				return
			}
		}
	}
}

func printable(s string) string {
	var b strings.Builder
	space := true // drops leading space
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
	for secret := range t.secrets() {
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

var errNotText = errors.New("the user or the password is not text")

// dialFailed returns the result for a failed connection attempt.
func dialFailed(ctx context.Context, t Target, err error, limit time.Duration) Result {
	var dns *net.DNSError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return notAsked(t, "the check was canceled")
	case ourTrouble(err):
		return notAsked(t, "connecting from this machine failed: %s", reason(err))
	case errors.Is(err, syscall.ECONNREFUSED):
		return dead(t, "refused the connection")
	case errors.Is(err, syscall.ECONNRESET):
		return dead(t, "reset the connection")
	case errors.As(err, &dns):
		return notAsked(t, "the name of its node cannot be looked up")
	case timedOut(err):
		return dead(t, "no connection within %s", limit)
	}
	return dead(t, "no connection: %s", reason(err))
}

// readFailed returns the result for a connection that failed after got bytes of an answer.
func readFailed(ctx context.Context, t Target, err error, got int, limit time.Duration) Result {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return notAsked(t, "the check was canceled")
	case errors.Is(err, errNotText):
		return notAsked(t, "%s", err)
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

// ourTrouble reports whether the cause of a connection error is on this machine: a resource is exhausted, there is no
// route, or a permission is missing.
func ourTrouble(err error) bool {
	return slices.ContainsFunc([]error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL,
		syscall.ENETUNREACH, syscall.EAFNOSUPPORT, syscall.EACCES, syscall.EPERM}, func(e error) bool { return errors.Is(err, e) })
}

// reason returns the innermost error, without addresses.
func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}
