package app_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/probe"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// BenchmarkServices reads the first 50 of 1,000 services.
func BenchmarkServices(b *testing.B) {
	st, err := store.Open(b.Context(), store.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	templates, err := catalog.Load("", catalog.Probes{Check: probe.Check, Writes: probe.Writes})
	if err != nil {
		b.Fatal(err)
	}
	def, _ := templates.Default(catalog.Queue, catalog.Process)
	now := time.Now().UTC()
	for i := range 10 {
		err := st.Update(b.Context(), func(ctx context.Context, tx *ent.Tx) error {
			var rows []*ent.ServiceCreate
			for j := range 100 {
				id := fmt.Sprintf("s%d-%d", i, j)
				rows = append(rows, tx.Service.Create().SetID(id).SetName(id).SetKind(def.Kind).SetTemplate(def.Name).
					SetDefinition(def).SetInputHash(id).SetVolume(id).SetCredentials([]byte("none")).SetDesiredState(lifecycle.WantStopped).
					SetPhase(lifecycle.Stopped).SetHealth(lifecycle.HealthUnknown).SetCreatedAt(now.Add(time.Duration(i*100+j))).SetUpdatedAt(now))
			}
			return tx.Service.CreateBulk(rows...).Exec(ctx)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	o, _ := newApp(b, st, templates, newMachine())
	b.ReportAllocs()
	for b.Loop() {
		l, err := o.Services(b.Context(), orchestrator.ServiceFilter{}, orchestrator.Page{First: 50})
		if err != nil || len(l.Items) != 50 {
			b.Fatal(len(l.Items), err)
		}
	}
}
