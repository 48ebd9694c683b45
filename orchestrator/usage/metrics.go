package usage

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

//nolint:gochecknoglobals // constants
var (
	nodeLabels      = []string{"node"}
	nodeCPU         = prometheus.NewDesc("uws_node_cpu_seconds_total", "Processor time that a node's machine used since its start, of all cores.", nodeLabels, nil)
	nodeMemory      = prometheus.NewDesc("uws_node_memory_bytes", "Memory that a node's machine uses, without what the kernel can drop.", nodeLabels, nil)
	nodeMemoryTotal = prometheus.NewDesc("uws_node_memory_total_bytes", "Memory of a node's machine.", nodeLabels, nil)
	nodeDisk        = prometheus.NewDesc("uws_node_disk_bytes", "Bytes used on the disk where a node keeps data.", nodeLabels, nil)
	nodeDiskTotal   = prometheus.NewDesc("uws_node_disk_total_bytes", "Size of the disk where a node keeps data.", nodeLabels, nil)
	nodePromised    = prometheus.NewDesc("uws_node_memory_promised_bytes", "Sum of the memory limits of a node's services.", nodeLabels, nil)
	nodeWarning     = prometheus.NewDesc("uws_node_warning", "1 for each warning that a node has.", []string{"node", "code"}, nil)

	serviceLabels      = []string{"service", "kind", "node"}
	serviceCPU         = prometheus.NewDesc("uws_service_cpu_seconds_total", "Processor time that the run of a service used.", serviceLabels, nil)
	serviceMemory      = prometheus.NewDesc("uws_service_memory_bytes", "Memory that a service uses, without the file cache that the kernel can drop.", serviceLabels, nil)
	serviceDisk        = prometheus.NewDesc("uws_service_disk_bytes", "Bytes that the volume of a service takes, measured every 5 minutes at most.", serviceLabels, nil)
	serviceCPULimit    = prometheus.NewDesc("uws_service_cpu_limit_cores", "Processor cores that a service may use, for those with a limit.", serviceLabels, nil)
	serviceMemoryLimit = prometheus.NewDesc("uws_service_memory_limit_bytes", "Memory that a service may use, for those with a limit.", serviceLabels, nil)
	serviceWarning     = prometheus.NewDesc("uws_service_warning", "1 for each warning that a service has.", []string{"service", "kind", "node", "code"}, nil)
)

// sink receives metrics.
type sink chan<- prometheus.Metric

func (s sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s sink) bytes(d *prometheus.Desc, v *int64, labels ...string) {
	if v != nil {
		s.gauge(d, float64(*v), labels...)
	}
}

func (s sink) seconds(d *prometheus.Desc, v time.Duration, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v.Seconds(), labels...)
}

func (s sink) warnings(d *prometheus.Desc, all []orchestrator.Warning, labels ...string) {
	for _, w := range all {
		s.gauge(d, 1, append(slices.Clone(labels), string(w.Code))...)
	}
}

// Describe implements [prometheus.Collector].
func (u *Uses) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(u, ch) }

// Collect implements [prometheus.Collector]. It collects the metrics of nodes.
func (u *Uses) Collect(ch chan<- prometheus.Metric) {
	out, now := sink(ch), time.Now()
	for _, n := range u.opts.Fleet.All() {
		u.mu.Lock()
		state := u.node(n.ID)
		use, machine, given := state.current, state.last, state.warnings.active(now)
		shown := use != nil && now.Before(state.until)
		u.mu.Unlock()
		out.warnings(nodeWarning, given, n.Name)
		if !shown {
			continue
		}
		if machine != nil {
			out.seconds(nodeCPU, machine.CPU, n.Name)
		}
		out.bytes(nodeMemory, use.MemoryBytes, n.Name)
		out.bytes(nodeMemoryTotal, use.MemoryTotal, n.Name)
		out.bytes(nodeDisk, use.DiskBytes, n.Name)
		out.bytes(nodeDiskTotal, use.DiskTotal, n.Name)
		out.gauge(nodePromised, float64(use.PromisedMemory), n.Name)
	}
}

// serviceMetrics has metrics for each service of some kinds.
type serviceMetrics struct {
	*Uses
	kinds []catalog.Kind // all when empty
}

// ServiceMetrics collects metrics with the names of services, for those who may see services of these kinds; none means all.
func (u *Uses) ServiceMetrics(kinds []catalog.Kind) prometheus.Collector {
	return serviceMetrics{u, kinds}
}

// Describe implements [prometheus.Collector].
func (m serviceMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements [prometheus.Collector].
func (m serviceMetrics) Collect(ch chan<- prometheus.Metric) {
	out, now, n := sink(ch), time.Now(), 0
	for _, s := range m.opts.Snapshot.All() {
		if len(m.kinds) > 0 && !slices.Contains(m.kinds, s.Kind) {
			continue
		}
		if n++; n > orchestrator.MaxServiceSeries {
			return
		}
		m.mu.Lock()
		state := m.services[s.ID]
		use := state.shown(now)
		var run time.Duration
		var given []orchestrator.Warning
		if state != nil {
			given = state.warnings.active(now)
			if state.last != nil {
				run = state.last.CPU
			}
		}
		m.mu.Unlock()
		labels := []string{s.Name, string(s.Kind), m.opts.Fleet.NameOf(s.NodeID)}
		out.warnings(serviceWarning, given, labels...)
		if use == nil {
			continue
		}
		out.seconds(serviceCPU, run, labels...)
		out.gauge(serviceMemory, float64(use.MemoryBytes), labels...)
		out.bytes(serviceDisk, use.DiskBytes, labels...)
		out.bytes(serviceMemoryLimit, use.MemoryLimit, labels...)
		if use.CPULimit != nil {
			out.gauge(serviceCPULimit, *use.CPULimit, labels...)
		}
	}
}
