package usage

import (
	"context"
	"time"

	"github.com/unicorn-web-services/uws/internal/background"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
)

const (
	// measureTimeout is as long as an engine takes that is asked for about 1,000 containers: a second for each, 8 at once.
	measureTimeout = 2 * time.Minute
	sizeEvery      = 5 * time.Minute
	sizeTimeout    = time.Minute
	// sizeRest is how many times as long as a volume was read for nothing is read of the node: volumes take at most a tenth of a
	// core and of the disk.
	sizeRest = 9
	// missedMeasurements is after how many of them a value is too old to be shown.
	missedMeasurements = 3
)

// measure measures a node and its services once.
func (u *Uses) measure(ctx context.Context, n *fleet.Node, on []*orchestrator.Service) {
	ctx, cancel := context.WithTimeout(ctx, measureTimeout)
	defer cancel()
	defer context.AfterFunc(n.Context(), cancel)()
	interval := tick
	var uses map[string]driver.Usage
	var err error
	if reader, ok := n.Driver().(driver.UsageReader); ok {
		ids := make([]string, len(on))
		for i, s := range on {
			ids[i] = s.ID
		}
		uses, err = reader.Usage(ctx, ids)
		interval = max(tick, reader.UsageInterval())
	}
	var machine *driver.NodeUsage
	if reader, ok := n.Driver().(driver.NodeUsageReader); ok && err == nil {
		machine, err = reader.NodeUsage(ctx)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	state := u.node(n.ID)
	state.measuring = false
	state.next = time.Now().Add(interval - tick/2) // the tick nearest to the interval
	if err == nil {
		u.take(n, on, uses, machine, interval)
	} else if !state.failed && n.Context().Err() == nil {
		u.opts.Log.Warn("measuring a node failed; retrying", "node", n.Name, "error", err)
	}
	state.failed = err != nil
}

// take takes over the measurements of a node. u.mu is held.
func (u *Uses) take(n *fleet.Node, on []*orchestrator.Service, uses map[string]driver.Usage, machine *driver.NodeUsage, interval time.Duration) {
	now := time.Now()
	total := &orchestrator.NodeUsage{At: now}
	u.position++
	for _, s := range on {
		state := u.service(s.ID)
		limits := u.opts.Limits(s)
		total.PromisedCPU += limits.CPUs
		total.PromisedMemory += int64(limits.MemoryMiB) << 20
		use, ok := uses[s.ID]
		if !ok {
			state.last, state.current = nil, nil
			continue
		}
		current, before := state.usage(s.ID, use)
		if limits.CPUs > 0 {
			current.CPULimit = &limits.CPUs
		}
		if limits.MemoryMiB > 0 {
			current.MemoryLimit = new(int64(limits.MemoryMiB) << 20)
		}
		total.ServiceMemory += current.MemoryBytes
		if current.CPU != nil {
			total.ServiceCPU += *current.CPU
		}
		connections := connectionsOf(u.opts.Stats(s), now)
		state.record(before, use.At, interval, values(current, connections))
		state.last, state.current, state.position, state.until = &use, current, u.position, now.Add(missedMeasurements*interval)
		state.warnings.memory(current, now, state.until)
		state.warnings.connections(connections, state.until)
	}
	u.takeMachine(n, machine, total, interval)
	u.wakeWatches()
}

// usage returns what a measurement says, and the time of the one before of the same run.
func (s *service) usage(id string, use driver.Usage) (current *orchestrator.Usage, before time.Time) {
	current = &orchestrator.Usage{ServiceID: id, At: use.At, MemoryBytes: use.MemoryBytes, Processes: use.Processes, Descriptors: use.Descriptors, DiskBytes: s.disk, DiskAt: s.diskAt}
	last := s.last
	if last == nil || last.Run != use.Run {
		return current, use.At
	}
	took := use.At.Sub(last.At)
	current.CPU = rate(last.CPU.Seconds(), use.CPU.Seconds(), took)
	current.Received = rateOf(last.Received, use.Received, took)
	current.Sent = rateOf(last.Sent, use.Sent, took)
	return current, last.At
}

// takeMachine takes over the measurement of a node itself. u.mu is held.
func (u *Uses) takeMachine(n *fleet.Node, machine *driver.NodeUsage, current *orchestrator.NodeUsage, interval time.Duration) {
	state := u.node(n.ID)
	before := current.At
	if info := n.Info(); info != nil {
		current.CPUs = &info.CPUs
		current.MemoryTotal = &info.MemoryBytes
		if info.DiskFree >= 0 && info.DiskTotal > 0 {
			current.DiskBytes, current.DiskTotal = new(info.DiskTotal-info.DiskFree), &info.DiskTotal
		}
	}
	if machine != nil {
		current.At, before = machine.At, machine.At
		current.MemoryBytes, current.MemoryTotal = &machine.MemoryBytes, &machine.MemoryTotal
		if state.last != nil {
			before = state.last.At
			current.CPU = rate(state.last.CPU.Seconds(), machine.CPU.Seconds(), machine.At.Sub(before))
		}
	}
	state.record(before, current.At, interval, nodeValues(current))
	state.last, state.current, state.until = machine, current, time.Now().Add(missedMeasurements*interval)
}

// rate returns how much a counter rose a second; nil if it fell, or no time passed.
func rate(before, now float64, took time.Duration) *float64 {
	if took <= 0 || now < before {
		return nil
	}
	return new((now - before) / took.Seconds())
}

func rateOf(before, now *int64, took time.Duration) *float64 {
	if before == nil || now == nil {
		return nil
	}
	return rate(float64(*before), float64(*now), took)
}

// size measures the volumes of a node's services, one at a time.
func (u *Uses) size(ctx context.Context, n *fleet.Node, sizer driver.Sizer, on []*orchestrator.Service) {
	defer func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.node(n.ID).sizing = false
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.Context(), cancel)()
	for _, s := range on {
		began := time.Now()
		bytes, err := u.sizeOne(ctx, sizer, s.Volume)
		if ctx.Err() != nil {
			return
		}
		u.mu.Lock()
		if state := u.services[s.ID]; state != nil {
			state.sized = began
			if err == nil {
				state.disk, state.diskAt = &bytes, new(time.Now().UTC())
			}
		}
		u.mu.Unlock()
		if !background.Pause(ctx, sizeRest*time.Since(began)) {
			return
		}
	}
}

func (u *Uses) sizeOne(ctx context.Context, sizer driver.Sizer, volume string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, sizeTimeout)
	defer cancel()
	return sizer.Size(ctx, volume)
}
