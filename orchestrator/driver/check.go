package driver

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

var idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// ValidID reports whether an id of a service, a volume or an installation can serve as a name of anything a driver makes.
func ValidID(id string) bool { return idPattern.MatchString(id) }

// CheckID refuses, as [Invalid], ids that could name anything but a thing of their own.
func CheckID(what, id string) error {
	if !ValidID(id) {
		return Errorf(Invalid, "%s %q must be 1 to 64 letters, digits, - and _, beginning with a letter or digit", what, id)
	}
	return nil
}

// Validate says what is wrong with a spec, whatever the driver; all of it would fail again, so that it is [Invalid].
// reserved tells the names of environment variables that are the driver's own.
func (s Spec) Validate(reserved func(name string) bool) error {
	c := specCheck{reserved: reserved, errs: []error{CheckID("service", s.Service), CheckID("volume", s.Volume)}}
	for _, f := range s.Folders {
		if !filepath.IsLocal(f) {
			c.bad("folder %q must be a relative path inside the data", f)
		}
	}
	for name := range s.Files {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			c.bad("file %q must be a plain file name", name)
		}
	}
	c.command(s.Args, s.Env)
	if s.Init != nil {
		c.command(s.Init.Args, s.Init.Env)
	}
	for _, p := range s.Ports {
		if p.Number < 1 || p.Number > 65535 {
			c.bad("port %s has number %d, which must be 1 to 65535", p.Name, p.Number)
		}
	}
	if s.StopSignal != "" && unix.SignalNum(s.StopSignal) == 0 {
		c.bad("stop signal %q must be a name such as SIGTERM", s.StopSignal)
	}
	if err := errors.Join(c.errs...); err != nil {
		return Errorf(Invalid, "service %s: %w", s.Service, err)
	}
	return nil
}

type specCheck struct {
	reserved func(name string) bool
	errs     []error
}

func (c *specCheck) bad(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

func (c *specCheck) command(args []string, env map[string]string) {
	for name, value := range env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") || c.reserved(name) {
			c.bad("environment variable %q must have a plain name that is none of the driver's own, and no zero byte", name)
		}
	}
	for i, a := range args {
		if strings.Contains(a, "\x00") {
			c.bad("argument %d must not hold a zero byte", i+1)
		}
	}
}
