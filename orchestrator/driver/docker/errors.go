package docker

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// classOf classifies an answer of the engine about a container.
func classOf(err error) driver.Class {
	switch {
	case errdefs.IsNotFound(err):
		return driver.NotCreated
	case errdefs.IsInvalidArgument(err), errdefs.IsPermissionDenied(err), errdefs.IsUnauthorized(err):
		return driver.Invalid
	case errdefs.IsConflict(err):
		return driver.Conflict
	}
	return driver.Transient
}

// startError classifies an error of starting a container. The engine has texts for the causes, but no codes.
func startError(err error, c container.InspectResponse) error {
	text := err.Error()
	if strings.Contains(text, "address already in use") || portAllocated(err) {
		for _, bindings := range c.HostConfig.PortBindings {
			for _, b := range bindings {
				if strings.Contains(text, ":"+b.HostPort+" ") || strings.Contains(text, ":"+b.HostPort+":") {
					return driver.PortInUseError(number(b.HostPort))
				}
			}
		}
	}
	for _, m := range c.HostConfig.Mounts {
		if strings.Contains(text, "/"+m.Source+"/") && strings.Contains(text, "no such file or directory") {
			return driver.Errorf(driver.DataMissing, "the files of volume %s are not there", m.Source)
		}
	}
	return failed(err, "starting container %s", strings.TrimPrefix(c.Name, "/"))
}

// portAllocated reports whether a container does not start because the engine has allocated its port already.
func portAllocated(err error) bool { return strings.Contains(err.Error(), "port is already allocated") }

func number(port string) (n int) {
	_, _ = fmt.Sscan(port, &n) // the engine's own number, always valid
	return n
}

// pullError classifies an error of pulling an image. Errors within the answer have texts, but no codes.
func pullError(image string, err error) error {
	text := strings.ToLower(err.Error())
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(text, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("toomanyrequests", "rate limit"):
		return driver.Errorf(driver.Transient, "pulling image %s: the registry has had too many requests: %w", image, err)
	case has("no space left on device"):
		return driver.Errorf(driver.Transient, "pulling image %s: the engine's disk is full: %w", image, err)
	case errdefs.IsNotFound(err), has("manifest unknown", "repository name not known", "no matching manifest", "does not exist", "name unknown"):
		return driver.UnavailableError("image %s cannot be pulled: the registry does not have it, or not for this machine, or not for everybody: %w", image, err)
	case errdefs.IsUnauthorized(err), errdefs.IsPermissionDenied(err), has("unauthorized", "denied", "authentication required", "no basic auth credentials"):
		return driver.UnavailableError("image %s cannot be pulled: the registry does not allow it; uws shows it what docker login keeps for the user that runs uws, in DOCKER_CONFIG or ~/.docker: %w", image, err)
	case errdefs.IsInvalidArgument(err), has("invalid reference format", "unsupported manifest", "unsupported media type"):
		return driver.UnavailableError("image %s cannot be pulled: %w", image, err)
	}
	return failed(err, "pulling image %s", image)
}
