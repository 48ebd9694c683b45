package endpoint

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/events"
	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/drivertest"
	"github.com/unicorn-web-services/uws/test/dockertest"
)

// start starts an engine that is killed at the test's end.
func start(t *testing.T, flags ...string) *dockertest.Engine {
	t.Helper()
	engine, err := dockertest.Start(flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Stop() })
	return engine
}

// wantError checks an error's class, field and text.
func wantError(t *testing.T, err error, class driver.Class, field string, texts ...string) {
	t.Helper()
	classified, ok := errors.AsType[*driver.Error](err)
	if !ok {
		t.Errorf("got %v (%T), want a classified error", err, err)
		return
	}
	if classified.Class != class || classified.Field != field {
		t.Errorf("got class %d of field %q, want %d of %q: %v", classified.Class, classified.Field, class, field, err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("got %q, want %q in it", err, text)
		}
	}
	if strings.Contains(err.Error(), "PRIVATE") && strings.Contains(err.Error(), "MII") {
		t.Errorf("a key shows: %v", err)
	}
}

// check asks the engine of a connection, with patience for a slow machine.
func check(t *testing.T, c Connection) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return c.Check(ctx)
}

func TestValidate(t *testing.T) {
	ca := dockertest.NewAuthority(t, "ca")
	keys := trusting(ca, ca.Issue(nil))
	other := ca.Issue(nil)
	login := newLogin(t)
	with := func(edit func(*TLS)) Connection {
		changed := *keys
		edit(&changed)
		return Connection{Endpoint: "tcp://h:1", TLS: &changed}
	}
	tests := []struct {
		name  string
		c     Connection
		field string // empty: it is right
		want  string
	}{
		{"unix", Connection{Endpoint: "unix:///a/b.sock"}, "", ""},
		{"tcp", Connection{Endpoint: "tcp://h.example:2376", TLS: keys}, "", ""},
		{"tcp, an address", Connection{Endpoint: "tcp://[fd00::1]:2376/", TLS: keys}, "", ""},
		{"plain tcp, allowed", Connection{Endpoint: "tcp://h:1", AllowPlaintext: true}, "", ""},
		{"ssh", Connection{Endpoint: "ssh://me@h", SSH: login}, "", ""},
		{"ssh, port and socket", Connection{Endpoint: "ssh://me@h:23/a/b.sock", SSH: login}, "", ""},

		{"empty", Connection{}, "endpoint", "must be a URL such as unix:///var/run/docker.sock, tcp://host:2376 or ssh://user@host"},
		{"http", Connection{Endpoint: "http://h:1"}, "endpoint", `"http://" is no way to reach a Docker Engine; must be like unix`},
		{"https", Connection{Endpoint: "https://h:1"}, "endpoint", "tcp://host:2376"},
		{"relative socket", Connection{Endpoint: "unix://a.sock"}, "endpoint", "absolute path"},
		{"no socket", Connection{Endpoint: "unix://"}, "endpoint", "absolute path"},
		{"long socket", Connection{Endpoint: "unix:///" + strings.Repeat("a", 107)}, "endpoint", "at most 107 bytes"},
		{"socket with dots", Connection{Endpoint: "unix:///a/../b"}, "endpoint", "plain path"},
		{"no port", Connection{Endpoint: "tcp://h", TLS: keys}, "endpoint", "must name a port"},
		{"port 0", Connection{Endpoint: "tcp://h:0", TLS: keys}, "endpoint", "must name a port"},
		{"large port", Connection{Endpoint: "tcp://h:65536", TLS: keys}, "endpoint", "must name a port"},
		{"no host", Connection{Endpoint: "tcp://:1", TLS: keys}, "endpoint", "neither a host name nor an IP address"},
		{"dash", Connection{Endpoint: "tcp://-h:1", TLS: keys}, "endpoint", "neither a host name nor an IP address"},
		{"path", Connection{Endpoint: "tcp://h:1/x", TLS: keys}, "endpoint", "must end after its port"},
		{"query", Connection{Endpoint: "tcp://h:1?x", TLS: keys}, "endpoint", "without ?"},
		{"user", Connection{Endpoint: "tcp://me@h:1", TLS: keys}, "endpoint", "must not hold a user"},
		{"space", Connection{Endpoint: "tcp://h :1", TLS: keys}, "endpoint", "spaces"},
		{"line", Connection{Endpoint: "ssh://me@h\nx", SSH: login}, "endpoint", "control characters"},
		{"ssh, no user", Connection{Endpoint: "ssh://h", SSH: login}, "endpoint", "must name the user"},
		{"ssh, option as host", Connection{Endpoint: "ssh://me@-oProxyCommand=x", SSH: login}, "endpoint", "neither a host name"},
		{"ssh, option as user", Connection{Endpoint: "ssh://-lroot@h", SSH: login}, "endpoint", "does not begin with -"},
		{"ssh, hidden line", Connection{Endpoint: "ssh://a%0ab@h", SSH: login}, "endpoint", "control characters"},
		{"ssh, hidden space", Connection{Endpoint: "ssh://a%20b@h", SSH: login}, "endpoint", "spaces"},
		{"ssh, password", Connection{Endpoint: "ssh://me:hunter2@h", SSH: login}, "endpoint", "must not hold a password"},
		{"ssh, empty port", Connection{Endpoint: "ssh://me@h:", SSH: login}, "endpoint", "must name a port"},
		{"ssh, hidden in the socket", Connection{Endpoint: "ssh://me@h/a%0ab", SSH: login}, "endpoint", "plain path"},

		{"plain tcp", Connection{Endpoint: "tcp://h:1"}, "tls", "anybody who can reach its port is root"},
		{"TLS elsewhere", Connection{Endpoint: "unix:///a", TLS: keys}, "tls", "tcp:// endpoints only"},
		{"SSH elsewhere", Connection{Endpoint: "unix:///a", SSH: login}, "ssh", "ssh:// endpoints only"},
		{"no CA", with(func(k *TLS) { k.CA = "" }), "tls.ca", "is missing"},
		{"no certificate", with(func(k *TLS) { k.Certificate = "" }), "tls.certificate", "is missing"},
		{"no key", with(func(k *TLS) { k.Key = "" }), "tls.key", "is missing"},
		{"CA is text", with(func(k *TLS) { k.CA = "x" }), "tls.ca", "must be PEM"},
		{"CA is a key", with(func(k *TLS) { k.CA = string(k.Key) }), "tls.ca", "must be a CERTIFICATE, not a PRIVATE KEY"},
		{"CA with a key", with(func(k *TLS) { k.CA += string(k.Key) }), "tls.ca", "certificates only"},
		{"CA is damaged", with(func(k *TLS) { k.CA = dockertest.EncodePEM("CERTIFICATE", []byte("x")) }), "tls.ca", "is no certificate"},
		{"certificate is damaged", with(func(k *TLS) { k.Certificate = dockertest.EncodePEM("CERTIFICATE", []byte("x")) }), "tls.certificate", "is no certificate"},
		{"keys swapped", with(func(k *TLS) { k.Key = driver.Secret(k.Certificate) }), "tls.key", "must be a PRIVATE KEY, not a CERTIFICATE"},
		{"another key", with(func(k *TLS) { k.Key = driver.Secret(other.Key) }), "tls.key", "must be the private key of tls.certificate"},
		{"no login", Connection{Endpoint: "ssh://me@h"}, "ssh.privateKey", "is missing"},
		{"empty login", Connection{Endpoint: "ssh://me@h", SSH: &SSH{}}, "ssh.privateKey", "is missing"},
		{"login is text", Connection{Endpoint: "ssh://me@h", SSH: &SSH{PrivateKey: "hunter2"}}, "ssh.privateKey", "must be a private key"},
		{"login with passphrase", Connection{Endpoint: "ssh://me@h", SSH: &SSH{PrivateKey: lockedKey(t)}}, "ssh.privateKey", "passphrase"},
		{"host key is text", Connection{Endpoint: "ssh://me@h", SSH: &SSH{PrivateKey: login.PrivateKey, HostKey: "x"}}, "ssh.hostKey", "ssh-keyscan"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.c.Validate()
			if tt.field == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantError(t, err, driver.Invalid, tt.field, tt.want)
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a password shows: %v", err)
			}
			if _, err := tt.c.Dial(); err == nil && tt.name != "plain tcp" {
				t.Error("it was dialled")
			}
		})
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	c := Connection{TLS: &TLS{Key: "hunter2"}, SSH: &SSH{PrivateKey: "hunter2"}}
	var out strings.Builder
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "c", c, "tls", c.TLS, "key", c.TLS.Key)
	fmt.Fprintf(&out, "%v %+v %#v %s %v %#v %q", c, c, c, *c.TLS, c.SSH, *c.SSH, c.TLS.Key)
	if strings.Contains(out.String(), "hunter2") {
		t.Errorf("got %s", out.String())
	}
}

// use does what a driver does: it asks, and listens to events meanwhile. Closing the client ends all.
func use(t *testing.T, c Connection) {
	t.Helper()
	cli, err := c.Dial()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := Check(ctx, cli); err != nil { // first: it also agrees on a version
		t.Fatal(err)
	}
	messages, failed := cli.Events(ctx, events.ListOptions{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := cli.Info(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := cli.ClientVersion(); got != "1.41" {
		t.Errorf("version of the API: %s", got)
	}
	select {
	case m := <-messages:
		t.Errorf("an event: %+v", m)
	case err := <-failed:
		t.Errorf("the events ended: %v", err)
	default:
	}
	cancel()
	if err := <-failed; err == nil {
		t.Error("the events ended without their context")
	}
	if err := cli.Close(); err != nil {
		t.Error(err)
	}
}

func TestUnix(t *testing.T) {
	engine := start(t)
	use(t, Connection{Endpoint: engine.Host})
	if err := check(t, Connection{Endpoint: engine.Host}); err != nil {
		t.Error(err)
	}
	socket := strings.TrimPrefix(engine.Host, "unix://")
	wantError(t, check(t, Connection{Endpoint: engine.Host + "x"}), driver.Unreachable, "endpoint", "there is no socket "+socket+"x")
	wantError(t, asNobody(dialer{"unix", socket}), driver.Unreachable, "endpoint", "not allowed to use the socket "+socket, "group docker")

	if err := engine.Kill(); err != nil {
		t.Fatal(err)
	}
	wantError(t, check(t, Connection{Endpoint: engine.Host}), driver.Unreachable, "endpoint", "nothing listens at the socket "+socket)
	if err := engine.Up(); err != nil {
		t.Fatal(err)
	}
}

// asNobody dials without root's rights.
func asNobody(d dialer) error {
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if _, _, errno := syscall.RawSyscall(unix.SYS_SETFSUID, 65534, 0, 0); errno != 0 {
			failed <- errno
			return
		}
		_, err := d.dial(context.Background(), "", "")
		failed <- err
	}()
	return <-failed
}

// An engine that hangs does not hold a request for longer than its context.
func TestHang(t *testing.T) {
	engine := start(t)
	cli, err := Connection{Endpoint: engine.Host}.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer cli.Close()
	drivertest.Signal(t, engine.Pid(), syscall.SIGSTOP)
	defer func() { _ = syscall.Kill(engine.Pid(), syscall.SIGCONT) }()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err = Check(ctx, cli)
	wantError(t, err, driver.Unreachable, "endpoint", "did not answer in time")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Check(cancelled, cli); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// tlsEngine is an engine with --tlsverify, that trusts ca.
func tlsEngine(t *testing.T, ca *dockertest.Authority, shows dockertest.Pair) (port string) {
	t.Helper()
	dir := dockertest.WriteKeys(t, ca, shows)
	port = dockertest.FreePort(t)
	start(t, "-H", "tcp://127.0.0.1:"+port, "--tlsverify", "--tlscacert", filepath.Join(dir, "ca.pem"),
		"--tlscert", filepath.Join(dir, "cert.pem"), "--tlskey", filepath.Join(dir, "key.pem"))
	return port
}

func TestTLS(t *testing.T) {
	ca, other := dockertest.NewAuthority(t, "ca"), dockertest.NewAuthority(t, "another ca")
	port := tlsEngine(t, ca, ca.Issue(nil, "127.0.0.1", "engine.example"))
	endpoint := "tcp://127.0.0.1:" + port
	ours := ca.Issue(nil)
	use(t, Connection{Endpoint: endpoint, TLS: trusting(ca, ours)})

	expired := func(c *x509.Certificate) {
		c.NotAfter = time.Date(2020, 5, 1, 12, 0, 0, 0, time.UTC)
		c.NotBefore = c.NotAfter.AddDate(-1, 0, 0)
	}
	early := func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) }
	for _, tt := range []struct {
		name  string
		c     Connection
		field string
		want  string
	}{
		{"another CA", Connection{Endpoint: endpoint, TLS: &TLS{other.PEM, ours.Certificate, driver.Secret(ours.Key)}}, "tls.ca", `was not signed by the CA that was given; it was issued by "CN=ca"`},
		{"another name", Connection{Endpoint: "tcp://localhost:" + port, TLS: trusting(ca, ours)}, "endpoint", "is not for localhost; it is for engine.example, 127.0.0.1"},
		{"our certificate is not known", Connection{Endpoint: endpoint, TLS: &TLS{ca.PEM, other.Issue(nil).Certificate, ""}}, "tls.key", ""},
		{"our certificate has expired", Connection{Endpoint: endpoint, TLS: trusting(ca, ca.Issue(expired))}, "tls.certificate", "expired on 2020-05-01 12:00 UTC"},
		{"our certificate is too new", Connection{Endpoint: endpoint, TLS: trusting(ca, ca.Issue(early))}, "tls.certificate", "is not valid before"},
		{"without TLS", Connection{Endpoint: endpoint, AllowPlaintext: true}, "tls", "wants TLS"},
		{"without TLS, not allowed", Connection{Endpoint: endpoint}, "tls", "without encryption is refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			class := driver.Unreachable
			if tt.want == "" {
				class = driver.Invalid
			}
			wantError(t, check(t, tt.c), class, tt.field, tt.want)
		})
	}
	t.Run("our certificate is refused", func(t *testing.T) {
		unknown := other.Issue(nil)
		err := check(t, Connection{Endpoint: endpoint, TLS: &TLS{ca.PEM, unknown.Certificate, driver.Secret(unknown.Key)}})
		wantError(t, err, driver.Unreachable, "tls.certificate", "refuses the certificate that uws shows", "--tlscacert")
		// A certificate for servers only is refused too.
		forServers := ca.Issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
		wantError(t, check(t, Connection{Endpoint: endpoint, TLS: trusting(ca, forServers)}), driver.Unreachable, "tls.certificate", "refuses the certificate")
	})
	for name, edit := range map[string]func(*x509.Certificate){"has expired": expired, "is too new": early} {
		t.Run("the engine's certificate "+name, func(t *testing.T) {
			port := tlsEngine(t, ca, ca.Issue(edit, "127.0.0.1"))
			want := map[string]string{"has expired": "expired on 2020-05-01 12:00 UTC", "is too new": "is not valid before"}[name]
			wantError(t, check(t, Connection{Endpoint: "tcp://127.0.0.1:" + port, TLS: trusting(ca, ours)}), driver.Unreachable, "endpoint", "the certificate of the engine", want)
		})
	}
}

// Older protocols of TLS say what is wrong at other moments.
func TestOlderTLS(t *testing.T) {
	ca, other := dockertest.NewAuthority(t, "ca"), dockertest.NewAuthority(t, "another ca")
	unknown, mine := other.Issue(nil), ca.Issue(nil)
	for version, want := range map[uint16]string{tls.VersionTLS12: "refuses the certificate that uws shows", tls.VersionTLS11: "protocol version"} {
		shows := ca.Issue(nil, "127.0.0.1")
		server := httptest.NewUnstartedServer(http.NotFoundHandler())
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		cert, err := tls.X509KeyPair([]byte(shows.Certificate), []byte(shows.Key))
		if err != nil {
			t.Fatal(err)
		}
		clients := x509.NewCertPool()
		clients.AddCert(ca.Certificate)
		server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS10, MaxVersion: version}
		server.StartTLS()
		keys, field := &TLS{ca.PEM, unknown.Certificate, driver.Secret(unknown.Key)}, "tls.certificate"
		if version == tls.VersionTLS11 {
			keys, field = trusting(ca, mine), "endpoint"
		}
		err = check(t, Connection{Endpoint: "tcp://" + server.Listener.Addr().String(), TLS: keys})
		wantError(t, err, driver.Unreachable, field, want)
		server.Close()
	}
}

func TestPlain(t *testing.T) {
	port := dockertest.FreePort(t)
	start(t, "-H", "tcp://127.0.0.1:"+port, "--tls=false")
	endpoint := "tcp://127.0.0.1:" + port
	use(t, Connection{Endpoint: endpoint, AllowPlaintext: true})
	wantError(t, check(t, Connection{Endpoint: endpoint}), driver.Unreachable, "tls", "without encryption is refused")
	ca := dockertest.NewAuthority(t, "ca")
	wantError(t, check(t, Connection{Endpoint: endpoint, TLS: trusting(ca, ca.Issue(nil))}), driver.Unreachable, "tls", "answers in plain HTTP")
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	script(t, `
		iptables -A INPUT -d 127.0.0.77 -j DROP
		echo 'hosts: files' > /run/nsswitch && mount --bind /run/nsswitch /etc/nsswitch.conf`)
	closed := dockertest.FreePort(t)
	for _, tt := range []struct{ address, want string }{
		{"127.0.0.1:" + closed, "127.0.0.1:" + closed + " refused the connection"},
		{"10.99.0.1:2376", "there is no route to 10.99.0.1:2376"},
		{"127.0.0.77:2376", "127.0.0.77:2376 did not answer within 4s"},
		{"nowhere.invalid:2376", "the host name nowhere.invalid is unknown"},
	} {
		ca := dockertest.NewAuthority(t, "ca")
		for _, c := range []Connection{
			{Endpoint: "tcp://" + tt.address, TLS: trusting(ca, ca.Issue(nil))},
			{Endpoint: "tcp://" + tt.address, AllowPlaintext: true},
			{Endpoint: "ssh://me@" + tt.address, SSH: newLogin(t)},
		} {
			t.Run(c.Endpoint, func(t *testing.T) {
				t.Parallel()
				wantError(t, check(t, c), driver.Unreachable, "endpoint", tt.want)
			})
		}
	}
}

// script runs commands of the shell in the tests' namespaces.
func script(t *testing.T, text string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "sh", "-ec", text).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// What answers is something else.
func TestStrangers(t *testing.T) {
	ping := func(header map[string]string, status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for name, value := range header {
				w.Header().Set(name, value)
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		want    string // empty: it works
	}{
		{"another engine with the API", ping(map[string]string{"Api-Version": "1.41", "Libpod-Api-Version": "4.3.1"}, 200, "OK"), ""},
		{"a newer one", ping(map[string]string{"Api-Version": "1.99", "Ostype": "linux"}, 200, "OK"), ""},
		{"too old", ping(map[string]string{"Api-Version": "1.24"}, 200, "OK"), "its API is version 1.24, and uws needs at least 1.41"},
		{"of Windows", ping(map[string]string{"Api-Version": "1.41", "Ostype": "windows"}, 200, "OK"), "containers of windows"},
		{"a page", ping(nil, 200, "<html>"), "not a Docker Engine"},
		{"no page", ping(nil, 404, "<html>"), "not a Docker Engine"},
		{"redirect", ping(map[string]string{"Location": "http://127.0.0.1:1/"}, 302, ""), "not a Docker Engine"},
		{"proxy", ping(nil, 403, "no"), "refuses to let uws ask"},
		{"sign-in", ping(nil, 401, "no"), "refuses to let uws ask"},
		{"trouble", ping(map[string]string{"Api-Version": "1.41"}, 500, "no space left"), "the engine is in trouble"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(tt.handler)
			defer server.Close()
			err := check(t, Connection{Endpoint: "tcp://" + server.Listener.Addr().String(), AllowPlaintext: true})
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			classified, _ := errors.AsType[*driver.Error](err)
			if classified == nil {
				t.Fatalf("got %v", err)
			}
			wantError(t, err, driver.Unreachable, classified.Field, tt.want)
		})
	}
	for _, tt := range []struct{ name, says, plain, secure, shell string }{
		{"not HTTP", "220 mail ESMTP\r\n", "does not speak HTTP", "does not speak TLS", "is it an ssh server?"},
		{"hangs up", "", "the connection to the engine broke", "broke the connection when TLS was offered", "ended the connection during the login"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			address := talker(t, tt.says)
			ca := dockertest.NewAuthority(t, "ca")
			wantError(t, check(t, Connection{Endpoint: "tcp://" + address, AllowPlaintext: true}), driver.Unreachable, "endpoint", tt.plain)
			wantError(t, check(t, Connection{Endpoint: "tcp://" + address, TLS: trusting(ca, ca.Issue(nil))}), driver.Unreachable, "endpoint", tt.secure)
			wantError(t, check(t, Connection{Endpoint: "ssh://me@" + address, SSH: newLogin(t)}), driver.Unreachable, "endpoint", tt.shell)
		})
	}
}

// talker says one thing to all who connect, and hangs up.
func talker(t *testing.T, says string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(says))
			_ = conn.(*net.TCPConn).CloseWrite()
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
			_, _ = conn.Read(make([]byte, 4096))
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		l.Close()
		ended.Wait()
	})
	return l.Addr().String()
}

// trusting returns keys for an engine whose certificate ca signed, with p as the client's.
func trusting(ca *dockertest.Authority, p dockertest.Pair) *TLS {
	return &TLS{CA: ca.PEM, Certificate: p.Certificate, Key: driver.Secret(p.Key)}
}
