package app_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/backup"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/app"
)

// A read-only installation takes no backup that is due, and leaves alone what was under way.
func TestBackupsReadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.healthy(w.launch("a").ID)
		now := time.Now().UTC()
		w.stop()
		w.stop = nil // so that edit starts nothing
		w.edit(func(ctx context.Context, tx *ent.Tx) error {
			err := tx.BackupTarget.Create().SetID("t1").SetName("disk").SetFolder("/no/such/folder").SetSecrets([]byte("x")).SetCreatedAt(now).Exec(ctx)
			if err != nil {
				return err
			}
			err = tx.BackupPolicy.Create().SetID("p1").SetTargetID("t1").SetSchedule("*/5 * * * *").SetTimeZone("UTC").SetKeepLast(1).SetKeepDaily(0).SetKeepWeekly(0).SetKeepMonthly(0).
				SetProveEverySeconds(3600).SetFinalBackup(true).SetCreatedAt(now).SetUpdatedAt(now).Exec(ctx)
			if err != nil {
				return err
			}
			return tx.Backup.Create().SetID("b1").SetServiceID("gone").SetServiceName("gone").SetKind(s.Kind).SetTemplate("echo").SetEngineVersion("1").SetNodeID("n1").SetTargetID("t1").
				SetTrigger(backup.TriggerREQUEST).SetState(backup.StateDELETING).SetCreatedAt(now).Exec(ctx)
		})
		w.options = append(w.options, func(o *app.Options) { o.ReadOnly = "a copy" })
		w.run()
		<-time.After(time.Hour)
		list, err := w.Backups(t.Context(), orchestrator.BackupFilter{}, orchestrator.Page{})
		if err != nil || len(list.Items) != 1 || list.Items[0].State != orchestrator.BackupDeleting {
			t.Errorf("after an hour there are %+v: %v", list.Items, err)
		}
	})
}
