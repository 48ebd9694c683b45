package backup

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unicorn-web-services/uws/ent"
)

// metrics of all backups. Those with the names of services are in services.go.
type metrics struct {
	duration *prometheus.HistogramVec
	failures *prometheus.CounterVec
	restores *prometheus.HistogramVec
	proofs   *prometheus.HistogramVec
}

func newMetrics(b *Backups, r prometheus.Registerer) *metrics {
	buckets := []float64{1, 5, 15, 60, 300, 900, 3600, 4 * 3600}
	m := &metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "uws_backup_duration_seconds", Help: "How long complete backups took.", Buckets: buckets}, []string{"kind"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "uws_backup_failures_total", Help: "Backups, restores and proofs that failed."}, []string{"stage"}),
		restores: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "uws_restore_duration_seconds", Help: "How long restores that succeeded took.", Buckets: buckets}, []string{"kind"}),
		proofs:   prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "uws_backup_proof_duration_seconds", Help: "How long proofs that succeeded took.", Buckets: buckets}, []string{"kind"}),
	}
	for _, stage := range []string{"backup", "restore", "proof"} {
		m.failures.WithLabelValues(stage)
	}
	r.MustRegister(m.duration, m.failures, m.restores, m.proofs, b)
	return m
}

// took counts a backup that ended.
func (m *metrics) took(row *ent.Backup, d time.Duration, err error) {
	if err != nil {
		m.failures.WithLabelValues("backup").Inc()
		return
	}
	m.duration.WithLabelValues(string(row.Kind)).Observe(d.Seconds())
}
