package catalog

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/unicorn-web-services/uws/internal/clean"
)

// Values are the values of a template's placeholders for one service.
type Values struct {
	Data    string // ${data}: absolute path
	Config  string // ${config}: absolute path
	Address string // ${address}: IP address to listen on; an IPv6 address is in brackets if a ':' follows
	Host    string // ${host} and ${hostname}: where clients reach the node; ${host} has brackets around an IPv6 address
	// Ports by name: those that the engine listens on for [Runtime.Resolve], those that clients connect to for
	// [Template.EndpointFor].
	Ports       map[string]int
	Credentials map[string]string // secret
	ServiceID   string
	ServiceName string
}

// Resolve returns the runtime with the placeholders in Args, Env and Files replaced, including those of Init. Errors
// name the place and the placeholder, never a value.
func (r Runtime) Resolve(v Values) (Runtime, error) {
	r = r.clone()
	if err := v.fill("", r.Args, r.Env, r.Files); err != nil {
		return Runtime{}, err
	}
	if r.Init != nil {
		if err := v.inInit().fill("init.", r.Init.Args, r.Init.Env, nil); err != nil {
			return Runtime{}, err
		}
	}
	return r, nil
}

// Every returns the args and files of Always and AlwaysFiles, with the placeholders replaced.
func (r Runtime) Every(v Values) (args []string, files map[string]string, err error) {
	args, files = slices.Clone(r.Always), map[string]string{}
	for _, name := range r.AlwaysFiles {
		files[name] = r.Files[name]
	}
	return args, files, v.fill("always.", args, nil, files)
}

// inInit returns the values for an [Init], whose working folder is the data folder.
func (v Values) inInit() Values {
	v.Data = "."
	return v
}

// fill replaces the placeholders in args, env and files.
func (v Values) fill(at string, args []string, env, files map[string]string) error {
	for i, s := range args {
		out, err := v.expand(s, inArgs)
		if err != nil {
			return fmt.Errorf("%sargs[%d]: %w", at, i, err)
		}
		args[i] = out
	}
	for _, part := range []struct {
		name string
		in   map[string]string
		use  scope
	}{{"env", env, inEnv}, {"files", files, inFiles}} {
		for _, key := range slices.Sorted(maps.Keys(part.in)) {
			out, err := v.expand(part.in[key], part.use)
			if err != nil {
				return fmt.Errorf("%s%s.%s: %w", at, part.name, key, err)
			}
			part.in[key] = out
		}
	}
	return nil
}

// EndpointFor returns the URL for clients.
func (t Template) EndpointFor(v Values) (string, error) {
	fixed := make(map[string]string)
	for _, c := range t.Credentials {
		if c.Value != "" {
			fixed[c.Name] = c.Value
		}
	}
	v.Credentials = fixed
	out, err := v.expand(t.Endpoint, inEndpoint)
	if err != nil {
		return "", fmt.Errorf("endpoint: %w", err)
	}
	return out, nil
}

// scope is where a placeholder stands. It determines which placeholders are allowed.
type scope int

const (
	inArgs scope = iota
	inEnv
	inFiles
	inEndpoint
	inConnection
)

// forClients reports whether a text is for clients of the service, which cannot use the engine's folders.
func (s scope) forClients() bool { return s == inEndpoint || s == inConnection }

// expand replaces the placeholders of s. It does not expand the inserted values.
func (v Values) expand(s string, in scope) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "$")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		if after, ok := strings.CutPrefix(rest, "$"); ok {
			b.WriteByte('$')
			s = after
			continue
		}
		if !strings.HasPrefix(rest, "{") {
			return "", fmt.Errorf("a single $: write $$ for a dollar sign, or ${name} for a placeholder")
		}
		name, after, ok := strings.Cut(rest[1:], "}")
		if !ok {
			return "", fmt.Errorf("${ without its }: write ${name} for a placeholder, or $$ for a dollar sign")
		}
		value, err := v.lookup(name, in)
		if err != nil {
			return "", err
		}
		if name == "address" && strings.HasPrefix(after, ":") {
			value = bracketed(value)
		}
		if in == inConnection {
			if value, err = encode(b.String(), name, value); err != nil {
				return "", err
			}
		}
		b.WriteString(value)
		s = after
	}
}

func (v Values) lookup(name string, in scope) (string, error) {
	value, ok := v.get(name, in)
	if !ok {
		if strings.HasPrefix(name, "credential.") && in == inArgs {
			return "", fmt.Errorf("%s puts a credential on the command line, where every user of the machine can read it: use env or files", show(name))
		}
		return "", fmt.Errorf("%s does not exist here; there is %s", show(name), strings.Join(v.names(in), ", "))
	}
	if strings.ContainsRune(value, 0) {
		return "", fmt.Errorf("the value of %s holds a NUL character", show(name))
	}
	if in == inFiles && strings.ContainsAny(value, "\"\\\n\r") {
		return "", fmt.Errorf("the value of %s holds a quote, a backslash or a line break, which could break the configuration file: choose another", show(name))
	}
	return value, nil
}

func (v Values) get(name string, in scope) (string, bool) {
	if group, key, ok := strings.Cut(name, "."); ok && key != "" {
		switch group {
		case "port":
			n, ok := v.Ports[key]
			return strconv.Itoa(n), ok
		case "credential":
			value, ok := v.Credentials[key]
			return value, ok && in != inArgs
		}
	}
	switch name {
	case "host":
		return bracketed(v.Host), true
	case "hostname":
		return v.Host, true
	case "service.id":
		return v.ServiceID, true
	case "service.name":
		return v.ServiceName, true
	}
	if in.forClients() {
		return "", false
	}
	switch name {
	case "data":
		return v.Data, true
	case "config":
		return v.Config, true
	case "address":
		return v.Address, true
	}
	return "", false
}

// bracketed returns a host as it is written before a port: with brackets around an IPv6 address.
func bracketed(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
		return "[" + host + "]"
	}
	return host
}

// names returns the placeholders that are allowed in a scope.
func (v Values) names(in scope) []string {
	names := []string{"${host}", "${hostname}", "${service.id}", "${service.name}"}
	if !in.forClients() {
		names = append(names, "${data}", "${config}", "${address}")
	}
	for key := range v.Ports {
		names = append(names, "${port."+key+"}")
	}
	if in != inArgs {
		for key := range v.Credentials {
			names = append(names, "${credential."+key+"}")
		}
	}
	slices.Sort(names)
	return names
}

// maxQuoted is the maximum number of characters of a file that a message quotes.
const maxQuoted = 80

// show quotes a placeholder of an untrusted file for a message.
func show(name string) string { return clean.Clip(strconv.Quote("${"+name+"}"), maxQuoted) }
