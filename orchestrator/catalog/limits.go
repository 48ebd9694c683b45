package catalog

import (
	"errors"
	"fmt"
)

const (
	minMemoryMiB, maxMemoryMiB = 16, 1 << 20
	minCPUs, maxCPUs           = 0.05, 1024
	minPIDs, maxPIDs           = 8, 1_000_000
)

// LimitSettings are the [Limits] that a launch may change. Nil keeps the template's value.
type LimitSettings struct {
	MemoryMiB *int
	CPUs      *float64
	PIDs      *int
}

// WithLimits returns the template with s in the limits of its docker runtime. Unless s is empty, the limits are marked
// as asked for. Its errors are joined [*FieldError]s for the fields memoryMiB, cpus and pids, or without a field if no
// driver of the template can enforce limits.
func (t Template) WithLimits(s LimitSettings) (Template, error) {
	if s == (LimitSettings{}) {
		return t, nil
	}
	if t.Docker == nil {
		return Template{}, &FieldError{Message: fmt.Sprintf("template %s runs only as a process of the node, which cannot be held to limits; leave limits out, or launch another template", t.Name)}
	}
	if err := errors.Join(
		outside("memoryMiB", s.MemoryMiB, minMemoryMiB, maxMemoryMiB, "MiB"),
		outside("cpus", s.CPUs, minCPUs, maxCPUs, "processors"),
		outside("pids", s.PIDs, minPIDs, maxPIDs, "processes and threads"),
	); err != nil {
		return Template{}, err
	}
	t = t.clone()
	l := &t.Docker.Limits
	set(&l.MemoryMiB, s.MemoryMiB)
	set(&l.CPUs, s.CPUs)
	set(&l.PIDs, s.PIDs)
	l.Asked = true
	return t, nil
}

// outside returns an error if a number is outside its range. NaN is outside every range.
func outside[T int | float64](field string, v *T, low, high T, unit string) error {
	if v == nil || *v >= low && *v <= high {
		return nil
	}
	return &FieldError{Field: field, Message: fmt.Sprintf("is %v; must be %v to %v %s", *v, low, high, unit)}
}
