package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/unicorn-web-services/uws/orchestrator/driver/process/folders"
)

// maxRuns is the number of runs whose lines are told apart. Those of older ones are of an unknown run.
const maxRuns = 128

// entry is a run and where its output begins. No line goes from one run to the next.
type entry struct {
	Mark string           `json:"mark,omitempty"` // empty: not a run, such as the command that makes the data
	ID   string           `json:"id,omitempty"`   // driver.Observed.Instance; empty: unknown, or not named yet
	At   [fileCount]int64 `json:"at"`
}

// sidecar is the content of the file beside the logs. It is written when a run begins, so that the id of the newest run is
// missing in it: the caller has that from the run's mark.
type sidecar struct {
	Base [fileCount]int64 `json:"base"`
	Runs []entry          `json:"runs"`
}

func (s *Spool) sidecarPath() string { return filepath.Join(s.dir, "runs.json") }

// load reads the sidecar once. Without a valid one no run is known. The caller holds mu.
func (s *Spool) load() error {
	if s.closed {
		return ErrClosed
	}
	if s.loaded {
		return nil
	}
	data, err := os.ReadFile(s.sidecarPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the runs of a log: %w", err)
	}
	var c sidecar
	if err != nil || json.Unmarshal(data, &c) != nil || !c.valid() {
		c = sidecar{}
	}
	s.loaded, s.runs = true, c.Runs
	for i := range s.files {
		s.files[i].base, s.files[i].head, s.files[i].end = c.Base[i], c.Base[i], c.Base[i]
	}
	return nil
}

// valid reports whether the offsets can be those of runs that followed each other.
func (c sidecar) valid() bool {
	var last [fileCount]int64
	for _, e := range c.Runs {
		for i, at := range e.At {
			if at < last[i] {
				return false
			}
			last[i] = at
		}
	}
	for _, base := range c.Base {
		if base < 0 {
			return false
		}
	}
	return true
}

// record appends a run that begins here. The caller holds mu.
func (s *Spool) record(mark, id string) error {
	e := entry{Mark: mark, ID: id}
	for i := range s.files {
		if err := s.files[i].refresh(); err != nil {
			return err
		}
		e.At[i] = max(s.files[i].end, s.lastAt(i))
	}
	s.runs = append(s.runs, e)
	for len(s.runs) > maxRuns || len(s.runs) > 1 && s.gone(s.runs[1]) {
		s.runs = s.runs[1:]
	}
	return s.save(false)
}

// gone reports whether nothing is left of what was written before a run.
func (s *Spool) gone(e entry) bool {
	for i, at := range e.At {
		if s.files[i].f != nil && s.files[i].head < at {
			return false
		}
	}
	return true
}

// save writes the sidecar. After a power cut an older one costs no more than the names of runs, except where the base of a file
// has changed: it must be durable then. The caller holds mu.
func (s *Spool) save(durable bool) error {
	c := sidecar{Runs: s.runs}
	for i := range s.files {
		c.Base[i] = s.files[i].base
	}
	data, err := json.Marshal(c)
	if err == nil {
		err = folders.ReplaceFile(s.sidecarPath(), data, 0o600, durable)
	}
	if err != nil {
		return fmt.Errorf("writing the runs of a log: %w", err)
	}
	return nil
}

// lastAt returns where the newest run begins in a file.
func (s *Spool) lastAt(i int) int64 {
	if n := len(s.runs); n > 0 {
		return s.runs[n-1].At[i]
	}
	return 0
}

// runAt returns the run that an offset of a file is of, -1 if it is unknown, and the offset where the next run begins.
func (s *Spool) runAt(i int, at int64) (run int, next int64) {
	run = len(s.runs) - 1
	next = s.files[i].end
	for run >= 0 && s.runs[run].At[i] > at {
		next = s.runs[run].At[i]
		run--
	}
	return run, next
}

// unnamed reports whether a run is about to be named. Its lines wait for that.
func (s *Spool) unnamed(run int) bool {
	return s.live && run >= 0 && run == len(s.runs)-1 && s.runs[run].ID == "" && s.runs[run].Mark != ""
}
