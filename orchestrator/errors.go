package orchestrator

import (
	"errors"
	"fmt"
)

// Code sorts the errors that callers can do something about. The names are those of the API.
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
	Internal        Code = "INTERNAL"
)

// Error is an error whose text is meant for the user: it names the field and what would be right.
type Error struct {
	Code    Code
	Field   string // of the input, such as "input.name"; empty when none is to blame
	Message string
}

func (e *Error) Error() string { return e.Message }

// Errorf makes an Error.
func Errorf(code Code, field, format string, args ...any) error {
	return &Error{Code: code, Field: field, Message: fmt.Sprintf(format, args...)}
}

// CodeOf is the code of the Error in err's chain, and Internal when there is none.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}
