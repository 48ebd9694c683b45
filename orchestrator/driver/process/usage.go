package process

import (
	"context"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/machine"
)

// Usage implements [driver.UsageReader]. It reads all processes of the machine once, however many services there are. A service
// uses the memory that its processes have for themselves and, once, the largest part that one of them shares or has mapped from
// files: PostgreSQL's backends all have the same buffers. The kernel could tell each one's share (Pss), but needs 15 times as long
// for it, and longer the more memory there is.
func (d *Driver) Usage(ctx context.Context, services []string) (map[string]driver.Usage, error) {
	all := map[string]driver.Usage{}
	measured := map[string]*instance{}
	var families []family
	for _, id := range services {
		d.mu.Lock()
		s := d.services[id]
		d.mu.Unlock()
		if s == nil {
			continue
		}
		s.mu.Lock()
		live, st := s.live, s.state
		s.mu.Unlock()
		if live == nil || measured[id] != nil {
			continue
		}
		owner, err := d.volumes.Owner(st.Spec.Volume)
		if err != nil {
			owner = 0 // the data was removed; members are found by their markers and parents
		}
		measured[id] = live
		families = append(families, family{service: id, main: live.handle, owner: owner})
		all[id] = driver.Usage{Run: st.Run.instance()}
	}
	if len(families) == 0 {
		return all, ctx.Err()
	}
	members, err := d.members(families...)
	if err != nil {
		return nil, err
	}
	for id, live := range measured {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		use, ok := measure(members[id], live.handle.PID)
		if _, err := live.handle.Stat(); !ok || err != nil { // it has ended
			delete(all, id)
			continue
		}
		use.Run, use.CPU = all[id].Run, live.used(use.CPU)
		all[id] = use
	}
	return all, nil
}

// measure returns what the processes of a service use together. ok is false if its main process is not among them.
func measure(members []process, main int) (use driver.Usage, ok bool) {
	use.At = time.Now().UTC()
	var most int64
	var pids []int
	for _, p := range members {
		own, shared, err := machine.Linux.Memory(p.PID)
		if err != nil {
			continue // it has ended
		}
		pids = append(pids, p.PID)
		use.CPU += p.CPU + p.Waited // of its children that run the time is their own
		use.MemoryBytes += own
		most = max(most, shared)
	}
	use.MemoryBytes += most
	use.Processes, use.Descriptors = new(len(pids)), machine.Linux.Descriptors(pids)
	return use, slices.Contains(pids, main)
}

// used returns the processor time of a run, given the sum over its processes. It never decreases: the time of a process that has
// ended is missing until its parent has waited for it, and for good if its parent ended before it.
func (i *instance) used(sum time.Duration) time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.cpu = max(i.cpu, sum)
	return i.cpu
}

// UsageInterval implements [driver.UsageReader].
func (d *Driver) UsageInterval() time.Duration { return 10 * time.Second }

// NodeUsage implements [driver.NodeUsageReader].
func (d *Driver) NodeUsage(context.Context) (*driver.NodeUsage, error) {
	use, err := machine.Linux.Usage()
	if err != nil {
		return nil, err
	}
	return &use, nil
}
