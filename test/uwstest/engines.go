package uwstest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
)

// EngineProcess is one process that uws started, or a descendant of one.
type EngineProcess struct {
	PID     int
	Service string // its id
	Run     string // the mark of one start: equal for all processes of one instance
}

// EngineProcesses lists the processes whose home is within dir and that have a service's marks.
func EngineProcesses(dir string) ([]EngineProcess, error) {
	pids, err := withEnviron("HOME=" + dir)
	var all []EngineProcess
	for _, pid := range pids {
		e, readErr := engineOf(pid)
		if errors.Is(readErr, os.ErrNotExist) {
			continue // it ended meanwhile
		}
		err = errors.Join(err, readErr)
		if e.Service != "" {
			all = append(all, e)
		}
	}
	return all, err
}

// Alive reports whether the process still runs, and is the same one.
func (e EngineProcess) Alive() bool {
	now, err := engineOf(e.PID)
	return err == nil && now == e
}

func engineOf(pid int) (EngineProcess, error) {
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return EngineProcess{}, os.ErrNotExist // gone, or about to be: a dying process has none to read
	}
	e := EngineProcess{PID: pid}
	for _, kv := range bytes.Split(environ, []byte{0}) {
		switch k, v, _ := strings.Cut(string(kv), "="); k {
		case "UWS_SERVICE":
			e.Service = v
		case "UWS_RUN":
			e.Run = v
		}
	}
	return e, nil
}
