package plan

import (
	"strings"
	"testing"
	"time"
)

func schedule(t *testing.T, expr, zone string) Schedule {
	t.Helper()
	s, _, err := ParseSchedule(expr, zone)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestSchedules(t *testing.T) {
	for _, c := range []struct{ expr, zone, now, last, next string }{
		{"0 3 * * *", "UTC", "2026-05-06T02:59:59Z", "2026-05-05T03:00:00Z", "2026-05-06T03:00:00Z"},
		{"0 3 * * *", "UTC", "2026-05-06T03:00:00Z", "2026-05-06T03:00:00Z", "2026-05-07T03:00:00Z"},
		{"0 3 * * *", "UTC", "2026-05-06T03:00:30Z", "2026-05-06T03:00:00Z", "2026-05-07T03:00:00Z"},
		{"*/5 * * * *", "UTC", "2026-05-06T03:02:00Z", "2026-05-06T03:00:00Z", "2026-05-06T03:05:00Z"},
		{"0 3 * * *", "Europe/Berlin", "2026-05-06T03:00:00Z", "2026-05-06T01:00:00Z", "2026-05-07T01:00:00Z"},
		{"0 0 29 2 *", "UTC", "2026-05-06T03:00:00Z", "2024-02-29T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"30 4 * * 1", "Asia/Kathmandu", "2026-05-06T03:00:00Z", "2026-05-03T22:45:00Z", "2026-05-10T22:45:00Z"},
		// Clocks are put forward at 2:00 on 29 March: 2:30 comes at 3:30.
		{"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z"},
		{"30 2 * * *", "Europe/Berlin", "2026-03-29T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"},
		// They are put back at 3:00 on 25 October: 2:30 comes twice, and counts once.
		{"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-25T01:45:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"*/5 * * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-25T00:55:00Z", "2026-10-25T02:00:00Z"},
	} {
		s := schedule(t, c.expr, c.zone)
		now := moment(t, c.now)
		if got := s.Last(now); !got.Equal(moment(t, c.last)) {
			t.Errorf("%q in %s at %s: the last time is %s, want %s", c.expr, c.zone, c.now, got.UTC().Format(time.RFC3339), c.last)
		}
		if got := s.Next(now); !got.Equal(moment(t, c.next)) {
			t.Errorf("%q in %s at %s: the next time is %s, want %s", c.expr, c.zone, c.now, got.UTC().Format(time.RFC3339), c.next)
		}
	}
}

// Going from time to time forward meets the same times as going backward, each once, over both changes of the clocks.
func TestSchedulesHaveNoGaps(t *testing.T) {
	for _, c := range []struct {
		expr, zone string
		atMost     time.Duration
	}{
		{"*/5 * * * *", "Europe/Berlin", 65 * time.Minute}, {"0 * * * *", "America/New_York", 2 * time.Hour},
		{"*/15 * * * *", "Australia/Lord_Howe", 45 * time.Minute}, {"30 2 * * *", "Europe/Berlin", 25 * time.Hour},
	} {
		s := schedule(t, c.expr, c.zone)
		for _, start := range []string{"2026-03-28T00:00:00Z", "2026-10-24T00:00:00Z", "2026-04-04T00:00:00Z", "2026-11-01T00:00:00Z"} {
			at := s.Next(moment(t, start))
			for range 1200 {
				next := s.Next(at)
				if gap := next.Sub(at); gap <= 0 || gap > c.atMost {
					t.Fatalf("%q in %s: %s comes %s after %s", c.expr, c.zone, next, gap, at)
				}
				if last := s.Last(next.Add(-time.Second)); !last.Equal(at) {
					t.Fatalf("%q in %s: before %s comes %s, and after %s comes %s", c.expr, c.zone, next, last, at, next)
				}
				if at = next; at.Sub(moment(t, start)) > 4*24*time.Hour {
					break
				}
			}
		}
	}
}

func TestBadSchedules(t *testing.T) {
	for _, c := range []struct{ expr, zone, field, want string }{
		{"", "UTC", "schedule", "five fields"},
		{"@daily", "UTC", "schedule", "five fields"},
		{"0 3 * *", "UTC", "schedule", "five fields"},
		{"0 0 3 * * *", "UTC", "schedule", "five fields"},
		{"61 3 * * *", "UTC", "schedule", "is not a cron expression"},
		{"a b c d e", "UTC", "schedule", "is not a cron expression"},
		{"* * * * *", "UTC", "schedule", "at least 5m0s"},
		{"0,4 * * * *", "UTC", "schedule", "comes twice within 4m0s"},
		{"57 23 31 12 *", "UTC", "", ""},
		{"0,58 * * * *", "UTC", "schedule", "comes twice within 2m0s"},
		{"0 3 31 2 *", "UTC", "schedule", "never comes"},
		{"0 3 * * *", "Mars/Olympus", "timeZone", "is not the name of a time zone"},
		{"0 3 * * *", "Local", "timeZone", "is not the name of a time zone"},
		{"0 3 * * *", "../../etc/passwd", "timeZone", "is not the name of a time zone"},
		{strings.Repeat("1,", 200) + "2 3 * * *", "UTC", "schedule", "is not a cron expression"},
	} {
		_, field, err := ParseSchedule(c.expr, c.zone)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q in %q: %v", c.expr, c.zone, err)
		case c.want != "" && (err == nil || field != c.field || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q in %q: %s: %v, want %s: …%s…", c.expr, c.zone, field, err, c.field, c.want)
		}
	}
}
