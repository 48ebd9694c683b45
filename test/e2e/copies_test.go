package e2e

import (
	"database/sql"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// command runs a program that must succeed.
func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

// copyFolder copies a data folder, and the file with the tests' token beside it.
func copyFolder(t *testing.T, from, to string) string {
	t.Helper()
	command(t, "cp", "-a", from, to)
	command(t, "cp", from+".token", to+".token")
	return to
}

// serveUnready starts a uws that never becomes ready.
func serveUnready(t *testing.T, dir string) *uwstest.Process {
	t.Helper()
	p, err := uwstest.StartUnready(t.Context(), uwstest.Binary, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, p) })
	return p
}

func stop(t *testing.T, p *uwstest.Process) {
	t.Helper()
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

func engines(t *testing.T, dir string) []int {
	t.Helper()
	pids, err := uwstest.Engines(dir + "/")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(pids)
	return pids
}

func installation(t *testing.T, p *uwstest.Process) (id, readOnly string) {
	t.Helper()
	var out struct {
		Installation struct {
			ID             string
			ReadOnlyReason *string
		}
	}
	if err := p.Query(t.Context(), `{ installation { id readOnlyReason } }`, nil, &out); err != nil {
		t.Fatal(err)
	}
	if out.Installation.ReadOnlyReason != nil {
		readOnly = *out.Installation.ReadOnlyReason
	}
	return out.Installation.ID, readOnly
}

// wantReadOnly checks all interfaces of a read-only uws.
func wantReadOnly(t *testing.T, p *uwstest.Process, service string) {
	t.Helper()
	resp, err := http.Get(p.URL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("/readyz says %s, %v", resp.Status, err)
	}
	want(t, string(body), "moved or copied", "--moved", "--clone")
	if _, reason := installation(t, p); reason == "" {
		t.Error("the API does not say that it is read-only")
	}
	want(t, get(t, p.URL+"/metrics"), "uws_read_only 1", "\nactive_nodes 0")
	var nodes struct {
		Nodes []struct {
			Healthy bool
			Reason  string
		}
	}
	if err := p.Query(t.Context(), `{ nodes { healthy reason } }`, nil, &nodes); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes.Nodes {
		if n.Healthy || n.Reason != "uws is read-only" {
			t.Errorf("a node that is not driven: %+v", n)
		}
	}
	for _, mutation := range []string{
		`launchService(input: {kind: QUEUE, name: "another"}) { id }`, `removeService(id: "` + service + `") { id }`,
		`startService(id: "` + service + `") { id }`, `stopService(id: "` + service + `") { id }`, `restartService(id: "` + service + `") { id }`,
		`rotateCredentials(id: "` + service + `") { id }`, `checkServiceHealth(id: "` + service + `") { verdict }`,
		`backUpService(id: "` + service + `") { id }`, `createBackupTarget(input: {name: "b", folder: "/b"}) { id }`, `restoreBackup(id: "x", input: {name: "y"}) { id }`,
		`deleteRetainedData(id: "x") { id }`, `removeNode(id: "x") { id }`,
		`registerNode(input: {name: "n", driver: DOCKER, endpoint: "unix:///no/such", serviceAddress: "127.0.0.1"}) { id }`,
	} {
		err := p.Query(t.Context(), "mutation { "+mutation+" }", nil, nil)
		if e, ok := errors.AsType[*uwstest.GraphQLError](err); !ok || e.Code != "UNAVAILABLE" {
			t.Errorf("%s: %v, want UNAVAILABLE", mutation, err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, p.URL+"/queue-services/"+service, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.Token)
	old, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Body.Close()
	if old.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the old endpoint says %s", old.Status)
	}
}

// wantArrival checks the newest event of the installation, and the newest line of the command line in the audit log.
func wantArrival(t *testing.T, p *uwstest.Process, dir, flag, code, from, to string) {
	t.Helper()
	var out struct {
		Events struct {
			Nodes []struct {
				Subject, Reason, ReasonCode string
				Healthy                     bool
				ServiceID                   *string
			}
		}
		AuditLog struct {
			Nodes []struct{ Actor, Role, Door, Action, Target, Detail, Result string }
		}
	}
	err := p.Query(t.Context(), `{ events(first: 100) { nodes { subject reason reasonCode healthy serviceId } }
		auditLog(first: 100) { nodes { actor role door action target detail result } } }`, nil, &out)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, e := range out.Events.Nodes {
		if found = e.Subject == "INSTALLATION"; found {
			if e.ReasonCode != code || !e.Healthy || e.ServiceID != nil {
				t.Errorf("the event is %+v, want %s", e, code)
			}
			want(t, e.Reason, from, to, flag)
			break
		}
	}
	if !found {
		t.Errorf("%s has no event", flag)
	}
	found = false
	for _, e := range out.AuditLog.Nodes {
		if found = e.Action == "serve "+flag; found {
			if e.Actor != "command line" || e.Role != "ADMIN" || e.Door != "COMMAND" || e.Target != to || e.Result != "OK" {
				t.Errorf("the audit log has %+v", e)
			}
			want(t, e.Detail, from, to)
			break
		}
	}
	if !found {
		t.Errorf("the audit log has no line for %s", flag)
	}
	printed, err := exec.Command(uwstest.Binary, "audit", "--data-dir", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	want(t, string(printed), `"action":"serve `+flag+`"`)
}

// Rehearses an upgrade on a copy of the data folder while the original runs. The original must not be affected.
func TestRehearsal(t *testing.T) {
	dir := folder(t)
	first := serve(t, dir)
	queue, bucket, db := launch(t, first, "QUEUE", "orders", nil), launch(t, first, "BUCKET", "photos", nil), launch(t, first, "DB", "accounts", nil)
	write(t, first, queue, "one hat")
	write(t, first, db, "two hats")
	stop(t, first) // for a consistent copy of the store; engines keep running
	copied := copyFolder(t, dir, filepath.Join(filepath.Dir(dir), "copy"))
	moved := copyFolder(t, dir, filepath.Join(filepath.Dir(dir), "moved"))
	original := serve(t, dir)
	running := engines(t, dir)
	if len(running) < 3 {
		t.Fatalf("the engines are %v", running)
	}

	readOnly := serveUnready(t, copied)
	wantReadOnly(t, readOnly, queue.ID)
	stop(t, readOnly)

	clone := serve(t, copied, "--clone")
	id, reason := installation(t, original)
	if cloneID, cloneReason := installation(t, clone); cloneID == id || cloneReason != "" || reason != "" {
		t.Errorf("the clone is installation %s %q, the original %s %q", cloneID, cloneReason, id, reason)
	}
	wantArrival(t, clone, copied, "--clone", "DATA_CLONED", dir, copied)
	for _, s := range []*uwstest.Service{queue, bucket, db} {
		waitFor(t, clone, s.ID, "stopped", func(s *uwstest.Service) bool { return s.Phase == "STOPPED" })
	}
	for s, text := range map[*uwstest.Service]string{queue: "one hat", db: "two hats"} {
		if err := clone.Do(t.Context(), "startService", s.ID); err != nil {
			t.Fatal(err)
		}
		rehearsed := healthy(t, clone, s.ID, 0)
		if rehearsed.Endpoint == s.Endpoint {
			t.Errorf("the clone has the original's endpoint %s", s.Endpoint)
		}
		wantText(t, clone, rehearsed, text)
	}
	stop(t, clone)
	want(t, refused(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", copied, "--clone"), "is not a copy")
	clone = serve(t, copied)
	healthy(t, clone, queue.ID, 0)
	if err := clone.Query(t.Context(), `mutation($id: ID!) { removeService(id: $id, data: DELETE) { id } }`, map[string]any{"id": queue.ID}, nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, clone, queue.ID, "gone", func(s *uwstest.Service) bool { return s == nil })

	// --moved is a mistake here, because the original still runs.
	wrong := serve(t, moved, "--moved")
	var nodes struct{ Nodes []struct{ Reason string } }
	if err := wrong.Query(t.Context(), `{ nodes { reason } }`, nil, &nodes); err != nil || len(nodes.Nodes) != 1 {
		t.Fatalf("%+v, %v", nodes, err)
	}
	want(t, nodes.Nodes[0].Reason, "run in another folder", "kill ")
	stop(t, wrong)

	if now := engines(t, dir); !slices.Equal(now, running) {
		t.Errorf("the original's engines were %v and are %v", running, now)
	}
	wantText(t, original, healthy(t, original, queue.ID, 0), "one hat")
	wantText(t, original, healthy(t, original, db.ID, 0), "two hats")
}

// A data folder that was restored, to another place or to its own, is served with --moved.
func TestRestoredFolder(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	queue := launch(t, p, "QUEUE", "orders", nil)
	write(t, p, queue, "one hat")
	stop(t, p)
	kill(t, enginePID(t, queue.ID), 9)
	for _, place := range []string{"elsewhere", "data"} { // the second time at the original path, created again
		was := dir
		restored := copyFolder(t, dir, filepath.Join(filepath.Dir(dir), "restored"))
		command(t, "rm", "-r", dir)
		dir = filepath.Join(filepath.Dir(dir), place)
		command(t, "mv", restored, dir)
		command(t, "mv", restored+".token", dir+".token")
		wrong := serveUnready(t, dir)
		wantReadOnly(t, wrong, queue.ID)
		stop(t, wrong)
		p = serve(t, dir, "--moved")
		wantArrival(t, p, dir, "--moved", "DATA_MOVED", was, dir)
		wantText(t, p, healthy(t, p, queue.ID, 0), "one hat")
		stop(t, p)
		p = serve(t, dir)
		healthy(t, p, queue.ID, 0)
		stop(t, p)
		kill(t, enginePID(t, queue.ID), 9)
	}
}

// The store of an older uws has no recorded path. The first start records it.
func TestFolderOfAnOlderVersion(t *testing.T) {
	dir := folder(t)
	stop(t, serve(t, dir))
	db, err := sql.Open("sqlite", filepath.Join(dir, "uws.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`UPDATE installations SET home = NULL, store = '', epoch = 0`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	p := serve(t, dir)
	stop(t, p)
	wantReadOnly(t, serveUnready(t, copyFolder(t, dir, dir+"2")), "x")
}

// The same file system on another loop device is the same data folder. A copy of its image is not.
func TestFolderOnLoopDevices(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: loop devices need root; CI runs this as root")
	}
	base := uwstest.Folder(t)
	image, at, other := filepath.Join(base, "image"), filepath.Join(base, "at"), filepath.Join(base, "other")
	command(t, "mkdir", at, other)
	command(t, "truncate", "-s", "64M", image)
	command(t, "mkfs.ext4", "-q", image)
	command(t, "mount", "-o", "loop", image, at)
	mounted := []string{at}
	t.Cleanup(func() {
		for _, m := range mounted {
			command(t, "umount", m)
		}
	})
	command(t, "chmod", "755", at)
	stop(t, serve(t, filepath.Join(at, "data")))
	command(t, "umount", at)
	mounted = nil
	command(t, "cp", image, image+"2")
	command(t, "mount", "-o", "loop", image+"2", other) // gets the loop device that has become free
	mounted = append(mounted, other)
	command(t, "mount", "-o", "loop", image, at)
	mounted = append(mounted, at)
	p := serve(t, filepath.Join(at, "data"))
	if _, reason := installation(t, p); reason != "" {
		t.Errorf("the same file system on another device: %s", reason)
	}
	copied := serveUnready(t, filepath.Join(other, "data"))
	wantReadOnly(t, copied, "x")
	stop(t, copied)
	stop(t, p)
}
