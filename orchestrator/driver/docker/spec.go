package docker

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

const (
	labelVolume = "uws.volume"
	labelImage  = "uws.image" // digest of the image that the container was created from
	labelPorts  = "uws.ports" // names of the ports in the container: "sql=5432/tcp metrics=9187/tcp"
)

const (
	logSize  = "10m"
	logFiles = "3"
	// minShm is the engine's default size of /dev/shm in bytes.
	minShm = 64 << 20
)

// names are the objects that a container is made with.
type names struct {
	installation string
	volume       string // of the engine
	network      string // its id
	digest       string // of the image
}

// plan returns the settings of a container. It is pure.
func plan(spec driver.Spec, n names) (*container.Config, *container.HostConfig, *network.NetworkingConfig) {
	ports := nat.PortSet{}
	bindings := nat.PortMap{}
	var portNames []string
	for _, p := range spec.Ports {
		port := nat.Port(strconv.Itoa(p.Target) + "/tcp")
		ports[port] = struct{}{}
		bindings[port] = []nat.PortBinding{{HostIP: hostIP(p.Address), HostPort: strconv.Itoa(p.Number)}}
		portNames = append(portNames, p.Name+"="+string(port))
	}
	config := &container.Config{
		Image: spec.Image, User: spec.User, Cmd: spec.Args, Env: environment(spec.Env),
		ExposedPorts: ports, StopSignal: spec.StopSignal,
		Labels: map[string]string{
			driver.LabelInstallation: n.installation, driver.LabelService: spec.Service, driver.LabelSpecHash: spec.Hash(),
			driver.LabelGeneration: spec.GenerationText(), labelVolume: spec.Volume, labelImage: n.digest, driver.LabelName: spec.Name,
			labelPorts: strings.Join(portNames, " "),
		},
	}
	initProcess := true
	host := &container.HostConfig{
		Mounts:        []mount.Mount{volumeMount(n.volume, mountPoint(spec), spec.DataMustExist)},
		PortBindings:  bindings,
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyUnlessStopped},
		NetworkMode:   container.NetworkMode(n.network),
		CapDrop:       []string{"ALL"}, CapAdd: spec.Capabilities,
		SecurityOpt: []string{"no-new-privileges"},
		Init:        &initProcess,
		LogConfig:   container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": logSize, "max-file": logFiles}},
		Resources:   resources(spec.Limits),
		ShmSize:     max(minShm, spec.Limits.MemoryBytes/4), // it counts towards the memory limit
	}
	networks := &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{n.network: {}}}
	return config, host, networks
}

// resources returns the limits. They allow no swap, because a database that swaps appears to hang.
func resources(l driver.Limits) container.Resources {
	r := container.Resources{Memory: l.MemoryBytes, MemorySwap: l.MemoryBytes, NanoCPUs: int64(l.CPUs * 1e9)}
	if l.PIDs > 0 {
		r.PidsLimit = &l.PIDs
	}
	return r
}

// hostIP returns the address to publish a port on: loopback if the spec names none, and all addresses for a host name, which
// only the engine's machine could resolve.
func hostIP(address string) string {
	switch {
	case address == "":
		return "127.0.0.1"
	case net.ParseIP(address) == nil:
		return ""
	}
	return address
}

func mountPoint(spec driver.Spec) string {
	if spec.Mount != "" {
		return spec.Mount
	}
	return dataFolder
}

func environment(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out = append(out, name+"="+env[name])
	}
	return out
}

// checkSpec refuses a spec that this driver cannot run.
// Errors: [driver.Invalid].
func checkSpec(spec driver.Spec) error {
	if err := spec.Validate(func(string) bool { return false }); err != nil {
		return err
	}
	if spec.Image == "" {
		return driver.Errorf(driver.Invalid, "service %s: no image is named", spec.Service)
	}
	for _, p := range spec.Ports {
		if p.Target < 1 || p.Target > 65535 {
			return driver.Errorf(driver.Invalid, "service %s: port %s has target %d, which must be 1 to 65535", spec.Service, p.Name, p.Target)
		}
	}
	if l := spec.Limits; l.MemoryBytes < 0 || l.CPUs < 0 || l.PIDs < 0 {
		return driver.Errorf(driver.Invalid, "service %s: %s", spec.Service, fmt.Sprintf("limits %+v must not be negative", l))
	}
	return nil
}
