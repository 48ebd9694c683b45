package drivertest

import (
	"bufio"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// testNATS runs a real message queue: it answers, its password works, it comes back.
func testNATS(f *fixture) {
	const secret = "nats-s3cret"
	s := f.spec("queue", "nats")
	l := f.d.Layout(s.Service, s.Volume)
	s.Args = []string{"--config", path.Join(l.Config, "nats.conf")}
	s.Env["NATS_PASSWORD"] = secret
	s.Files = map[string]string{"nats.conf": fmt.Sprintf("listen: %q\nauthorization { user: uws, password: $NATS_PASSWORD }\njetstream { store_dir: %q }\n", f.listen(s), l.Data)}
	f.start(s)
	for range 2 {
		f.eventually("nats lets us in", func() bool { return f.natsLogin(s.Ports[0].Number, secret) == "PONG" })
		if got := f.natsLogin(s.Ports[0].Number, "wrong"); !strings.Contains(got, "Authorization Violation") {
			f.Errorf("a wrong password is answered %q", got)
		}
		if lines := f.m.CommandLines("queue"); strings.Contains(strings.Join(lines, "\n"), secret) {
			f.Errorf("the password is in the command line %q", lines)
		}
		f.must(f.d.Stop(f.ctx, "queue", Patience))
		f.must(f.d.Start(f.ctx, "queue"))
		f.answers(s)
	}
}

// natsLogin is the server's answer to our login and a PING.
func (f *fixture) natsLogin(port int, password string) string {
	c, err := f.connect(loopback(port))
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err.Error()
	}
	in := bufio.NewReader(c)
	if _, err := in.ReadString('\n'); err != nil { // INFO
		return err.Error()
	}
	fmt.Fprintf(c, "CONNECT {\"user\":\"uws\",\"pass\":%q,\"verbose\":false}\r\nPING\r\n", password)
	line, err := in.ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

// testVersitygw runs a real bucket beside a queue: it answers on its health path and refuses the anonymous.
func testVersitygw(f *fixture) {
	s := f.spec("bucket", "versitygw")
	l := f.d.Layout(s.Service, s.Volume)
	s.Args = []string{"--port", f.listen(s), "posix", "--sidecar", path.Join(l.Data, "meta"), path.Join(l.Data, "buckets")}
	s.Folders = []string{"meta", "buckets"}
	s.Env = map[string]string{"ROOT_ACCESS_KEY": "uws", "ROOT_SECRET_KEY": "bucket-s3cret", "VGW_HEALTH": "/_health"}
	var steps []driver.Progress
	f.must(f.d.Prepare(f.ctx, s, func(p driver.Progress) { steps = append(steps, p) }))
	if n := len(steps); n == 0 || steps[n-1].Percent != 100 || steps[0].Step == "" {
		f.Errorf("the progress was %v", steps)
	}
	f.start(s)
	url := fmt.Sprint("http://127.0.0.1:", s.Ports[0].Number)
	status := func(path string) int {
		q, err := http.NewRequestWithContext(f.ctx, http.MethodGet, url+path, nil)
		f.must(err)
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			return 0
		}
		defer r.Body.Close()
		return r.StatusCode
	}
	f.eventually("it is healthy", func() bool { return status("/_health") == http.StatusOK })
	if got := status("/"); got != http.StatusForbidden {
		f.Errorf("an anonymous request is answered %d", got)
	}
	f.must(f.d.Stop(f.ctx, "bucket", Patience))
}
