package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/internal/background"
	"github.com/unicorn-web-services/uws/internal/clean"
	"github.com/unicorn-web-services/uws/internal/fault"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
	"github.com/unicorn-web-services/uws/orchestrator/backup/method/postgres"
	"github.com/unicorn-web-services/uws/orchestrator/backup/repo"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

const (
	// walEvery is how often the index of a log is stored, and the log itself if there is more of it.
	walEvery = time.Minute
	// walRetry is the first pause after a receiver ended, doubled up to walEvery.
	walRetry = time.Second
)

// follower receives the log of one service into one target.
type follower struct {
	b       *Backups
	service string
	target  string
	cancel  context.CancelFunc
	drop    bool // remove the slot at the end, because the policy does not want the log. b.mu is held.
}

// wal is what is known of the log of a service. b.mu is held.
type wal struct {
	since   time.Time // when its receiver was started; zero: there is none
	log     walLog    // the newest; that which is being received, if one is
	behind  int64     // bytes
	problem string    // why the receiver ended last; empty: it did not
	known   bool      // the index in the target was read, or is being read
}

// beginning reports whether a log is about to be begun, which a base backup has to wait for.
func (w wal) beginning() bool { return !w.since.IsZero() && w.log.Begun.IsZero() && w.problem == "" }

// wantsWAL reports whether the log of a service is to be received now. b.mu is held.
func (b *Backups) wantsWAL(s *orchestrator.Service, p *policy) bool {
	how, _ := b.live(s.Definition)
	return p != nil && p.PointInTime && !p.Paused && how == byBaseBackup && s.DesiredState == lifecycle.WantRunning && s.Phase == lifecycle.Running && b.targets[p.TargetID] != nil
}

// slotOf returns the name of the slot of a service if its policy wants its log, be it received now or not.
func (b *Backups) slotOf(serviceID string) string {
	s := b.Snapshot.Known(serviceID)
	b.mu.Lock()
	defer b.mu.Unlock()
	if s == nil {
		return ""
	}
	if p := b.policyFor(s); p == nil || !p.PointInTime {
		return ""
	}
	return postgres.SlotName(serviceID)
}

// follow begins to receive the logs that are wanted, and ends those that are not.
func (b *Backups) follow(services []*orchestrator.Service) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := map[string]bool{}
	for _, s := range services {
		known[s.ID] = true
		p := b.policyFor(s)
		f, wants := b.followers[s.ID], b.wantsWAL(s, p)
		if f != nil && (!wants || f.target != p.TargetID) {
			// A service that is only stopped, or is not well, goes on from its slot later.
			f.drop = p == nil || !p.PointInTime
			f.cancel() // one for another target begins when it has ended
		}
		switch {
		case f == nil && wants:
			b.startFollower(s.ID, p.TargetID)
		case f == nil && p != nil && p.PointInTime:
			b.recallWAL(s.ID, p.TargetID)
		}
	}
	for id, f := range b.followers {
		if !known[id] {
			f.cancel()
		}
	}
}

// recallWAL reads how far the log of a service that does not run is stored, once. b.mu is held.
func (b *Backups) recallWAL(service, target string) {
	w := &b.recordOf(service).wal
	if w.known {
		return
	}
	w.known = true
	b.work.Go(func(ctx context.Context) {
		f := &follower{b: b, service: service, target: target}
		r, err := b.open(ctx, target)
		var x walIndex
		if err == nil {
			x, err = readWAL(ctx, r, service)
		}
		if err == nil && x.newest() != nil {
			f.note(*x.newest(), 0)
		}
		b.mu.Lock()
		b.recordOf(service).wal.known = err == nil
		b.mu.Unlock()
	})
}

// startFollower begins to receive the log of a service. b.mu is held.
func (b *Backups) startFollower(service, target string) {
	ctx, cancel := context.WithCancel(b.work.Context())
	f := &follower{b: b, service: service, target: target, cancel: cancel}
	b.followers[service] = f
	b.recordOf(service).wal.since = store.Now()
	b.work.Go(func(context.Context) {
		defer cancel()
		f.run(ctx)
		b.mu.Lock()
		drop := f.drop
		b.mu.Unlock()
		if drop {
			f.dropSlot(b.work.Context())
		}
		b.mu.Lock()
		delete(b.followers, service)
		w := &b.recordOf(service).wal
		w.since, w.behind, w.problem = time.Time{}, 0, ""
		if drop {
			w.log = walLog{}
		}
		b.mu.Unlock()
		b.lookSoon()
	})
}

// run receives until ctx ends.
func (f *follower) run(ctx context.Context) {
	pause, said := walRetry, ""
	for {
		began := time.Now()
		err := f.receive(ctx)
		if ctx.Err() != nil {
			return
		}
		problem := clean.Clip(clean.Line(err.Error()), maxReason)
		if problem != said {
			f.b.log.Warn("receiving the log of a service failed; retrying", "service", f.service, "error", problem)
			said = problem
		}
		f.b.mu.Lock()
		f.b.recordOf(f.service).wal.problem = problem
		f.b.mu.Unlock()
		if time.Since(began) > walEvery {
			pause = walRetry
		}
		if !background.Pause(ctx, pause) {
			return
		}
		pause = min(2*pause, walEvery)
	}
}

// receive receives the log until that fails. A log with a gap ends, and another one begins.
func (f *follower) receive(ctx context.Context) error {
	r, err := f.b.open(ctx, f.target)
	if err != nil {
		return err
	}
	in, err := f.b.instance(ctx, f.service)
	if err != nil {
		return err
	}
	x, err := readWAL(ctx, r, f.service)
	if err != nil {
		return err
	}
	lost := error(postgres.ErrSlotLost)
	if last := x.newest(); last != nil {
		if err := f.extend(ctx, r, last); err != nil {
			return err
		}
		lost = postgres.Method{}.Continues(ctx, in, postgres.SlotName(f.service), last.Log)
	}
	if errors.Is(lost, postgres.ErrSlotLost) {
		lost = f.begin(ctx, r, in, &x, lost)
	}
	if lost != nil {
		return lost
	}
	log := *x.newest()
	f.note(log, 0)
	return f.store(ctx, r, in, x, log)
}

// extend takes over the segments that were stored after the index was, before uws died.
func (f *follower) extend(ctx context.Context, r *repo.Repository, log *walLog) error {
	stored, err := r.Names(ctx, log.object(f.service, ""))
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(stored))
	for _, o := range stored {
		there[o.Name] = true
	}
	return log.Extend(func(segment string) bool { return there[log.object(f.service, segment)] })
}

// begin begins another log, after which a base backup is due.
func (f *follower) begin(ctx context.Context, r *repo.Repository, in method.Instance, x *walIndex, why error) error {
	log, err := postgres.Method{}.BeginLog(ctx, in, postgres.SlotName(f.service))
	if err != nil {
		return err
	}
	fault.Point("wal-slot")
	last := x.newest()
	x.Logs = append(x.Logs, walLog{ID: strings.ToLower(orchestrator.NewID()), Log: log, Begun: store.Now()})
	if err := x.write(ctx, r, f.service); err != nil || last == nil {
		return err
	}
	f.b.log.Warn("the log of a service has a gap: a new base backup is taken", "service", f.service, "error", why)
	return f.b.Store.Update(ctx, func(ctx context.Context, tx *ent.Tx) error {
		reason := fmt.Sprintf("it can be restored to any moment until %s, and again from the backup on that is taken now: %v",
			last.RestorableTo.UTC().Format(time.RFC3339), why)
		return f.b.event(ctx, tx, f.service, "", lifecycle.CodeBackupLogLost, reason, nil)
	})
}

// note takes over how far a log is stored.
func (f *follower) note(log walLog, behind int64) {
	f.b.mu.Lock()
	defer f.b.mu.Unlock()
	w := &f.b.recordOf(f.service).wal
	fresh := w.log.ID != log.ID
	w.log, w.behind, w.known = log, behind, true
	if behind == 0 || !log.RestorableTo.IsZero() {
		w.problem = ""
	}
	if fresh {
		f.b.lookSoon() // for a base backup
	}
}

// store receives a log into its target, with its index.
func (f *follower) store(ctx context.Context, r *repo.Repository, in method.Instance, x walIndex, log walLog) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	changed := make(chan struct{}, 1)
	var written sync.WaitGroup
	written.Go(func() { cancel(f.writeIndex(ctx, r, x, changed)) })
	defer written.Wait()
	defer cancel(nil)
	part, object := "", log.object // of the log as it is now, which Report changes
	return postgres.Receiver{
		From: in, Slot: postgres.SlotName(f.service), Every: walEvery,
		Store: func(ctx context.Context, name string, data []byte) error {
			fault.Point("wal-store")
			if err := r.Put(ctx, object(f.service, name), data); err != nil {
				return err
			}
			before := part
			if part = ""; postgres.IsPart(name) {
				part = name
				return nil
			}
			if before == "" {
				return nil
			}
			return r.Remove(ctx, object(f.service, before)) // the whole segment has taken its place
		},
		Report: func(s postgres.State) {
			log.To = s.Flushed
			if !s.RestorableTo.IsZero() {
				log.RestorableTo = s.RestorableTo
			}
			f.note(log, s.BehindBytes)
			select {
			case changed <- struct{}{}:
			default:
			}
		},
	}.Receive(ctx)
}

// writeIndex stores the index of the log when more of the log was stored, and once a minute if there was no more. It returns nil
// when ctx ends.
func (f *follower) writeIndex(ctx context.Context, r *repo.Repository, x walIndex, changed <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		last, now := x.newest(), f.b.logOf(f.service)
		if now.To == last.To && now.RestorableTo.Sub(last.RestorableTo) < walEvery {
			continue
		}
		*last = now
		if err := x.write(ctx, r, f.service); err != nil {
			return err
		}
	}
}

// dropSlot removes the slot, so that the server does not keep its log.
func (f *follower) dropSlot(ctx context.Context) {
	in, err := f.b.instance(ctx, f.service)
	if err == nil {
		err = postgres.Method{}.DropSlot(ctx, in, postgres.SlotName(f.service))
	}
	if err != nil && ctx.Err() == nil {
		f.b.log.Warn("removing a replication slot failed; the next backup does it", "service", f.service, "error", err)
	}
}
