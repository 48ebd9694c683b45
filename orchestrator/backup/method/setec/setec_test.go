package setec

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

const token = "t0kenOfTheTestThatIsLongEnough00"

// launch runs setec until the test ends.
func launch(t *testing.T) method.Instance {
	t.Helper()
	engines := os.Getenv("UWS_TEST_ENGINES")
	if engines == "" {
		engines, _ = filepath.Abs("../../../../build/engines")
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	cmd := exec.Command(engines+"/setec-2026-01/setec", "--listen", address, "--data", t.TempDir())
	cmd.Env = []string{"SETEC_TOKEN=" + token, "SETEC_KEY=" + strings.Repeat("k", 43)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (make engines builds it)", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	at := method.Instance{Address: address, Credentials: map[string]string{"token": token}}
	for until := time.Now().Add(time.Minute); ; {
		_, err := Method{}.Describe(t.Context(), at)
		if err == nil {
			return at
		}
		if time.Now().After(until) {
			t.Fatal(err)
		}
	}
}

func TestDescribeAndCheck(t *testing.T) {
	at := launch(t)
	for _, name := range []string{"one", "two/größe"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+at.Address+"/api/put", strings.NewReader(`{"Name":"`+name+`","Value":"c2VjcmV0"}`))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"Content-Type": "application/json", "Sec-X-Tailscale-No-Browsers": "setec", "Authorization": "Bearer " + token} {
			request.Header.Set(name, value)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatal(response, err)
		}
		_ = response.Body.Close()
	}
	contents, err := Method{}.Describe(t.Context(), at)
	if err != nil || len(contents.Groups) != 1 || contents.Groups[0].Count != 2 {
		t.Fatalf("%+v, %v", contents, err)
	}
	report, err := Method{}.Check(t.Context(), at, method.Saved{Contents: contents})
	if err != nil || len(report.Failures) > 0 {
		t.Errorf("%+v, %v", report, err)
	}
	contents.Groups[0].Count = 3
	report, err = Method{}.Check(t.Context(), at, method.Saved{Contents: contents})
	if err != nil || len(report.Failures) != 1 || report.Failures[0] != "has 2 secrets, and 3 were saved" {
		t.Errorf("%+v, %v", report, err)
	}
	at.Credentials = map[string]string{"token": "wrong"}
	if _, err := (Method{}).Describe(t.Context(), at); err == nil {
		t.Error("no error with a wrong token")
	}
}
