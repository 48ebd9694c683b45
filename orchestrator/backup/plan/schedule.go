// Package plan decides about backups: which policy a service has, when the next backup is due, which ones are kept, and how
// well a service is backed up. It is pure: facts and the time in, decisions out.
package plan

import (
	"fmt"
	"strings"
	"time"

	"github.com/adhocore/gronx"
)

// MinInterval is the least time between two times of a schedule.
const MinInterval = 5 * time.Minute

// Schedule is a cron expression in a time zone. It is safe for concurrent use.
type Schedule struct {
	expr string
	zone *time.Location
}

// ParseSchedule parses a cron expression of five fields: minute, hour, day of month, month, day of week. field is "schedule"
// or "timeZone" if there is an error. It takes some milliseconds, since it looks at many times of the schedule.
func ParseSchedule(expr, zone string) (s Schedule, field string, err error) {
	if s, field, err = ReadSchedule(expr, zone); err == nil {
		err = s.check()
	}
	return s, field, err
}

// ReadSchedule is ParseSchedule, in microseconds, for what that has accepted before.
func ReadSchedule(expr, zone string) (s Schedule, field string, err error) {
	if s.zone, err = time.LoadLocation(zone); err != nil || zone == "Local" {
		return s, "timeZone", fmt.Errorf("%.40q is not the name of a time zone; it is one such as UTC or Europe/Berlin", zone)
	}
	if len(strings.Fields(expr)) != 5 || len(expr) > 200 || !gronx.IsValid(expr) {
		return s, "schedule", fmt.Errorf("%.60q is not a cron expression; it has five fields: minute, hour, day of month, month, day of week, such as \"30 3 * * *\" for each day at 3:30", expr)
	}
	s.expr = expr
	return s, "schedule", nil
}

// check refuses a schedule that never comes, and one that comes too often.
func (s Schedule) check() error {
	at := time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC) // a leap year
	for range 300 {
		next := s.Next(at)
		if next.IsZero() {
			return fmt.Errorf("%.60q never comes", s.expr)
		}
		if after := s.Next(next); !after.IsZero() && after.Sub(next) < MinInterval {
			return fmt.Errorf("%.60q comes twice within %s: at least %s must lie between two backups", s.expr, after.Sub(next), MinInterval)
		}
		at = next
	}
	return nil
}

// Next returns the first time of the schedule after t; zero if there is none within some years. Where clocks are put forward,
// times that are skipped come an hour later; where they are put back, a time comes once.
func (s Schedule) Next(t time.Time) time.Time {
	wall := asWall(t.In(s.zone))
	for range 16 { // over times that come twice
		next, err := gronx.NextTickAfter(s.expr, wall, false)
		if err != nil {
			return time.Time{}
		}
		if at := s.fromWall(next); at.After(t) {
			return at
		}
		wall = next
	}
	return time.Time{}
}

// Last returns the newest time of the schedule that is not after t; zero if there is none within some years.
func (s Schedule) Last(t time.Time) time.Time {
	wall := asWall(t.In(s.zone))
	if first := s.fromWall(wall); t.Sub(first) >= time.Hour/2 { // the clock reads so a second time: all that it read before is over
		_, end := first.ZoneBounds()
		wall = asWall(end.Add(-time.Second))
	}
	wall = wall.Add(time.Minute) // so that t itself is found
	for range 16 {               // over times that come twice
		last, err := gronx.PrevTickBefore(s.expr, wall, false)
		if err != nil {
			return time.Time{}
		}
		if at := s.fromWall(last); !at.After(t) {
			return at
		}
		wall = last
	}
	return time.Time{}
}

// Interval returns the time between the two times of the schedule around t.
func (s Schedule) Interval(t time.Time) time.Duration {
	next := s.Next(t)
	after := s.Next(next)
	if next.IsZero() || after.IsZero() {
		return 365 * 24 * time.Hour
	}
	return after.Sub(next)
}

// Moment is a schedule at one time. It is computed once for all services that have the schedule.
type Moment struct {
	Schedule
	Now        time.Time
	Last, Next time.Time // of the schedule, around Now
}

// At returns the schedule at a time. It costs next to nothing while no time of the schedule has come since before, which can be
// zero.
func (s Schedule) At(now time.Time, before Moment) Moment {
	if before.Schedule == s && !before.Last.IsZero() && !now.Before(before.Last) && now.Before(before.Next) {
		before.Now = now
		return before
	}
	return Moment{s, now, s.Last(now), s.Next(now)}
}

// Zone returns the time zone of the schedule.
func (s Schedule) Zone() *time.Location { return s.zone }

// asWall returns a time in UTC that reads as t does on its own clock, so that cron's arithmetic has no gaps.
func asWall(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

// fromWall returns the first moment that reads as wall does in the schedule's zone.
func (s Schedule) fromWall(wall time.Time) time.Time {
	at := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), 0, 0, s.zone)
	for _, earlier := range []time.Duration{time.Hour, 30 * time.Minute} { // a time that comes twice
		if before := at.Add(-earlier); asWall(before).Equal(asWall(at)) {
			return before
		}
	}
	return at
}
