package catalog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const patient = 20 * time.Second

// instance runs an embedded template as the process driver does: with a new data folder that contains the template's
// dirs, an environment that contains nothing else, and as another user if the test runs as root.
type instance struct {
	t        *testing.T
	template Template
	runtime  Runtime
	values   Values
	binary   string
	attr     *syscall.SysProcAttr
	cmd      *exec.Cmd
	logFile  *os.File
}

func newInstance(t *testing.T, name string) *instance {
	t.Helper()
	c, err := Load("", anyProbe)
	if err != nil {
		t.Fatal(err)
	}
	tpl, ok := c.Lookup(name)
	if !ok {
		t.Fatalf("no template %s", name)
	}
	in := &instance{t: t, template: tpl, attr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}}
	in.binary = engine(t, tpl.Process.Engine+"-"+tpl.Version)
	dir, err := os.MkdirTemp("", "uws-catalog-") // other users cannot read t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	in.values = Values{
		Data: dir + "/data", Config: dir + "/config", Address: "127.0.0.1", Host: "127.0.0.1",
		Ports: map[string]int{tpl.Ports[0].Name: freePort(t)}, ServiceID: "svc-1", ServiceName: "orders",
	}
	if in.values.Credentials, err = tpl.GenerateCredentials(); err != nil {
		t.Fatal(err)
	}
	if in.runtime, err = tpl.Process.Resolve(in.values); err != nil {
		t.Fatal(err)
	}
	in.logFile, err = os.Create(dir + "/log")
	must(t, err)
	t.Cleanup(func() { _ = in.logFile.Close() })
	must(t, os.Chmod(dir, 0o755))
	folders := []string{in.values.Config, in.values.Data}
	for _, d := range in.runtime.Dirs {
		folders = append(folders, filepath.Join(in.values.Data, d))
	}
	for _, f := range folders {
		must(t, os.Mkdir(f, 0o700))
	}
	for file, text := range in.runtime.Files {
		must(t, os.WriteFile(filepath.Join(in.values.Config, file), []byte(text), 0o600))
	}
	if os.Getuid() == 0 {
		const nobody = 65534
		in.attr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil || path == dir {
				return err
			}
			return os.Chown(path, nobody, nobody)
		}))
	}
	return in
}

// engine returns the folder of a real engine: in $UWS_TEST_ENGINES if that is set, else in build/engines.
func engine(t *testing.T, folder string) string {
	t.Helper()
	dir := os.Getenv("UWS_TEST_ENGINES")
	skip := dir == ""
	if skip {
		dir, _ = filepath.Abs("../../build/engines")
	}
	entries, err := os.ReadDir(filepath.Join(dir, folder))
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return filepath.Join(dir, folder, e.Name())
		}
	}
	if skip {
		t.Skipf("SKIPPED, THE TEMPLATE IS NOT TESTED WITH ITS ENGINE: none in %s/%s (make engines builds it)", dir, folder)
	}
	t.Fatalf("no engine in %s/%s: %v", dir, folder, err)
	return ""
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (in *instance) start() {
	in.t.Helper()
	in.cmd = exec.Command(in.binary, in.runtime.Args...)
	in.cmd.Stdout, in.cmd.Stderr, in.cmd.Dir, in.cmd.SysProcAttr = in.logFile, in.logFile, "/", in.attr
	in.cmd.Env = []string{}
	for k, v := range in.runtime.Env {
		in.cmd.Env = append(in.cmd.Env, k+"="+v)
	}
	must(in.t, in.cmd.Start())
	cmd := in.cmd
	in.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if in.t.Failed() {
			in.t.Logf("the engine wrote:\n%s", in.log())
		}
	})
	in.eventually("listens", func() error {
		c, err := net.Dial("tcp", in.address())
		if err == nil {
			_ = c.Close()
		}
		return err
	})
}

// stop sends a signal and waits until the engine exits, which must be within the template's grace.
func (in *instance) stop(sig os.Signal) {
	in.t.Helper()
	ended := make(chan struct{})
	go func() { _ = in.cmd.Wait(); close(ended) }()
	must(in.t, in.cmd.Process.Signal(sig))
	select {
	case <-ended:
	case <-time.After(in.template.Stop.Grace):
		in.t.Fatalf("runs still, %s after %s", in.template.Stop.Grace, sig)
	}
}

func (in *instance) log() string {
	text, err := os.ReadFile(in.logFile.Name())
	must(in.t, err)
	return string(text)
}

func (in *instance) address() string {
	return net.JoinHostPort(in.values.Address, fmt.Sprint(in.values.Ports[in.template.Ports[0].Name]))
}

func (in *instance) endpoint() string {
	in.t.Helper()
	url, err := in.template.EndpointFor(in.values)
	must(in.t, err)
	return url
}

func (in *instance) eventually(what string, try func() error) {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(in.t.Context(), patient)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			in.t.Fatalf("never %s: %v", what, err)
		case <-tick.C:
		}
	}
}

// checkPlain checks what the engine exposes: its sockets, its command line and its output.
func (in *instance) checkPlain() {
	in.t.Helper()
	if got, want := in.sockets(), []string{in.address()}; !slices.Equal(got, want) {
		in.t.Errorf("listens on %v, want %v", got, want)
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", in.cmd.Process.Pid))
	must(in.t, err)
	for name, value := range in.values.Credentials {
		if len(value) >= minSecret && bytes.Contains(line, []byte(value)) {
			in.t.Errorf("%s is on the command line", name)
		}
	}
}

var socketLine = regexp.MustCompile(`^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) .*? \d+ +\d+ (\d+) `)

// sockets returns the addresses on which the engine accepts TCP connections or UDP packets.
func (in *instance) sockets() []string {
	in.t.Helper()
	proc := fmt.Sprintf("/proc/%d", in.cmd.Process.Pid)
	own := make(map[string]bool)
	fds, err := os.ReadDir(proc + "/fd")
	must(in.t, err)
	for _, fd := range fds {
		if link, err := os.Readlink(proc + "/fd/" + fd.Name()); err == nil {
			own[strings.TrimSuffix(strings.TrimPrefix(link, "socket:["), "]")] = true
		}
	}
	var all []string
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		text, err := os.ReadFile(proc + "/net/" + table)
		must(in.t, err)
		for _, line := range strings.Split(string(text), "\n") {
			m := socketLine.FindStringSubmatch(line)
			if m == nil || !own[m[4]] || (strings.HasPrefix(table, "tcp") && m[3] != "0A") {
				continue
			}
			ip, port := m[1], 0
			if ip == "0100007F" {
				ip = "127.0.0.1"
			}
			_, _ = fmt.Sscanf(m[2], "%x", &port)
			all = append(all, net.JoinHostPort(ip, fmt.Sprint(port)))
		}
	}
	return all
}

func TestVersityTemplate(t *testing.T) {
	in := newInstance(t, "versitygw")
	in.start()
	in.checkPlain()
	client, err := minio.New(strings.TrimPrefix(in.endpoint(), "http://"), &minio.Options{
		Creds:     credentials.NewStaticV4(in.values.Credentials["accessKey"], in.values.Credentials["secretKey"], ""),
		Transport: &http.Transport{DisableKeepAlives: true},
	})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	must(t, client.MakeBucket(ctx, "photos", minio.MakeBucketOptions{}))
	_, err = client.PutObject(ctx, "photos", "a/b.txt", strings.NewReader("hello"), 5, minio.PutObjectOptions{ContentType: "text/x-test"})
	must(t, err)
	quiet := in.log()

	check := func() {
		t.Helper()
		object, err := client.GetObject(ctx, "photos", "a/b.txt", minio.GetObjectOptions{})
		must(t, err)
		defer object.Close()
		text, err := io.ReadAll(object)
		must(t, err)
		info, err := object.Stat()
		must(t, err)
		if string(text) != "hello" || info.ContentType != "text/x-test" {
			t.Errorf("read %q of type %s", text, info.ContentType)
		}
	}
	check()
	if in.log() != quiet {
		t.Errorf("logs each request: %s", in.log())
	}
	in.stop(syscall.SIGKILL)
	in.start()
	check()
	in.stop(syscall.SIGTERM)
}

func TestNATSTemplate(t *testing.T) {
	in := newInstance(t, "nats")
	in.start()
	in.checkPlain()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	connect := func() jetstream.JetStream {
		t.Helper()
		nc, err := nats.Connect(in.endpoint(), nats.UserInfo(in.values.Credentials["user"], in.values.Credentials["password"]))
		must(t, err)
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		must(t, err)
		return js
	}
	js := connect()
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}})
	must(t, err)
	_, err = js.Publish(ctx, "orders.new", []byte("hello"))
	must(t, err)

	in.stop(syscall.SIGKILL)
	in.start()
	stream, err := connect().Stream(ctx, "ORDERS")
	must(t, err)
	m, err := stream.GetMsg(ctx, 1)
	must(t, err)
	if string(m.Data) != "hello" {
		t.Errorf("read %q", m.Data)
	}
	info, err := connect().AccountInfo(ctx)
	must(t, err)
	if info.Store == 0 {
		t.Error("nothing is stored")
	}
	in.stop(syscall.SIGTERM)
}
