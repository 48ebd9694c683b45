// Package dockerconfig reads the configuration of the docker command: which engine it uses, and its credentials for
// registries.
package dockerconfig

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/cli/cli/config"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker/endpoint"
)

// Engine is the engine that the docker command uses.
type Engine struct {
	endpoint.Connection
	Source  string // what named it, for users: "DOCKER_HOST", "the docker context far", "the default socket"
	Default bool   // nothing named it
}

// FindEngine returns the engine that the docker command uses: the one that DOCKER_HOST names, with DOCKER_TLS_VERIFY and
// DOCKER_CERT_PATH; else that of the context that DOCKER_CONTEXT or the command's configuration names; else the default
// socket. It does not connect to it.
//
// getenv is [os.Getenv], where HOME is the home folder. The keys of an ssh endpoint are not found: the docker command leaves
// them to the ssh command.
func FindEngine(getenv func(string) string) (Engine, error) {
	folder := Folder(getenv)
	if host := getenv("DOCKER_HOST"); host != "" {
		return hostFromEnvironment(host, folder, getenv)
	}
	name := getenv("DOCKER_CONTEXT")
	if name == "" {
		var err error
		if name, err = currentContext(folder); err != nil {
			return Engine{}, err
		}
	}
	if name == "" || name == "default" {
		return Engine{endpoint.Connection{Endpoint: "unix://" + endpoint.DefaultSocket}, "the default socket", true}, nil
	}
	return localContext(folder, name)
}

func hostFromEnvironment(host, folder string, getenv func(string) string) (Engine, error) {
	found := Engine{Connection: endpoint.Connection{Endpoint: host}, Source: "DOCKER_HOST"}
	if host == "unix://" {
		found.Endpoint += endpoint.DefaultSocket
	}
	if !strings.HasPrefix(host, "tcp://") {
		return found, nil
	}
	secure := getenv("DOCKER_TLS_VERIFY") != "" || getenv("DOCKER_TLS") != ""
	found.Endpoint = withPort(host, secure)
	if !secure {
		return found, nil
	}
	dir := getenv("DOCKER_CERT_PATH")
	if dir == "" {
		dir = folder
	}
	var err error
	if found.TLS, err = readTLS(dir); err != nil {
		return Engine{}, fmt.Errorf("DOCKER_HOST with DOCKER_TLS_VERIFY: %w", err)
	}
	return found, nil
}

// withPort adds the docker command's default port to a tcp endpoint without a port.
func withPort(host string, secure bool) string {
	u, err := url.Parse(host)
	if err != nil || u.Port() != "" || u.Hostname() == "" {
		return host // Validate reports it
	}
	port := "2375"
	if secure {
		port = "2376"
	}
	u.Host = net.JoinHostPort(u.Hostname(), port)
	return u.String()
}

func currentContext(folder string) (string, error) {
	if folder == "" {
		return "", nil
	}
	settings, err := config.Load(folder) // empty if there is no file
	if err != nil {
		return "", err
	}
	return settings.CurrentContext, nil
}

// localContext reads a context of the docker command.
func localContext(folder, name string) (Engine, error) {
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	var context struct {
		Endpoints map[string]struct{ Host string }
	}
	if err := readJSON(filepath.Join(folder, "contexts", "meta", id, "meta.json"), &context); err != nil {
		return Engine{}, fmt.Errorf("the docker context %s: %w", name, err)
	}
	found := Engine{Connection: endpoint.Connection{Endpoint: context.Endpoints["docker"].Host}, Source: "the docker context " + name}
	if found.Endpoint == "" {
		return Engine{}, fmt.Errorf("the docker context %s names no Docker Engine", name)
	}
	keys, err := readTLS(filepath.Join(folder, "contexts", "tls", id, "docker"))
	switch {
	case !strings.HasPrefix(found.Endpoint, "tcp://"), errors.Is(err, fs.ErrNotExist):
		return found, nil
	case err != nil:
		return Engine{}, fmt.Errorf("the docker context %s: %w", name, err)
	}
	found.TLS = keys
	return found, nil
}

func readTLS(dir string) (*endpoint.TLS, error) {
	var errs []error
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		errs = append(errs, err)
		return string(text)
	}
	keys := &endpoint.TLS{CA: read("ca.pem"), Certificate: read("cert.pem"), Key: driver.Secret(read("key.pem"))}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("reading the keys in %s: %w", dir, err)
	}
	return keys, nil
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
