package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// Stats implements [driver.UsageReader]. It takes the engine about a second.
func (d *Driver) Stats(ctx context.Context, service string) (driver.Stats, error) {
	c, err := d.find(ctx, service)
	if err != nil {
		return driver.Stats{}, err
	}
	if !c.State.Running || c.State.Restarting {
		return driver.Stats{}, errNotCreated(service)
	}
	answer, err := d.client.ContainerStatsOneShot(ctx, c.ID)
	if err != nil {
		return driver.Stats{}, failed(err, "reading the use of container %s", d.containerOf(service))
	}
	defer answer.Body.Close()
	var s container.StatsResponse
	if err := json.NewDecoder(answer.Body).Decode(&s); err != nil {
		return driver.Stats{}, fmt.Errorf("reading the use of container %s: %w", d.containerOf(service), err)
	}
	return driver.Stats{
		CPU:         time.Duration(s.CPUStats.CPUUsage.TotalUsage), //nolint:gosec // nanoseconds of a run
		MemoryBytes: resident(s.MemoryStats),
		At:          s.Read,
	}, nil
}

// resident returns the memory in bytes without the file cache that the kernel can drop, as `docker stats` counts it. cgroup v1
// and v2 name that differently.
func resident(m container.MemoryStats) int64 {
	use := m.Usage
	for _, name := range []string{"total_inactive_file", "inactive_file"} {
		if cache, ok := m.Stats[name]; ok {
			use -= min(cache, use)
			break
		}
	}
	return int64(use) //nolint:gosec // fits
}
