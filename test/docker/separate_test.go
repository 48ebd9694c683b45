package docker

import (
	"syscall"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// A database in a container whose user is still a superuser gets the roles of newer ones and keeps its data and password, at
// whichever step uws is killed.
func TestSeparateAdmin(t *testing.T) {
	e := engine(t)
	withImages(t, e, "postgres")
	faulty := uwstest.Path(dockertest.Dir(), uwstest.Faulty)
	for _, step := range []string{"", "rotate-staged", "separate-begun", "separate-switched", "separate-owned", "separate-done"} {
		t.Run("killed at "+step, func(t *testing.T) {
			dir := folder(t)
			p := serveBinary(t, uwstest.Binary, e.Host, dir, nil, "--templates", "../e2e/testdata/older")
			s := stories.Launch(t, p, "DB", "accounts", nil)
			keys, err := p.Credentials(t.Context(), s.ID)
			if err != nil {
				t.Fatal(err)
			}
			stories.FurnishDatabase(t, s, keys)
			running := container(t, e, s.ID)
			stop(t, p)

			p = serveBinary(t, faulty, e.Host, dir, []string{"UWS_FAULT=" + step})
			stories.Healthy(t, p, s.ID, 0)
			if plan, err := stories.SeparateAdmin(t.Context(), p, s.ID, false); err != nil || plan.Begun || len(plan.StopsWorking) < 5 || len(plan.Blockers) != 0 {
				t.Fatalf("%+v, %v", plan, err)
			}
			_, err = stories.SeparateAdmin(t.Context(), p, s.ID, true)
			if step == "" && err != nil { // otherwise the response may be lost
				t.Fatal(err)
			}
			if step != "" {
				select {
				case <-p.Exited():
				case <-time.After(uwstest.Patience):
					t.Fatal("the step was never reached")
				}
				if p.Cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
					t.Fatalf("uws ended with %s:\n%s", p.Cmd.ProcessState, p.Output)
				}
				p = serveBinary(t, uwstest.Binary, e.Host, dir, nil)
			}
			told(t, p, s.ID, "credentials separated")
			s = stories.Healthy(t, p, s.ID, 0)
			now, err := p.Credentials(t.Context(), s.ID)
			if err != nil || now["password"] != keys["password"] || now["adminPassword"] != "" {
				t.Errorf("the revealed credentials changed (%v)", err)
			}
			stories.WantHandedOver(t, s, keys)
			stories.DatabaseUser(t, p, s)
			if container(t, e, s.ID) != running {
				t.Error("the container was replaced")
			}
			stories.Remove(t, p, s.ID, "DELETE")
		})
	}
}
