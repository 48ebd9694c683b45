package probe

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// engine returns the path of a real engine: in $UWS_TEST_ENGINES if that is set, else in build/engines.
func engine(t testing.TB, path string) string {
	t.Helper()
	dir := os.Getenv("UWS_TEST_ENGINES")
	if dir == "" {
		dir, _ = filepath.Abs("../../build/engines")
		if _, err := os.Stat(filepath.Join(dir, path)); err != nil {
			t.Skipf("SKIPPED, THE PROBES ARE NOT TESTED AGAINST THE REAL ENGINE: %v (make engines builds it)", err)
		}
	}
	full := filepath.Join(dir, path)
	if _, err := os.Stat(full); err != nil {
		t.Fatalf("UWS_TEST_ENGINES: %v", err)
	}
	return full
}

// start runs an engine until the test ends.
func start(t testing.TB, env []string, path string, args ...string) *os.Process {
	t.Helper()
	cmd := exec.Command(path, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env, cmd.Dir = &out, &out, env, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s wrote:\n%s", path, out.String())
		}
	})
	return cmd.Process
}

func freeAddress(t testing.TB) string { return refusing(t) }

// becomeOK probes until the verdict is OK.
func becomeOK(t testing.TB, probe string, tg Target) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		r := run(t, probe, tg, patient)
		if r.Verdict == OK {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("never became OK: %s %s", r.Verdict, r.Detail)
		case <-tick.C:
		}
	}
}

func startS3(t testing.TB) (Target, *os.Process) {
	t.Helper()
	path, dir := engine(t, "versitygw-1.8.0/versitygw"), t.TempDir()
	for _, d := range []string{"meta", "buckets"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	tg := target(freeAddress(t))
	p := start(t, []string{"ROOT_ACCESS_KEY=" + tg.Credentials["accessKey"], "ROOT_SECRET_KEY=" + tg.Credentials["secretKey"]},
		path, "--port", tg.Address, "--quiet", "posix", "--sidecar", dir+"/meta", dir+"/buckets")
	becomeOK(t, "s3", tg)
	return tg, p
}

// startNATS starts a server. It returns once the server listens.
func startNATS(t testing.TB, more string) (Target, *os.Process) {
	t.Helper()
	path, dir := engine(t, "nats-2.15.2/nats-server"), t.TempDir()
	tg := target(freeAddress(t))
	conf := fmt.Sprintf("listen: %q\nauthorization { user: uws, password: %q }\n%s\n", tg.Address, secret, strings.ReplaceAll(more, "DIR", dir))
	if err := os.WriteFile(dir+"/nats.conf", []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	tg.Credentials["user"] = "uws"
	p := start(t, nil, path, "--config", dir+"/nats.conf")
	becomeOK(t, "tcp", tg)
	return tg, p
}

// wrong returns a target with one wrong credential.
func wrong(tg Target, name string) Target {
	changed := map[string]string{}
	for k, v := range tg.Credentials {
		changed[k] = v
	}
	changed[name] = "wrong"
	tg.Credentials = changed
	return tg
}

func expect(t *testing.T, r Result, v Verdict, detail string) {
	t.Helper()
	if r.Verdict != v || r.Detail != detail {
		t.Errorf("got  %s %s\nwant %s %s", r.Verdict, r.Detail, v, detail)
	}
}

func TestRealS3(t *testing.T) {
	tg, process := startS3(t)
	expect(t, run(t, "s3", tg, patient), OK, "listed the buckets")
	expect(t, run(t, "s3", wrong(tg, "secretKey"), patient), Alive, `refuses our secret key: "SignatureDoesNotMatch" (403)`)
	expect(t, run(t, "s3", wrong(tg, "accessKey"), patient), Alive, `refuses our access key: "XAdminUserNotFound" (404)`)
	expect(t, run(t, "http", tg, patient), Alive, "refuses us: 403 Forbidden")
	expect(t, run(t, "nats", tg, hasty), Dead, "no answer within 300ms")
	stopAndGoOn(t, "s3", tg, process)
	kill(t, "s3", tg, process)
}

func TestRealNATS(t *testing.T) {
	tg, process := startNATS(t, "jetstream { store_dir: \"DIR\" }")
	becomeOK(t, "nats", tg)
	expect(t, run(t, "nats", wrong(tg, "password"), patient), Alive, `refuses our user or password: "Authorization Violation"`)
	expect(t, run(t, "nats", wrong(tg, "user"), patient), Alive, `refuses our user or password: "Authorization Violation"`)
	if r := run(t, "s3", tg, patient); r.Verdict != Dead || !strings.HasPrefix(r.Detail, `answered something that is not S3: "INFO {`) {
		t.Errorf("%+v", r)
	}
	stopAndGoOn(t, "nats", tg, process)
	kill(t, "nats", tg, process)
}

func TestRealNATSWithoutJetStream(t *testing.T) {
	tg, _ := startNATS(t, "")
	expect(t, run(t, "nats", tg, patient), Alive, "logged in, but JetStream is not enabled")
}

func TestRealNATSFull(t *testing.T) {
	tg, _ := startNATS(t, "max_connections: 1\njetstream { store_dir: \"DIR\" }")
	becomeOK(t, "nats", tg)
	for !holdNATS(t, tg) { // the server may still count the probe's last connection
	}
	for range 50 { // the server may close the connection before or after our login arrives
		expect(t, run(t, "nats", tg, patient), Alive, `its connections are used up: "maximum connections exceeded"`)
	}
}

// holdNATS logs in and stays connected until the test ends; without a login the server would disconnect. It returns
// false if the server refused.
func holdNATS(t *testing.T, tg Target) bool {
	t.Helper()
	c, err := net.Dial("tcp", tg.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_, _ = fmt.Fprintf(c, "CONNECT {\"user\":\"uws\",\"pass\":%q,\"verbose\":false}\r\nPING\r\n", secret)
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		if lines.Text() == "PONG" {
			return true
		}
	}
	return false
}

func stopAndGoOn(t *testing.T, probe string, tg Target, p *os.Process) {
	t.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	becomes(t, probe, tg, hasty, "no answer within 300ms") // the signal takes a moment to reach every thread
	if err := p.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	becomeOK(t, probe, tg)
}

func kill(t *testing.T, probe string, tg Target, p *os.Process) {
	t.Helper()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	becomes(t, probe, tg, patient, "refused the connection") // after a reset or two while the engine exits
}

// becomes probes until the verdict is Dead with the given detail.
func becomes(t *testing.T, probe string, tg Target, timeout time.Duration, detail string) {
	t.Helper()
	for start := time.Now(); ; {
		r := run(t, probe, tg, timeout)
		if r.Detail == detail {
			expect(t, r, Dead, detail)
			return
		}
		if time.Since(start) > patient {
			t.Fatalf("never %q, but %s %s", detail, r.Verdict, r.Detail)
		}
	}
}

func BenchmarkProbes(b *testing.B) {
	s3, _ := startS3(b)
	nats, _ := startNATS(b, "jetstream { store_dir: \"DIR\" }")
	becomeOK(b, "nats", nats)
	web := s3
	web.Options = map[string]string{"expectStatus": "403"}
	for _, bb := range []struct {
		probe string
		tg    Target
	}{{"tcp", s3}, {"http", web}, {"s3", s3}, {"nats", nats}} {
		b.Run(bb.probe, func(b *testing.B) {
			f, _ := Lookup(bb.probe)
			b.ReportAllocs()
			for b.Loop() {
				if r := Run(b.Context(), f, bb.tg, patient, time.Now); r.Verdict != OK {
					b.Fatalf("%+v", r)
				}
			}
		})
	}
}
