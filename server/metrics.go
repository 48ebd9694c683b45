package server

import (
	"errors"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/unicorn-web-services/uws/graph"
	"github.com/unicorn-web-services/uws/server/ws"
)

// metrics are the server's metrics. The control plane registers its own.
type metrics struct {
	requests      *prometheus.CounterVec
	duration      *prometheus.HistogramVec
	connections   prometheus.Gauge
	turned        prometheus.Counter
	subscriptions prometheus.Gauge
	executions    prometheus.Gauge
	messages      prometheus.Counter
	behind        prometheus.Counter
	tooSlow       prometheus.Counter
	closed        prometheus.Counter
	refused       *prometheus.CounterVec
}

var (
	_ graph.Observer = (*metrics)(nil)
	_ ws.Metrics     = (*metrics)(nil)
)

func newMetrics(registry prometheus.Registerer, version, revision string) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "uws_graphql_requests_total",
			Help: "GraphQL operations by type and outcome: OK or an error code. A subscription counts when it ends.",
		}, []string{"operation", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "uws_graphql_request_duration_seconds",
			Help:    "Time from reading a query or mutation to its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"operation"}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "uws_websocket_connections", Help: "Open WebSocket connections.",
		}),
		subscriptions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "uws_graphql_subscriptions", Help: "GraphQL subscriptions in progress.",
		}),
		turned: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "uws_websocket_turned_away_total", Help: "WebSocket connections refused because there were too many.",
		}),
		executions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "uws_graphql_shared_executions", Help: "Executions of subscriptions. Subscriptions with the same messages share one.",
		}),
		messages: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "uws_graphql_shared_messages_total", Help: "Messages sent to subscribers of shared executions.",
		}),
		behind: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "uws_graphql_subscriptions_behind_total", Help: "Times that a subscriber was too slow for its shared execution and continued with its own.",
		}),
		tooSlow: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "uws_websocket_too_slow_total", Help: "WebSocket connections closed because the client read nothing for too long.",
		}),
		closed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "uws_http_closed_connections_total", Help: "Connections closed because there were too many.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "uws_http_refused_requests_total",
			Help: "Requests refused because they came from another site or host, by the header that showed it.",
		}, []string{"header"}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "uws_build_info", Help: "Always 1. The labels describe the build.",
	}, []string{"version", "revision", "goversion"})
	build.WithLabelValues(version, revision, runtime.Version()).Set(1)
	var errs []error
	for _, c := range []prometheus.Collector{
		m.requests, m.duration, m.connections, m.turned, m.subscriptions, m.executions, m.messages, m.behind, m.tooSlow,
		m.closed, m.refused, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		errs = append(errs, registry.Register(c))
	}
	return m, errors.Join(errs...)
}

// OperationDone implements [graph.Observer].
func (m *metrics) OperationDone(operation, code string, took time.Duration) {
	m.requests.WithLabelValues(operation, code).Inc()
	if operation == "query" || operation == "mutation" {
		m.duration.WithLabelValues(operation).Observe(took.Seconds())
	}
}

// Connected implements [ws.Metrics].
func (m *metrics) Connected() { m.connections.Inc() }

// Disconnected implements [ws.Metrics].
func (m *metrics) Disconnected() { m.connections.Dec() }

// Turned implements [ws.Metrics].
func (m *metrics) Turned() { m.turned.Inc() }

// Subscribed implements [ws.Metrics].
func (m *metrics) Subscribed(by int) { m.subscriptions.Add(float64(by)) }

// Executing implements [ws.Metrics].
func (m *metrics) Executing(by int) { m.executions.Add(float64(by)) }

// Sent implements [ws.Metrics].
func (m *metrics) Sent(messages int) { m.messages.Add(float64(messages)) }

// Behind implements [ws.Metrics].
func (m *metrics) Behind() { m.behind.Inc() }

// TooSlow implements [ws.Metrics].
func (m *metrics) TooSlow() { m.tooSlow.Inc() }
