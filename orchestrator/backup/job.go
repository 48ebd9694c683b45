package backup

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/internal/background"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// job is a backup or a restore that is queued or under way.
type job struct {
	id, target, node string
	run              func(ctx context.Context, j *job) // records its end
	ctx              context.Context
	cancel           context.CancelCauseFunc
	progress         progress
}

// progress of a job. It is safe for concurrent use.
type progress struct {
	mu      sync.Mutex
	step    string
	text    string
	bytes   int64
	total   int64    // 0: not known
	samples []sample // of the last seconds
	over    bool
	changed chan struct{} // closed when the step changes
	silence *time.Timer   // ends the job; nil: it has not begun
	within  time.Duration // after which it does if nothing is copied
}

type sample struct {
	at    time.Time
	bytes int64
}

// rateWindow is the time over which the rate is measured.
const rateWindow = 10 * time.Second

// enter begins a step, of total bytes if that is known. The job ends if nothing is copied within some time.
func (p *progress) enter(step, text string, total int64, within time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step, p.text, p.bytes, p.total, p.samples, p.within = step, text, 0, total, nil, within
	p.alive()
	p.wake()
}

// alive puts off the end of a job that copies nothing. p.mu is held.
func (p *progress) alive() {
	if p.silence != nil {
		p.silence.Reset(p.within)
	}
}

// copied notes that so many bytes of the step were copied in all.
func (p *progress) copied(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.bytes = bytes
	p.alive()
	if n := len(p.samples); n == 0 || now.Sub(p.samples[n-1].at) >= time.Second {
		p.samples = append(p.samples, sample{now, bytes})
		p.samples = slices.DeleteFunc(p.samples, func(s sample) bool { return now.Sub(s.at) > rateWindow })
	}
}

func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.wake()
}

// wake wakes those who wait for a change. p.mu is held.
func (p *progress) wake() {
	if p.changed != nil {
		close(p.changed)
	}
	p.changed = make(chan struct{})
}

// now returns the progress, and a channel that is closed at the next step.
func (p *progress) now(id string) (orchestrator.BackupProgress, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	out := orchestrator.BackupProgress{ID: id, Step: p.step, Text: p.text, Bytes: p.bytes, Over: p.over}
	if p.total > 0 {
		out.Total = new(max(p.total, p.bytes))
	}
	if n := len(p.samples); n > 1 {
		if took := p.samples[n-1].at.Sub(p.samples[0].at); took > 0 {
			out.PerSec = int64(float64(p.samples[n-1].bytes-p.samples[0].bytes) / took.Seconds())
		}
	}
	return out, p.changed
}

// add queues a job. b.mu is held.
func (b *Backups) add(id, target, node, text string, run func(context.Context, *job)) {
	if b.jobs[id] != nil {
		return
	}
	j := &job{id: id, target: target, node: node, run: run}
	j.ctx, j.cancel = context.WithCancelCause(b.work.Context())
	j.progress.enter("QUEUED", text, 0, silence)
	b.jobs[id] = j
	b.queue = append(b.queue, j)
}

// start begins the jobs that have their turn: those that wait longest first, at most some on each node and target.
func (b *Backups) start() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.work.Context().Err() != nil {
		return // uws ends: those that wait begin when it is started again
	}
	b.queue = slices.DeleteFunc(b.queue, func(j *job) bool {
		if j.ctx.Err() == nil && (b.running >= maxAtOnce || b.inTarget[j.target] >= perTarget || b.onNode[j.node] >= perNode) {
			return false
		}
		b.count(j, 1)
		b.work.Go(func(context.Context) { b.do(j) })
		return true
	})
}

// count counts a job that begins, or ends by -1. b.mu is held.
func (b *Backups) count(j *job, n int) {
	b.running += n
	b.inTarget[j.target] += n
	b.onNode[j.node] += n
}

// do runs a job, and ends it if nothing is copied for too long.
func (b *Backups) do(j *job) {
	j.progress.mu.Lock()
	j.progress.silence = time.AfterFunc(silence, func() { j.cancel(errSilent) })
	j.progress.mu.Unlock()
	j.run(j.ctx, j)
	j.progress.silence.Stop()
	j.cancel(nil)
	j.progress.end()
	b.mu.Lock()
	delete(b.jobs, j.id)
	b.count(j, -1)
	b.mu.Unlock()
	b.start()
	b.lookSoon()
}

// conclude records how a job ended, until that is done, there is nothing to record any more, or uws ends.
func (b *Backups) conclude(id string, record func(ctx context.Context) error) {
	ctx := b.work.Context()
	for try := 0; ctx.Err() == nil; try++ {
		err := record(ctx)
		if err == nil || ent.IsNotFound(err) {
			return
		}
		b.log.Warn("recording how a job ended failed; retrying", "id", id, "error", err)
		background.Pause(ctx, min(time.Second<<min(try, 6), time.Minute))
	}
}

// WatchBackup implements [orchestrator.BackupReader].
func (b *Backups) WatchBackup(ctx context.Context, id string, span orchestrator.Span, yield func(orchestrator.BackupProgress) error) (int64, error) {
	b.mu.Lock()
	j := b.jobs[id]
	b.mu.Unlock()
	if j == nil {
		p, err := b.ended(ctx, id)
		if err != nil {
			return 0, err
		}
		return orchestrator.Over, yield(p)
	}
	timer := time.NewTicker(time.Second)
	defer timer.Stop()
	for position := int64(1); ; position++ {
		p, changed := j.progress.now(id)
		p.Position = position
		if p.Over {
			if p, err := b.ended(ctx, id); err == nil {
				return orchestrator.Over, yield(p)
			}
		}
		if err := yield(p); err != nil || p.Over || !span.Live {
			return position, err
		}
		select {
		case <-ctx.Done():
			return position, nil
		case <-changed:
		case <-timer.C:
		}
	}
}

// ended returns the last message about a backup or restore that is over.
func (b *Backups) ended(ctx context.Context, id string) (orchestrator.BackupProgress, error) {
	p := orchestrator.BackupProgress{ID: id, Over: true, Position: orchestrator.Over}
	x, err := b.Backup(ctx, id)
	if err == nil {
		p.Step, p.Text, p.Bytes = string(x.State), x.Reason, x.Bytes
		return p, nil
	}
	r, err := b.Restore(ctx, id)
	if err != nil {
		return p, err
	}
	p.Step, p.Text, p.Bytes = string(r.State), r.Reason, r.Bytes
	return p, nil
}

// event appends an event about a service, which may be gone.
func (b *Backups) event(ctx context.Context, tx *ent.Tx, serviceID, name string, code lifecycle.ReasonCode, reason string, row *ent.Backup) error {
	s, err := tx.Service.Get(ctx, serviceID)
	switch {
	case err == nil:
		return b.Fleet.ChangeEvent(tx, nowUTC(), s, s).SetReason(reason).SetReasonCode(code).Exec(ctx)
	case !ent.IsNotFound(err) || row == nil:
		return ignoreMissing(err)
	}
	return b.Fleet.GoneEvent(tx, nowUTC(), row.ServiceID, name, row.Kind, row.Template).SetReason(reason).SetReasonCode(code).Exec(ctx)
}

func nowUTC() time.Time { return time.Now().UTC() }

func ignoreMissing(err error) error {
	if ent.IsNotFound(err) {
		return nil
	}
	return err
}
