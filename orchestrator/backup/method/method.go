// Package method defines how the data of an engine is saved, loaded and checked over the engine's own protocol. Each
// engine has a subpackage. Nothing here knows services, drivers or repositories.
package method

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"
)

// Instance is how a running engine is reached.
type Instance struct {
	Address     string            // host:port
	Credentials map[string]string // by the names of the engine's template
	Options     map[string]string // those of the template's probe
}

// Saver writes a consistent copy of an engine's data. What consistent means is said by each implementation.
type Saver interface {
	// Save writes a tar archive to w. It calls progress, if that is not nil, with the bytes of data read so far, from one
	// goroutine. What was written is of no use if Save returns an error. Save ends soon after ctx, and if the engine is
	// silent for too long. It leaves nothing in the engine.
	Save(ctx context.Context, from Instance, w io.Writer, progress func(bytes int64)) (Saved, error)
}

// Loader writes the data of an archive into an engine.
type Loader interface {
	// Load reads an archive of [Saver.Save] from r into a running engine without data. If it fails, it removes what it
	// has written so far. The error is a [NotEmptyError] if the engine holds data, which is left alone, and a
	// [DamagedError] if the archive is not whole.
	Load(ctx context.Context, into Instance, r io.Reader, progress func(bytes int64)) error
}

// Checker compares a restored engine with what was saved.
type Checker interface {
	// Check reads all data of restored. Differences and damage are failures in the report. An error means that the check
	// could not be completed.
	Check(ctx context.Context, restored Instance, expected Saved) (Report, error)
}

// Saved describes an archive.
type Saved struct {
	Contents Contents        `json:"contents"`
	Details  json.RawMessage `json:"details,omitempty"` // of the method's own, such as positions in a log
}

// Contents is what an archive holds, for people to browse and for a [Checker] to compare.
type Contents struct {
	Groups []Group `json:"groups,omitempty"`
}

// GroupKind is what a group is.
type GroupKind string

const (
	Database   GroupKind = "DATABASE" // items are tables or collections
	Roles      GroupKind = "ROLES"    // Count alone
	Bucket     GroupKind = "BUCKET"   // Count of objects
	Stream     GroupKind = "STREAM"   // Count of messages
	SecretsAll GroupKind = "SECRETS"  // Count alone: names are not listed
)

// MaxItems is how many items of a group are listed at most: the largest.
const MaxItems = 1000

// Group is a database, a bucket or a stream.
type Group struct {
	Kind  GroupKind `json:"kind"`
	Name  string    `json:"name,omitempty"`
	Count int64     `json:"count"` // of tables, collections, objects, messages, roles or secrets
	Bytes int64     `json:"bytes,omitempty"`
	Items []Item    `json:"items,omitempty"`
	// Unlisted is how many items are left out of Items.
	Unlisted int64 `json:"unlisted,omitempty"`

	FirstSequence uint64     `json:"firstSequence,omitempty"` // of a stream
	LastSequence  uint64     `json:"lastSequence,omitempty"`
	Consumers     []Consumer `json:"consumers,omitempty"` // durable ones
	// Changes is set if the engine itself removes or adds messages over time, so that counts need not be equal.
	Changes bool `json:"changes,omitempty"`

	Extensions   []string `json:"extensions,omitempty"` // of a database
	LargeObjects int64    `json:"largeObjects,omitempty"`
}

// Item is a table or a collection.
type Item struct {
	Name string `json:"name"`
	// Rows is an estimate for tables, -1 if there is none.
	Rows  int64 `json:"rows"`
	Bytes int64 `json:"bytes,omitempty"`
	// Filled is set if the item had rows before and after the save, so that it must have some when it is restored.
	Filled bool `json:"filled,omitempty"`
}

// Consumer is a consumer of a stream.
type Consumer struct {
	Name     string `json:"name"`
	AckFloor uint64 `json:"ackFloor"` // the stream sequence up to which everything is acknowledged
}

// Report is the result of a check.
type Report struct {
	Compared []Compared    `json:"compared"`
	Failures []string      `json:"failures,omitempty"` // at most [MaxFailures]; none: the data is whole
	Duration time.Duration `json:"duration"`
}

// Compared is one thing that was checked.
type Compared struct {
	What  string `json:"what"` // such as "tables read"
	Count int64  `json:"count"`
}

// MaxFailures is how many failures a report lists.
const MaxFailures = 100

// Add records that count things were checked.
func (r *Report) Add(what string, count int64) {
	r.Compared = append(r.Compared, Compared{what, count})
}

// Fail records a failure, unless there are enough of them.
func (r *Report) Fail(failure string) {
	if len(r.Failures) < MaxFailures {
		r.Failures = append(r.Failures, failure)
	}
}

// NotEmptyError is returned by [Loader.Load] if the engine holds data.
type NotEmptyError struct{ Holds string } // such as "2 streams"

func (e *NotEmptyError) Error() string {
	return "the engine holds " + e.Holds + "; a backup is loaded into an empty one"
}

// DamagedError means that an archive is not whole, or not one of the method's.
type DamagedError struct {
	What string
	Err  error // may be nil
}

func (e *DamagedError) Error() string {
	text := "the backup is damaged: " + e.What
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *DamagedError) Unwrap() error { return e.Err }

// ErrSilent is wrapped by errors about an engine that does not answer in time.
var ErrSilent = errors.New("no answer in time")

// Sizer estimates how much a [Saver] will write.
type Sizer interface {
	Size(ctx context.Context, from Instance) (int64, error)
}

// Unchanged returns what was the same before and after a copy, so that the copy must have it.
func Unchanged(before, after Contents) Contents {
	type key struct {
		kind GroupKind
		name string
	}
	later := map[key]Group{}
	for _, g := range after.Groups {
		later[key{g.Kind, g.Name}] = g
	}
	var same Contents
	for _, g := range before.Groups {
		now, ok := later[key{g.Kind, g.Name}]
		if !ok || len(g.Items) == 0 && now.Count != g.Count {
			continue
		}
		items := map[string]Item{}
		for _, i := range now.Items {
			items[i.Name] = i
		}
		g.Items = slices.DeleteFunc(slices.Clone(g.Items), func(i Item) bool { return items[i.Name] != i })
		same.Groups = append(same.Groups, g)
	}
	return same
}

// Describer reads what an engine holds, for engines whose files are copied by drivers.
type Describer interface {
	Describe(ctx context.Context, of Instance) (Contents, error)
}
