package auth

import (
	"context"
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/ent/audit"
	"github.com/unicorn-web-services/uws/ent/token"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

const (
	// MinAuditRetention is the shortest time that lines stay in the audit log.
	MinAuditRetention = 24 * time.Hour

	archiveEvery = time.Hour
	archiveDay   = 24 * time.Hour // archives end at midnight UTC, so there is at most one a day unless the log is very long
)

type auditMetrics struct {
	archived, failed prometheus.Counter
}

func (au *Authenticator) registerMetrics(r prometheus.Registerer) error {
	au.metrics = auditMetrics{
		archived: prometheus.NewCounter(prometheus.CounterOpts{Name: "uws_audit_archived_lines_total",
			Help: "Lines of the audit log that were moved into archives."}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{Name: "uws_audit_archive_failures_total",
			Help: "Attempts to archive old lines of the audit log that failed. It is retried every hour."}),
	}
	if r == nil {
		return nil
	}
	kept := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "uws_audit_lines", Help: "Lines in the audit log, without those in archives."}, au.auditLines)
	expiry := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "uws_token_next_expiry_timestamp_seconds",
		Help: "When the next of the API tokens expires, as Unix time; +Inf if none does."}, au.nextExpiry)
	for _, c := range []prometheus.Collector{au.metrics.archived, au.metrics.failed, kept, expiry} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// auditLines returns the number of lines in the audit log. Their ids have no gaps.
func (au *Authenticator) auditLines() float64 {
	ctx, cancel := context.WithTimeout(context.Background(), auditPatience)
	defer cancel()
	first, err := au.opts.Store.Read.Audit.Query().Order(ent.Asc(audit.FieldID)).FirstID(ctx)
	if ent.IsNotFound(err) {
		return 0
	}
	last, err2 := au.opts.Store.Read.Audit.Query().Order(ent.Desc(audit.FieldID)).FirstID(ctx)
	if err != nil || err2 != nil {
		return math.NaN()
	}
	return float64(last - first + 1)
}

// nextExpiry returns when the first of the tokens that are valid now expires, as Unix time in seconds.
func (au *Authenticator) nextExpiry() float64 {
	ctx, cancel := context.WithTimeout(context.Background(), auditPatience)
	defer cancel()
	t, err := au.opts.Store.Read.Token.Query().Where(token.ExpiresAtGT(au.opts.Now().UTC())).Order(ent.Asc(token.FieldExpiresAt)).First(ctx)
	switch {
	case ent.IsNotFound(err):
		return math.Inf(1)
	case err != nil:
		return math.NaN()
	}
	return float64(t.ExpiresAt.Unix())
}

// retain archives old lines of the audit log, when it starts and every hour, until ctx ends.
func (au *Authenticator) retain(ctx context.Context) {
	if au.opts.AuditRetention == 0 || au.opts.ReadOnly != "" {
		return
	}
	tick := time.NewTicker(archiveEvery)
	defer tick.Stop()
	for {
		au.archive(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (au *Authenticator) archive(ctx context.Context) {
	now := au.opts.Now().UTC()
	n, chain, err := au.opts.Store.ArchiveAudit(ctx, store.AuditArchiving{
		Before: now.Add(-au.opts.AuditRetention).Truncate(archiveDay), Now: now, Line: func(r *ent.Audit) any { return entryOf(r) },
	})
	au.metrics.archived.Add(float64(n))
	if n > 0 { // logging the hash keeps a copy that a process with access to the data folder cannot change
		au.opts.Log.InfoContext(ctx, "audit log archived", slog.Int("lines", n), slog.String("checkpoint", chain))
	}
	if err != nil && ctx.Err() == nil {
		au.metrics.failed.Inc()
		au.opts.Log.ErrorContext(ctx, "archiving the audit log failed; retrying within an hour", slog.Any("error", err))
	}
}

// AuditArchives returns the archives of the audit log, oldest first.
func (au *Authenticator) AuditArchives(ctx context.Context) ([]store.AuditArchive, error) {
	return au.opts.Store.AuditArchives(ctx)
}

// VerifyAudit checks the audit log and its archives. See [store.Store.VerifyAudit].
func (au *Authenticator) VerifyAudit(ctx context.Context) (*store.AuditReport, error) {
	return au.opts.Store.VerifyAudit(ctx)
}
