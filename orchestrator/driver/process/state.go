package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
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
	Args       []string      `json:"args"`
	Ports      []driver.Port `json:"ports"`
	StopSignal string        `json:"stopSignal"`
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
		// Half written in a power cut: no process of it lives, and Create writes it anew.
		d.opt.Log.Warn("ignoring a service's state that cannot be read", "service", service, "error", err)
		return nil, nil
	}
	return st, nil
}

func (d *Driver) saveState(service string, st state, durable bool) error {
	data, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("writing the state of service %s: %w", service, err)
	}
	return replaceFile(d.stateFile(service), data, 0o600, durable)
}

func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("reading the boot id: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}
