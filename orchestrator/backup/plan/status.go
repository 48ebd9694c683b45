package plan

import (
	"fmt"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
)

const (
	// firstBy is how long a service may be without its first backup, from its first good answer on.
	firstBy = time.Hour
	// minSlack and maxSlack bound how late a backup may be: half of its interval within them.
	minSlack = 15 * time.Minute
	maxSlack = 6 * time.Hour
	// proofSlack is how much later than a policy wants it a backup may be proven.
	proofSlack = 24 * time.Hour
	// retryAfter is the pause after a failed backup, doubled by each further one up to retryMost.
	retryAfter = 5 * time.Minute
	retryMost  = 2 * time.Hour
)

// History is what is known of the backups of a service.
type History struct {
	Newest      time.Time // when the newest complete one was begun; zero: there is none
	Slot        time.Time // the newest time of the schedule that a complete one was taken for
	Proven      time.Time // when one was proven last; zero: never
	ProofFailed string    // why the newest proof failed; empty: it did not
	Failures    int       // failed ones since the newest complete one
	FailedAt    time.Time // when the newest of these ended
	Failure     string    // why it failed
	LogTo       time.Time // up to when its log is stored; zero: none is
	LogProblem  string    // why no more is; empty: that is not known
}

// Subject is what counts of a service.
type Subject struct {
	Since   time.Time // since when the policy applies to it: its own age, or the policy's
	Ready   bool      // it can be backed up now
	Stopped time.Time // since when it is stopped; zero: it is not
	// LogSince is since when its log is to be stored; zero: it is not. A log that was begun later than the newest backup
	// wants another one, which it can be restored with.
	LogSince, LogBegun time.Time
}

// Due returns the time of the schedule that a backup is to be taken for now, and false if none is. One that was missed is made up
// for once. A service without any backup gets its first at once, and one that was stopped gets one more.
func Due(m Moment, h History, x Subject) (slot time.Time, due bool) {
	if !x.Ready || h.Failures > 0 && m.Now.Before(h.FailedAt.Add(pause(h.Failures))) {
		return time.Time{}, false
	}
	switch {
	case !x.Stopped.IsZero():
		return m.Last, h.Newest.Before(x.Stopped)
	case h.Newest.IsZero(), h.Newest.Before(x.LogBegun):
		return m.Last, true
	}
	return m.Last, m.Last.After(h.Slot) && m.Last.After(h.Newest)
}

func pause(failures int) time.Duration {
	return min(retryAfter<<min(failures-1, 10), retryMost)
}

// NextAt returns when the next backup is due, zero if none will be.
func NextAt(m Moment, h History, x Subject) time.Time {
	if !x.Stopped.IsZero() {
		return time.Time{}
	}
	if _, due := Due(m, h, x); due {
		return m.Now
	}
	return m.Next
}

// Health returns how well a service with a policy is backed up, and why.
func Health(m Moment, proveEvery time.Duration, h History, x Subject) (orchestrator.BackupHealth, string) {
	now := m.Now
	if h.Failures > 0 {
		return orchestrator.BackupFailing, "the newest backup failed: " + h.Failure
	}
	if h.Newest.IsZero() {
		if by := x.Since.Add(firstBy); now.After(by) && x.Stopped.IsZero() {
			return orchestrator.BackupLate, "there is no backup yet; the first was due " + ago(now.Sub(by)) + " ago"
		}
		return orchestrator.BackupOK, "the first backup is about to be taken"
	}
	from := h.Newest
	if x.Since.After(from) {
		from = x.Since
	}
	if x.Stopped.IsZero() && from.Before(m.Last) && h.Newest.Before(m.Last) {
		missed := m.Schedule.Next(from)
		if now.After(missed.Add(slack(m.Interval(missed)))) {
			return orchestrator.BackupLate, "the backup that was due " + ago(now.Sub(missed)) + " ago is missing"
		}
	}
	if behind, text := logBehind(h, x, now); behind {
		return orchestrator.BackupLate, text
	}
	return proof(proveEvery, h, x, now)
}

// logBehind reports whether a log that is to be stored is not, and says why.
func logBehind(h History, x Subject, now time.Time) (bool, string) {
	from := h.LogTo
	if x.LogSince.After(from) {
		from = x.LogSince
	}
	if x.LogSince.IsZero() || now.Sub(from) <= minSlack {
		return false, ""
	}
	text := "its log was not stored for " + ago(now.Sub(from)) + ", so that nothing since then can be restored"
	if h.LogProblem != "" {
		text += ": " + h.LogProblem
	}
	return true, text
}

func proof(every time.Duration, h History, x Subject, now time.Time) (orchestrator.BackupHealth, string) {
	since := h.Proven
	if since.IsZero() {
		since = x.Since
	}
	switch {
	case every == 0:
		return orchestrator.BackupOK, "backed up; its policy wants no proof"
	case h.ProofFailed != "":
		return orchestrator.BackupUnproven, "the newest proof failed: " + h.ProofFailed
	case now.Sub(since) > every+proofSlack && h.Proven.IsZero():
		return orchestrator.BackupUnproven, "no backup was restored on trial yet"
	case now.Sub(since) > every+proofSlack:
		return orchestrator.BackupUnproven, "no backup was restored on trial for " + ago(now.Sub(since))
	case h.Proven.IsZero():
		return orchestrator.BackupOK, "backed up; it waits for its first proof"
	}
	return orchestrator.BackupOK, "backed up, and proven " + ago(now.Sub(h.Proven)) + " ago"
}

func slack(interval time.Duration) time.Duration {
	return max(minSlack, min(interval/2, maxSlack))
}

// ago is a length of time in its largest unit.
func ago(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return "a minute"
}
