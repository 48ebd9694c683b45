package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// uwsAudit runs uws audit.
func uwsAudit(t *testing.T, dir string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), uwstest.Binary, append([]string{"audit", "--data-dir", dir}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// exported returns the ids in /audit.jsonl.
func exported(t *testing.T, p *uwstest.Process) (ids []int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/audit.jsonl", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(resp.Body); lines.More(); {
		var line struct{ ID int }
		if err := lines.Decode(&line); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, line.ID)
	}
	return ids
}

// Lines older than --audit-retention are moved into an archive. `uws audit` lists and verifies it, and copies of the
// data folder include it.
func TestAuditRetention(t *testing.T) {
	dir := folder(t)
	if err := uwstest.OldAudit(t.Context(), dir, 30); err != nil {
		t.Fatal(err)
	}
	p := serve(t, dir)
	if ids := exported(t, p); len(ids) < 31 || ids[0] != 1 {
		t.Fatalf("without the flag the log has lines %v", ids)
	}
	var oldest struct {
		AuditLog struct{ PageInfo struct{ EndCursor string } }
	}
	if err := p.Query(t.Context(), `{ auditLog(first: 1000) { pageInfo { endCursor } } }`, nil, &oldest); err != nil {
		t.Fatal(err)
	}
	stop(t, p)
	unarchived := dir + "-copy"
	copyFolder(t, dir, unarchived)

	p = serve(t, dir, "--audit-retention", "7d")
	wait(t, "old lines are archived", func() bool { return strings.Contains(get(t, p.URL+"/metrics"), "uws_audit_archived_lines_total 30") })
	want(t, get(t, p.URL+"/metrics"), "uws_audit_archive_failures_total 0")
	want(t, p.Output.String(), "audit log archived")
	if strings.Contains(p.Output.String(), "Nobody has signed in yet") {
		t.Error("after the sign-in was archived, uws prints again that nobody has signed in")
	}
	ids := exported(t, p)
	if len(ids) == 0 || ids[0] != 31 {
		t.Errorf("the log has lines %v, want those from 31 on", ids)
	}
	want(t, get(t, p.URL+"/metrics"), fmt.Sprintf("uws_audit_lines %d\n", len(ids)))
	page := func(after string) ([]struct{ ID string }, error) {
		var out struct {
			AuditLog struct{ Nodes []struct{ ID string } }
		}
		err := p.Query(t.Context(), `query($after: ID) { auditLog(first: 500, after: $after) { nodes { id } } }`, map[string]any{"after": after}, &out)
		return out.AuditLog.Nodes, err
	}
	for _, after := range []string{"1", "30", oldest.AuditLog.PageInfo.EndCursor} {
		_, err := page(after)
		if e, ok := errors.AsType[*uwstest.GraphQLError](err); !ok || e.Code != "CURSOR_EXPIRED" {
			t.Errorf("after %s: %v, want CURSOR_EXPIRED", after, err)
		}
	}
	for after, n := range map[string]int{"31": 0, "32": 1} {
		if nodes, err := page(after); err != nil || len(nodes) != n {
			t.Errorf("after %s: %v, %v; want %d lines", after, nodes, err, n)
		}
	}

	archive := filepath.Join(dir, "audit", "1-30.jsonl")
	out, errs, err := uwsAudit(t, dir)
	if err != nil || strings.Count(out, "\n") != len(ids) || errs != "older entries: "+archive+"\n" {
		t.Errorf("uws audit: %d lines, %q, %v", strings.Count(out, "\n"), errs, err)
	}
	text, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	want(t, string(text), `{"id":30,"at":"`, `"actor":"owner","credentialId":"","role":"ADMIN","address":"127.0.0.1","door":"HTTP","action":"stopService","target":"s29"`)
	stop(t, p)

	archived := dir + "-copy2"
	copyFolder(t, dir, archived)
	for _, d := range []string{dir, archived} {
		if out, errs, err := uwsAudit(t, d, "--verify"); err != nil || !strings.Contains(out, "The audit log is intact: ") || !strings.Contains(out, "30 in archives (1)") {
			t.Errorf("--verify of %s: %q, %q, %v", d, out, errs, err)
		}
	}
	if err := os.WriteFile(archive, bytes.Replace(text, []byte(`"s7"`), []byte(`"s8"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, err := uwsAudit(t, dir, "--verify"); err == nil || !strings.Contains(out, archive+", with lines 1 to 30, was changed") || !strings.Contains(errs, "not intact") {
		t.Errorf("--verify with an edited archive: %q, %q, %v", out, errs, err)
	}
	if err := os.Remove(archive); err != nil {
		t.Fatal(err)
	}
	if out, _, err := uwsAudit(t, dir, "--verify"); err == nil || !strings.Contains(out, archive+", with lines 1 to 30, is missing") {
		t.Errorf("--verify without the archive: %q, %v", out, err)
	}

	// A read-only copy does not archive.
	p, err = uwstest.StartUnready(t.Context(), uwstest.Binary, unarchived, "--audit-retention", "7d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, p) })
	if ids := exported(t, p); len(ids) < 31 || ids[0] != 1 {
		t.Errorf("the copy has lines %v", ids)
	}
	stop(t, p) // waits until archiving has ended
	if _, err := os.Stat(filepath.Join(unarchived, "audit")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the copy has archives: %v", err)
	}
}
