package crash

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/audit"
	"github.com/unicorn-web-services/uws/orchestrator/store"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// If uws is killed at any step of archiving the audit log, each line is in the log or in an archive, and the next start
// completes the work.
func TestCrashInArchiving(t *testing.T) {
	const old = 1200 // more than one query reads
	each(t, []string{"audit-begun", "audit-written", "audit-archived", "audit-checkpointed", "audit-deleted", "audit-committed"}, func(w *world, step string) {
		data := filepath.Join(w.dir, "data")
		w.must(uwstest.OldAudit(w.Context(), data, old))
		w.args = []string{"--audit-retention", "24h"}
		p, _ := uwstest.StartWith(w.Context(), []string{"UWS_FAULT=" + step}, uwstest.Binary, data, w.args...) // it may be killed before it is ready
		if p == nil {
			w.Fatal("uws was not started")
		}
		select {
		case <-p.Exited():
		case <-time.After(uwstest.Patience):
			w.Fatal("the step was never reached")
		}
		if p.Cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			w.Fatalf("uws ended with %s, but did not kill itself:\n%s", p.Cmd.ProcessState, p.Output)
		}
		switch archived, kept := w.auditLines(); {
		case step == "audit-committed" && (len(archived) != old || kept != old+1):
			w.Errorf("after the crash %d lines are archived, and the log begins with %d", len(archived), kept)
		case step != "audit-committed" && (len(archived) > 0 || kept != 1):
			w.Errorf("after the crash %d lines are archived, and the log begins with %d", len(archived), kept)
		}
		w.start("")
		w.must(uwstest.Until(w.Context(), "old lines are archived", func() (bool, error) {
			archived, kept := w.auditLines()
			for i, id := range archived {
				if id != int64(i+1) {
					w.Fatalf("line %d of the archives has id %d", i+1, id)
				}
			}
			return len(archived) == old && kept == old+1, nil
		}))
	})
}

// auditLines returns the ids of archived lines, and the first one in the log. It fails if any line is missing.
func (w *world) auditLines() (archived []int64, first int64) {
	w.Helper()
	st, err := store.Open(w.Context(), store.Options{Dir: filepath.Join(w.dir, "data"), Existing: true, Shared: true})
	w.must(err)
	defer st.Close()
	report, err := st.VerifyAudit(w.Context())
	w.must(err)
	if len(report.Problems) > 0 {
		w.Fatalf("the audit log is not intact: %q", report.Problems)
	}
	for _, a := range report.Archives {
		text, err := os.ReadFile(a.Path)
		w.must(err)
		for line := range strings.Lines(string(text)) {
			var l struct{ ID int64 }
			w.must(json.Unmarshal([]byte(line), &l))
			if l.ID > 0 {
				archived = append(archived, l.ID)
			}
		}
	}
	first, err = st.Read.Audit.Query().Order(ent.Asc(audit.FieldID)).FirstID(w.Context())
	w.must(err)
	return archived, first
}
