package usage

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/series"
)

const (
	memoryShare     = 0.9 // of the limit
	memoryFor       = 10 * time.Minute
	connectionShare = 0.8 // of those that the engine allows
	fullWithin      = 48 * time.Hour
	// A forecast needs an hour of values. It takes the lower of two rates: that of six hours, so that an engine that compacts its
	// files from time to time does not count as one that grows, and that of the last two, so that it ends when the growth has.
	forecastOver  = 6 * time.Hour
	forecastLast  = 2 * time.Hour
	forecastLeast = time.Hour
	forecastEvery = 5 * time.Minute
	// statsFor is how long what an engine reported counts.
	statsFor = 3 * time.Minute
)

// warnings are those of one service or node.
type warnings struct {
	memorySince time.Time // since when it is above its share; zero: it is not
	all         map[orchestrator.WarningCode]warning
}

type warning struct {
	orchestrator.Warning
	until time.Time // when it ends unless it is given again
}

// give begins a warning, or extends it.
func (w *warnings) give(code orchestrator.WarningCode, since, until time.Time, text string) {
	if was, ok := w.all[code]; ok && was.until.After(since) {
		since = was.Since
	}
	if w.all == nil {
		w.all = map[orchestrator.WarningCode]warning{}
	}
	w.all[code] = warning{orchestrator.Warning{Code: code, Text: text, Since: since.UTC()}, until}
}

// active returns the warnings that are given now, in the order of their codes' severity.
func (w *warnings) active(now time.Time) []orchestrator.Warning {
	var all []orchestrator.Warning
	for _, code := range []orchestrator.WarningCode{orchestrator.WarnDiskFilling, orchestrator.WarnMemoryHigh, orchestrator.WarnConnectionsHigh} {
		if given, ok := w.all[code]; ok && now.Before(given.until) {
			all = append(all, given.Warning)
		}
	}
	return all
}

// memory warns of memory that is near its limit for a while.
func (w *warnings) memory(use *orchestrator.Usage, now, until time.Time) {
	if use.MemoryLimit == nil || float64(use.MemoryBytes) <= memoryShare*float64(*use.MemoryLimit) {
		w.memorySince = time.Time{}
		delete(w.all, orchestrator.WarnMemoryHigh)
		return
	}
	if w.memorySince.IsZero() {
		w.memorySince = now
	}
	if now.Sub(w.memorySince) >= memoryFor {
		w.give(orchestrator.WarnMemoryHigh, w.memorySince, until, fmt.Sprintf("It has used more than %.0f %% of its memory limit of %s for %s: %s now.",
			100*memoryShare, size(float64(*use.MemoryLimit)), span(now.Sub(w.memorySince)), size(float64(use.MemoryBytes))))
	}
}

// connections are those to an engine. They are nil if it does not report them.
type connections struct{ used, most *float64 }

func connectionsOf(stats []orchestrator.EngineStat, now time.Time) (c connections) {
	for _, s := range stats {
		switch {
		case now.Sub(s.At) > statsFor:
		case s.Name == "connections_used":
			c.used = &s.Value
		case s.Name == "connections_max":
			c.most = &s.Value
		}
	}
	return c
}

// connections warns when clients may soon be refused.
func (w *warnings) connections(c connections, until time.Time) {
	if c.used == nil || c.most == nil || *c.used <= connectionShare**c.most {
		delete(w.all, orchestrator.WarnConnectionsHigh)
		return
	}
	w.give(orchestrator.WarnConnectionsHigh, time.Now(), until, fmt.Sprintf("%.0f of the %.0f connections that the engine allows are used.", *c.used, *c.most))
}

// forecast warns of disks that are full soon.
func (u *Uses) forecast(now time.Time) {
	if now.Truncate(time.Minute).Minute()%int(forecastEvery/time.Minute) != 0 {
		return
	}
	type work struct {
		file     *series.File
		free     int64
		warnings *warnings
		text     string
	}
	u.mu.Lock()
	var all []work
	free := map[string]int64{}
	for _, n := range u.opts.Fleet.All() {
		if bytes, ok := freeOn(n); ok {
			free[n.ID] = bytes
			state := u.node(n.ID)
			all = append(all, work{state.file, bytes, &state.warnings, "Its disk fills by %s a day. %s are free: it is full in %s."})
		}
	}
	for _, s := range u.opts.Snapshot.All() {
		if bytes, ok := free[s.NodeID]; ok {
			state := u.service(s.ID)
			all = append(all, work{state.file, bytes, &state.warnings, "Its data grows by %s a day. %s are free on the disk of its node: it is full in %s."})
		}
	}
	u.mu.Unlock()
	quarter := tiers()[quarters]
	end := quarter.StepAt(now) + 1
	for _, w := range all {
		rows, err := w.file.Read(quarters, end-int64(forecastOver/quarter.Step), end)
		if err != nil {
			continue // flushing says so
		}
		perSecond := present(rows, quarter, end)
		full := time.Duration(math.Min(float64(w.free)/perSecond, math.MaxInt32) * float64(time.Second))
		u.mu.Lock()
		if perSecond > 0 && full < fullWithin {
			w.warnings.give(orchestrator.WarnDiskFilling, now, now.Add(3*forecastEvery),
				fmt.Sprintf(w.text, size(perSecond*24*3600), size(float64(w.free)), span(full)))
		} else {
			delete(w.warnings.all, orchestrator.WarnDiskFilling)
		}
		u.mu.Unlock()
	}
}

// freeOn returns the bytes that are free on a node's disk; false if it does not report them.
func freeOn(n *fleet.Node) (int64, bool) {
	info := n.Info()
	if info == nil || info.DiskFree < 0 || n.Down() {
		return 0, false
	}
	return info.DiskFree, true
}

// present returns by how much a disk fills a second at present.
func present(rows []series.Row, t series.Tier, end int64) float64 {
	last := slices.IndexFunc(rows, func(r series.Row) bool { return r.Step >= end-int64(forecastLast/t.Step) })
	if last < 0 {
		return 0
	}
	return min(growth(rows, t, diskColumn), growth(rows[last:], t, diskColumn))
}

// growth returns by how much a column rises a second, by the least squares; 0 if there are too few values.
func growth(rows []series.Row, t series.Tier, column int) float64 {
	var n, x, y, xx, xy, first, last float64
	for _, r := range rows {
		v := float64(r.Values[column])
		if math.IsNaN(v) {
			continue
		}
		at := float64(r.Step-rows[0].Step) * t.Step.Seconds()
		if n == 0 {
			first = at
		}
		n, x, y, xx, xy, last = n+1, x+at, y+v, xx+at*at, xy+at*v, at
	}
	if last-first < forecastLeast.Seconds() {
		return 0
	}
	return (n*xy - x*y) / (n*xx - x*x)
}

// size is a number of bytes for people.
func size(bytes float64) string {
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if bytes < 1024 {
			return strconv.FormatFloat(bytes, 'g', 3, 64) + " " + unit
		}
		bytes /= 1024
	}
	return strconv.FormatFloat(bytes, 'f', 1, 64) + " TiB"
}

// span is a duration for people.
func span(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f seconds", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f minutes", d.Minutes())
	}
	return fmt.Sprintf("%.0f hours", d.Hours())
}
