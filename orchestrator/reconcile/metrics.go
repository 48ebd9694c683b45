package reconcile

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// metrics of one reconciler. Services and the queue are counted when they are scraped.
type metrics struct {
	checks    *prometheus.HistogramVec
	results   *prometheus.CounterVec
	writes    *prometheus.CounterVec
	restarts  *prometheus.CounterVec
	queueWait prometheus.Histogram
	reconcile prometheus.Histogram
}

func newMetrics(r *Reconciler, reg prometheus.Registerer) *metrics {
	latency := prometheus.ExponentialBuckets(0.0001, 4, 10) // 0.1 ms to 26 s
	m := &metrics{
		checks: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "service_health_check_duration",
			Help: "Seconds that health checks took, by kind.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}, []string{"kind"}),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "uws_service_health_checks_total",
			Help: "Health checks by kind and verdict."}, []string{"kind", "verdict"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "uws_service_write_checks_total",
			Help: "Write checks by kind and verdict."}, []string{"kind", "verdict"}),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "service_restart_attempts_total",
			Help: "Automatic restart attempts by kind and cause."}, []string{"kind", "reason"}),
		queueWait: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "uws_reconcile_queue_wait_seconds",
			Help: "Seconds that a service waited in the queue before it was reconciled.", Buckets: latency}),
		reconcile: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "uws_reconcile_duration_seconds",
			Help: "Seconds that one reconciliation of a service took.", Buckets: latency}),
	}
	for _, kind := range catalog.Kinds() {
		m.checks.WithLabelValues(string(kind))
	}
	reg.MustRegister(m.checks, m.results, m.writes, m.restarts, m.queueWait, m.reconcile, newCollector(r))
	return m
}

func (m *metrics) checked(kind catalog.Kind, r probe.Result) {
	m.checks.WithLabelValues(string(kind)).Observe(r.Duration.Seconds())
	m.results.WithLabelValues(string(kind), string(r.Verdict)).Inc()
}

func (m *metrics) wrote(kind catalog.Kind, r probe.Result) {
	m.writes.WithLabelValues(string(kind), string(r.Verdict)).Inc()
}

// collector counts services and the queue.
type collector struct {
	r        *Reconciler
	active   map[catalog.Kind]*prometheus.Desc
	services *prometheus.Desc
	queue    *prometheus.Desc
}

func newCollector(r *Reconciler) *collector {
	c := &collector{r: r, active: map[catalog.Kind]*prometheus.Desc{},
		services: prometheus.NewDesc("uws_services", "Services by kind, phase and health.", []string{"kind", "phase", "health"}, nil),
		queue:    prometheus.NewDesc("uws_reconcile_queue_depth", "Services that are ready to be reconciled.", nil, nil),
	}
	for _, kind := range catalog.Kinds() {
		name := strings.ToLower(string(kind))
		c.active[kind] = prometheus.NewDesc("active_"+name+"_services", "Services of kind "+name+" that are healthy.", nil, nil)
	}
	return c
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	count, active := map[state]int{}, map[catalog.Kind]int{}
	for _, ctl := range c.r.all() {
		s := ctl.summary()
		if s.phase == "" {
			continue
		}
		count[s]++
		if s.health.Healthy() && !c.r.opts.ReadOnly {
			active[s.kind]++
		}
	}
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	for _, kind := range catalog.Kinds() {
		gauge(c.active[kind], active[kind])
	}
	for s, n := range count {
		gauge(c.services, n, string(s.kind), string(s.phase), string(s.health))
	}
	gauge(c.queue, c.r.queue.depth())
}

// state of a service, as it is counted.
type state struct {
	kind   catalog.Kind
	phase  lifecycle.Phase // empty: the service is gone
	health lifecycle.Health
}

func (c *controller) summary() state {
	c.mu.Lock()
	defer c.mu.Unlock()
	return state{c.kind, c.phase, c.health}
}

// serviceCollector has metrics for each service of some kinds.
type serviceCollector struct {
	r     *Reconciler
	kinds []catalog.Kind // all when empty
	limit int

	healthy, health, looping, restarts, checked, stat, omitted *prometheus.Desc
}

// ServiceMetrics collects metrics with the names of services, for those who may see services of these kinds; none means
// all.
func (r *Reconciler) ServiceMetrics(kinds []catalog.Kind) prometheus.Collector {
	labels := []string{"service", "kind", "node"}
	return &serviceCollector{
		r: r, kinds: kinds, limit: orchestrator.MaxServiceSeries,
		healthy:  prometheus.NewDesc("uws_service_healthy", "1 if a service is HEALTHY or SUSPECT, else 0.", labels, nil),
		health:   prometheus.NewDesc("uws_service_health", "1 for the health that a service has, 0 for the others.", append(labels, "state"), nil),
		looping:  prometheus.NewDesc("uws_service_crash_loop", "1 while the phase of a service is CRASH_LOOP, else 0.", labels, nil),
		restarts: prometheus.NewDesc("uws_service_restarts_total", "Automatic restart attempts of a service since its launch.", labels, nil),
		checked:  prometheus.NewDesc("uws_service_last_check_timestamp_seconds", "When a service was last checked, as Unix time.", labels, nil),
		stat: prometheus.NewDesc("uws_service_engine_stat", "A number that the engine of a service reports of itself, such as connections_used.",
			append(labels, "stat"), nil),
		omitted: prometheus.NewDesc("uws_service_metrics_omitted", "Services without metrics of their own, since there are too many.", nil, nil),
	}
}

// Describe implements [prometheus.Collector].
func (c *serviceCollector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements [prometheus.Collector].
func (c *serviceCollector) Collect(ch chan<- prometheus.Metric) {
	type one struct {
		row     *ent.Service
		health  lifecycle.Health
		checked time.Time
		stats   []orchestrator.EngineStat
	}
	var all []one
	for _, ctl := range c.r.all() {
		row, exists := ctl.newest()
		if exists && row != nil && (len(c.kinds) == 0 || slices.Contains(c.kinds, row.Kind)) {
			all = append(all, one{row, ctl.summary().health, ctl.checkedAt(), ctl.stats(time.Now())})
		}
	}
	slices.SortFunc(all, func(a, b one) int {
		return cmp.Or(a.row.CreatedAt.Compare(b.row.CreatedAt), cmp.Compare(a.row.ID, b.row.ID))
	})
	shown := all[:min(len(all), c.limit)]
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	send(c.omitted, prometheus.GaugeValue, float64(len(all)-len(shown)))
	for _, s := range shown {
		labels := []string{s.row.Name, string(s.row.Kind), c.r.fleet.NameOf(s.row.NodeID)}
		send(c.healthy, prometheus.GaugeValue, oneIf(s.health.Healthy()), labels...)
		for _, h := range lifecycle.Healths() {
			send(c.health, prometheus.GaugeValue, oneIf(h == s.health), append(labels, string(h))...)
		}
		send(c.looping, prometheus.GaugeValue, oneIf(s.row.Phase == lifecycle.CrashLoop), labels...)
		send(c.restarts, prometheus.CounterValue, float64(s.row.Restarts), labels...)
		if s.checked.IsZero() && s.row.LastHealthCheckAt != nil {
			s.checked = *s.row.LastHealthCheckAt
		}
		if !s.checked.IsZero() {
			send(c.checked, prometheus.GaugeValue, float64(s.checked.UnixMilli())/1000, labels...)
		}
		for _, stat := range s.stats {
			send(c.stat, prometheus.GaugeValue, stat.Value, append(labels, stat.Name)...)
		}
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
