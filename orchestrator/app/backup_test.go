package app_test

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/app"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
)

// archives are the data of volumes on a fake machine, as far as backups are concerned.
type archives struct {
	mu       sync.Mutex
	exported []string // services, in order
	running  int
	most     int // that ran at the same time
	meets    func(ctx context.Context, service string) error
}

// archiver is a fakeDriver with volumes that can be copied.
type archiver struct {
	*fakeDriver
	a *archives
}

func (a *archives) meet(ctx context.Context, service string) error {
	a.mu.Lock()
	a.exported = append(a.exported, service)
	a.running++
	a.most = max(a.most, a.running)
	meets := a.meets
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.running--
		a.mu.Unlock()
	}()
	if meets == nil {
		return nil
	}
	return meets(ctx, service)
}

func (a *archives) set(meets func(ctx context.Context, service string) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.meets = meets
}

// Export implements driver.Exporter.
func (d *archiver) Export(ctx context.Context, spec driver.Spec, w io.Writer) error {
	if err := d.a.meet(ctx, spec.Service); err != nil {
		return err
	}
	t := tar.NewWriter(w)
	err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "data", Size: int64(len(spec.Volume)), Mode: 0o600})
	if err == nil {
		_, err = io.WriteString(t, spec.Volume)
	}
	return errors.Join(err, t.Close())
}

// Import implements driver.Exporter.
func (d *archiver) Import(ctx context.Context, spec driver.Spec, r io.Reader) error {
	if err := d.a.meet(ctx, "import"); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	d.m.volumes[spec.Volume] = true
	return nil
}

// Freeze implements driver.Freezer.
func (d *archiver) Freeze(context.Context, string) error { return nil }

// Thaw implements driver.Freezer.
func (d *archiver) Thaw(context.Context, string) error { return nil }

// newArchives is a world with a backup target.
func newArchives(t *testing.T, options ...func(*app.Options)) (*world, *archives, string) {
	a := &archives{}
	w := newWorld(t, append(options, func(o *app.Options) {
		o.NodeInterval, o.Resync = 10*time.Second, time.Minute // hours pass
		open := o.Drivers["PROCESS"].Open
		o.Drivers["PROCESS"] = fleet.Driver{Capabilities: fleet.Capabilities{Endpoint: "fake"}, Open: func(n orchestrator.Node, at orchestrator.Access) (driver.Driver, error) {
			d, err := open(n, at)
			return &archiver{d.(*fakeDriver), a}, err
		}}
	})...)
	target, err := w.CreateBackupTarget(t.Context(), orchestrator.BackupTargetInput{Name: "disk", Folder: filepath.Join(w.dir, "target")})
	if err != nil {
		t.Fatal(err)
	}
	return w, a, target.ID
}

// policy has a service backed up.
func (w *world) policy(service, target, schedule string) {
	w.t.Helper()
	_, err := w.SetBackupPolicy(w.t.Context(), "", orchestrator.BackupPolicyInput{ServiceID: service, BackupPlan: orchestrator.BackupPlan{
		TargetID: target, Schedule: schedule, TimeZone: "UTC", Keep: orchestrator.Keep{Last: 2}, FinalBackup: false,
	}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// backups are the states of the backups of a service, the newest first.
func (w *world) backups(service string) (states []orchestrator.BackupState) {
	w.t.Helper()
	list, err := w.Backups(w.t.Context(), orchestrator.BackupFilter{ServiceID: service}, orchestrator.Page{First: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, b := range list.Items {
		states = append(states, b.State)
	}
	return states
}

func (w *world) backupIs(service string, state orchestrator.BackupHealth, text string) {
	w.t.Helper()
	var status orchestrator.BackupStatus
	w.eventually("the backups are "+string(state)+": "+text, func() bool {
		status = w.BackupStatus(w.get(service))
		return status.State == state && strings.Contains(status.Reason, text)
	})
}

// complete waits until a service has this many complete backups.
func (w *world) complete(service string, n int) {
	w.t.Helper()
	w.eventually(fmt.Sprint(n, " complete backups"), func() bool {
		return len(slices.DeleteFunc(w.backups(service), func(s orchestrator.BackupState) bool { return s != orchestrator.BackupComplete })) == n
	})
}
