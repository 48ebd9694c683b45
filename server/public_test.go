package server_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/server"
)

func TestParsePublicURL(t *testing.T) {
	for text, want := range map[string]string{
		"https://uws.example":       "https://uws.example",
		"https://UWS.Example:443/":  "https://uws.example",
		"https://uws.example:8443":  "https://uws.example:8443",
		"http://[fd00::1]:80":       "http://[fd00::1]",
		"uws.example":               "must be a scheme and a host, such as https://uws.example",
		"ftp://uws.example":         "must be a scheme and a host",
		"https://":                  "must be a scheme and a host",
		"https://me@uws.example":    "alone, such as https://uws.example",
		"https://uws.example?x":     "alone, such as https://uws.example",
		"https://example/uws":       "has the path /uws: uws cannot be served under a path",
		"https://example/uws/home/": "has the path /uws/home/",
	} {
		got, err := server.ParsePublicURL(text)
		if said := fmt.Sprint(err); err != nil && !strings.Contains(said, want) || err == nil && got.String() != want {
			t.Errorf("%s: got %s, %v; want %s", text, got, err, want)
		}
	}
}

// public starts a server that is configured for a proxy on this machine.
func public(t *testing.T, proxies ...string) string {
	t.Helper()
	opts := options(newFake())
	opts.Access = newAuth(t, auth.Options{})
	for _, text := range []string{"https://uws.example", "http://uws.lan:8000"} {
		origin, err := server.ParsePublicURL(text)
		if err != nil {
			t.Fatal(err)
		}
		opts.PublicURLs = append(opts.PublicURLs, origin)
	}
	var err error
	if opts.TrustedProxies, err = server.ParseProxies(proxies); err != nil {
		t.Fatal(err)
	}
	return serveLocked(t, opts)
}

func sendAs(t *testing.T, method, url, host string, header http.Header, body string) *http.Response {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	for name, values := range header {
		r.Header[name] = values
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func TestPublicURL(t *testing.T) {
	url := public(t)
	own := strings.TrimPrefix(url, "http://")
	for _, tt := range []struct {
		name, host, origin string
		more               http.Header
		path               string
		status             int
	}{
		{"a browser", "uws.example", "https://uws.example", nil, "/", 200},
		{"the other address", "uws.lan:8000", "http://uws.lan:8000", nil, "/", 200},
		{"capitals", "UWS.example", "https://uws.example", nil, "/", 200},
		{"a program", "uws.example", "", nil, "/", 200},
		{"a proxy that keeps its own Host", own, "https://uws.example", nil, "/", 200},
		{"loopback still", own, url, nil, "/", 200},
		{"without TLS", "uws.example", "http://uws.example", nil, "/", 403},
		{"another port", "uws.example:81", "", nil, "/", 403},
		{"an empty origin", "uws.example", "", http.Header{"Origin": {""}}, "/", 403},
		{"rebinding", "evil.example", "", nil, "/", 403},
		{"another site", "uws.example", "https://evil.example", nil, "/", 403},
		{"rebinding with our origin", "evil.example", "https://uws.example", nil, "/", 403},
		{"a path", "uws.example", "", http.Header{"X-Forwarded-Prefix": {"/uws"}}, "/", 403},
		{"alive, by any name", "10.1.2.3", "", nil, "/healthz", 200},
		{"ready, by any name", "balancer", "", nil, "/readyz", 200},
		{"health for another site's page", "uws.example", "https://evil.example", nil, "/readyz", 403},
		{"metrics on loopback", own, "", nil, "/metrics", 200},
		{"metrics by the public name", "uws.example", "", nil, "/metrics", 401},
		{"metrics through a proxy", own, "", http.Header{"X-Forwarded-For": {"192.0.2.1"}}, "/metrics", 401},
	} {
		header := http.Header{}
		if tt.origin != "" {
			header.Set("Origin", tt.origin)
		}
		for name, values := range tt.more {
			header[name] = values
		}
		response := sendAs(t, http.MethodGet, url+tt.path, tt.host, header, "")
		body, _ := io.ReadAll(response.Body)
		if response.StatusCode != tt.status {
			t.Errorf("%s: got %d %s, want %d", tt.name, response.StatusCode, body, tt.status)
		}
		if tt.name == "rebinding" && !strings.Contains(string(body), "--public-url") || tt.name == "a path" && !strings.Contains(string(body), "separate host name") {
			t.Errorf("%s: the way out is missing: %s", tt.name, body)
		}
	}
}

func TestCookieBehindTLS(t *testing.T) {
	opts := options(newFake())
	opts.Access = newAuth(t, auth.Options{})
	for _, text := range []string{"https://uws.example", "http://uws.lan"} {
		origin, err := server.ParsePublicURL(text)
		if err != nil {
			t.Fatal(err)
		}
		opts.PublicURLs = append(opts.PublicURLs, origin)
	}
	url, token := serveLocked(t, opts), tokenOf(t, opts.Access, auth.Viewer)
	own := strings.TrimPrefix(url, "http://")
	for _, tt := range []struct {
		host, origin string
		secure       bool
	}{
		{"uws.example", "https://uws.example", true},
		{"uws.example", "", true},
		{own, "https://uws.example", true},
		{"uws.lan", "http://uws.lan", false},
		{own, "", false},
	} {
		header := http.Header{"Content-Type": {"application/json"}}
		if tt.origin != "" {
			header.Set("Origin", tt.origin)
		}
		response := sendAs(t, http.MethodPost, url+"/auth/sign-in", tt.host, header, `{"secret":"`+token+`"}`)
		if cookies := response.Cookies(); response.StatusCode != 200 || len(cookies) != 1 || cookies[0].Secure != tt.secure {
			t.Errorf("%+v: got %d, %v", tt, response.StatusCode, cookies)
		}
	}
}

// The audit log has the address of a refused caller.
func TestTrustedProxies(t *testing.T) {
	for _, tt := range []struct {
		name      string
		proxies   []string
		forwarded []string
		want      string
	}{
		{"no proxy is trusted", nil, []string{"192.0.2.1"}, "127.0.0.1"},
		{"another proxy is trusted", []string{"10.0.0.0/8"}, []string{"192.0.2.1"}, "127.0.0.1"},
		{"one proxy", []string{"127.0.0.1"}, []string{"192.0.2.1"}, "192.0.2.1"},
		{"the client made one up", []string{"127.0.0.0/8"}, []string{"203.0.113.9, 192.0.2.1"}, "192.0.2.1"},
		{"in a header of its own", []string{"127.0.0.0/8"}, []string{"203.0.113.9", "192.0.2.1"}, "192.0.2.1"},
		{"two proxies", []string{"127.0.0.1", "10.1.0.0/16"}, []string{"203.0.113.9, 192.0.2.1, 10.1.2.3"}, "192.0.2.1"},
		{"IPv6", []string{"::1", "127.0.0.1"}, []string{"2001:db8::7"}, "2001:db8::7"},
		{"trusted proxies alone", []string{"127.0.0.1", "10.1.0.0/16"}, []string{"10.1.2.3"}, "10.1.2.3"},
		{"no address", []string{"127.0.0.1"}, []string{"192.0.2.1, <script>"}, "127.0.0.1"},
		{"none", []string{"127.0.0.1"}, nil, "127.0.0.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := options(newFake())
			opts.Access = newAuth(t, auth.Options{})
			var err error
			if opts.TrustedProxies, err = server.ParseProxies(tt.proxies); err != nil {
				t.Fatal(err)
			}
			url := serveLocked(t, opts)
			header := http.Header{"Content-Type": {"application/json"}}
			if tt.forwarded != nil {
				header["X-Forwarded-For"] = tt.forwarded
			}
			if response := sendAs(t, http.MethodPost, url+"/graphql", "", header, `{"query":"{nodes{id}}"}`); response.StatusCode != 401 {
				t.Fatalf("got %d", response.StatusCode)
			}
			var got []string
			err = opts.Access.Export(auth.With(t.Context(), auth.CommandLine()), func(e *auth.Entry) error {
				if e.Action == "graphql" {
					got = append(got, e.Address)
				}
				return nil
			})
			if err != nil || len(got) != 1 || got[0] != tt.want {
				t.Errorf("got %v, %v; want %s", got, err, tt.want)
			}
		})
	}
	for _, bad := range []string{"proxy.example", "0.0.0.0/0", "10.0.0.0/99", ""} {
		if got, err := server.ParseProxies([]string{bad}); err == nil || !strings.Contains(err.Error(), "trusted-proxies") {
			t.Errorf("%q: got %v, %v", bad, got, err)
		}
	}
	if got, err := server.ParseProxies([]string{"10.0.0.1"}); err != nil || got[0] != netip.MustParsePrefix("10.0.0.1/32") {
		t.Errorf("got %v, %v", got, err)
	}
}

// Pings keep an idle WebSocket open for longer than the proxy's timeout. Without pings it is closed.
func TestIdleWebSocketBehindProxy(t *testing.T) {
	t.Parallel()
	const timeout = 3 * time.Second
	for name, tt := range map[string]struct {
		proxy func(t *testing.T, url string, timeout time.Duration) (address string)
		pings time.Duration
		lives bool
	}{
		"nginx, pinged": {nginx, timeout / 12, true}, "nginx, silent": {nginx, time.Hour, false},
		"Caddy, pinged": {caddy, timeout / 12, true}, "Caddy, silent": {caddy, time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := options(newFake())
			opts.WebSocket.PingInterval = tt.pings
			s := connect(t, "http://"+tt.proxy(t, serve(t, opts), timeout))
			s.subscribe("1", `subscription{changes{complete}}`)
			ended := make(chan error, 1)
			go func() {
				var err error
				for m := (message{}); err == nil; err = s.ReadJSON(&m) {
					if m.Type == "ping" {
						_ = s.WriteMessage(websocket.TextMessage, []byte(`{"type":"pong"}`)) // the next read returns an error
					}
				}
				ended <- err
			}()
			if !tt.lives {
				if err := receive(t, ended, "the end of a silent connection"); err == nil {
					t.Error("it ended without an error")
				}
				return
			}
			select {
			case err := <-ended:
				t.Fatalf("it ended: %v", err)
			case <-time.After(timeout * 4 / 3):
			}
		})
	}
}

// nginx runs nginx in front of a server, with the configuration in docs/proxy.md except for its addresses, the
// certificate and the timeout.
func nginx(t *testing.T, url string, timeout time.Duration) (address string) {
	t.Helper()
	address = freeAddress(t)
	own := strings.NewReplacer(
		"listen 443 ssl http2;", "listen "+address+"; proxy_read_timeout "+fmt.Sprint(int(timeout.Seconds()))+"s;",
		"http://127.0.0.1:8080", url, "$http_host", strings.TrimPrefix(url, "http://"),
	).Replace(regexp.MustCompile(`ssl_certificate.*`).ReplaceAllString(documented(t, "nginx"), ""))
	dir := t.TempDir()
	var folders strings.Builder
	for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&folders, "%s_temp_path %s/%s;\n", name, dir, name)
	}
	config := filepath.Join(dir, "nginx.conf")
	text := "daemon off; pid " + dir + "/pid; error_log stderr; events {}\nhttp { access_log off;\n" + folders.String() + own + "}"
	if os.Getuid() == 0 {
		text = "user root; " + text
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // this folder is not in every user's PATH
	}
	runProxy(t, address, exec.Command(program, "-p", dir, "-e", "stderr", "-c", config), "tools/nginx")
	return address
}

// caddy runs Caddy in the same way, without TLS.
func caddy(t *testing.T, url string, timeout time.Duration) (address string) {
	t.Helper()
	address = freeAddress(t)
	dir := t.TempDir()
	own := strings.NewReplacer(
		"uws.example", "http://"+address,
		"reverse_proxy 127.0.0.1:8080", fmt.Sprintf("reverse_proxy %s {\nheader_up Host {upstream_hostport}\ntransport http {\nread_timeout %s\n}\n}", url, timeout),
	).Replace(documented(t, "caddy"))
	config := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(config, []byte("{\nadmin off\n}\n"+own), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("caddy", "run", "--adapter", "caddyfile", "--config", config)
	command.Env = append(os.Environ(), "HOME="+dir)
	runProxy(t, address, command, "tools/caddy")
	return address
}

// documented returns the configuration of a proxy in docs/proxy.md.
func documented(t *testing.T, proxy string) string {
	t.Helper()
	docs, err := os.ReadFile("../docs/proxy.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```" + proxy + "\n(.*?)```").FindSubmatch(docs)
	if found == nil {
		t.Fatalf("docs/proxy.md has no configuration of %s", proxy)
	}
	return string(found[1])
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// runProxy starts a proxy and waits until it listens. It is stopped when the test ends.
func runProxy(t *testing.T, address string, command *exec.Cmd, installer string) {
	t.Helper()
	var output strings.Builder
	command.Stderr = &output
	if err := command.Start(); err != nil {
		t.Fatalf("%v; %s installs it", err, installer)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		_ = command.Wait()
		if t.Failed() {
			t.Log(output.String())
		}
	})
	until(t, "the proxy listens", func() bool {
		conn, err := net.Dial("tcp", address)
		return err == nil && conn.Close() == nil
	})
}
