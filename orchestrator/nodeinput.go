package orchestrator

import (
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/unicorn-web-services/uws/ent"
	entnode "github.com/unicorn-web-services/uws/ent/node"
)

// checkNodeInput checks what can be checked without the node, and gives its labels by name.
func (o *Orchestrator) checkNodeInput(in NodeInput) (labels map[string]string, err error) {
	if err := checkName("input.name", in.Name); err != nil {
		return nil, err
	}
	for _, n := range o.allNodes() {
		row := n.current()
		switch {
		case n.name == in.Name:
			return nil, Errorf(Conflict, "input.name", "input.name: there is a node %q already", in.Name)
		case string(row.Driver) == in.Driver && (row.Endpoint == in.Endpoint || in.Driver == "PROCESS"):
			return nil, Errorf(Conflict, "input.endpoint", "input.endpoint: node %q is this one already", n.name)
		}
	}
	if in.Driver == "PROCESS" && in.Endpoint != o.opts.ProcessEndpoint {
		return nil, Errorf(InvalidInput, "input.endpoint", "input.endpoint: a PROCESS node is this machine; its endpoint must be %q", o.opts.ProcessEndpoint)
	}
	if err := checkAccess(in.Driver, in.Access); err != nil {
		return nil, err
	}
	if err := checkServiceAddress(in.ServiceAddress, in.Driver, in.Endpoint); err != nil {
		return nil, err
	}
	return checkLabels(in.Labels)
}

func (o *Orchestrator) checkNodeUpdate(row *ent.Node, in NodeUpdate) (nodeChange, error) {
	change := nodeChange{NodeUpdate: in}
	if err := checkAccess(string(row.Driver), in.Access); err != nil {
		return change, err
	}
	if in.ServiceAddress != nil {
		if err := checkServiceAddress(*in.ServiceAddress, string(row.Driver), row.Endpoint); err != nil {
			return change, err
		}
	}
	var err error
	change.labels, err = checkLabels(in.Labels)
	return change, err
}

func checkAccess(driver string, a Access) error {
	switch {
	case driver == string(entnode.DriverDOCKER):
		return nil
	case a.TLS != nil:
		return Errorf(InvalidInput, "input.tls", "input.tls: a %s node is reached without keys; leave it out", driver)
	case a.SSH != nil:
		return Errorf(InvalidInput, "input.ssh", "input.ssh: a %s node is reached without keys; leave it out", driver)
	}
	return nil
}

// hostName is what RFC 1123 allows.
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)

// checkServiceAddress checks the address of a node's services. Clients of one on another machine cannot reach them on
// loopback.
func checkServiceAddress(address, driver, endpoint string) error {
	const field = "input.serviceAddress"
	fail := func(format string, args ...any) error {
		return Errorf(InvalidInput, field, field+": "+format, args...)
	}
	ip := net.ParseIP(address)
	switch {
	case ip == nil && !hostName.MatchString(address):
		return fail("must be an IP address or a host name, on which clients reach the node")
	case ip != nil && (ip.IsUnspecified() || ip.IsMulticast() || ip.Equal(net.IPv4bcast)):
		return fail("%s is no address on which clients reach one node; give the node's own", address)
	}
	loopback := ip != nil && ip.IsLoopback() || strings.EqualFold(address, "localhost") || strings.HasSuffix(strings.ToLower(address), ".localhost")
	if remote := driver == string(entnode.DriverDOCKER) && !strings.HasPrefix(endpoint, "unix://"); remote && loopback {
		return fail("%s is this machine, and the engine is on another; give the address on which clients reach that one", address)
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

// checkLabels checks the labels that a node is given, and gives them by name. What launches ask for is looser: it may
// name what no node has.
func checkLabels(labels []NodeLabel) (map[string]string, error) {
	byName, err := nodeLabels("input.labels", labels)
	if err != nil {
		return nil, err
	}
	for i, l := range labels {
		at := fmt.Sprintf("input.labels[%d]", i)
		if len(l.Name) > maxLabelName || !labelName.MatchString(l.Name) {
			return nil, Errorf(InvalidInput, at+".name", "%s.name: must be %s", at, labelForm)
		}
		if !labelValue.MatchString(l.Value) {
			return nil, Errorf(InvalidInput, at+".value", "%s.value: must be of letters, digits and . _ / : @ + -", at)
		}
	}
	return byName, nil
}
