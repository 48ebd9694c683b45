// Package endpoint connects to Docker Engines: by a local socket, by TLS, or through ssh. It says in plain words why one
// cannot be reached.
package endpoint

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// OldestAPI is the oldest version of the engine's API that uws works with, that of Docker Engine 20.10.
const OldestAPI = "1.41"

const (
	// dialTimeout bounds one connection of the network or of a socket, without encryption.
	dialTimeout = 4 * time.Second
	// handshakeTimeout bounds the handshake of TLS and the login of ssh.
	handshakeTimeout = 15 * time.Second
)

// DefaultSocket is the path of the socket that an engine listens at by default.
const DefaultSocket = "/var/run/docker.sock"

// Connection describes how to reach a Docker Engine. Its secrets do not show when it is printed.
type Connection struct {
	// Endpoint is one of
	//
	//	unix:///path/of/docker.sock
	//	tcp://host:port                                (with TLS)
	//	ssh://user@host[:22][/path/of/docker.sock]     (with SSH)
	Endpoint string
	TLS      *TLS // of a tcp endpoint; nil elsewhere
	SSH      *SSH // of an ssh endpoint; nil elsewhere

	// AllowPlaintext allows a tcp endpoint without TLS. Whoever can reach its port is root there.
	AllowPlaintext bool
}

// TLS holds PEM blocks. The engine's certificate must be signed by CA and contain the endpoint's host name or address.
// Certificate and Key are those of the client, which the engine must trust.
type TLS struct {
	CA, Certificate string
	Key             driver.Secret
}

// SSH holds the private key that the user of the endpoint logs in with, in PEM and without a passphrase, and the keys
// that the host may show, as lines of a known_hosts or an authorized_keys file.
type SSH struct {
	PrivateKey driver.Secret
	HostKey    string
}

// target is an Endpoint taken apart.
type target struct {
	scheme  string // unix, tcp, ssh
	user    string // ssh
	address string // host:port; tcp, ssh
	host    string // of address
	socket  string // unix, ssh
}

const endpointForms = "unix:///var/run/docker.sock, tcp://host:2376 or ssh://user@host"

// Validate returns a [driver.Error] of class Invalid, with its Field, if the settings are wrong. The text says what would be
// right. It does not connect.
func (c Connection) Validate() error {
	to, err := parseEndpoint(c.Endpoint)
	if err != nil {
		return err
	}
	if to.scheme == "tcp" && c.TLS == nil && !c.AllowPlaintext {
		return invalid("tls", "%s", refusedPlain)
	}
	return c.validateKeys(to)
}

const refusedPlain = "an endpoint without encryption is refused: anybody who can reach its port is root on that machine. " +
	"Let the engine listen with --tlsverify, and give tls.ca, tls.certificate and tls.key; or start uws with --allow-unencrypted-docker-tcp"

func (c Connection) validateKeys(to target) error {
	switch {
	case c.TLS != nil && to.scheme != "tcp":
		return invalid("tls", "is for tcp:// endpoints only; leave it out")
	case c.SSH != nil && to.scheme != "ssh":
		return invalid("ssh", "is for ssh:// endpoints only; leave it out")
	case c.TLS != nil:
		_, err := c.TLS.config(to.host)
		return err
	case to.scheme == "ssh" && c.SSH == nil:
		return invalid("ssh.privateKey", "is missing: give the private key, in PEM, with which %s logs in at %s", to.user, to.host)
	case to.scheme == "ssh":
		_, err := c.SSH.config(to)
		return err
	}
	return nil
}

// Dial returns a client of the engine. The client connects with its first request, and again after a connection broke. It
// negotiates the version of the API, has no timeout and uses no proxy. Closing it closes all connections that no request uses.
//
// Errors: those of [Connection.Validate]. Errors of the client's methods must be passed to [Explain].
//
// If a tcp endpoint is neither encrypted nor allowed to be plain, Dial succeeds and all requests of the client fail with that
// reason: a node that was registered when it was allowed must not keep uws from starting.
func (c Connection) Dial() (*client.Client, error) {
	to, err := parseEndpoint(c.Endpoint)
	if err != nil {
		return nil, err
	}
	if err := c.validateKeys(to); err != nil {
		return nil, err
	}
	transport := &http.Transport{MaxIdleConns: 6, IdleConnTimeout: 30 * time.Second}
	host := c.Endpoint
	if to.scheme == "ssh" {
		host = "http://" + to.address // only a name for the client, which dials through the transport
	}
	cli, err := client.NewClientWithOpts(
		client.WithHTTPClient(&http.Client{Transport: transport, CheckRedirect: client.CheckRedirect}),
		client.WithHost(host),
		client.WithAPIVersionNegotiation(),
	)
	if err != nil {
		return nil, invalid("endpoint", "%w", err)
	}
	// The client has set these for its host.
	transport.Proxy = nil
	transport.DisableCompression = true
	switch {
	case to.scheme == "unix":
		transport.DialContext = dialer{network: "unix", address: to.socket}.dial
	case to.scheme == "ssh":
		config, _ := c.SSH.config(to) // validated above
		transport.DialContext = newTunnel(to, config).dial
	case c.TLS != nil:
		config, _ := c.TLS.config(to.host) // validated above
		transport.TLSClientConfig = config
		transport.DialTLSContext = tlsDialer{dialer{network: "tcp", address: to.address}, config}.dial
		return cli, client.WithScheme("https")(cli)
	case c.AllowPlaintext:
		transport.DialContext = dialer{network: "tcp", address: to.address}.dial
	default:
		transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
			return nil, driver.FieldError(driver.Unreachable, "tls", "%s", refusedPlain)
		}
	}
	return cli, nil
}

// Check connects once. It returns an error unless a supported engine answers.
func (c Connection) Check(ctx context.Context) error {
	cli, err := c.Dial()
	if err != nil {
		return err
	}
	defer cli.Close()
	return Check(ctx, cli)
}

// Host returns the host name or address of a remote engine; empty for a socket of this machine.
func (c Connection) Host() string {
	to, err := parseEndpoint(c.Endpoint)
	if err != nil {
		return ""
	}
	return to.host
}

// Check pings an engine and negotiates the version of the API. Call it before the client's Events.
// Errors: [driver.Unreachable] if nothing answers, if what answers does not speak the API of Docker (Podman does), or if the
// API is older than [OldestAPI].
func Check(ctx context.Context, cli *client.Client) error {
	ping, err := cli.Ping(ctx)
	switch {
	case err != nil && ping.APIVersion != "":
		return driver.Errorf(driver.Unreachable, "the engine is in trouble: %w", err)
	case err != nil:
		return explainPing(err)
	case ping.APIVersion == "":
		return driver.FieldError(driver.Unreachable, "endpoint", notAnEngine)
	case versions.LessThan(ping.APIVersion, OldestAPI):
		return driver.FieldError(driver.Unreachable, "endpoint", "the engine is too old: its API is version %s, and uws needs at least %s, that of Docker Engine 20.10",
			ping.APIVersion, OldestAPI)
	}
	cli.NegotiateAPIVersionPing(ping) // the client's own negotiation races with its Events and lists
	if ping.OSType != "" && ping.OSType != "linux" {
		return driver.FieldError(driver.Unreachable, "endpoint", "the engine runs containers of %s, and uws needs one that runs those of Linux", ping.OSType)
	}
	return nil
}

func invalid(field, format string, args ...any) error {
	return driver.FieldError(driver.Invalid, field, format, args...)
}

// hostName matches the host names of RFC 1123, and those with underscores, which some name servers have.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?$`)

// maxSocket is the length in bytes of the longest path of a socket on Linux.
const maxSocket = 107

// parseEndpoint takes an Endpoint apart. Its errors do not quote text that may be a password.
func parseEndpoint(text string) (target, error) {
	fail := func(format string, args ...any) (target, error) {
		return target{}, invalid("endpoint", format, args...)
	}
	scheme, _, ok := strings.Cut(text, "://")
	switch {
	case !ok:
		return fail("must be a URL such as %s", endpointForms)
	case scheme == "http" || scheme == "https" || scheme == "npipe":
		return fail("%q is no way to reach a Docker Engine; must be like %s", scheme+"://", endpointForms)
	case scheme != "unix" && scheme != "tcp" && scheme != "ssh": // it may be a secret
		return fail("must be like %s", endpointForms)
	case strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }):
		return fail("must not hold spaces or control characters")
	}
	u, err := url.Parse(text)
	if err != nil {
		return fail("must be a URL such as %s", endpointForms)
	}
	_, password := u.User.Password()
	switch {
	case password && scheme == "ssh":
		return fail("must not hold a password; give ssh.privateKey instead")
	case u.User != nil && scheme != "ssh":
		return fail("must not hold a user; only ssh:// endpoints do")
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery || u.Opaque != "":
		return fail("must end after its host, port and path, without ? and #")
	}
	if scheme == "unix" {
		return unixTarget(u)
	}
	to := target{scheme: scheme, user: u.User.Username(), host: u.Hostname()}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case net.ParseIP(to.host) == nil && !hostName.MatchString(to.host):
		return fail("%q is neither a host name nor an IP address", printable(to.host))
	case scheme == "ssh" && u.Port() == "" && !strings.HasSuffix(u.Host, ":"):
		port = 22
	case err != nil || port == 0:
		return fail("must name a port of 1 to 65535, such as %s", endpointForms)
	}
	to.address = net.JoinHostPort(to.host, strconv.FormatUint(port, 10))
	if scheme == "tcp" {
		if u.Path != "" && u.Path != "/" {
			return fail("must end after its port, as in tcp://host:2376")
		}
		return to, nil
	}
	if !plainWord(to.user) {
		return fail("must name the user to log in as, as in ssh://user@host, which does not begin with - or hold spaces or control characters")
	}
	if to.socket = u.Path; to.socket == "" || to.socket == "/" {
		to.socket = DefaultSocket
	}
	return to, checkSocket(to.socket)
}

func unixTarget(u *url.URL) (target, error) {
	if u.Host != "" || u.Path == "" {
		return target{}, invalid("endpoint", "must hold an absolute path, as in unix://%s", DefaultSocket)
	}
	return target{scheme: "unix", socket: u.Path}, checkSocket(u.Path)
}

func checkSocket(socket string) error {
	if len(socket) > maxSocket || path.Clean(socket) != socket || strings.ContainsFunc(socket, unicode.IsControl) {
		return invalid("endpoint", "must hold the plain path of a socket, of at most %d bytes, such as %s", maxSocket, DefaultSocket)
	}
	return nil
}

// plainWord reports whether s is one word and not a flag.
func plainWord(s string) bool {
	return s != "" && s[0] != '-' && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) })
}

// printable returns the printable characters of s, at most 64 bytes.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
	if len(s) > 64 {
		s = s[:64]
	}
	return s
}
