package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/folders"
)

// state is what state.json holds of one service. It never holds secrets: an instance's environment lives in
// memory and in the running process only.
type state struct {
	Spec plan `json:"spec"`
	Run  *run `json:"run,omitempty"` // the newest; nil before the first
}

// plan is a spec without its secrets.
type plan struct {
	Hash       string        `json:"hash"`
	Volume     string        `json:"volume"`
	Engine     string        `json:"engine"`
	Version    string        `json:"version"`
	Program    string        `json:"program,omitempty"` // instead of an engine
	Args       []string      `json:"args"`
	Ports      []driver.Port `json:"ports"`
	StopSignal string        `json:"stopSignal"`
	Stale      []string      `json:"stale,omitempty"`
}

// run is one instance. What it says of a living process holds in the same boot only, which is why it need not
// survive a power cut.
type run struct {
	Boot      string    `json:"boot"`
	Mark      string    `json:"mark"`            // random, in the process's environment
	PID       int       `json:"pid,omitempty"`   // 0: about to be started, or it was never known
	Start     uint64    `json:"start,omitempty"` // ticks after boot
	StartedAt time.Time `json:"startedAt"`

	Ended     bool      `json:"ended,omitempty"`
	StoppedAt time.Time `json:"stoppedAt,omitzero"` // zero: nobody saw it end
	ExitCode  *int      `json:"exitCode,omitempty"` // nil: nobody saw it end
}

// instance is the identity that callers see: boot, pid and start time.
func (r *run) instance() string {
	if r == nil || r.PID == 0 {
		return ""
	}
	boot, _, _ := strings.Cut(r.Boot, "-")
	return boot + "-" + strconv.Itoa(r.PID) + "-" + strconv.FormatUint(r.Start, 36)
}

// loadState reads a service's state; nil when there is none or it cannot be read as one.
func (d *Driver) loadState(service string) (*state, error) {
	data, err := os.ReadFile(d.stateFile(service))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state of service %s: %w", service, err)
	}
	st := new(state)
	if err := json.Unmarshal(data, st); err != nil {
		// Truncated by a power cut: none of its processes is alive, and Create writes the file again.
		d.opt.Log.Warn("ignoring a service's state that cannot be read", "service", service, "error", err)
		return nil, nil
	}
	return st, nil
}

// stateRoom is what a state file is padded to, a multiple of it, so that later states fit into it.
const stateRoom = 4096

// saveState writes a service's state. durable is for what must survive a power cut: the spec. A run is worth
// nothing after one, but it is written while somebody waits for the engine: over the old one, in one write to
// blocks that are there already, which a crash of uws or a full disk cannot tear.
func (d *Driver) saveState(service string, st state, durable bool) error {
	data, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("writing the state of service %s: %w", service, err)
	}
	room := (len(data) + stateRoom - 1) / stateRoom * stateRoom
	data = append(data, bytes.Repeat([]byte{' '}, room-len(data))...)
	if !durable {
		if done, err := overwrite(d.stateFile(service), data); done || err != nil {
			return err
		}
	}
	return folders.ReplaceFile(d.stateFile(service), data, 0o600, durable)
}

// overwrite writes data over a file of the same size; done is false when there is none.
func overwrite(path string, data []byte) (done bool, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info, err := f.Stat(); err != nil || info.Size() != int64(len(data)) {
		return false, err
	}
	_, err = f.WriteAt(data, 0)
	return err == nil, err
}
