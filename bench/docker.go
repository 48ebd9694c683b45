package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/unicorn-web-services/uws/engines/images"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
	"github.com/unicorn-web-services/uws/test/dockertest"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// calm is how long a container must run before its end counts as a first crash for the engine, and a second more.
const calm = 11 * time.Second

// onDocker starts a private engine, with the images of our engines, and uws with it as its node.
func onDocker(ctx context.Context, b bench, names ...string) (*dockertest.Engine, *uwstest.Process, error) {
	e, err := dockertest.Start()
	if err != nil {
		return nil, nil, err
	}
	all, err := images.All()
	if err != nil {
		return nil, nil, err
	}
	var refs []string
	for _, i := range all {
		refs = append(refs, i.Name+"="+i.Ref)
	}
	for _, name := range names {
		if _, err := e.ImportEngine(ctx, name); err != nil {
			return nil, nil, err
		}
	}
	p, err := dockerServe(ctx, b, e, refs)
	return e, p, err
}

func dockerServe(ctx context.Context, b bench, e *dockertest.Engine, refs []string) (*uwstest.Process, error) {
	return uwstest.StartWith(ctx, []string{"DOCKER_HOST=" + e.Host, "UWS_LOCAL_NODE=docker"}, b.binary, filepath.Join(b.dir, "data"),
		"--images", strings.Join(refs, ","))
}

// dockerHeal kills a queue's engine in its container, in turn under uws, under `docker run --restart=always` and under
// a program that answers the engine's `die` with a start.
func dockerHeal(ctx context.Context, b bench) error {
	e, p, err := onDocker(ctx, b, "nats")
	if err != nil {
		return err
	}
	defer stop(p)
	s, err := p.Launch(ctx, "QUEUE", "heal", nil)
	if err != nil {
		return err
	}
	healthy, err := p.Healthy(ctx, s.ID, 0)
	if err != nil {
		return err
	}
	ask, _ := probe.Lookup("nats")
	ours := patient{ask: ask}
	if ours.target, err = target(ctx, p, healthy); err != nil {
		return err
	}
	container, err := e.Container(s.ID)
	if err != nil {
		return err
	}
	network, err := e.Docker("inspect", "--format", "{{.HostConfig.NetworkMode}}", container)
	if err != nil {
		return err
	}
	always, err := bareNATS(ctx, e, b.dir, network, "always", 19001)
	if err != nil {
		return err
	}
	answered, err := bareNATS(ctx, e, b.dir, network, "no", 19002)
	if err != nil {
		return err
	}
	go answerDie(ctx, e, answered)
	who := []*contender{
		{name: "uws", container: container, patient: ours},
		{name: "restart=always", container: always, patient: bareTarget(19001)},
		{name: "die → start", container: answered, patient: bareTarget(19002)},
	}
	for range trials {
		if err := settle(ctx, p, s.ID); err != nil { // uws counts crashes over ten minutes
			return err
		}
		if err := rest(ctx, calm); err != nil {
			return err
		}
		for _, c := range who {
			if err := c.kill(ctx, e); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	for _, c := range who {
		fmt.Printf("SIGKILL to answering, %-15s %s\n", c.name, c.took)
	}
	fmt.Printf("ratio of medians: uws / die → start %.2f (goal: at most 1.10), uws / restart=always %.2f (goal: at most 1.05)\n",
		ratio(who[0].took.at(0.5), who[2].took.at(0.5)), ratio(who[0].took.at(0.5), who[1].took.at(0.5)))
	return nil
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// contender is one of those compared.
type contender struct {
	name, container string
	patient
	took sample
}

func (c *contender) kill(ctx context.Context, e *dockertest.Engine) error {
	pid, err := e.MainPID(c.container)
	if err != nil {
		return err
	}
	if pid == 0 {
		return fmt.Errorf("container %s does not run", c.container)
	}
	d, err := c.patient.kill(ctx, pid)
	c.took = append(c.took, d)
	return err
}

const bareKey = "bench-password"

func bareTarget(port int) patient {
	ask, _ := probe.Lookup("nats")
	return patient{ask: ask, target: probe.Target{Address: fmt.Sprint("127.0.0.1:", port),
		Credentials: map[string]string{"user": "uws", "password": bareKey}}}
}

// bareNATS runs NATS as uws does, with the stock command line client, and returns its container.
func bareNATS(ctx context.Context, e *dockertest.Engine, dir, network, restart string, port int) (string, error) {
	image, err := e.ImportEngine(ctx, "nats")
	if err != nil {
		return "", err
	}
	name := "bare-" + restart
	_, err = e.Docker("create", "--name", name, "--restart", restart, "--init", "--network", network, "--user", "65532:65532",
		"--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", "512m", "--cpus", "1", "--pids-limit", "256",
		"-v", name+":/data", "-p", fmt.Sprintf("127.0.0.1:%d:4222", port), image, "--config", "/etc/nats.conf")
	if err != nil {
		return "", err
	}
	config := filepath.Join(dir, "nats.conf")
	text := "listen: \"0.0.0.0:4222\"\nauthorization { user: uws, password: " + bareKey + " }\njetstream { store_dir: \"/data/jetstream\" }\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return "", err
	}
	if _, err := e.Docker("cp", config, name+":/etc/nats.conf"); err != nil {
		return "", err
	}
	if _, err := e.Docker("start", name); err != nil {
		return "", err
	}
	c := bareTarget(port)
	return name, uwstest.Until(ctx, name+" answers", func() (bool, error) {
		return probe.Run(ctx, c.ask, c.target, time.Second, time.Now).Verdict == probe.OK, nil
	})
}

// answerDie starts a container whenever the engine tells that it died: the limit of what a program outside the engine
// can do.
func answerDie(ctx context.Context, e *dockertest.Engine, container string) {
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(e.Host, "unix://"))
	}}}
	filters, _ := json.Marshal(map[string][]string{"event": {"die"}, "container": {container}})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/events?filters="+url.QueryEscape(string(filters)), nil)
	if err != nil {
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		_, _ = e.Call(http.MethodPost, "/containers/"+container+"/start", nil)
	}
}

// dockerHang stops an engine with SIGSTOP, and waits until a new instance answers.
func dockerHang(ctx context.Context, b bench) error {
	e, p, err := onDocker(ctx, b, "nats", "setec")
	if err != nil {
		return err
	}
	defer stop(p)
	fast := map[string]any{"healthCheck": map[string]any{"intervalSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 3}}
	for _, c := range []struct {
		name, kind, template string
		input                map[string]any
		times                int
		goal                 time.Duration
	}{
		{"1 s interval, 1 s timeout, 3 failures", "QUEUE", "nats", fast, 10, 5500 * time.Millisecond},
		{"default settings, threshold 3", "QUEUE", "nats", map[string]any{}, 3, 45 * time.Second},
		{"default settings, threshold 6", "SECRETS", "setec", map[string]any{}, 3, 75 * time.Second},
	} {
		c.input["template"] = c.template
		s, err := p.Launch(ctx, c.kind, fmt.Sprintf("hang-%s-%d", c.template, c.times), c.input)
		if err != nil {
			return err
		}
		if _, err := p.Healthy(ctx, s.ID, 0); err != nil {
			return err
		}
		var took sample
		for range c.times {
			if err := settle(ctx, p, s.ID); err != nil {
				return err
			}
			// Somewhere between two checks.
			if err := rest(ctx, 3*time.Second+time.Duration(time.Now().UnixNano()%int64(time.Second))); err != nil {
				return err
			}
			before, err := p.Service(ctx, s.ID)
			if err != nil {
				return err
			}
			pid, err := e.EnginePID(s.ID)
			if err != nil {
				return err
			}
			began := time.Now()
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				return err
			}
			if _, err := p.Healthy(ctx, s.ID, before.Restarts+1); err != nil {
				return err
			}
			took = append(took, time.Since(began))
		}
		fmt.Printf("SIGSTOP to healthy, %-38s %s (goal: at most %.1f s)\n", c.name, took, c.goal.Seconds())
	}
	return nil
}
