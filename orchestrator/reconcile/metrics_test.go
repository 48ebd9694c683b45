package reconcile

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/fleet"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// However many services there are, only so many have metrics of their own: the oldest, of the kinds that are asked for.
func TestServiceMetricsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Reconciler{controllers: map[string]*controller{}, fleet: &fleet.Fleet{}}
		for i := range 10 {
			row := &ent.Service{ID: fmt.Sprint(i), Name: fmt.Sprintf("s%d", i), Kind: []catalog.Kind{catalog.DB, catalog.Queue}[i%2], CreatedAt: time.Unix(int64(i), 0), Restarts: i}
			r.controllers[row.ID] = &controller{id: row.ID, row: row, kind: row.Kind, phase: lifecycle.Running, health: lifecycle.HealthSuspect}
		}
		c := r.ServiceMetrics([]catalog.Kind{catalog.Queue}).(*serviceCollector)
		c.limit = 2
		want := `
		# HELP uws_service_healthy 1 if a service is HEALTHY or SUSPECT, else 0.
		# TYPE uws_service_healthy gauge
		uws_service_healthy{kind="QUEUE",node="",service="s1"} 1
		uws_service_healthy{kind="QUEUE",node="",service="s3"} 1
		# HELP uws_service_restarts_total Automatic restart attempts of a service since its launch.
		# TYPE uws_service_restarts_total counter
		uws_service_restarts_total{kind="QUEUE",node="",service="s1"} 1
		uws_service_restarts_total{kind="QUEUE",node="",service="s3"} 3
		# HELP uws_service_metrics_omitted Services without metrics of their own, since there are too many.
		# TYPE uws_service_metrics_omitted gauge
		uws_service_metrics_omitted 3
	`
		if err := testutil.CollectAndCompare(c, strings.NewReader(want), "uws_service_healthy", "uws_service_restarts_total", "uws_service_metrics_omitted"); err != nil {
			t.Error(err)
		}
	})
}
