package uptime

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/series"
)

// Tiers of a file. Days are those of UTC.
const (
	hours = 0
	days  = 1

	hour = time.Hour
	day  = 24 * time.Hour
)

// tiers returns what a file has: of each step the seconds healthy, down and planned; of a day also those that passed before the
// service was healthy for the first time.
func tiers() []series.Tier {
	return []series.Tier{{Step: hour, Slots: 31 * 24, Columns: 3}, {Step: day, Slots: 366, Columns: 4}}
}

// slot is the sums of one step.
type slot struct {
	step int64
	sums
}

// record is the uptime of one service.
type record struct {
	id    string
	tiers []series.Tier

	disk   sync.Mutex // held while file is used; before mu
	file   *series.File
	newest [2]slot // of each tier, what was written last, which the file has rounded

	mu      sync.Mutex
	found   *ent.Service // as uws found it, until its past is known
	version int          // of the newest row
	state   state
	began   time.Time // when counting began; zero: nothing is counted
	since   time.Time // of the time that is not counted yet
	first   time.Time // when the service was healthy for the first time; zero: not known to have been
	pending [2][]slot // what is not written yet
}

// follow takes over a row.
func (r *record) follow(row *ent.Service, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if row.Version < r.version {
		return
	}
	r.version = row.Version
	var code lifecycle.ReasonCode
	if row.ReasonCode != nil {
		code = *row.ReasonCode
	}
	r.advance(now)
	r.state = stateOf(row.DesiredState, row.Phase, row.Health, code)
	r.advance(now)
}

// advance counts the time since the last call. r.mu is held.
func (r *record) advance(now time.Time) {
	if r.began.IsZero() {
		return
	}
	elapsed := now.Sub(r.since) // by the monotonic clock
	r.since = now
	r.count(now, elapsed)
}

// count counts the time that elapsed until now, which need not be what the clock says has passed: it may have been set, or the
// machine was suspended. r.mu is held.
func (r *record) count(now time.Time, elapsed time.Duration) {
	if r.first.IsZero() && r.state == healthy {
		r.first = now.Add(-elapsed)
	}
	if !r.first.IsZero() || r.found != nil {
		r.add(r.state, now.Add(-elapsed), now)
	}
}

// add adds a time in one state to what is not written yet. What a tier keeps no more is left out.
func (r *record) add(in state, from, to time.Time) {
	if in == unknown {
		return
	}
	for i, t := range r.tiers {
		last := t.StepAt(to)
		for step := max(t.StepAt(from), last-int64(t.Slots)+1); step <= last; step++ {
			part := overlap(from, to, t.Begin(step), t.Begin(step+1))
			if part <= 0 {
				continue
			}
			s := slotOf(&r.pending[i], step)
			*s.of(in) += part
		}
	}
}

// overlap returns how much of a time is within another.
func overlap(from, to, begin, end time.Time) time.Duration {
	if from.Before(begin) {
		from = begin
	}
	if to.After(end) {
		to = end
	}
	return max(0, to.Round(0).Sub(from.Round(0)))
}

// slotOf returns the slot of a step, which it adds if it is not there.
func slotOf(all *[]slot, step int64) *slot {
	for i := len(*all) - 1; i >= 0; i-- {
		if (*all)[i].step == step {
			return &(*all)[i]
		}
	}
	*all = append(*all, slot{step: step})
	return &(*all)[len(*all)-1]
}

// flush writes what is not written yet. What could not be written stays.
// Errors: [series.ErrDamaged].
func (r *record) flush(now time.Time) error {
	r.disk.Lock()
	defer r.disk.Unlock()
	r.mu.Lock()
	r.advance(now)
	pending, first := r.pending, r.first
	r.pending = [2][]slot{}
	r.mu.Unlock()
	var failed error
	for i := range pending {
		if err := r.write(i, pending[i], first); err != nil {
			failed = errors.Join(failed, err)
			r.putBack(i, pending[i])
		}
	}
	return failed
}

// putBack keeps what could not be written: no more than the tier keeps.
func (r *record) putBack(tier int, slots []slot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.pending[tier] {
		kept := slotOf(&slots, s.step)
		kept.sums = kept.plus(s.sums, r.tiers[tier].Step)
	}
	r.pending[tier] = slots[max(0, len(slots)-r.tiers[tier].Slots):]
}

// write adds slots to what the file has. r.disk is held.
func (r *record) write(tier int, slots []slot, first time.Time) error {
	if len(slots) == 0 {
		return nil
	}
	t := r.tiers[tier]
	slots = slices.Clone(slots)
	slices.SortFunc(slots, func(a, b slot) int { return cmp.Compare(a.step, b.step) })
	if len(slots) > 1 || slots[0].step != r.newest[tier].step {
		had, err := r.file.Read(tier, slots[0].step, slots[len(slots)-1].step+1)
		if err != nil {
			return err
		}
		for _, row := range had {
			if i := slices.IndexFunc(slots, func(s slot) bool { return s.step == row.Step }); i >= 0 && row.Step != r.newest[tier].step {
				slots[i].sums = sumsOf(row.Values, t.Step).plus(slots[i].sums, t.Step)
			}
		}
	}
	rows := make([]series.Row, len(slots))
	for i := range slots {
		s := &slots[i]
		if s.step == r.newest[tier].step {
			s.sums = r.newest[tier].plus(s.sums, t.Step)
		}
		rows[i] = series.Row{Step: s.step, Values: s.values()}
		if tier == days {
			before := overlap(t.Begin(s.step), t.Begin(s.step+1), time.Time{}, first)
			rows[i].Values = append(rows[i].Values, float32(before.Seconds()))
		}
	}
	if err := r.file.Write(tier, rows...); err != nil {
		return err
	}
	r.newest[tier] = slots[len(slots)-1]
	return nil
}

// load finds out from the file when the service was healthy for the first time. Without a file, that is found out from events.
// Errors: [series.ErrDamaged].
func (r *record) load(now time.Time) error {
	r.disk.Lock()
	defer r.disk.Unlock()
	rows, err := r.readDays(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(rows) > 0 {
		r.found, r.first = nil, firstOf(r.tiers[days], rows)
	}
	return err
}

// readDays reads all days up to now. r.disk is held.
func (r *record) readDays(now time.Time) ([]series.Row, error) {
	return r.file.Read(days, 0, r.tiers[days].StepAt(now)+1)
}

// firstOf returns when a service was healthy for the first time, by all of its days; zero if there are none.
func firstOf(t series.Tier, rows []series.Row) time.Time {
	if len(rows) == 0 {
		return time.Time{}
	}
	return t.Begin(rows[0].Step).Add(duration(rows[0].Values[3], t.Step))
}

// start begins to count.
func (r *record) start(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began, r.since = now, now
	r.count(now, 0)
}

// remember takes over the past of a service without a file: what it was before counting began, oldest first.
func (r *record) remember(spans []span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance(time.Now())
	r.found = nil
	i := slices.IndexFunc(spans, func(s span) bool { return s.state == healthy })
	if i < 0 {
		r.pending = [2][]slot{}
		r.first = time.Time{}
		r.count(r.since, 0)
		return
	}
	r.first = spans[i].from
	for _, s := range spans[i:] {
		r.add(s.state, s.from, s.to)
	}
}
