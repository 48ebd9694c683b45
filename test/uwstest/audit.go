package uwstest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// OldAudit creates a store in a data folder. Its audit log has n lines that are 40 days old, the first of them a sign-in, and one
// of now.
func OldAudit(ctx context.Context, dataDir string, n int) (err error) {
	st, err := store.Open(ctx, store.Options{Dir: dataDir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	now := time.Now().UTC()
	for i := range n + 1 {
		at, action := now.Add(-40*24*time.Hour), "signIn"
		if i > 0 {
			action = "stopService"
		}
		if i == n {
			at = now
		}
		err := st.Write.Audit.Create().SetAt(at).SetActor("owner").SetCredential("").SetRole("ADMIN").SetAddress("127.0.0.1").SetDoor("HTTP").
			SetAction(action).SetTarget(fmt.Sprintf("s%d", i)).SetDetail("").SetResult("OK").SetMessage("").Exec(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}
