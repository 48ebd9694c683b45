package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// readyTimeout ends the question of a scrape whether the store answers.
const readyTimeout = 2 * time.Second

// collector has the state of the control plane itself.
type collector struct {
	a                     *App
	ready, full, readOnly *prometheus.Desc
}

func newCollector(a *App) *collector {
	return &collector{
		a:        a,
		ready:    prometheus.NewDesc("uws_ready", "1 while /readyz answers 200, else 0.", nil, nil),
		full:     prometheus.NewDesc("uws_store_full", "1 while nothing can be saved because the disk of the data folder is full, else 0.", nil, nil),
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
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	gauge(c.ready, c.a.Ready(ctx) == nil)
	gauge(c.full, c.a.opts.Store.Full() != nil)
	gauge(c.readOnly, c.a.opts.ReadOnly != "")
}
