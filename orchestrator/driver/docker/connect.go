package docker

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
	// dialTimeout is for one connection of the network or of a socket, without encryption.
	dialTimeout = 4 * time.Second
	// handshakeTimeout is for the encryption of it, and for the login of ssh.
	handshakeTimeout = 15 * time.Second
)

// DefaultSocket is where an engine listens if nobody said otherwise.
const DefaultSocket = "/var/run/docker.sock"

// Connection says how a Docker Engine is reached. It holds secrets, which do not show when it is printed.
type Connection struct {
	// Endpoint is one of
	//
	//	unix:///path/of/docker.sock
	//	tcp://host:port                                (with TLS)
	//	ssh://user@host[:22][/path/of/docker.sock]     (with SSH)
	Endpoint string
	TLS      *TLS // of a tcp endpoint; nil elsewhere
	SSH      *SSH // of an ssh endpoint; nil elsewhere

	// AllowPlaintext lets a tcp endpoint be without TLS. Whoever can reach its port is root there.
	AllowPlaintext bool
}

// TLS holds PEM blocks. The engine's certificate must be signed by CA and contain the endpoint's host name or
// address. Certificate and Key are ours, which the engine must trust.
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

// endpoint is an Endpoint taken apart.
type endpoint struct {
	scheme  string // unix, tcp, ssh
	user    string // ssh
	address string // host:port; tcp, ssh
	host    string // of address
	socket  string // unix, ssh
}

const endpointForms = "unix:///var/run/docker.sock, tcp://host:2376 or ssh://user@host"

// Validate says what is wrong with the settings, and what would be right, in a [driver.Error] of class Invalid with
// its Field. It connects to nothing.
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

func (c Connection) validateKeys(to endpoint) error {
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

// Dial makes a client of the engine, without waiting for the engine: it connects with the first request, and again
// whenever a connection broke. The client negotiates the version of the API, has no time limit of its own and follows
// no proxy. Closing it closes all connections that no request uses.
//
// The error is that of [Connection.Validate]. Errors of the client's methods are for [explain], which see.
//
// A tcp endpoint that is neither encrypted nor allowed to be plain makes a client all of whose requests fail with that
// reason, so that a node which was registered when it was allowed does not stand in the way of the others.
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
		host = "http://" + to.address // what the client makes of it is only text: it dials through ours
	}
	cli, err := client.NewClientWithOpts(
		client.WithHTTPClient(&http.Client{Transport: transport, CheckRedirect: client.CheckRedirect}),
		client.WithHost(host),
		client.WithAPIVersionNegotiation(),
	)
	if err != nil {
		return nil, invalid("endpoint", "%w", err)
	}
	// The client has set these for its host by now.
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

// Check connects once, and returns an error unless a supported engine answers.
func (c Connection) Check(ctx context.Context) error {
	cli, err := c.Dial()
	if err != nil {
		return err
	}
	defer cli.Close()
	return checkEngine(ctx, cli)
}

// Host is the host name or address of a remote engine, and empty for one on this machine's own socket.
func (c Connection) Host() string {
	to, err := parseEndpoint(c.Endpoint)
	if err != nil {
		return ""
	}
	return to.host
}

// checkEngine asks an engine whether it is there and new enough. Its errors are classified and in plain words: what
// does not answer, is no Docker Engine (what speaks its API, such as Podman, counts as one) or has an API older
// than [OldestAPI] is Unreachable. It also agrees on the version of the API: call it before the client's Events.
func checkEngine(ctx context.Context, cli *client.Client) error {
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
	cli.NegotiateAPIVersionPing(ping) // now: the client's own way of doing so later races with its Events and lists
	if ping.OSType != "" && ping.OSType != "linux" {
		return driver.FieldError(driver.Unreachable, "endpoint", "the engine runs containers of %s, and uws needs one that runs those of Linux", ping.OSType)
	}
	return nil
}

func invalid(field, format string, args ...any) error {
	return driver.FieldError(driver.Invalid, field, format, args...)
}

// hostName is what RFC 1123 allows, and the underscore, which some name servers do too.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?$`)

// maxSocket is the longest path of a socket that Linux can connect to.
const maxSocket = 107

// parseEndpoint never quotes what it was given before it is known to hold no password.
func parseEndpoint(text string) (endpoint, error) {
	fail := func(format string, args ...any) (endpoint, error) {
		return endpoint{}, invalid("endpoint", format, args...)
	}
	scheme, _, ok := strings.Cut(text, "://")
	switch {
	case !ok:
		return fail("must be a URL such as %s", endpointForms)
	case scheme == "http" || scheme == "https" || scheme == "npipe":
		return fail("%q is no way to reach a Docker Engine; must be like %s", scheme+"://", endpointForms)
	case scheme != "unix" && scheme != "tcp" && scheme != "ssh": // and may be a secret
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
		return unixEndpoint(u)
	}
	to := endpoint{scheme: scheme, user: u.User.Username(), host: u.Hostname()}
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

func unixEndpoint(u *url.URL) (endpoint, error) {
	if u.Host != "" || u.Path == "" {
		return endpoint{}, invalid("endpoint", "must hold an absolute path, as in unix://%s", DefaultSocket)
	}
	return endpoint{scheme: "unix", socket: u.Path}, checkSocket(u.Path)
}

func checkSocket(socket string) error {
	if len(socket) > maxSocket || path.Clean(socket) != socket || strings.ContainsFunc(socket, unicode.IsControl) {
		return invalid("endpoint", "must hold the plain path of a socket, of at most %d bytes, such as %s", maxSocket, DefaultSocket)
	}
	return nil
}

// plainWord reports whether s could not be taken for a flag or for several words.
func plainWord(s string) bool {
	return s != "" && s[0] != '-' && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) })
}

// printable shortens s and drops what would not show.
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
