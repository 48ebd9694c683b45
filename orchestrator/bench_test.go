package orchestrator_test

import (
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
	templates, err := catalog.Load("", probe.Check)
	if err != nil {
		b.Fatal(err)
	}
	def, _ := templates.Default(catalog.Queue)
	now := time.Now().UTC()
	for i := range 10 {
		var rows []*ent.ServiceCreate
		for j := range 100 {
			id := fmt.Sprintf("s%d-%d", i, j)
			rows = append(rows, st.Write.Service.Create().SetID(id).SetName(id).SetKind(def.Kind).SetTemplate(def.Name).
				SetDefinition(def).SetInputHash(id).SetVolume(id).SetCredentials([]byte("none")).SetDesiredState(lifecycle.WantStopped).
				SetPhase(lifecycle.Stopped).SetHealth(lifecycle.HealthUnknown).SetCreatedAt(now.Add(time.Duration(i*100+j))).SetUpdatedAt(now))
		}
		if err := st.Write.Service.CreateBulk(rows...).Exec(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	o, _ := newOrchestrator(b, st, templates, newMachine(), nil)
	b.ReportAllocs()
	for b.Loop() {
		l, err := o.Services(b.Context(), orchestrator.ServiceFilter{}, orchestrator.Page{First: 50})
		if err != nil || len(l.Items) != 50 {
			b.Fatal(len(l.Items), err)
		}
	}
}
