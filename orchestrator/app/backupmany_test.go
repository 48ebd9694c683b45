package app_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/app"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// Ten thousand services, each with a policy of its own, that are due at once wait for their turns: two at a time, in the order in which
// they were launched. Their rows are written many at once.
func TestTenThousandDue(t *testing.T) {
	many := 10_000
	if uwstest.Raced {
		many = 500
	}
	const enough = 20
	var commits atomic.Int64
	w, a, target := newArchives(t, func(o *app.Options) { o.Store.Follow(func(context.Context, store.Commit) { commits.Add(1) }) })
	one := w.healthy(w.launch("first").ID)
	if _, err := w.Stop(t.Context(), one.ID); err != nil {
		t.Fatal(err)
	}
	w.waitFor(one.ID, lifecycle.Stopped, lifecycle.HealthUnknown)
	row := w.row(one.ID)
	done := make(chan struct{})
	var once sync.Once
	a.set(func(ctx context.Context, _ string) error {
		a.mu.Lock()
		begun := len(a.exported)
		a.mu.Unlock()
		if begun > enough {
			once.Do(func() { close(done) })
			<-ctx.Done() // the others wait
		}
		return errors.New("the engine cannot be copied")
	})
	w.edit(func(ctx context.Context, tx *ent.Tx) error { return manyStopped(ctx, tx, row, target, many) })
	began, cpu := time.Now(), processorTime(t)
	<-done
	t.Logf("%d attempts after %s, which took %s of processors", enough, time.Since(began), processorTime(t)-cpu)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.most > 2 {
		t.Errorf("%d backups at a time", a.most)
	}
	for _, id := range a.exported[:enough] {
		if n, _ := strconv.Atoi(strings.TrimPrefix(id, "s")); n > 2*enough {
			t.Errorf("service %s had its turn among the first %d", id, enough)
		}
	}
	if n := commits.Load(); n > int64(4*enough+many/50) {
		t.Errorf("%d commits for %d services", n, many)
	}
}

// manyStopped stores services like one that is stopped, each with a policy.
func manyStopped(ctx context.Context, tx *ent.Tx, like *ent.Service, target string, n int) error {
	for i := range n {
		id := fmt.Sprintf("s%05d", i)
		at := like.CreatedAt.Add(time.Duration(i) * time.Microsecond)
		err := tx.Service.Create().SetID(id).SetName(id).SetKind(like.Kind).SetTemplate(like.Template).SetDefinition(like.Definition).SetInputHash(id).SetVolume(like.Volume).
			SetCredentials(like.Credentials).SetDesiredState(like.DesiredState).SetNodeID(like.NodeID).SetPorts(map[string]int{"main": 30000 + i}).SetPhase(like.Phase).
			SetHealth(like.Health).SetInstance(like.Instance).SetEverHealthy(true).SetCreatedAt(at).SetUpdatedAt(at).Exec(ctx)
		if err != nil {
			return err
		}
		err = tx.BackupPolicy.Create().SetID(id).SetServiceID(id).SetTargetID(target).SetSchedule("0 3 * * *").SetTimeZone("UTC").SetKeepLast(1).SetKeepDaily(0).SetKeepWeekly(0).
			SetKeepMonthly(0).SetProveEverySeconds(0).SetFinalBackup(false).SetCreatedAt(at).SetUpdatedAt(at).Exec(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}

func processorTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
