package docker

import (
	"path/filepath"
	"testing"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// What an engine of each kind holds on Docker comes back in another installation on the same engine, by the recovery kit alone.
func TestEverythingLost(t *testing.T) {
	e := engine(t)
	first, second := serve(t, e, folder(t)), serve(t, e, folder(t))
	for _, c := range stories.Engines {
		t.Run(c.Template, func(t *testing.T) {
			t.Parallel()
			withImages(t, e, c.Template)
			stories.EverythingLost(t, first, second, c.Template, c.Kind, c.Client, filepath.Join(t.TempDir(), "target"))
		})
	}
}

// A table that was dropped comes back on Docker too.
func TestPointInTime(t *testing.T) {
	e := engine(t)
	withImages(t, e, "postgres")
	dir := folder(t)
	first := serve(t, e, dir)
	killed := func() *uwstest.Process {
		if err := first.Kill(); err != nil {
			t.Fatal(err)
		}
		return serve(t, e, dir)
	}
	stories.PointInTime(t, first, serve(t, e, folder(t)), killed, filepath.Join(t.TempDir(), "target"))
}

// Clients follow when a service on Docker is exchanged for its restored copy, and back.
func TestSwapRestored(t *testing.T) {
	e := engine(t)
	p := serve(t, e, folder(t))
	for _, c := range stories.Engines {
		t.Run(c.Template, func(t *testing.T) {
			t.Parallel()
			withImages(t, e, c.Template)
			stories.SwapRestored(t, p, c, t.TempDir())
		})
	}
}

// What is made of a backup on Docker does not act on others until that is confirmed.
func TestQuarantine(t *testing.T) {
	e := engine(t)
	withImages(t, e, "nats", "postgres")
	t.Run("queue", func(t *testing.T) {
		stories.QuarantinedQueue(t, serve(t, e, folder(t)), filepath.Join(t.TempDir(), "target"))
	})
	t.Run("database", func(t *testing.T) {
		stories.RestartedByEndOfQuarantine(t, serve(t, e, folder(t)), filepath.Join(t.TempDir(), "target"))
	})
}
