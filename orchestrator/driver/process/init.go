package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/folders"
)

// initialise runs the command that makes the data of a service in the folder dir, under the uid that owns it. The command is
// killed when ctx ends or uws dies; the next driver removes the incomplete folder.
func (d *Driver) initialise(ctx context.Context, s *service, spec driver.Spec, dir string, owner uint32) (err error) {
	program, err := d.programs.InitProgram(spec)
	if err != nil {
		return err
	}
	defer func() {
		for _, name := range spec.Init.Files {
			if e := os.Remove(filepath.Join(d.configDir(spec.Service), name)); e != nil && !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, fmt.Errorf("removing what only the making of the data needs: %w", e))
			}
		}
	}()
	if err := d.writeConfig(spec, owner); err != nil {
		return err
	}
	if err := d.emptyTemp(spec.Service, owner); err != nil {
		return err
	}
	out, errOut, err := s.log.Begin("")
	if err != nil {
		return err
	}
	defer func() {
		s.log.End()
		err = errors.Join(err, out.Close(), errOut.Close())
	}()
	run := func(id identityOf) error {
		cmd := exec.CommandContext(ctx, program, spec.Init.Args...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, errOut
		cmd.Env = overlay(d.baseEnv(spec.Service, spec.Volume), spec.Init.Env)
		// A group of its own, to be killed as a whole. No session of its own, because adopt looks for engines among the leaders
		// of sessions.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		id(cmd.SysProcAttr)
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // not reaped yet: the pid is its own
		cmd.WaitDelay = 5 * time.Second
		profile := d.profile(spec.Service, program, dir)
		profile.Namespaces = cmd.SysProcAttr.Cloneflags&syscall.CLONE_NEWUSER != 0
		// Pdeathsig is sent when the thread that started the command ends. Do keeps that thread until the command has ended.
		return d.sandbox.Do(profile, cmd.Run)
	}
	if !asRoot() {
		err = run(func(*syscall.SysProcAttr) {})
	} else {
		err = d.runAs(owner, run, dir, d.configDir(spec.Service), d.tempDir(spec.Service))
	}
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case ended:
		return fmt.Errorf("%s, which makes the data at first, ended with %w; the log of service %s may say why", program, exit, spec.Service)
	case err != nil:
		return fmt.Errorf("making the data with %s: %w", program, err)
	}
	return nil
}

// identityOf sets the user that a process runs as.
type identityOf func(*syscall.SysProcAttr)

// runAs runs a command under the uid owner. That uid has no name, but some commands, such as initdb, look up the name of
// their user. The command therefore runs as nobody in a user namespace that maps nobody to owner. Where user namespaces are
// not allowed, as in many containers, it runs as the machine's nobody, who owns the folders meanwhile.
func (d *Driver) runAs(owner uint32, run func(identityOf) error, owned ...string) error {
	nobody := uint32(65534)
	if u, err := user.Lookup("nobody"); err == nil {
		if id, err := strconv.ParseUint(u.Uid, 10, 32); err == nil && id > 0 {
			nobody = uint32(id)
		}
	}
	as := &syscall.Credential{Uid: nobody, Gid: nobody} // and no supplementary groups
	err := run(func(attr *syscall.SysProcAttr) {
		mapping := []syscall.SysProcIDMap{{ContainerID: int(nobody), HostID: int(owner), Size: 1}}
		attr.Cloneflags, attr.UidMappings, attr.GidMappings, attr.GidMappingsEnableSetgroups = syscall.CLONE_NEWUSER, mapping, mapping, true
		attr.Credential = as
	})
	for _, refused := range []error{unix.EPERM, unix.ENOSPC, unix.EUSERS, unix.EINVAL, unix.ENOSYS} {
		if !errors.Is(err, refused) {
			continue
		}
		for _, f := range owned {
			if err := folders.Give(f, nobody); err != nil {
				return err
			}
		}
		err = run(func(attr *syscall.SysProcAttr) { attr.Credential = as })
		for _, f := range owned {
			err = errors.Join(err, folders.Give(f, owner))
		}
		return err
	}
	return err
}
