package docker

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
)

// proxyOf returns the pid of the engine's docker-proxy that listens on a port for a container of c's network; 0 if there is
// none, or if the engine is on another machine. An engine that was killed can leave such a process behind.
func (d *Driver) proxyOf(ctx context.Context, c container.InspectResponse, port int) int {
	if !d.local {
		return 0
	}
	joined, err := d.client.NetworkInspect(ctx, c.HostConfig.NetworkMode.NetworkName(), network.InspectOptions{})
	if err != nil {
		return 0
	}
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return 0
	}
	for _, name := range names {
		comm, err := os.ReadFile(name)
		if err != nil || strings.TrimSpace(string(comm)) != "docker-proxy" {
			continue
		}
		dir := filepath.Dir(name)
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil {
			continue
		}
		args := strings.Split(string(line), "\x00")
		target, err := netip.ParseAddr(argument(args, "-container-ip"))
		if err != nil || argument(args, "-proto") != "tcp" || argument(args, "-host-port") != strconv.Itoa(port) {
			continue
		}
		for _, pool := range joined.IPAM.Config {
			if subnet, err := netip.ParsePrefix(pool.Subnet); err == nil && subnet.Contains(target) {
				return number(filepath.Base(dir))
			}
		}
	}
	return 0
}

// argument returns the value that follows a flag.
func argument(args []string, flag string) string {
	i := slices.Index(args, flag)
	if i < 0 || i+1 == len(args) {
		return ""
	}
	return args[i+1]
}
