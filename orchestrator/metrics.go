package orchestrator

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

// metrics of one orchestrator. What has a state (services, nodes, the queue) is counted at scrape time from
// memory under one lock, so that a scrape is never torn.
type metrics struct {
	checks    *prometheus.HistogramVec
	results   *prometheus.CounterVec
	restarts  *prometheus.CounterVec
	queueWait prometheus.Histogram
	reconcile prometheus.Histogram
	compacted prometheus.Counter
}

func newMetrics(o *Orchestrator, reg prometheus.Registerer) *metrics {
	latency := prometheus.ExponentialBuckets(0.0001, 4, 10) // 0.1 ms to 26 s
	m := &metrics{
		checks: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "service_health_check_duration",
			Help: "Seconds that health checks took, by kind.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}, []string{"kind"}),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "uws_service_health_checks_total",
			Help: "Health checks by kind and what they answered."}, []string{"kind", "verdict"}),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "service_restart_attempts_total",
			Help: "Automatic restart attempts by kind and by what made them necessary."}, []string{"kind", "reason"}),
		queueWait: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "uws_reconcile_queue_wait_seconds",
			Help: "Seconds that a service lay in the queue before it was looked at.", Buckets: latency}),
		reconcile: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "uws_reconcile_duration_seconds",
			Help: "Seconds that one look at a service took.", Buckets: latency}),
		compacted: prometheus.NewCounter(prometheus.CounterOpts{Name: "uws_events_deleted_total",
			Help: "Events that were deleted because they were too old or too many."}),
	}
	for _, kind := range catalog.Kinds() {
		m.checks.WithLabelValues(string(kind))
	}
	reg.MustRegister(m.checks, m.results, m.restarts, m.queueWait, m.reconcile, m.compacted, newCollector(o))
	return m
}

func (m *metrics) checked(kind catalog.Kind, r probe.Result) {
	m.checks.WithLabelValues(string(kind)).Observe(r.Duration.Seconds())
	m.results.WithLabelValues(string(kind), string(r.Verdict)).Inc()
}

// collector counts what memory holds.
type collector struct {
	o        *Orchestrator
	active   map[catalog.Kind]*prometheus.Desc
	services *prometheus.Desc
	nodes    *prometheus.Desc
	known    *prometheus.Desc
	queue    *prometheus.Desc
}

func newCollector(o *Orchestrator) *collector {
	c := &collector{o: o, active: map[catalog.Kind]*prometheus.Desc{},
		services: prometheus.NewDesc("uws_services", "Services by kind, phase and health.", []string{"kind", "phase", "health"}, nil),
		nodes:    prometheus.NewDesc("active_nodes", "Nodes that are healthy.", nil, nil),
		known:    prometheus.NewDesc("uws_nodes", "Nodes that are registered.", nil, nil),
		queue:    prometheus.NewDesc("uws_reconcile_queue_depth", "Services that lie ready to be looked at.", nil, nil),
	}
	for _, kind := range catalog.Kinds() {
		name := strings.ToLower(string(kind))
		c.active[kind] = prometheus.NewDesc("active_"+name+"_services", "Services of kind "+name+" that are healthy.", nil, nil)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	type key struct {
		kind   catalog.Kind
		phase  lifecycle.Phase
		health lifecycle.Health
	}
	count, active := map[key]int{}, map[catalog.Kind]int{}
	for _, t := range c.o.allTasks() {
		t.mu.Lock()
		k := key{t.kind, t.phase, t.health}
		t.mu.Unlock()
		if k.phase == "" {
			continue
		}
		count[k]++
		if k.health.Healthy() {
			active[k.kind]++
		}
	}
	healthy, nodes := 0, c.o.allNodes()
	for _, n := range nodes {
		if !n.down() {
			healthy++
		}
	}
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	for _, kind := range catalog.Kinds() {
		gauge(c.active[kind], active[kind])
	}
	for k, n := range count {
		gauge(c.services, n, string(k.kind), string(k.phase), string(k.health))
	}
	gauge(c.nodes, healthy)
	gauge(c.known, len(nodes))
	gauge(c.queue, c.o.queue.depth())
}
