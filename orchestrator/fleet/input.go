package fleet

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
)

// checkNodeInput checks what can be checked without the node, and returns its labels by name.
func (f *Fleet) checkNodeInput(ctx context.Context, in orchestrator.NodeInput) (labels map[string]string, err error) {
	if err := orchestrator.CheckName(in.Name); err != nil {
		return nil, err
	}
	d, err := f.opts.Drivers.of(in.Driver)
	if err != nil {
		return nil, orchestrator.Errorf(orchestrator.InvalidInput, "driver", "%v", err)
	}
	for _, n := range f.All() {
		row := n.Row()
		switch {
		case n.Name == in.Name:
			return nil, orchestrator.Errorf(orchestrator.Conflict, "name", "there is a node %q already", in.Name)
		case string(row.Driver) == in.Driver && (row.Endpoint == in.Endpoint || d.Endpoint != ""):
			return nil, orchestrator.Errorf(orchestrator.Conflict, "endpoint", "node %q is this one already", n.Name)
		}
	}
	if d.Endpoint != "" && in.Endpoint != d.Endpoint {
		return nil, orchestrator.Errorf(orchestrator.InvalidInput, "endpoint", "a %s node is this machine; its endpoint must be %q", in.Driver, d.Endpoint)
	}
	if err := f.checkAccess(in.Driver, in.Access); err != nil {
		return nil, err
	}
	if err := f.checkServiceAddress(ctx, in.ServiceAddress, in.Driver, in.Endpoint); err != nil {
		return nil, err
	}
	return checkLabels(in.Labels)
}

func (f *Fleet) checkNodeUpdate(ctx context.Context, row *ent.Node, in orchestrator.NodeUpdate) (nodeChange, error) {
	change := nodeChange{NodeUpdate: in}
	if err := f.checkAccess(string(row.Driver), in.Access); err != nil {
		return change, err
	}
	if in.ServiceAddress != nil {
		if err := f.checkServiceAddress(ctx, *in.ServiceAddress, string(row.Driver), row.Endpoint); err != nil {
			return change, err
		}
	}
	var err error
	change.labels, err = checkLabels(in.Labels)
	return change, err
}

func (f *Fleet) checkAccess(driver string, a orchestrator.Access) error {
	switch {
	case f.opts.Drivers[driver].Keys:
		return nil
	case a.TLS != nil:
		return orchestrator.Errorf(orchestrator.InvalidInput, "tls", "a %s node is reached without keys; leave it out", driver)
	case a.SSH != nil:
		return orchestrator.Errorf(orchestrator.InvalidInput, "ssh", "a %s node is reached without keys; leave it out", driver)
	}
	return nil
}

// hostName is what RFC 1123 allows.
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)

// checkServiceAddress checks the address of a node's services. It must not be loopback for an engine on another machine,
// and must be this machine's for a node on it, whose instances listen there.
func (f *Fleet) checkServiceAddress(ctx context.Context, address, driver, endpoint string) error {
	fail := func(format string, args ...any) error {
		return orchestrator.Errorf(orchestrator.InvalidInput, "serviceAddress", format, args...)
	}
	ip := net.ParseIP(address)
	switch {
	case ip == nil && !hostName.MatchString(address):
		return fail("must be an IP address or a host name, on which clients reach the node")
	case ip != nil && (ip.IsUnspecified() || ip.IsMulticast() || ip.Equal(net.IPv4bcast)):
		return fail("%s is no address on which clients reach one node; give the node's own", address)
	}
	loopback := ip != nil && ip.IsLoopback() || strings.EqualFold(address, "localhost") || strings.HasSuffix(strings.ToLower(address), ".localhost")
	// An endpoint of neither form is for the driver to refuse: the service address is not what is wrong with it.
	remote := strings.HasPrefix(endpoint, "tcp://") || strings.HasPrefix(endpoint, "ssh://")
	local := f.opts.Drivers[driver].Endpoint != ""
	if !local && remote && loopback {
		return fail("%s is this machine, and the engine is on another; give the address on which clients reach that one", address)
	}
	if local {
		if _, err := f.ListenAddress(ctx, address); err != nil {
			return fail("%s", err)
		}
	}
	return nil
}

const (
	maxLabelName = 63
	labelForm    = "1 to 63 of a-z, 0-9, '-', '_', '.' and '/', beginning and ending with a letter or digit"
)

var (
	labelName  = regexp.MustCompile(`^[a-z0-9]([a-z0-9._/-]*[a-z0-9])?$`)
	labelValue = regexp.MustCompile(`^[A-Za-z0-9._/:@+-]*$`)
)

// checkLabels checks the labels of a node and returns them by name. The labels of a launch are checked less strictly: no
// node need have them.
func checkLabels(labels []orchestrator.Label) (map[string]string, error) {
	byName, err := orchestrator.NodeLabels("labels", labels)
	if err != nil {
		return nil, err
	}
	for i, l := range labels {
		at := fmt.Sprintf("labels[%d]", i)
		if len(l.Name) > maxLabelName || !labelName.MatchString(l.Name) {
			return nil, orchestrator.Errorf(orchestrator.InvalidInput, at+".name", "must be %s", labelForm)
		}
		if !labelValue.MatchString(l.Value) {
			return nil, orchestrator.Errorf(orchestrator.InvalidInput, at+".value", "must be of letters, digits and . _ / : @ + -")
		}
	}
	return byName, nil
}
