package uptime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/series"
)

// Uptime implements [orchestrator.UptimeReader].
func (u *Uptimes) Uptime(_ context.Context, s *orchestrator.Service, within orchestrator.UptimeRange) (orchestrator.Uptime, error) {
	r := u.record(s.ID)
	if r == nil { // it was just deleted
		r = u.newRecord(s.ID)
	}
	switch within {
	case orchestrator.UptimeDay, orchestrator.UptimeWeek:
		return r.report(hours, within.Buckets(), time.Now())
	case orchestrator.UptimeMonth, orchestrator.UptimeYear:
		return r.report(days, within.Buckets(), time.Now())
	}
	return orchestrator.Uptime{}, orchestrator.Errorf(orchestrator.InvalidInput, "range", "must be DAY, WEEK, MONTH or YEAR, not %q", within)
}

// report returns the newest n steps of a tier, the present one included.
func (r *record) report(tier, n int, now time.Time) (orchestrator.Uptime, error) {
	all, first, err := r.read(tier, n, now)
	if err != nil {
		return orchestrator.Uptime{}, fmt.Errorf("reading the uptime: %w", err)
	}
	t := r.tiers[tier]
	now = now.UTC().Round(0)
	last := t.StepAt(now)
	out := orchestrator.Uptime{From: t.Begin(last - int64(n) + 1), To: now, Buckets: make([]orchestrator.UptimeBucket, 0, n)}
	for step := last - int64(n) + 1; step <= last; step++ {
		b := orchestrator.UptimeBucket{From: t.Begin(step), To: t.Begin(step + 1)}
		if step == last {
			b.To = now
		}
		expected := time.Duration(0)
		if !first.IsZero() {
			expected = overlap(b.From, b.To, first, now)
		}
		b.UptimeSums = all[step].report(expected)
		out.Healthy += b.Healthy
		out.Down += b.Down
		out.Planned += b.Planned
		out.Unknown += b.Unknown
		out.Buckets = append(out.Buckets, b)
	}
	return out, nil
}

// read returns the newest n steps of a tier, and when the service was healthy for the first time, zero if it was not. What is not
// written yet is included. A damaged file is as good as none.
func (r *record) read(tier, n int, now time.Time) (map[int64]sums, time.Time, error) {
	r.disk.Lock()
	defer r.disk.Unlock()
	r.mu.Lock()
	r.advance(now)
	pending, first := slices.Clone(r.pending[tier]), r.first
	r.mu.Unlock()
	t := r.tiers[tier]
	last := t.StepAt(now)
	stored, err := r.readDays(now)
	rows := stored
	if tier != days && err == nil {
		rows, err = r.file.Read(tier, last-int64(n)+1, last+1)
	}
	if err != nil && !errors.Is(err, series.ErrDamaged) {
		return nil, first, err
	}
	if began := firstOf(r.tiers[days], stored); first.IsZero() || !began.IsZero() && began.Before(first) {
		first = began
	}
	all := map[int64]sums{}
	for _, row := range rows {
		all[row.Step] = sumsOf(row.Values, t.Step)
	}
	for _, p := range pending {
		all[p.step] = all[p.step].plus(p.sums, t.Step)
	}
	return all, first, nil
}
