package docker

import (
	"path/filepath"
	"testing"

	"github.com/unicorn-web-services/uws/test/stories"
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
