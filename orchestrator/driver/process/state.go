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

// state is the content of a service's state.json. It contains no secrets: an instance's environment is in memory and in the
// running process only.
type state struct {
	Spec plan `json:"spec"`
	Run  *run `json:"run,omitempty"` // the newest; nil before the first
}

// plan is a spec without its secrets.
type plan struct {
	Hash       string        `json:"hash"`
	Generation int           `json:"generation,omitempty"` // less than 1 counts as 1
	Volume     string        `json:"volume"`
	Engine     string        `json:"engine"`
	Version    string        `json:"version"`
	Program    string        `json:"program,omitempty"` // instead of an engine
	Args       []string      `json:"args"`
	Ports      []driver.Port `json:"ports"`
	StopSignal string        `json:"stopSignal"`
	Stale      []string      `json:"stale,omitempty"`
}

// run is one instance. It need not survive a power cut, because pid and start time are valid during one boot only.
type run struct {
	Boot      string    `json:"boot"`
	Mark      string    `json:"mark"`            // random, in the process's environment
	PID       int       `json:"pid,omitempty"`   // 0: it was about to be started, or is unknown
	Start     uint64    `json:"start,omitempty"` // ticks after boot
	StartedAt time.Time `json:"startedAt"`
	Frozen    bool      `json:"frozen,omitempty"`

	Ended     bool      `json:"ended,omitempty"`
	StoppedAt time.Time `json:"stoppedAt,omitzero"` // zero: unknown
	ExitCode  *int      `json:"exitCode,omitempty"` // nil: unknown
}

// instance returns the id of the instance for callers, of boot, pid and start time; empty if the pid is unknown.
func (r *run) instance() string {
	if r == nil || r.PID == 0 {
		return ""
	}
	boot, _, _ := strings.Cut(r.Boot, "-")
	return boot + "-" + strconv.Itoa(r.PID) + "-" + strconv.FormatUint(r.Start, 36)
}

// loadState reads a service's state; nil if there is none or it is corrupt.
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
		// A power cut truncated it. No process of the service runs, and Create writes the file again.
		d.opt.Log.Warn("ignoring a service's state that cannot be read", "service", service, "error", err)
		return nil, nil
	}
	return st, nil
}

// stateRoom is the unit in bytes to whose multiple a state file is padded, so that later states fit into it.
const stateRoom = 4096

// saveState writes a service's state. A changed spec must be durable, to survive a power cut. A run is not needed after one, and
// is written while a caller waits for the engine: over the old state, in one write to blocks that are allocated already, which
// neither a crash of uws nor a full disk can interrupt.
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

// overwrite writes data over a file of the same size; done is false if there is none.
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
