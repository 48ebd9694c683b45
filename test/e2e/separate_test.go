package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/test/stories"
)

// A database whose user is still a superuser gets the roles of newer ones, and keeps its password and content.
func TestSeparateAdmin(t *testing.T) {
	ctx, dir := t.Context(), folder(t)
	p := serve(t, dir, "--templates", "testdata/older")
	s := launch(t, p, "DB", "accounts", nil)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	p = serve(t, dir)
	keys := reveal(t, p, s.ID)
	stories.FurnishDatabase(t, s, keys)
	c, err := stories.PostgresConnect(ctx, s.Endpoint, keys)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, "CREATE ROLE boss SUPERUSER"); err != nil {
		t.Fatal(err)
	}
	for _, confirm := range []bool{false, true} { // refused in both cases, because of blockers
		plan, err := stories.SeparateAdmin(ctx, p, s.ID, confirm)
		if err != nil || plan.Begun || len(plan.StopsWorking) < 5 || len(plan.Blockers) != 1 || !strings.Contains(plan.Blockers[0], "boss") {
			t.Fatalf("%+v, %v", plan, err)
		}
	}
	if _, err := c.Exec(ctx, "ALTER ROLE boss NOSUPERUSER"); err != nil {
		t.Fatal(err)
	}
	if plan, err := stories.SeparateAdmin(ctx, p, s.ID, true); err != nil || !plan.Begun {
		t.Fatalf("%+v, %v", plan, err)
	}
	settled(t, p, s.ID)
	if all := reasons(t, p, s.ID); !slices.ContainsFunc(all, func(r string) bool { return strings.HasPrefix(r, "credentials separated") }) {
		t.Fatalf("no event about the separation: %q", all)
	}
	if now := reveal(t, p, s.ID); now["password"] != keys["password"] || now["adminPassword"] != "" {
		t.Error("the revealed credentials changed")
	}
	if _, err := c.Exec(ctx, "SELECT 1"); err == nil {
		t.Error("a session of the superuser was not ended")
	}
	stories.WantHandedOver(t, s, keys)
	_, err = stories.SeparateAdmin(ctx, p, s.ID, true)
	wantError(t, err, "CONFLICT", "no superuser")
	stories.DatabaseUser(t, p, s)
	rotate(t, p, s.ID)
}
