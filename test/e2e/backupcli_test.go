package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/test/stories"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// idOf returns the id of a service by its name.
func (s shell) idOf(name string) string {
	s.t.Helper()
	var shown struct{ ID string }
	if err := json.Unmarshal([]byte(s.want(nil, "get", name, "-o", "json")), &shown); err != nil {
		s.t.Fatal(err)
	}
	return shown.ID
}

// query runs a statement in a database, and returns the rows as text.
func (s shell) query(p *uwstest.Process, name, statement string) (rows []string) {
	s.t.Helper()
	id := s.idOf(name)
	keys, err := p.Credentials(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	row, err := p.Service(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	db, err := stories.PostgresConnect(s.t.Context(), row.Endpoint, keys)
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close(s.t.Context())
	got, err := db.Query(s.t.Context(), statement)
	if err != nil {
		s.t.Fatal(err)
	}
	for got.Next() {
		var text string
		if err := got.Scan(&text); err != nil {
			s.t.Fatal(err)
		}
		rows = append(rows, text)
	}
	if err := got.Err(); err != nil {
		s.t.Fatal(err)
	}
	return rows
}

// names returns what a command lists.
func (s shell) names(args ...string) []string {
	s.t.Helper()
	return strings.Fields(s.want(nil, append(args, "-o", "name")...))
}

const (
	makeCats = "CREATE TABLE cats AS SELECT n, 'Grüße ' || n AS says FROM generate_series(1, 1000) n"
	sumCats  = "SELECT count(*) || ' ' || md5(string_agg(says, ',' ORDER BY n)) FROM cats"
)

// A service is backed up, restored, and lost with the whole installation, by the command line alone.
func TestBackupCommandLine(t *testing.T) {
	dir, place := folder(t), filepath.Join(uwstest.Folder(t), "backups")
	p := serve(t, dir)
	s := shell{t, []string{"HOME=" + t.TempDir(), "UWS_URL=" + p.URL, "UWS_TOKEN=" + p.Token}}
	s.want([]string{"There are no backup targets"}, "backup", "targets")
	s.want([]string{"There are no backup policies"}, "backup", "policies")
	s.want([]string{"shop is healthy"}, "launch", "db", "shop", "--wait")
	s.want([]string{"BACKUP", "NONE"}, "ls")
	s.query(p, "shop", makeCats)
	want := s.query(p, "shop", sumCats)

	s.fails(1, "no policy applies", "backup", "create", "shop")
	s.fails(1, "absolute", "backup", "target-create", "disk", "--folder", "backups")
	s.fails(2, "--bucket", "backup", "target-create", "disk", "--folder", place, "--bucket", "b")
	s.fails(2, "UWS_S3_SECRET_KEY", "backup", "target-create", "far", "--endpoint", "http://127.0.0.1:1", "--bucket", "b")
	made, warnings, code := s.run("", "backup", "target-create", "disk", "--folder", place)
	if code != 0 || !strings.Contains(made, "Backup target disk is ready") || !strings.Contains(warnings, "Nobody has taken its recovery kit") {
		t.Fatalf("target-create exits with %d: %s%s", code, made, warnings)
	}
	s.fails(4, "already", "backup", "target-create", "disk", "--folder", place+"2")
	s.fails(4, "importBackupTarget", "backup", "target-create", "again", "--folder", place)
	s.want([]string{"Backup target disk works"}, "backup", "target-test", "disk")
	s.want([]string{"disk", place, "reachable", "not taken"}, "backup", "targets")
	kit := filepath.Join(t.TempDir(), "disk.kit")
	s.fails(3, `no backup target named "dosk"`, "backup", "recovery-kit", "dosk", "--file", kit)
	s.want([]string{"The recovery kit of disk is in " + kit}, "backup", "recovery-kit", "disk", "--file", kit)
	if info, err := os.Stat(kit); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the kit: %v, %v", info, err)
	}
	text, err := os.ReadFile(kit)
	if err != nil {
		t.Fatal(err)
	}
	s.fails(1, "file exists", "backup", "recovery-kit", "disk", "--file", kit)
	s.want([]string{string(text)}, "backup", "recovery-kit", "disk")
	s.want([]string{" taken "}, "backup", "targets")

	b := s.backsUp("shop")
	s.restores(p, b, want)

	s.want([]string{"is pinned"}, "backup", "pin", b)
	s.fails(4, "pinned", "backup", "rm", b)
	s.want([]string{"is not pinned"}, "backup", "unpin", b)
	s.fails(4, "policies use this target", "backup", "target-rm", "disk")
	s.fails(3, "no backup", "backup", "pin", "none")
	s.fails(4, "over", "backup", "cancel", b)
	s.fails(3, "there is no", "backup", "cancel", "none")

	s.want([]string{"complete: "}, "backup", "create", "shop", "--target", "disk", "-w")
	s.want([]string{"is being deleted"}, "backup", "rm", b)
	err = uwstest.Until(t.Context(), "the backup is deleted", func() (bool, error) {
		_, _, code := s.run("", "backup", "get", b)
		return code == 3, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	left := len(s.names("backup", "ls"))
	loseAll(t, p, dir)
	s.recovers(place, kit, left, want)
}

// backsUp backs a service up by a policy and returns the id of the backup.
func (s shell) backsUp(name string) string {
	t := s.t
	t.Helper()
	s.fails(2, "--target", "backup", "policy-set", name)
	s.fails(1, "five fields", "backup", "policy-set", name, "--target", "disk", "--schedule", "now")
	s.want([]string{"applies to 1 services", "30 2 * * * Europe/Berlin"}, "backup", "policy-set", name, "--target", "disk", "--schedule", "30 2 * * *", "--time-zone", "Europe/Berlin", "--keep-last", "5", "--no-final-backup")
	s.want([]string{"applies to 1 services", "30 2 * * * Europe/Berlin"}, "backup", "policy-set", name, "--prove-every", "0", "--paused")
	var policies []struct {
		Keep                struct{ Last, Daily int }
		FinalBackup, Paused bool
		ProveEvery          float64
	}
	if err := json.Unmarshal([]byte(s.want(nil, "backup", "policies", "-o", "json")), &policies); err != nil {
		t.Fatal(err)
	}
	if len(policies) != 1 || policies[0].Keep.Last != 5 || policies[0].Keep.Daily != 7 || policies[0].FinalBackup || !policies[0].Paused || policies[0].ProveEvery != 0 {
		t.Errorf("the policy is %+v", policies)
	}
	s.want([]string{"service " + name, "disk", "30 2 * * *", "never", "paused"}, "backup", "policies")
	s.want([]string{"applies to 0 services"}, "backup", "policy-set", "--kind", "queue", "-l", "team=shop", "--target", "disk")
	s.want([]string{"QUEUE team=shop"}, "backup", "policies")
	s.want([]string{"is deleted"}, "backup", "policy-rm", s.names("backup", "policies")[1])
	s.fails(3, "no policy", "backup", "policy-rm", "nothing")

	// The policy is paused, but its first backup may have begun before: the next command waits for that one.
	stdout, stderr, code := s.run("", "backup", "create", name, "--wait")
	if code != 0 || !strings.Contains(stdout, "complete: ") || strings.ContainsAny(stdout+stderr, "\x1b\r") {
		t.Fatalf("create exits with %d: %q %q", code, stdout, stderr)
	}
	all := s.names("backup", "ls", name)
	s.want([]string{all[0], name, "DB", "disk", "COMPLETE", "MiB"}, "backup", "ls", "--target", "disk")
	s.want([]string{"Service      " + name, "COMPLETE", "Contents", "roles: ", "database postgres", "  table public.cats: about 1000 rows"}, "backup", "get", all[0])
	s.want([]string{`"type": "database"`}, "backup", "get", all[0], "-o", "json")
	s.want([]string{"OK "}, "ls")
	s.want([]string{"Backup       OK", "Backed up    "}, "get", name)
	return all[0]
}

// restores makes services of a backup.
func (s shell) restores(p *uwstest.Process, backup string, want []string) {
	t := s.t
	t.Helper()
	s.fails(4, "exists already", "backup", "restore", backup, "--name", "shop")
	s.fails(3, "there is no service named", "backup", "restore", "none", "--name", "copy")
	s.fails(3, "no node", "backup", "restore", backup, "--name", "copy", "--node", "none")
	s.fails(5, "is not over after 1ns", "backup", "restore", backup, "--name", "late", "--wait", "--timeout", "1ns")
	s.want([]string{"is complete: service copy works"}, "backup", "restore", "shop", "--name", "copy", "--node", "local", "--rotate", "--wait")
	if got := s.query(p, "copy", sumCats); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the restored rows are %q, want %q", got, want)
	}
	keys, err := p.Credentials(t.Context(), s.idOf("shop"))
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := p.Credentials(t.Context(), s.idOf("copy"))
	if err != nil || rotated["password"] == keys["password"] {
		t.Errorf("the password was not replaced: %v", err)
	}
	s.want([]string{"copy", "COMPLETE", backup, "late"}, "backup", "restores")
	s.query(p, "copy", "DROP TABLE cats")
	if got := s.query(p, "shop", sumCats); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the rows of the saved service are %q now, want %q", got, want)
	}
}

// loseAll destroys an installation with all its services.
func loseAll(t *testing.T, p *uwstest.Process, dir string) {
	t.Helper()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := uwstest.KillEngines(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}

// recovers restores a service in a fresh installation that has nothing but the kit.
func (s shell) recovers(place, kit string, backups int, want []string) {
	t := s.t
	t.Helper()
	p := serve(t, folder(t))
	fresh := shell{t, []string{"HOME=" + t.TempDir(), "UWS_URL=" + p.URL, "UWS_TOKEN=" + p.Token}}
	bogus := filepath.Join(t.TempDir(), "bogus")
	if err := os.WriteFile(bogus, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	fresh.fails(1, "no recovery kit", "backup", "import-target", "old", "--kit", bogus)
	fresh.want([]string{fmt.Sprintf("Backup target old is taken over, with %d backups", backups)}, "backup", "import-target", "old", "--kit", kit)
	fresh.fails(4, "here already", "backup", "import-target", "older", "--kit", kit)
	fresh.want([]string{"old", place, "taken"}, "backup", "targets")
	fresh.want([]string{"shop", "COMPLETE", "old"}, "backup", "ls", "shop")
	fresh.want([]string{"is complete: service shop works"}, "backup", "restore", "shop", "--name", "shop", "-w")
	if got := fresh.query(p, "shop", sumCats); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("after everything was lost the rows are %q, want %q", got, want)
	}
	fresh.want([]string{"is forgotten"}, "backup", "target-rm", "old")
	if _, err := os.Stat(place); err != nil {
		t.Error(err)
	}
}

// Backups go to a bucket of a service, and to the same one as if it were anybody's.
func TestBackupsInBuckets(t *testing.T) {
	p := serve(t, folder(t))
	s := shell{t, []string{"HOME=" + t.TempDir(), "UWS_URL=" + p.URL, "UWS_TOKEN=" + p.Token}}
	s.want(nil, "launch", "bucket", "store", "--wait")
	s.want(nil, "launch", "db", "orders", "--wait")
	keys, err := p.Credentials(t.Context(), s.idOf("store"))
	if err != nil {
		t.Fatal(err)
	}
	row, err := p.Service(t.Context(), s.idOf("store"))
	if err != nil {
		t.Fatal(err)
	}
	s.want(nil, "backup", "target-create", "own", "--s3-service", "store", "--bucket", "backups", "--prefix", "own", "--write-mib-per-second", "100")
	s.fails(4, "its own backup", "backup", "create", "store", "--target", "own")
	s.fails(1, "", "backup", "target-create", "far", "--endpoint", row.Endpoint, "--bucket", "backups", "--prefix", "a//b", "--access-key", keys["accessKey"], "--secret-key-file", "/no/such/file")
	secret := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(secret, []byte(keys["secretKey"]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	far := []string{"backup", "target-create", "far", "--endpoint", row.Endpoint, "--bucket", "backups", "--prefix", "far", "--region", "us-east-1", "--access-key", keys["accessKey"]}
	s.want(nil, append(far, "--secret-key-file", secret)...)
	s.want([]string{"backups/far at " + row.Endpoint, "backups/own of service "}, "backup", "targets")
	for _, target := range []string{"own", "far"} {
		s.want([]string{"complete: "}, "backup", "create", "orders", "--target", target, "--wait")
	}
	kit := s.want(nil, "backup", "recovery-kit", "far")
	s.want([]string{"is forgotten"}, "backup", "target-rm", "far")
	path := filepath.Join(t.TempDir(), "far.kit")
	if err := os.WriteFile(path, []byte(kit), 0o600); err != nil {
		t.Fatal(err)
	}
	s.fails(2, "UWS_S3_SECRET_KEY", "backup", "import-target", "far", "--kit", path)
	s.env = append(s.env, "UWS_S3_SECRET_KEY=wrong")
	s.fails(1, "", "backup", "import-target", "far", "--kit", path)
	s.env[len(s.env)-1] = "UWS_S3_SECRET_KEY=" + keys["secretKey"]
	s.want([]string{"with 1 backups"}, "backup", "import-target", "far", "--kit", path)
	s.want([]string{"service copy works"}, "backup", "restore", s.names("backup", "ls", "--target", "far")[0], "--name", "copy", "-w")
}

// Clients of a service are given its restored copy, and the service again, by the command line alone.
func TestSwapCommandLine(t *testing.T) {
	p := serve(t, folder(t))
	s := shell{t, []string{"HOME=" + t.TempDir(), "UWS_URL=" + p.URL, "UWS_TOKEN=" + p.Token}}
	s.want([]string{"shop is healthy"}, "launch", "db", "shop", "--wait")
	shop := s.idOf("shop")
	s.want(nil, "backup", "target-create", "disk", "--folder", filepath.Join(uwstest.Folder(t), "backups"))
	s.want([]string{"complete"}, "backup", "create", "shop", "--target", "disk", "--wait")
	s.want([]string{"complete"}, "backup", "restore", "shop", "--name", "copy", "--wait")
	s.query(p, "shop", makeCats)
	s.fails(3, "there is no service named", "swap", "shop", "none")
	s.fails(1, "is the same service", "swap", "shop", "shop")
	s.want([]string{"shop is stopped, keeps its data, and is named copy.", "copy is named shop and restarted", "The data of copy is as of", "Nothing was changed"}, "swap", "shop", "copy")
	if s.idOf("shop") != shop {
		t.Error("the plan changed something")
	}
	s.fails(3, "no node named", "move", "shop", "none")
	s.fails(4, "is on node local already", "move", "shop", "local", "--target", "disk")
	s.want([]string{"shop is healthy"}, "swap", "shop", "copy", "--confirm", "--wait")
	if got := s.query(p, "shop", "SELECT count(*)::text FROM pg_tables WHERE tablename = 'cats'"); got[0] != "0" || s.idOf("copy") != shop {
		t.Errorf("clients reach the old service: %v", got)
	}
	s.want([]string{"copy is stopped"}, "stop", "copy", "--wait")
	s.want([]string{"shop is healthy"}, "swap", "shop", "copy", "--confirm", "--wait")
	if got := s.query(p, "shop", "SELECT count(*)::text FROM cats"); got[0] != "1000" || s.idOf("shop") != shop {
		t.Errorf("the service is not what it was: %v", got)
	}
}
