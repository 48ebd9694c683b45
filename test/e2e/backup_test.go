package e2e

import (
	"path/filepath"
	"testing"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// A policy's last backup is complete before data is deleted.
func TestLastBackup(t *testing.T) {
	t.Parallel()
	stories.LastBackup(t, serve(t, folder(t)), filepath.Join(t.TempDir(), "target"))
}

// A table that was dropped comes back.
func TestPointInTime(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	first := serve(t, dir)
	killed := func() *uwstest.Process {
		must(t, first.Kill())
		return serve(t, dir)
	}
	stories.PointInTime(t, first, serve(t, folder(t)), killed, filepath.Join(t.TempDir(), "target"))
}

// What an engine of each kind holds comes back in another installation, by the recovery kit alone.
func TestEverythingLost(t *testing.T) {
	first, second := serve(t, folder(t)), serve(t, folder(t))
	for _, c := range stories.Engines {
		t.Run(c.Template, func(t *testing.T) {
			t.Parallel()
			stories.EverythingLost(t, first, second, c.Template, c.Kind, c.Client, filepath.Join(t.TempDir(), "target"))
		})
	}
}

// Clients follow when a service is exchanged for its restored copy, and back.
func TestSwapRestored(t *testing.T) {
	p := serve(t, folder(t))
	for _, e := range stories.Engines {
		t.Run(e.Template, func(t *testing.T) {
			t.Parallel()
			stories.SwapRestored(t, p, e, t.TempDir())
		})
	}
}

// A database that is made of a backup follows no subscriptions until that is confirmed.
func TestQuarantinedDB(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir, "--templates", "testdata/older") // its user is a superuser
	s := launch(t, p, "DB", "accounts", nil)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	p = serve(t, dir)
	stories.QuarantinedDB(t, p, host{}, stories.Healthy(t, p, s.ID, 0), filepath.Join(t.TempDir(), "target"))
}

// Streams of a queue that is made of a backup take no messages from others until that is confirmed.
func TestQuarantinedQueue(t *testing.T) {
	stories.QuarantinedQueue(t, serve(t, folder(t)), filepath.Join(t.TempDir(), "target"))
}
