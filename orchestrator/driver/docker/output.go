package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// Usage implements [driver.UsageReader]. It takes the engine about a second for each service.
func (d *Driver) Usage(ctx context.Context, services []string) (map[string]driver.Usage, error) {
	all := map[string]driver.Usage{}
	for _, service := range services {
		c, err := d.find(ctx, service)
		if err != nil || !c.State.Running || c.State.Restarting {
			continue
		}
		answer, err := d.client.ContainerStatsOneShot(ctx, c.ID)
		if err != nil {
			return nil, failed(err, "reading the use of container %s", d.containerOf(service))
		}
		var s container.StatsResponse
		err = errors.Join(json.NewDecoder(answer.Body).Decode(&s), answer.Body.Close())
		if err != nil {
			return nil, fmt.Errorf("reading the use of container %s: %w", d.containerOf(service), err)
		}
		all[service] = driver.Usage{
			CPU:         time.Duration(s.CPUStats.CPUUsage.TotalUsage), //nolint:gosec // nanoseconds of a run
			MemoryBytes: resident(s.MemoryStats),
			At:          s.Read,
		}
	}
	return all, nil
}

// UsageInterval implements [driver.UsageReader].
func (d *Driver) UsageInterval() time.Duration { return 30 * time.Second }

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
