package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// TestMain lets the test binary run as uws, for tests of signals and exit codes.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_AS_UWS") != "" {
		main()
	}
	os.Exit(m.Run())
}

// call runs uws in this process.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestUsage(t *testing.T) {
	taken := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(taken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	made := newStore(t)
	tests := []struct {
		name string
		args []string
		code int
		want string // expected on stdout if the code is 0, else on stderr
	}{
		{"version", []string{"version"}, 0, "uws dev (go1."},
		{"help", []string{"--help"}, 0, "Usage: uws"},
		{"help of a command", []string{"serve", "--help"}, 0, "UWS_DATA_DIR"},
		{"version as a flag", []string{"--version"}, 0, "uws dev (go1."},
		{"help as a command", []string{"help"}, 0, "login-link"},
		{"help of a command by a command", []string{"help", "token", "create"}, 0, "--expires-in"},
		{"no command", nil, 0, "login-link"},
		{"a group alone", []string{"token"}, 0, "token revoke"},
		{"unknown command", []string{"fly"}, 2, `unexpected argument fly`},
		{"unknown flag", []string{"serve", "--lisen", "x"}, 2, `did you mean "--listen"`},
		{"beyond loopback", []string{"serve", "--listen", "0.0.0.0:8080"}, 2, "such as 127.0.0.1:8080"},
		{"half of TLS", []string{"serve", "--tls-cert", taken}, 2, "tls-cert and tls-key belong together"},
		{"a public address with a path", []string{"serve", "--public-url", "https://example/uws"}, 2, "cannot be served under a path"},
		{"one of two public addresses", []string{"serve", "--public-url", "https://uws.example,uws"}, 2, `"uws" must be a scheme and a host`},
		{"every proxy", []string{"serve", "--trusted-proxies", "10.0.0.1,0.0.0.0/0"}, 2, "trusts every address"},
		{"a role that is none", []string{"token", "create", "--name", "x", "--role", "ROOT", "--data-dir", t.TempDir()}, 1, "one of VIEWER, OPERATOR, ADMIN"},
		{"an admin of some kinds", []string{"token", "create", "--name", "x", "--role", "ADMIN", "--kinds", "db", "--data-dir", made}, 1, "use VIEWER or OPERATOR"},
		{"a kind that is none", []string{"login-link", "--role", "VIEWER", "--kinds", "cache", "--data-dir", t.TempDir()}, 1, "one of BUCKET DB NOSQL QUEUE SECRETS"},
		{"a token of the past", []string{"token", "create", "--name", "x", "--role", "VIEWER", "--expires-in=-1h", "--data-dir", made}, 1, "--expires-in: must be in the future"},
		{"a token for a month", []string{"token", "create", "--name", "x", "--role", "VIEWER", "--expires-in", "30d", "--data-dir", made}, 0, made},
		{"an age that is none", []string{"token", "create", "--name", "x", "--role", "VIEWER", "--expires-in", "soon"}, 2, "such as 30d or 12h"},
		{"no such token", []string{"token", "revoke", "y", "--data-dir", made}, 1, `there is no token "y"`},
		{"no port", []string{"serve", "--listen", "localhost"}, 2, "must be host:port"},
		{"few connections", []string{"serve", "--max-connections", "15"}, 2, "max-connections must be at least 16, not 15"},
		{"more connections than descriptors", []string{"serve", "--max-connections", "2000000000"}, 2, "raise their limit"},
		{"a sandbox that is none", []string{"serve", "--engine-sandbox", "maybe"}, 2, `--engine-sandbox must be one of "auto","require","off"`},
		{"no data folder", []string{"serve", "--data-dir", ""}, 2, "data-dir must name a folder"},
		{"no event is kept", []string{"serve", "--event-max", "0"}, 2, "event-max must be at least 1, not 0"},
		{"an audit log of an hour", []string{"serve", "--audit-retention=1h"}, 2, "audit-retention must be at least 24h"},
		{"an audit log of the future", []string{"serve", "--audit-retention=-30d"}, 2, "audit-retention must be at least 24h"},
		{"events of the future", []string{"serve", "--event-retention=-1h"}, 2, "event-retention must be longer than 0s"},
		{"log level", []string{"serve", "--log-level", "loud"}, 2, `--log-level must be one of "debug","info","warn","error"`},
		{"data folder is a file", []string{"serve", "--listen", "127.0.0.1:0", "--data-dir", taken}, 1, taken},
		{"templates are missing", []string{"serve", "--templates", taken + "/no", "--data-dir", t.TempDir()}, 1, taken + "/no"},
		{"images", []string{"serve", "--images", "nats"}, 2, `images: "nats" is not a pair`},
		{"image of no template", []string{"serve", "--images", "natz=a", "--data-dir", t.TempDir()}, 1, `images: there is no template "natz"`},
		{"a group of the client alone", []string{"backup"}, 0, "target-create"},
		{"a target nowhere", []string{"backup", "target-create", "b"}, 2, "--folder"},
		{"a target in two places", []string{"backup", "target-create", "b", "--folder", "/b", "--endpoint", "https://s3"}, 2, "can't be used together"},
		{"a folder with a bucket", []string{"backup", "target-create", "b", "--folder", "/b", "--bucket", "b"}, 2, "--bucket"},
		{"a policy of a service and of kinds", []string{"backup", "policy-set", "shop", "--kind", "db"}, 2, "neither --kind nor --label"},
		{"a restore without a name", []string{"backup", "restore", "shop"}, 2, "--name"},
		{"a kit of nothing", []string{"backup", "import-target", "b"}, 2, "--kit"},
		{"the time a backup is waited for", []string{"help", "backup", "create"}, 0, "Default: 24h"},
		{"the time a launch is waited for", []string{"help", "launch"}, 0, "Default: 10m"},
		{"a flag that is negated", []string{"help", "backup", "policy-set"}, 0, "--[no-]final-backup"},
		{"engines to nowhere", []string{"engines"}, 2, "--into"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := call(t, tt.args...)
			text := stdout
			if tt.code != 0 {
				text = stderr
				if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "uws: ") || stdout != "" {
					t.Errorf("not one line on stderr: %q, %q", stderr, stdout)
				}
			}
			if code != tt.code || !strings.Contains(text, tt.want) {
				t.Errorf("got %d %q, want %d %q", code, text, tt.code, tt.want)
			}
		})
	}
}

// parse returns the flags of serve without running it.
func parse(t *testing.T, args ...string) (serveCommand, error) {
	t.Helper()
	var cli commands
	_, err := newParser(t.Context(), &cli, &terminal{stdout: io.Discard, stderr: io.Discard}, &usedConfig{}).Parse(append([]string{"serve"}, args...))
	return cli.Serve, err
}

// mistake returns the error for invalid flags of serve.
func mistake(t *testing.T, args ...string) error {
	t.Helper()
	code, _, stderr := call(t, append([]string{"serve", "--data-dir", "/dev/null/data"}, args...)...)
	if code != exitUsage {
		t.Errorf("%v: code %d", args, code)
	}
	return errors.New(stderr)
}

// newStore returns a data folder with a store.
func newStore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	st, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err == nil {
		err = st.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "uws.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Flags take precedence over the environment, this over the file, and this over defaults.
func TestPrecedence(t *testing.T) {
	const byDefault, inFile, inEnvironment, asFlag = "127.0.0.1:8080", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"
	file := write(t, "# ours\nlisten: "+inFile+"\n")
	for _, tt := range []struct {
		flag, environment, file bool
		want                    string
	}{
		{false, false, false, byDefault},
		{false, false, true, inFile},
		{false, true, false, inEnvironment},
		{false, true, true, inEnvironment},
		{true, false, false, asFlag},
		{true, false, true, asFlag},
		{true, true, false, asFlag},
		{true, true, true, asFlag},
	} {
		for _, fileByEnvironment := range []bool{false, true} {
			var args []string
			unset(t, "UWS_LISTEN", "UWS_CONFIG")
			if tt.flag {
				args = append(args, "--listen", asFlag)
			}
			if tt.environment {
				t.Setenv("UWS_LISTEN", inEnvironment)
			}
			if tt.file && fileByEnvironment {
				t.Setenv("UWS_CONFIG", file)
			} else if tt.file {
				args = append(args, "--config", file)
			}
			got, err := parse(t, args...)
			if err != nil || got.Listen != tt.want {
				t.Errorf("%+v: got %q %v", tt, got.Listen, err)
			}
		}
	}
}

// unset unsets environment variables until the test ends.
func unset(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		t.Setenv(name, "") // restores the old value when the test ends
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConfigFlagWinsOverItsVariable(t *testing.T) {
	t.Setenv("UWS_CONFIG", write(t, "listen: 127.0.0.1:1"))
	got, err := parse(t, "--config", write(t, "data-dir: /d"))
	if err != nil || got.DataDir != "/d" || got.Listen != "127.0.0.1:8080" {
		t.Errorf("got %+v %v", got, err)
	}
}

func TestConfigFileHoldsEveryFlag(t *testing.T) {
	got, err := parse(t, "--config", write(t, "listen: '[::1]:9'\ntls-cert: /c\ntls-key: /k\nallow-plaintext-beyond-loopback: true\nlocal-node: none\nallow-unencrypted-docker-tcp: true\nallow-unencrypted-services: true\ndata-dir: /d\ntemplates: /t\nimages: nats=a/b:1,redis=c\nengines: /e\nengine-sandbox: require\nevent-retention: 1h\nevent-max: 5\naudit-retention: 400d\nlog-level: debug\nlog-format: json\nmax-connections: 99\npublic-url: https://a.example,https://b.example\ntrusted-proxies: 10.0.0.1\n"))
	want := serveCommand{
		Listen: "[::1]:9", TLSCert: "/c", TLSKey: "/k", AllowPlaintextBeyondLoopback: true, DataDir: "/d", Templates: "/t", Images: "nats=a/b:1,redis=c", Engines: "/e", EngineSandbox: "require", LocalNode: "none", AllowUnencryptedDockerTCP: true, AllowUnencryptedServices: true,
		EventRetention: age(time.Hour), EventMax: 5, AuditRetention: age(400 * day), MaxConnections: 99, PublicURL: []string{"https://a.example", "https://b.example"}, TrustedProxies: []string{"10.0.0.1"},
		logFlags: logFlags{LogLevel: "debug", LogFormat: "json"}, Config: got.Config,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v %v", got, err)
	}
	if _, err := parse(t, "--config", write(t, "---\n# nothing yet\n")); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}

func TestConfigMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"listen: 127.0.0.1:1\nlisen: x":         `line 2: unknown key "lisen"; the keys are allow-plaintext-beyond-loopback, allow-unencrypted-docker-tcp, allow-unencrypted-services, audit-retention, data-dir, engine-sandbox, engines, event-max, event-retention, images, listen, local-node, log-format, log-level, max-connections, no-usage-metrics, public-url, templates, tls-cert, tls-key, trusted-proxies`,
		"config: x":                             `unknown key "config"`,
		"help: true":                            `unknown key "help"`,
		"listen: [a]":                           `line 1: the value of "listen" must be a text or a number`,
		"listen:":                               `line 1: the value of "listen" must be`,
		"listen: 127.0.0.1:1\nlisten: x":        "listen",
		"- listen":                              "must be lines of key: value",
		"listen: 'x":                            "uws.yaml",
		"listen: 127.0.0.1:1\nlog-level: loud":  `uws.yaml: line 2: log-level must be one of debug, info, warn, error, not "loud"`,
		"\n\nevent-max: many":                   "uws.yaml: line 3: event-max: ",
		"# x\nevent-max: 0":                     "uws.yaml: line 2: event-max must be at least 1",
		"max-connections: 1":                    "uws.yaml: line 1: max-connections must be at least 16",
		"event-retention: long":                 "uws.yaml: line 1: event-retention: ",
		"listen: 127.0.0.1:1\n\tevent-max: 1":   "uws.yaml: line 2 is indented with a tab",
		"listen: 0.0.0.0:80":                    "uws.yaml: line 1: listen \"0.0.0.0:80\" is beyond loopback and without TLS",
		"listen: 8080":                          "must be host:port",
		"listen: 127.0.0.1:1\n---\ndata_dir: x": `line 3: unknown key "data_dir"`,
	} {
		if err := mistake(t, "--config", write(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	if _, err := parse(t, "--config", "/no/such/file"); err == nil || !strings.Contains(err.Error(), "/no/such/file") {
		t.Errorf("got %v", err)
	}
}

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	log := logFlags{LogLevel: "warn", LogFormat: "json"}.logger(&out)
	log.Info("a")
	log.Warn("b")
	if !strings.HasPrefix(out.String(), `{"time":`) || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("got %s", out.String())
	}
}

// Runs the whole program: it serves, keeps a second uws out of its data folder, and stops at SIGTERM.
func TestServe(t *testing.T) {
	args := []string{"serve", "--listen", "127.0.0.1:0", "--data-dir", dataDir(t), "--log-level", "warn", "--local-node", "process"}
	command := exec.CommandContext(t.Context(), os.Args[0], args...)
	command.Env = append(os.Environ(), "TEST_AS_UWS=1")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	url := urlOf(t, stdout, "Playground")
	for path, want := range map[string]string{"/healthz": "alive", "/metrics": "uws_build_info", "/": "UWS Orchestrator", "/playground": "UWS playground"} {
		if body := fetch(t, url+path); !strings.Contains(body, want) {
			t.Errorf("%s lacks %q", path, want)
		}
	}
	code, _, errs := call(t, args...)
	if code != 1 || !strings.Contains(errs, "pid") || strings.Count(errs, "\n") != 1 {
		t.Errorf("a second uws on the folder: %d %q", code, errs)
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if stderr.Len() > 0 {
		t.Errorf("warnings: %s", stderr.String())
	}
}

func TestPortInUse(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		defer writer.Close()
		ended <- run(ctx, []string{"serve", "--listen", "127.0.0.1:0", "--data-dir", dataDir(t), "--log-level", "error"}, writer, io.Discard)
	}()
	url := urlOf(t, reader, "Metrics")
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	address := strings.TrimPrefix(url, "http://")
	code, _, stderr := call(t, "serve", "--listen", address, "--data-dir", dataDir(t), "--log-level", "error")
	if code != 1 || !strings.Contains(stderr, "listen on "+address) || !strings.Contains(stderr, "address already in use") {
		t.Errorf("got %d %q", code, stderr)
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("the first one ended with %d", code)
	}
}

// When --max-connections is exceeded, the oldest idle connection is closed.
func TestMaxConnections(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		defer writer.Close()
		ended <- run(ctx, []string{"serve", "--listen", "127.0.0.1:0", "--data-dir", dataDir(t), "--log-level", "error", "--max-connections", "16"}, writer, io.Discard)
	}()
	url := urlOf(t, reader, "Metrics")
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	var first net.Conn
	for i := range 17 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i == 0 {
			first = conn
		}
	}
	_ = first.SetReadDeadline(time.Now().Add(3 * time.Second)) // the header timeout is 5 s
	if _, err := first.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the first of 17 connections is still open: %v", err)
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("ended with %d", code)
	}
}

// dataDir returns a folder that the users of engines can read, if the test runs as root.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// urlOf reads the welcome text until the line of the given page, and returns the server's URL.
func urlOf(t *testing.T, stdout io.Reader, page string) string {
	t.Helper()
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 2 && words[0] == page {
			return strings.TrimSuffix(words[1], "/"+strings.ToLower(page))
		}
	}
	t.Fatalf("the program ended without a word of its %s", page)
	return ""
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
