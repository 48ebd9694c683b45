package process

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/proc"
)

// adopt reads the state of earlier drivers and takes over the instances that run. Processes that have the markers of this
// installation, but no service's folder, become services without a spec.
func (d *Driver) adopt() error {
	found, err := d.candidates()
	if err != nil {
		return err
	}
	if err := d.refuseStrays(found); err != nil {
		return err
	}
	ids := map[string]bool{}
	entries, err := os.ReadDir(filepath.Join(d.opt.Dir, "services"))
	if err != nil {
		return fmt.Errorf("reading the services: %w", err)
	}
	for _, e := range entries {
		ids[e.Name()] = driver.ValidID(e.Name())
	}
	for _, p := range found {
		if driver.ValidID(p.service) && d.marked(p, p.service) {
			ids[p.service] = true
		}
	}
	for id, valid := range ids {
		if !valid {
			continue
		}
		if err := d.adoptService(id, found); err != nil {
			return err
		}
	}
	return nil
}

func (d *Driver) adoptService(id string, found []process) error {
	st, err := d.loadState(id)
	if err != nil {
		return err
	}
	s := d.newService(id)
	h, r, err := d.findMain(id, st, found)
	if err != nil {
		return err
	}
	if st == nil {
		if h == nil {
			return nil // an empty folder, or leftovers without a main process, which Stop and Start kill
		}
		st = &state{}
	}
	st.Run = r
	s.state = st
	d.services[id] = s
	if h == nil {
		if r != nil {
			s.log.Name(r.Mark, r.instance())
		}
		if r != nil && !r.Ended {
			r.Ended = true // the time and the exit code are unknown
			return d.saveState(id, *st, false)
		}
		return nil
	}
	if err := s.log.Adopt(r.Mark, r.instance()); err != nil {
		d.opt.Log.Warn("cannot open the log of an adopted instance", "service", id, "error", err)
	}
	d.removeOldPassword(id, st.Spec)
	env := proc.ReadEnv(h.PID)
	if m := markersIn(env); m.installation == d.opt.Installation && m.service == id {
		s.env = d.ownEnv(id, st.Spec.Volume, env)
		st.Spec.Hash, st.Spec.Generation = cmp.Or(st.Spec.Hash, m.hash), cmp.Or(st.Spec.Generation, m.generation)
		if st.Spec.Engine == "" && st.Spec.Program == "" {
			s.env = nil // there is no spec to start it again with
		}
	}
	if err := d.saveState(id, *st, false); err != nil {
		d.opt.Log.Warn("cannot write the state of an adopted instance", "service", id, "error", err)
	}
	d.opt.Log.Info("adopted a running instance", "service", id, "pid", h.PID)
	d.await(s, h)
	return nil
}

// findMain returns the main process of a service's newest run; nil if it has ended.
func (d *Driver) findMain(id string, st *state, found []process) (*proc.Handle, *run, error) {
	var r run
	if st != nil {
		if st.Run == nil || st.Run.Ended {
			return nil, st.Run, nil
		}
		r = *st.Run
		if r.Boot != d.boot {
			return nil, &r, nil // the machine was restarted
		}
	}
	if r.PID == 0 {
		// uws died between starting it and saving its pid, or the state was lost.
		p, ok := d.findMarked(id, r.Mark, found)
		if !ok {
			return nil, &r, nil
		}
		r.PID, r.Start, r.Boot, r.Mark = p.PID, p.Start, d.boot, p.run
		if r.StartedAt.IsZero() {
			r.StartedAt = time.Now().UTC()
		}
	}
	h, err := proc.Open(r.PID, r.Start)
	if errors.Is(err, os.ErrProcessDone) {
		return nil, &r, nil
	}
	if err == nil && !d.inFolder(h.PID, markersIn(proc.ReadEnv(h.PID))) { // the state was copied from the folder that it runs in
		return nil, &r, h.Close()
	}
	return h, &r, err
}

// findMarked returns the leader of a session that has the markers of a service in its environment. It returns the oldest,
// because children inherit markers. mark may be empty.
func (d *Driver) findMarked(id, mark string, found []process) (process, bool) {
	var own []process
	for _, p := range found {
		if d.marked(p, id) && p.Session == p.PID && (mark == "" || p.run == mark) {
			own = append(own, p)
		}
	}
	if len(own) == 0 {
		return process{}, false
	}
	return slices.MinFunc(own, func(a, b process) int { return cmp.Compare(a.Start, b.Start) }), true
}

// ownEnv returns the part of an instance's environment that came from its spec.
func (d *Driver) ownEnv(service, volume string, env []string) map[string]string {
	base := map[string]bool{}
	for _, kv := range d.baseEnv(service, volume) {
		base[kv] = true
	}
	own := map[string]string{}
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		if !base[kv] && !isMarker(k) {
			own[k] = v
		}
	}
	return own
}

// removeOldPassword removes the password that older versions of uws left beside the configuration of a running PostgreSQL.
// Only initdb reads it.
func (d *Driver) removeOldPassword(id string, spec plan) {
	path := filepath.Join(d.configDir(id), "password")
	if spec.Engine != "postgres" || slices.ContainsFunc(spec.Args, func(arg string) bool { return strings.Contains(arg, path) }) {
		return
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.opt.Log.Warn("cannot remove a password that is not needed any more", "service", id, "error", err)
	}
}
