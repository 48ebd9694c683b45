package app

import "github.com/prometheus/client_golang/prometheus"

// collector has the state of the control plane itself.
type collector struct {
	a              *App
	full, readOnly *prometheus.Desc
}

func newCollector(a *App) *collector {
	return &collector{
		a:        a,
		full:     prometheus.NewDesc("uws_store_full", "1 while nothing can be stored because the disk of the data folder is full, else 0.", nil, nil),
		readOnly: prometheus.NewDesc("uws_read_only", "1 while nothing is acted on because the data folder was moved or copied, else 0.", nil, nil),
	}
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, is bool) {
		v := 0.0
		if is {
			v = 1
		}
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	gauge(c.full, c.a.opts.Store.Full() != nil)
	gauge(c.readOnly, c.a.opts.ReadOnly != "")
}
