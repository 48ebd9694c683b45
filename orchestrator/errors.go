package orchestrator

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"syscall"
)

// Code classifies the errors that callers branch on. Its values are those of ErrorCode in the SDL, which describes them.
type Code string

const (
	NotFound        Code = "NOT_FOUND"
	InvalidInput    Code = "INVALID_INPUT"
	Conflict        Code = "CONFLICT"
	NodeUnavailable Code = "NODE_UNAVAILABLE"
	CursorExpired   Code = "CURSOR_EXPIRED"
	LimitExceeded   Code = "LIMIT_EXCEEDED"
	Unauthenticated Code = "UNAUTHENTICATED"
	Forbidden       Code = "FORBIDDEN"
	RateLimited     Code = "RATE_LIMITED"
	Unavailable     Code = "UNAVAILABLE"
	Internal        Code = "INTERNAL"
	// PersistedQueryNotSupported is the answer that Apollo clients expect to a query's hash.
	PersistedQueryNotSupported Code = "PERSISTED_QUERY_NOT_SUPPORTED"
)

// Codes returns all codes, in the order of the SDL.
func Codes() []Code {
	return []Code{
		NotFound, InvalidInput, Conflict, NodeUnavailable, CursorExpired, LimitExceeded,
		Unauthenticated, Forbidden, RateLimited, Unavailable, Internal, PersistedQueryNotSupported,
	}
}

// UnmarshalGQL accepts the codes exactly as the SDL has them.
func (c *Code) UnmarshalGQL(v any) error {
	s, ok := v.(string)
	if !ok || !slices.Contains(Codes(), Code(s)) {
		return fmt.Errorf("%v is not an ErrorCode", v)
	}
	*c = Code(s)
	return nil
}

// MarshalGQL writes the code as the SDL has it.
func (c Code) MarshalGQL(w io.Writer) { _, _ = io.WriteString(w, strconv.Quote(string(c))) }

// Error is an error whose text is meant for the user.
type Error struct {
	Code Code
	// Path is the argument or the field of the input to blame, in the terms of this package, such as "id", "name",
	// "healthCheck.interval" or "ports[0].number"; empty if none is. Each door replaces it with its own name for the field.
	Path string
	// Message says what is wrong and what would be right. It does not name the field: doors write it after their own name
	// for Path, or show it beside the field.
	Message string
}

func (e *Error) Error() string { return e.Under(e.Path) }

// Under returns the message after a door's own name for the field; an empty name leaves it out.
func (e *Error) Under(name string) string {
	if name == "" {
		return e.Message
	}
	return name + ": " + e.Message
}

// Errorf returns an Error.
func Errorf(code Code, path, format string, args ...any) error {
	return &Error{Code: code, Path: path, Message: fmt.Sprintf(format, args...)}
}

// CodeOf is the code of the Error in err's chain, and Internal when there is none.
func CodeOf(err error) Code {
	if e, ok := AsError(err); ok {
		return e.Code
	}
	return Internal
}

// diskFull is implemented by the store's error for a full disk of the data folder.
type diskFull interface {
	error
	DiskFull() bool
}

// AsError finds the Error in err's chain. A full disk is one too, which all doors have in common.
func AsError(err error) (*Error, bool) {
	if e, ok := errors.AsType[*Error](err); ok {
		return e, true
	}
	if full, ok := errors.AsType[diskFull](err); ok && full.DiskFull() {
		return &Error{Code: Unavailable, Message: full.Error()}, true
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &Error{Code: Unavailable, Message: "the disk of the data folder is full, so nothing can be saved; free some space on it and try again. uws needs no restart"}, true
	}
	return nil, false
}
