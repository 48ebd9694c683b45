package backup

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

var (
	stateDesc  = prometheus.NewDesc("uws_backup_services", "Services by how well they are backed up.", []string{"state"}, nil)
	storedDesc = prometheus.NewDesc("uws_backup_stored_bytes", "Bytes stored in a backup target.", []string{"target"}, nil)
	reachDesc  = prometheus.NewDesc("uws_backup_target_reachable", "1 if a backup target answered when it was used last, else 0.", []string{"target"}, nil)
	ownDesc    = prometheus.NewDesc("uws_backup_store_last_success_timestamp_seconds", "When the newest copy of uws's own store in a backup target was made.", []string{"target"}, nil)
	lastDesc   = prometheus.NewDesc("uws_backup_last_success_timestamp_seconds", "When the newest complete backup of a service was begun.", []string{"service", "kind"}, nil)
	provenDesc = prometheus.NewDesc("uws_backup_last_proven_timestamp_seconds", "When a backup of a service was last restored on trial and checked.", []string{"service", "kind"}, nil)
	behindDesc = prometheus.NewDesc("uws_backup_wal_behind_bytes", "Bytes of a service's log that are not stored in its backup target yet.", []string{"service", "kind"}, nil)
	healthDesc = prometheus.NewDesc("uws_backup_state", "1 for the state that the backups of a service are in.", []string{"service", "kind", "state"}, nil)
)

// Describe implements [prometheus.Collector].
func (b *Backups) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{stateDesc, storedDesc, ownDesc, reachDesc} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (b *Backups) Collect(ch chan<- prometheus.Metric) {
	counts := map[orchestrator.BackupHealth]int{orchestrator.BackupNone: 0, orchestrator.BackupOK: 0, orchestrator.BackupUnproven: 0, orchestrator.BackupLate: 0, orchestrator.BackupFailing: 0}
	for _, s := range b.Snapshot.All() {
		counts[b.BackupStatus(s).State]++
	}
	for state, n := range counts {
		ch <- prometheus.MustNewConstMetric(stateDesc, prometheus.GaugeValue, float64(n), string(state))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.targets {
		t.mu.Lock()
		ok := 1.0
		if t.problem != "" {
			ok = 0
		}
		ch <- prometheus.MustNewConstMetric(reachDesc, prometheus.GaugeValue, ok, t.row.Name)
		if !t.storeAt.IsZero() {
			ch <- prometheus.MustNewConstMetric(ownDesc, prometheus.GaugeValue, float64(t.storeAt.Unix()), t.row.Name)
		}
		if t.stored != nil {
			ch <- prometheus.MustNewConstMetric(storedDesc, prometheus.GaugeValue, float64(*t.stored), t.row.Name)
		}
		t.mu.Unlock()
	}
}

// ServiceMetrics collects metrics with the names of services of these kinds; none means all. Only the services that were
// launched first have any: [orchestrator.MaxServiceSeries].
func (b *Backups) ServiceMetrics(kinds []catalog.Kind) prometheus.Collector {
	return serviceCollector{b, kinds}
}

type serviceCollector struct {
	b     *Backups
	kinds []catalog.Kind
}

// Describe implements [prometheus.Collector].
func (c serviceCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lastDesc, provenDesc, behindDesc, healthDesc} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c serviceCollector) Collect(ch chan<- prometheus.Metric) {
	left := orchestrator.MaxServiceSeries
	for _, s := range c.b.Snapshot.All() {
		if left--; left < 0 {
			return
		}
		if len(c.kinds) > 0 && !slices.Contains(c.kinds, s.Kind) {
			continue
		}
		status := c.b.BackupStatus(s)
		gauge := func(d *prometheus.Desc, at *time.Time) {
			if at != nil {
				ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(at.Unix()), s.Name, string(s.Kind))
			}
		}
		gauge(lastDesc, status.LastAt)
		gauge(provenDesc, status.ProvenAt)
		if status.LogBehindBytes != nil {
			ch <- prometheus.MustNewConstMetric(behindDesc, prometheus.GaugeValue, float64(*status.LogBehindBytes), s.Name, string(s.Kind))
		}
		if status.State != orchestrator.BackupNone {
			ch <- prometheus.MustNewConstMetric(healthDesc, prometheus.GaugeValue, 1, s.Name, string(s.Kind), string(status.State))
		}
	}
}
