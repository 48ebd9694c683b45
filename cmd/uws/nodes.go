package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker/dockerconfig"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker/endpoint"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

const (
	// processEndpoint is the folder of the PROCESS node, relative to the data folder, because that can be moved.
	processEndpoint = "process"
	// localPatience is the time that the engine of this machine has to answer when the first node is chosen.
	localPatience = 4 * time.Second
)

// Values of --local-node.
const (
	localAuto    = "auto"
	localDocker  = "docker"
	localProcess = "process"
	localNone    = "none"
)

// firstNode chooses the first node of a new store. It returns none if the store has nodes.
func (c *serveCommand) firstNode(ctx context.Context, st *store.Store, log *slog.Logger) (fleet.LocalNode, error) {
	processes := fleet.LocalNode{Driver: string(catalog.Process), Endpoint: processEndpoint}
	has, err := st.Read.Node.Query().Exist(ctx)
	switch {
	case err != nil:
		return fleet.LocalNode{}, fmt.Errorf("reading the nodes: %w", err)
	case has || c.LocalNode == localNone:
		return fleet.LocalNode{}, nil
	case c.LocalNode == localProcess:
		return processes, nil
	}
	found, err := c.localEngine(ctx)
	switch {
	case err == nil:
		log.Info("the first node is a Docker Engine", "endpoint", found.Endpoint, "found_by", found.Source)
		return engineNode(found), nil
	case c.LocalNode == localDocker:
		return fleet.LocalNode{}, fmt.Errorf("--local-node docker: %w", err)
	case found.Default && errors.Is(err, fs.ErrNotExist): // no engine was configured
		log.Info("no Docker Engine found; services run as processes", "reason", err)
	default:
		log.Warn("Docker Engine not usable; services run as processes", "reason", err)
	}
	return processes, nil
}

// localEngine finds the engine that the docker command uses, and checks that it answers.
func (c *serveCommand) localEngine(ctx context.Context) (dockerconfig.Engine, error) {
	found, err := dockerconfig.FindEngine(os.Getenv)
	if err != nil {
		return found, err
	}
	if strings.HasPrefix(found.Endpoint, "ssh://") {
		return found, fmt.Errorf("%s names an engine behind ssh, and uws cannot use the keys of the ssh command: start with --local-node process or none, and register it with registerNode", found.Source)
	}
	found.AllowPlaintext = c.AllowUnencryptedDockerTCP
	ctx, cancel := context.WithTimeout(ctx, localPatience)
	defer cancel()
	if err := found.Check(ctx); err != nil {
		field := ""
		if e, ok := errors.AsType[*driver.Error](err); ok && e.Class == driver.Invalid {
			field = e.Field + ": " // the text does not contain the field
		}
		return found, fmt.Errorf("the engine that %s names cannot be used: %s%w", found.Source, field, err)
	}
	return found, nil
}

// engineNode returns the first node for an engine. If the engine is on another machine, clients reach services there.
func engineNode(found dockerconfig.Engine) fleet.LocalNode {
	local := fleet.LocalNode{Driver: string(catalog.Docker), Endpoint: found.Endpoint, ServiceAddress: found.Host()}
	if t := found.TLS; t != nil {
		local.Access.TLS = &orchestrator.TLSKeys{CA: t.CA, Certificate: t.Certificate, Key: t.Key}
	}
	return local
}

// nodeOpener opens the drivers of nodes.
type nodeOpener struct {
	dataDir, engines, installation string
	clonedFrom, sandbox            string
	private                        []string
	claim                          docker.Claim
	allowPlaintext                 bool
	log                            *slog.Logger
}

// drivers returns the drivers of this program.
func (o nodeOpener) drivers() fleet.Drivers {
	return fleet.Drivers{
		string(catalog.Process): {Capabilities: fleet.Capabilities{Endpoint: processEndpoint}, Open: o.openProcess},
		string(catalog.Docker):  {Capabilities: fleet.Capabilities{Keys: true}, Open: o.openDocker},
	}
}

func (o nodeOpener) openDocker(n orchestrator.Node, access orchestrator.Access) (driver.Driver, error) {
	return docker.New(docker.Options{
		Connection: o.connection(n, access), Installation: o.installation, ClonedFrom: o.clonedFrom, Claim: o.claim,
		Config: dockerconfig.Folder(os.Getenv), Log: o.logOf(n),
	})
}

func (o nodeOpener) logOf(n orchestrator.Node) *slog.Logger {
	return o.log.With(slog.String("node", n.Name))
}

func (o nodeOpener) connection(n orchestrator.Node, access orchestrator.Access) endpoint.Connection {
	c := endpoint.Connection{Endpoint: n.Endpoint, AllowPlaintext: o.allowPlaintext}
	if t := access.TLS; t != nil {
		c.TLS = &endpoint.TLS{CA: t.CA, Certificate: t.Certificate, Key: t.Key}
	}
	if s := access.SSH; s != nil {
		c.SSH = &endpoint.SSH{PrivateKey: s.PrivateKey, HostKey: s.HostKey}
	}
	return c
}

func (o nodeOpener) openProcess(n orchestrator.Node, _ orchestrator.Access) (driver.Driver, error) {
	dir := n.Endpoint
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(o.dataDir, dir)
	}
	engines := o.engines
	if engines != "" {
		var err error
		if engines, err = filepath.Abs(engines); err != nil {
			return nil, fmt.Errorf("engines folder: %w", err)
		}
	}
	return process.New(process.Options{
		Dir: dir, Installation: o.installation, ClonedFrom: o.clonedFrom, Engines: engines, BuildEngines: true, Version: version, Log: o.logOf(n),
		Sandbox: o.sandbox, Private: o.private,
	})
}
