package reconcile

import (
	"context"
	"fmt"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
)

// spec returns what the node's driver needs to run the service: its template with the values filled in.
func (r *Reconciler) spec(ctx context.Context, c *controller, row *ent.Service, n *fleet.Node) (driver.Spec, error) {
	drv := catalog.Driver(n.Row().Driver)
	runtime := row.Definition.Runtime(drv)
	if runtime == nil {
		return driver.Spec{}, driver.Errorf(driver.Invalid, "template %s cannot be run by driver %s", row.Template, drv)
	}
	k, err := c.openKeys(r.vault, row)
	if err != nil {
		return driver.Spec{}, err
	}
	layout := n.Driver().Layout(row.ID, row.Volume)
	if layout.HostPorts {
		if layout.Address, err = r.fleet.ListenAddress(ctx, n.Row().ServiceAddress); err != nil {
			return driver.Spec{}, fmt.Errorf("node %s: service address: %w", n.Name, err)
		}
	}
	if runtime.Data != "" {
		layout.Data = runtime.Data
	}
	values := catalog.Values{
		Data: layout.Data, Config: layout.Config, Address: layout.Address, Host: n.Row().ServiceAddress,
		ServiceID: row.ID, ServiceName: row.Name, Ports: listenPorts(row, layout), Credentials: k.Use,
	}
	filled, err := r.fill(row, drv, values)
	if err != nil {
		return driver.Spec{}, driver.Errorf(driver.Invalid, "template %s: %w", row.Template, err)
	}
	var init *driver.Init
	if i := filled.Init; i != nil {
		init = &driver.Init{Program: i.Program, Args: i.Args, Env: i.Env}
		if now := r.newestRuntime(row, drv).Init; now != nil {
			init.Files = now.Files
		}
	}
	data := r.dataOf(row, n)
	return driver.Spec{
		Service: row.ID, Name: row.Name, Generation: row.SpecGeneration, Volume: row.Volume, DataMustExist: data.Used, DataMarked: data.Marked, EngineMark: data.EngineMark,
		Engine: filled.Engine, EngineVersion: row.Definition.Version, Image: filled.Image,
		Mount: filled.Data, User: filled.User, Capabilities: filled.Capabilities, Limits: limitsFor(filled.Limits),
		Program: filled.Program, Package: filled.Package, Init: init,
		Args: filled.Args, Env: filled.Env, Files: filled.Files, Folders: filled.Dirs,
		Stale: r.newestRuntime(row, drv).Stale,
		Ports: publishedPorts(row, n.Row(), layout), StopSignal: row.Definition.Stop.Signal,
	}, nil
}

// fill returns the service's runtime with the values filled in, and with what today's template adds to every instance and
// quarantine to its own.
func (r *Reconciler) fill(row *ent.Service, drv catalog.Driver, values catalog.Values) (catalog.Runtime, error) {
	filled, err := row.Definition.Runtime(drv).Resolve(values)
	if err != nil {
		return catalog.Runtime{}, err
	}
	args, files, err := r.newestRuntime(row, drv).Every(values)
	if err != nil {
		return catalog.Runtime{}, err
	}
	filled.Args = append(filled.Args, args...)
	if q := row.Quarantine; q != nil {
		filled.Args = append(filled.Args, q.Args...)
	}
	for name, text := range files {
		if filled.Files == nil {
			filled.Files = map[string]string{}
		}
		filled.Files[name] = text
	}
	return filled, nil
}

// newestRuntime returns the runtime of today's template if it has the service's major version, else the service's own. Its
// settings for every instance apply to services that were launched earlier too.
func (r *Reconciler) newestRuntime(row *ent.Service, drv catalog.Driver) *catalog.Runtime {
	if now, ok := r.opts.Catalog.Lookup(row.Template); ok && now.Major() == row.Definition.Major() {
		if r := now.Runtime(drv); r != nil {
			return r
		}
	}
	return row.Definition.Runtime(drv)
}

func limitsFor(l catalog.Limits) driver.Limits {
	return driver.Limits{MemoryBytes: int64(l.MemoryMiB) << 20, CPUs: l.CPUs, PIDs: int64(l.PIDs)}
}

// listenPorts returns the ports that the engine itself listens on.
func listenPorts(row *ent.Service, layout driver.Layout) map[string]int {
	if layout.HostPorts {
		return row.Ports
	}
	ports := map[string]int{}
	for _, p := range row.Definition.Ports {
		ports[p.Name] = p.Target
	}
	return ports
}

func publishedPorts(row *ent.Service, n *ent.Node, layout driver.Layout) []driver.Port {
	var ports []driver.Port
	for _, p := range row.Definition.Ports {
		port := driver.Port{Name: p.Name, Number: row.Ports[p.Name], Target: p.Target}
		if port.Address = n.ServiceAddress; layout.HostPorts {
			port.Address = layout.Address
		}
		ports = append(ports, port)
	}
	return ports
}
