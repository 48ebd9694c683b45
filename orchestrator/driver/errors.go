package driver

import (
	"errors"
	"fmt"
)

// Class sorts a driver's error by what the control plane does about it.
type Class int

const (
	Transient   Class = iota // may pass: retry with backoff
	Unreachable              // the node does not answer
	Invalid                  // will not pass by retrying: bad spec, unknown engine or image, not allowed, wrong checksum
	DataMissing              // the volume that must exist does not
	PortInUse                // somebody else listens on a port of the spec
	NotCreated               // there is no such instance
	Conflict                 // the state of the instance forbids it
	Refused                  // the node answers, or would, but must not be acted on until somebody mends that
)

// Error is a classified error. Its text is shown to users: it says what happened and what would be
// right, and never holds a secret.
type Error struct {
	Class Class
	Port  int // with PortInUse
	// Unavailable says, with Invalid, that the engine or image cannot be had: not found, not allowed, a wrong checksum, or not
	// for this machine.
	Unavailable bool
	// Unstartable reports, of Start, that the engine cannot start this instance but may be able to start a new one.
	Unstartable bool
	// Field of the node's settings that is to blame: endpoint, tls.ca, tls.certificate, tls.key, ssh.privateKey or
	// ssh.hostKey; empty when none is.
	Field string
	Err   error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes a classified error; the format follows [fmt.Errorf].
func Errorf(class Class, format string, args ...any) error {
	return &Error{Class: class, Err: fmt.Errorf(format, args...)}
}

// UnavailableError returns an error of class Invalid about an engine or image that cannot be had.
func UnavailableError(format string, args ...any) error {
	return &Error{Class: Invalid, Unavailable: true, Err: fmt.Errorf(format, args...)}
}

// FieldError makes a classified error about a field of the node's settings; the format follows [fmt.Errorf].
func FieldError(class Class, field, format string, args ...any) error {
	return &Error{Class: class, Field: field, Err: fmt.Errorf(format, args...)}
}

// PortInUseError names the port that is taken.
func PortInUseError(port int) error {
	return &Error{Class: PortInUse, Port: port, Err: fmt.Errorf("port %d is in use by another program", port)}
}

// ClassOf is the class of the outermost classified error in err's chain, and Transient when there is none.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return Transient
}
