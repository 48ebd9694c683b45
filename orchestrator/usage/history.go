package usage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/series"
)

// The columns of a history.
const (
	cpuColumn = iota
	memoryColumn
	diskColumn
	receivedColumn
	sentColumn
	connectionsColumn
	columns
)

// The tiers of a history.
const (
	finest = iota
	minutes
	quarters
)

// tiers keep 10 s for an hour, 1 min for a day and 15 min for 30 days.
func tiers() []series.Tier {
	return []series.Tier{
		finest:   {Step: tick, Slots: 360, Columns: columns},
		minutes:  {Step: time.Minute, Slots: 24 * 60, Columns: columns},
		quarters: {Step: 15 * time.Minute, Slots: 30 * 24 * 4, Columns: columns},
	}
}

// tierOf returns the tier that a range is read from, and how long it is.
func tierOf(within orchestrator.UsageRange) (tier int, length time.Duration) {
	switch within {
	case orchestrator.UsageHour:
		return finest, time.Hour
	case orchestrator.UsageDay:
		return minutes, 24 * time.Hour
	case orchestrator.UsageWeek:
		return quarters, 7 * 24 * time.Hour
	default:
		return quarters, 30 * 24 * time.Hour
	}
}

// history is the use of one service or node over time.
type history struct {
	file    *series.File
	pending []series.Row // of the finest tier, not written yet; guarded by Uses.mu
}

// maxPending bounds what is kept while nothing can be written.
const maxPending = 12

// record adds a measurement. It counts for the time since the one before, unless that was missed.
func (h *history) record(before, at time.Time, interval time.Duration, v []float32) {
	t := tiers()[finest]
	step := t.StepAt(at)
	first := step
	if since := at.Sub(before); since > 0 && since <= interval+tick {
		first = min(step, t.StepAt(before)+1)
	}
	for n := first; n <= step; n++ {
		row := series.Row{Step: n, Values: v}
		if last := len(h.pending) - 1; last >= 0 && h.pending[last].Step >= n {
			if h.pending[last].Step > n {
				continue // the clock was set back
			}
			h.pending[last] = row
			continue
		}
		h.pending = append(h.pending, row)
	}
	h.pending = h.pending[max(0, len(h.pending)-maxPending):]
}

// snapshot returns a copy that can be read without Uses.mu.
func (h *history) snapshot() history { return history{h.file, slices.Clone(h.pending)} }

// flush writes what was measured until now, and rolls it up.
func (u *Uses) flush() {
	type work struct {
		file *series.File
		rows []series.Row
	}
	u.mu.Lock()
	all := make([]work, 0, len(u.services)+len(u.nodes))
	take := func(h *history) {
		if len(h.pending) > 0 {
			all = append(all, work{h.file, h.pending})
			h.pending = nil
		}
	}
	for _, s := range u.services {
		take(&s.history)
	}
	for _, n := range u.nodes {
		take(&n.history)
	}
	u.mu.Unlock()
	var failed error
	for _, w := range all {
		if u.opts.Store.Full() != nil {
			return // what was measured meanwhile becomes a gap
		}
		err := write(w.file, w.rows)
		if errors.Is(err, series.ErrDamaged) {
			u.opts.Log.Warn("a history of use is damaged; it begins again", "error", err)
			err = errors.Join(w.file.Reset(), write(w.file, w.rows))
		}
		failed = errors.Join(failed, err)
	}
	if failed != nil {
		u.opts.Log.Warn("writing histories of use failed", "error", failed)
	}
}

// write writes rows of the finest tier and those of the others that they are in. It can be repeated.
func write(f *series.File, rows []series.Row) error {
	if err := f.Write(finest, rows...); err != nil {
		return err
	}
	all := tiers()
	for tier := minutes; tier <= quarters; tier++ {
		coarse, fine := all[tier], all[tier-1]
		n := int64(coarse.Step / fine.Step)
		first, last := rows[0].Step/n, rows[len(rows)-1].Step/n
		read, err := f.Read(tier-1, first*n, (last+1)*n)
		if err != nil {
			return err
		}
		rows = rollUp(read, n)
		if err := f.Write(tier, rows...); err != nil {
			return err
		}
	}
	return nil
}

// rollUp joins n steps to one.
func rollUp(rows []series.Row, n int64) []series.Row {
	var joined []series.Row
	for len(rows) > 0 {
		step, end := rows[0].Step/n, 1
		for end < len(rows) && rows[end].Step/n == step {
			end++
		}
		joined = append(joined, series.Row{Step: step, Values: joinValues(rows[:end])})
		rows = rows[end:]
	}
	return joined
}

// joinValues returns, for each column, the mean or the maximum of the values that are not missing.
func joinValues(rows []series.Row) []float32 {
	out := make([]float32, columns)
	for column := range out {
		sum, most, n := 0.0, math.Inf(-1), 0
		for _, r := range rows {
			if v := float64(r.Values[column]); !math.IsNaN(v) {
				sum, most, n = sum+v, max(most, v), n+1
			}
		}
		switch {
		case n == 0:
			out[column] = float32(math.NaN())
		case column == cpuColumn, column == receivedColumn, column == sentColumn:
			out[column] = float32(sum / float64(n))
		default:
			out[column] = float32(most)
		}
	}
	return out
}

// values are the columns of a service's measurement.
func values(use *orchestrator.Usage, c connections) []float32 {
	v := missing()
	set(v, cpuColumn, use.CPU)
	v[memoryColumn] = float32(use.MemoryBytes)
	setBytes(v, diskColumn, use.DiskBytes)
	set(v, receivedColumn, use.Received)
	set(v, sentColumn, use.Sent)
	set(v, connectionsColumn, c.used)
	return v
}

// nodeValues are the columns of a node's measurement.
func nodeValues(use *orchestrator.NodeUsage) []float32 {
	v := missing()
	set(v, cpuColumn, use.CPU)
	setBytes(v, memoryColumn, use.MemoryBytes)
	setBytes(v, diskColumn, use.DiskBytes)
	return v
}

func missing() []float32 { return slices.Repeat([]float32{float32(math.NaN())}, columns) }

func set(v []float32, column int, value *float64) {
	if value != nil {
		v[column] = float32(*value)
	}
}

func setBytes(v []float32, column int, value *int64) {
	if value != nil {
		v[column] = float32(*value)
	}
}

// UsageHistory implements [orchestrator.UsageReader].
func (u *Uses) UsageHistory(_ context.Context, s *orchestrator.Service, within orchestrator.UsageRange, points int) (orchestrator.UsageHistory, error) {
	u.mu.Lock()
	h := u.service(s.ID).snapshot()
	u.mu.Unlock()
	return h.read(s.ID, within, points, time.Now())
}

// NodeUsageHistory implements [orchestrator.UsageReader].
func (u *Uses) NodeUsageHistory(_ context.Context, n orchestrator.Node, within orchestrator.UsageRange, points int) (orchestrator.UsageHistory, error) {
	u.mu.Lock()
	h := u.node(n.ID).snapshot()
	u.mu.Unlock()
	return h.read(n.ID, within, points, time.Now())
}

// read returns what a history has of a range, in at most so many points.
func (h *history) read(id string, within orchestrator.UsageRange, points int, now time.Time) (orchestrator.UsageHistory, error) {
	if points < 1 || points > orchestrator.MaxUsagePoints {
		return orchestrator.UsageHistory{}, orchestrator.Errorf(orchestrator.InvalidInput, "points", "must be 1 to %d, not %d", orchestrator.MaxUsagePoints, points)
	}
	tier, length := tierOf(within)
	t := tiers()[tier]
	n := (int64(length/t.Step) + int64(points) - 1) / int64(points) // steps joined to a point
	end := t.StepAt(now)/n + 1                                      // of points
	first := end - int64(length/t.Step)/n
	rows, err := h.file.Read(tier, first*n, end*n)
	if errors.Is(err, series.ErrDamaged) {
		rows, err = nil, nil // the next flush says so
	}
	if err != nil {
		return orchestrator.UsageHistory{}, fmt.Errorf("reading the history of use of %s: %w", id, err)
	}
	if tier == finest {
		rows = append(rows, h.pending...)
	}
	out := orchestrator.UsageHistory{ID: id, From: t.Begin(first * n), To: t.Begin(end * n), Step: time.Duration(n) * t.Step}
	cols := []*[]*float64{&out.CPU, &out.MemoryBytes, &out.DiskBytes, &out.Received, &out.Sent, &out.Connections}
	for _, c := range cols {
		*c = make([]*float64, end-first)
	}
	for _, r := range rollUp(rows, n) {
		if r.Step < first || r.Step >= end {
			continue
		}
		for i, c := range cols {
			if v := float64(r.Values[i]); !math.IsNaN(v) {
				(*c)[r.Step-first] = &v
			}
		}
	}
	return out, nil
}
