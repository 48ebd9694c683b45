package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

var day = time.Date(2026, 5, 6, 3, 0, 0, 0, time.UTC) // a Wednesday

func TestExpired(t *testing.T) {
	// One a day for 100 days, the newest on 6 May, each named for its age in days.
	daily := func(pinned ...int) []Kept {
		var all []Kept
		for i := range 100 {
			all = append(all, Kept{ID: fmt.Sprint(i), At: day.AddDate(0, 0, -i), Pinned: slices.Contains(pinned, i)})
		}
		slices.Reverse(all) // the order does not matter
		return all
	}
	now := day.Add(2 * time.Hour)
	for _, c := range []struct {
		name    string
		backups []Kept
		keep    orchestrator.Keep
		kept    []string
		now     time.Time
	}{
		{"none", nil, orchestrator.Keep{Last: 1}, nil, now},
		{"the newest one, whatever the rules say", daily(), orchestrator.Keep{}, []string{"0"}, now},
		{"the last", daily(), orchestrator.Keep{Last: 3}, []string{"0", "1", "2"}, now},
		{"days", daily(), orchestrator.Keep{Daily: 2}, []string{"0", "1"}, now},
		{"weeks, from Monday", daily(), orchestrator.Keep{Weekly: 3}, []string{"0", "3", "10"}, now},
		{"months", daily(), orchestrator.Keep{Monthly: 3}, []string{"0", "6", "36"}, now},
		{"all rules together", daily(), orchestrator.Keep{Last: 1, Daily: 2, Weekly: 2, Monthly: 2}, []string{"0", "1", "3", "6"}, now},
		{"pinned ones are kept beside", daily(0, 50), orchestrator.Keep{Last: 2}, []string{"0", "1", "2", "50"}, now},
		{"the newest of each day", []Kept{{ID: "a", At: day}, {ID: "b", At: day.Add(time.Hour)}, {ID: "c", At: day.Add(-24 * time.Hour)}, {ID: "d", At: day.Add(-23 * time.Hour)}},
			orchestrator.Keep{Daily: 2}, []string{"b", "d"}, now},
		{"what a clock that was a year ahead recorded is older than what was taken since", []Kept{{ID: "a", At: day.AddDate(1, 0, 0)}, {ID: "b", At: day}, {ID: "c", At: day.Add(-time.Hour)}},
			orchestrator.Keep{Last: 2}, []string{"b", "c"}, now},
		{"and is kept if it is all there is", []Kept{{ID: "a", At: day.AddDate(1, 0, 0)}}, orchestrator.Keep{Last: 1}, []string{"a"}, now},
	} {
		expired := Expired(c.now, c.backups, c.keep, time.UTC)
		var kept []string
		for _, b := range c.backups {
			if !slices.Contains(expired, b.ID) {
				kept = append(kept, b.ID)
			}
		}
		slices.SortFunc(kept, func(a, b string) int { return len(a)*1000 + strings.Compare(a, b) - len(b)*1000 })
		if !slices.Equal(kept, c.kept) {
			t.Errorf("%s: kept %v, want %v", c.name, kept, c.kept)
		}
	}
}

// A day is that of the policy's time zone.
func TestExpiredByZone(t *testing.T) {
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	backups := []Kept{{ID: "a", At: time.Date(2026, 5, 6, 14, 0, 0, 0, time.UTC)}, {ID: "b", At: time.Date(2026, 5, 6, 16, 0, 0, 0, time.UTC)}}
	if got := Expired(day.Add(24*time.Hour), backups, orchestrator.Keep{Daily: 5}, time.UTC); !slices.Equal(got, []string{"a"}) {
		t.Errorf("in UTC both are of one day: %v expire", got)
	}
	if got := Expired(day.Add(24*time.Hour), backups, orchestrator.Keep{Daily: 5}, tokyo); len(got) > 0 {
		t.Errorf("in Tokyo they are of two days: %v expire", got)
	}
}

func TestPolicy(t *testing.T) {
	s := &orchestrator.Service{ID: "s1", Kind: catalog.DB, Labels: map[string]string{"team": "shop", "env": "prod"}}
	made := func(id string, change func(*orchestrator.BackupPolicy)) *orchestrator.BackupPolicy {
		p := &orchestrator.BackupPolicy{ID: id, CreatedAt: day}
		change(p)
		return p
	}
	all := made("all", func(*orchestrator.BackupPolicy) {})
	older := made("older", func(p *orchestrator.BackupPolicy) { p.CreatedAt = day.Add(-time.Hour) })
	db := made("db", func(p *orchestrator.BackupPolicy) { p.Kinds = []catalog.Kind{catalog.DB} })
	both := made("both", func(p *orchestrator.BackupPolicy) { p.Kinds = []catalog.Kind{catalog.DB, catalog.Queue} })
	queue := made("queue", func(p *orchestrator.BackupPolicy) { p.Kinds = []catalog.Kind{catalog.Queue} })
	team := made("team", func(p *orchestrator.BackupPolicy) { p.Labels = map[string]string{"team": "shop"} })
	labels := made("labels", func(p *orchestrator.BackupPolicy) { p.Labels = map[string]string{"team": "shop", "env": "prod"} })
	other := made("other", func(p *orchestrator.BackupPolicy) { p.Labels = map[string]string{"team": "desk"} })
	own := made("own", func(p *orchestrator.BackupPolicy) { p.ServiceID = "s1" })
	foreign := made("foreign", func(p *orchestrator.BackupPolicy) { p.ServiceID = "s2" })
	for _, c := range []struct {
		policies []*orchestrator.BackupPolicy
		want     *orchestrator.BackupPolicy
	}{
		{nil, nil},
		{[]*orchestrator.BackupPolicy{queue, other, foreign}, nil},
		{[]*orchestrator.BackupPolicy{all}, all},
		{[]*orchestrator.BackupPolicy{all, older}, older},
		{[]*orchestrator.BackupPolicy{all, both, db}, db},
		{[]*orchestrator.BackupPolicy{db, both, all}, db},
		{[]*orchestrator.BackupPolicy{db, team}, team},
		{[]*orchestrator.BackupPolicy{team, labels, db}, labels},
		{[]*orchestrator.BackupPolicy{labels, own, foreign}, own},
	} {
		if got := Policy(s, c.policies); got != c.want {
			t.Errorf("of %v: %v, want %v", c.policies, got, c.want)
		}
	}
}

func TestDue(t *testing.T) {
	daily := schedule(t, "0 3 * * *", "UTC")
	yes := Subject{Since: day.AddDate(0, -1, 0), Ready: true}
	hour := time.Hour
	for _, c := range []struct {
		name string
		h    History
		x    Subject
		now  time.Time
		want bool
	}{
		{"the first one, at once", History{}, yes, day.Add(12 * hour), true},
		{"not while it does not work", History{}, Subject{Since: yes.Since}, day.Add(12 * hour), false},
		{"taken for this time already", History{Newest: day.Add(time.Minute), Slot: day}, yes, day.Add(hour), false},
		{"the time has come", History{Newest: day.Add(-24 * hour), Slot: day.Add(-24 * hour)}, yes, day, true},
		{"a second before", History{Newest: day.Add(-24 * hour), Slot: day.Add(-24 * hour)}, yes, day.Add(-time.Second), false},
		{"one on request counts too", History{Newest: day.Add(time.Minute), Slot: day.Add(-24 * hour)}, yes, day.Add(hour), false},
		{"one for twelve that were missed", History{Newest: day.AddDate(0, 0, -12), Slot: day.AddDate(0, 0, -12)}, yes, day.Add(hour), true},
		{"after which there is none", History{Newest: day.Add(hour), Slot: day}, yes, day.Add(2 * hour), false},
		{"not right after a failure", History{Failures: 1, FailedAt: day.Add(hour)}, yes, day.Add(hour + 4*time.Minute), false},
		{"again after a pause", History{Failures: 1, FailedAt: day.Add(hour)}, yes, day.Add(hour + 5*time.Minute), true},
		{"which grows", History{Failures: 3, FailedAt: day.Add(hour)}, yes, day.Add(hour + 19*time.Minute), false},
		{"to two hours at most", History{Failures: 100, FailedAt: day.Add(hour)}, yes, day.Add(3 * hour), true},
		{"a last one of what was stopped", History{Newest: day.Add(hour), Slot: day}, Subject{Since: yes.Since, Ready: true, Stopped: day.Add(2 * hour)}, day.Add(3 * hour), true},
		{"and no more", History{Newest: day.Add(3 * hour), Slot: day}, Subject{Since: yes.Since, Ready: true, Stopped: day.Add(2 * hour)}, day.AddDate(0, 0, 9), false},
		{"a log that begins after it", History{Newest: day, Slot: day}, Subject{Since: yes.Since, Ready: true, LogBegun: day.Add(hour)}, day.Add(2 * hour), true},
		{"a log that it follows", History{Newest: day.Add(time.Hour), Slot: day}, Subject{Since: yes.Since, Ready: true, LogBegun: day}, day.Add(2 * hour), false},
	} {
		if _, got := Due(daily.At(c.now, Moment{}), c.h, c.x); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestHealth(t *testing.T) {
	daily, often := schedule(t, "0 3 * * *", "UTC"), schedule(t, "*/5 * * * *", "UTC")
	x := Subject{Since: day.AddDate(0, -1, 0), Ready: true}
	hour, week := time.Hour, 7*24*time.Hour
	fresh := History{Newest: day, Slot: day, Proven: day}
	with := func(change func(*History)) History { h := fresh; change(&h); return h }
	for _, c := range []struct {
		name string
		s    Schedule
		h    History
		x    Subject
		now  time.Time
		want orchestrator.BackupHealth
		text string
	}{
		{"new", daily, History{}, Subject{Since: day}, day.Add(30 * time.Minute), orchestrator.BackupOK, "about to be taken"},
		{"new, and still none", daily, History{}, Subject{Since: day}, day.Add(3 * hour), orchestrator.BackupLate, "no backup yet; the first was due 2 hours ago"},
		{"fresh", daily, fresh, x, day.Add(hour), orchestrator.BackupOK, "proven 60 minutes ago"},
		{"due, and not late", daily, fresh, x, day.Add(24*hour + 5*hour), orchestrator.BackupOK, "backed up"},
		{"late", daily, fresh, x, day.Add(24*hour + 7*hour), orchestrator.BackupLate, "due 7 hours ago is missing"},
		{"late by a short interval", often, fresh, x, day.Add(21 * time.Minute), orchestrator.BackupLate, "due 16 minutes ago"},
		{"not late by a short interval", often, fresh, x, day.Add(19 * time.Minute), orchestrator.BackupOK, "backed up"},
		{"a backup from before there was a policy", often, fresh, Subject{Since: day.Add(2 * hour)}, day.Add(2*hour + time.Minute), orchestrator.BackupOK, "backed up"},
		{"stopped", daily, fresh, Subject{Since: x.Since, Stopped: day.Add(-hour)}, day.Add(5 * 24 * hour), orchestrator.BackupOK, "backed up"},
		{"log", daily, with(func(h *History) { h.LogTo = day.Add(50 * time.Minute) }), Subject{Since: x.Since, LogSince: day}, day.Add(hour), orchestrator.BackupOK, "backed up"},
		{"log that is behind", daily, with(func(h *History) { h.LogTo, h.LogProblem = day.Add(40*time.Minute), "disk full" }), Subject{Since: x.Since, LogSince: day}, day.Add(hour), orchestrator.BackupLate, "not stored for 20 minutes, so that nothing since then can be restored: disk full"},
		{"log that is received again", daily, with(func(h *History) { h.LogTo = day.Add(-5 * hour) }), Subject{Since: x.Since, LogSince: day.Add(50 * time.Minute)}, day.Add(hour), orchestrator.BackupOK, "backed up"},
		{"no log any more", daily, with(func(h *History) { h.LogTo = day.Add(-5 * hour) }), x, day.Add(hour), orchestrator.BackupOK, "backed up"},
		{"failing", daily, with(func(h *History) { h.Failures, h.Failure = 1, "disk full" }), x, day.Add(hour), orchestrator.BackupFailing, "disk full"},
		{"not proven yet", daily, with(func(h *History) { h.Proven = time.Time{} }), Subject{Since: day.Add(-hour)}, day.Add(hour), orchestrator.BackupOK, "waits for its first proof"},
		{"never proven", daily, with(func(h *History) { h.Proven = time.Time{} }), x, day.Add(hour), orchestrator.BackupUnproven, "no backup was restored on trial yet"},
		{"proven long ago", daily, with(func(h *History) { h.Proven = day.AddDate(0, 0, -9) }), x, day.Add(hour), orchestrator.BackupUnproven, "for 9 days"},
		{"failed proof", daily, with(func(h *History) { h.ProofFailed = "a page is damaged" }), x, day.Add(hour), orchestrator.BackupUnproven, "a page is damaged"},
	} {
		got, text := Health(c.s.At(c.now, Moment{}), week, c.h, c.x)
		if got != c.want || !strings.Contains(text, c.text) {
			t.Errorf("%s: %s: %s, want %s: …%s…", c.name, got, text, c.want, c.text)
		}
	}
	if got, _ := Health(daily.At(day.Add(hour), Moment{}), 0, with(func(h *History) { h.Proven = time.Time{} }), x); got != orchestrator.BackupOK {
		t.Errorf("a policy without proofs: %s", got)
	}
}
