package catalog

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

// WithDefaults replaces zero values by the defaults in the doc comments of [Probe], [Stop] and [Limits].
func (t Template) WithDefaults() Template {
	t = t.clone()
	database := t.Kind == DB || t.Kind == NoSQL

	p := &t.Probe
	p.Interval = cmp.Or(p.Interval, 30*time.Second)
	p.Timeout = cmp.Or(p.Timeout, min(2*time.Second, max(p.Interval, minTimeout)))
	p.FailureThreshold = cmp.Or(p.FailureThreshold, pick(database || t.Kind == Secrets, 6, 3))
	p.Grace = cmp.Or(p.Grace, pick(database, 300*time.Second, 60*time.Second))

	t.Stop.Signal = cmp.Or(t.Stop.Signal, "SIGTERM")
	t.Stop.Grace = cmp.Or(t.Stop.Grace, pick(database, 30*time.Second, 10*time.Second))
	t.Stop.HangGrace = cmp.Or(t.Stop.HangGrace, pick(database, 10*time.Second, 2*time.Second))

	if t.Docker != nil {
		l := &t.Docker.Limits
		l.MemoryMiB = cmp.Or(l.MemoryMiB, 512)
		l.CPUs = cmp.Or(l.CPUs, 1)
		l.PIDs = cmp.Or(l.PIDs, 512)
	}
	return t
}

// runtime returns how a driver runs the template, or nil if it cannot.
func (t Template) runtime(d Driver) *Runtime {
	switch d {
	case Docker:
		return t.Docker
	case Process:
		return t.Process
	}
	return nil
}

// DefaultOn returns the drivers for which the template is the default of its kind.
func (t Template) DefaultOn() []Driver {
	var on []Driver
	for _, d := range Drivers() {
		if r := t.runtime(d); r != nil && (r.Default || t.Default) {
			on = append(on, d)
		}
	}
	return on
}

// yield makes the template no longer the default for a driver.
func (t *Template) yield(d Driver) {
	for _, on := range t.DefaultOn() {
		t.runtime(on).Default = on != d
	}
	t.Default = false
}

func pick[T any](cond bool, yes, no T) T {
	if cond {
		return yes
	}
	return no
}

// ProbeSettings are the settings of a [Probe] that a launch may change. Nil keeps the template's value.
type ProbeSettings struct {
	Interval         *time.Duration
	Timeout          *time.Duration
	FailureThreshold *int
	Grace            *time.Duration
}

// WithProbe returns the template with the settings s. If s changes the interval but not the timeout, the timeout is
// lowered to the interval where necessary. Its errors are joined [*FieldError]s for the fields interval, timeout,
// failureThreshold and grace.
func (t Template) WithProbe(s ProbeSettings) (Template, error) {
	t = t.clone()
	p := &t.Probe
	set(&p.Interval, s.Interval)
	set(&p.Timeout, s.Timeout)
	set(&p.FailureThreshold, s.FailureThreshold)
	set(&p.Grace, s.Grace)
	if s.Timeout == nil && p.Interval >= minInterval {
		p.Timeout = min(p.Timeout, p.Interval)
	}
	if errs := p.checkRanges(); len(errs) > 0 {
		return Template{}, errors.Join(errs...)
	}
	return t, nil
}

func set[T any](dst *T, src *T) {
	if src != nil {
		*dst = *src
	}
}

// Major returns the major version: the first number of Version, such as "18" of "18.4" and "2" of "v2.15.2". Data can
// be reattached only to an engine of the same major version.
func (t Template) Major() string {
	v := strings.TrimPrefix(t.Version, "v")
	if end := strings.IndexFunc(v, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		return v[:end]
	}
	return v
}

// clone returns a deep copy.
func (t Template) clone() Template {
	t.Limitations = slices.Clone(t.Limitations)
	t.Ports = slices.Clone(t.Ports)
	t.Credentials = slices.Clone(t.Credentials)
	t.Connections = slices.Clone(t.Connections)
	t.Probe.Options = maps.Clone(t.Probe.Options)
	if t.Rotate != nil {
		r := *t.Rotate
		r.Change = slices.Clone(r.Change)
		t.Rotate = &r
	}
	for _, r := range []**Runtime{&t.Process, &t.Docker} {
		if *r != nil {
			c := (*r).clone()
			*r = &c
		}
	}
	return t
}

func (r Runtime) clone() Runtime {
	r.Args = slices.Clone(r.Args)
	r.Always, r.AlwaysFiles = slices.Clone(r.Always), slices.Clone(r.AlwaysFiles)
	r.Env = maps.Clone(r.Env)
	r.Files = maps.Clone(r.Files)
	r.Dirs = slices.Clone(r.Dirs)
	r.Stale = slices.Clone(r.Stale)
	r.Capabilities = slices.Clone(r.Capabilities)
	if r.Init != nil {
		i := *r.Init
		i.Args, i.Env, i.Files = slices.Clone(i.Args), maps.Clone(i.Env), slices.Clone(i.Files)
		r.Init = &i
	}
	return r
}
