package fleet

import "github.com/prometheus/client_golang/prometheus"

var (
	activeNodesDesc = prometheus.NewDesc("active_nodes", "Nodes that are healthy.", nil, nil)
	nodesDesc       = prometheus.NewDesc("uws_nodes", "Nodes that are registered.", nil, nil)
	nodeHealthyDesc = prometheus.NewDesc("uws_node_healthy", "1 while a node is healthy, else 0.", []string{"node"}, nil)
	diskFreeDesc    = prometheus.NewDesc("uws_node_disk_free_bytes", "Bytes free where a node keeps data, for nodes that report them.", []string{"node"}, nil)
	diskLowDesc     = prometheus.NewDesc("uws_node_disk_low", "1 while less than 1 GiB and less than a tenth of a node's disk is free, else 0.", []string{"node"}, nil)
	orphansDesc     = prometheus.NewDesc("uws_orphans", "Orphans on a node: workloads, and data alone.", []string{"node", "type"}, nil)
)

// Describe implements [prometheus.Collector].
func (f *Fleet) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(f, ch) }

// Collect implements [prometheus.Collector].
func (f *Fleet) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	all, healthy := f.All(), 0
	for _, n := range all {
		n.mu.Lock()
		isHealthy, info, low, count := n.row.Healthy, n.info, n.low, n.orphans
		n.mu.Unlock()
		up := 0.0
		if isHealthy {
			healthy, up = healthy+1, 1
		}
		gauge(nodeHealthyDesc, up, n.Name)
		gauge(orphansDesc, float64(count.workloads), n.Name, "workload")
		gauge(orphansDesc, float64(count.volumes), n.Name, "data")
		if info == nil || info.DiskFree < 0 {
			continue
		}
		gauge(diskFreeDesc, float64(info.DiskFree), n.Name)
		is := 0.0
		if low {
			is = 1
		}
		gauge(diskLowDesc, is, n.Name)
	}
	gauge(activeNodesDesc, float64(healthy))
	gauge(nodesDesc, float64(len(all)))
}
