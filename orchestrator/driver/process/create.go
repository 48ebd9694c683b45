package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/folders"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/programs"
)

// Create implements [driver.Driver]. It keeps the environment, which contains secrets, in memory only. After a restart of uws
// a service that does not run must therefore be created again before it is started.
func (d *Driver) Create(ctx context.Context, spec driver.Spec) error {
	if err := checkSpec(spec); err != nil {
		return err
	}
	s, unlock, err := d.lock(ctx, spec.Service)
	if err != nil {
		return err
	}
	defer unlock()
	if s.running() != nil {
		return nil
	}
	err = d.volumes.Recognise(spec.Data())
	if driver.ClassOf(err) == driver.DataMissing && !spec.DataMustExist {
		err = d.volumes.Create(spec.Volume, spec.Folders, func(dir string, owner uint32) error {
			if spec.Init == nil {
				return nil
			}
			return d.initialise(ctx, s, spec, dir, owner)
		})
	}
	if err != nil {
		return err
	}
	owner, err := d.volumes.Owner(spec.Volume)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := os.Stat(d.configDir(spec.Service)); err == nil && s.env != nil && s.state != nil && s.state.Spec.fits(spec) {
		return nil
	}
	st := &state{Spec: plan{
		Hash: spec.Hash(), Generation: spec.Generation, Volume: spec.Volume, Engine: spec.Engine, Version: spec.EngineVersion, Program: spec.Program,
		Args: spec.Args, Ports: spec.Ports, StopSignal: spec.StopSignal, Stale: spec.Stale,
	}}
	if s.state != nil {
		st.Run = s.state.Run
	}
	if err := d.writeService(spec, *st, owner); err != nil {
		return fmt.Errorf("creating service %s: %w", spec.Service, err)
	}
	s.state = st
	s.env = maps.Clone(spec.Env)
	if s.env == nil {
		s.env = map[string]string{}
	}
	return nil
}

// fits reports whether p is of spec.
func (p plan) fits(spec driver.Spec) bool {
	return p.Hash == spec.Hash() && max(1, p.Generation) == max(1, spec.Generation)
}

// writeService writes a service's folder: the log folder, the state, and the configuration without the files that only the
// init reads.
func (d *Driver) writeService(spec driver.Spec, st state, owner uint32) error {
	if spec.Init != nil {
		spec.Files = maps.Clone(spec.Files)
		for _, name := range spec.Init.Files {
			delete(spec.Files, name)
		}
	}
	if err := d.writeConfig(spec, owner); err != nil {
		return err
	}
	return d.saveState(spec.Service, st, true)
}

// writeConfig writes the log folder and the configuration of a service.
func (d *Driver) writeConfig(spec driver.Spec, owner uint32) (err error) {
	dir := d.serviceDir(spec.Service)
	if err := folders.Make(dir, folders.Passable()); err != nil {
		return err
	}
	if err := folders.Make(d.logDir(spec.Service), 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(dir, folders.TempPrefix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	for name, text := range spec.Files {
		if err := os.WriteFile(filepath.Join(tmp, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	if err := folders.Give(tmp, owner); err != nil {
		return err
	}
	config := d.configDir(spec.Service)
	if err := os.RemoveAll(config); err != nil { // no process of the service runs
		return err
	}
	return os.Rename(tmp, config)
}

// checkSpec refuses a spec that cannot be run.
// Errors: [driver.Invalid].
func checkSpec(spec driver.Spec) error {
	if err := spec.Validate(isMarker); err != nil {
		return err
	}
	if err := programs.CheckNames(spec); err != nil {
		return driver.Errorf(driver.Invalid, "service %s: %w", spec.Service, err)
	}
	return nil
}
