package stories

import (
	"context"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// Usage is what a service uses, and reports of itself.
type Usage struct {
	Usage *struct {
		CPU, DiskBytes         *float64
		MemoryBytes            float64
		Processes, Descriptors *int
	}
	UsageHistory struct{ MemoryBytes []*float64 }
	EngineStats  []struct {
		Name  string
		Value float64
	}
	Uptime struct {
		Share                       *float64
		HealthySeconds, DownSeconds float64
	}
}

// UsageOf returns what is known of the use of a service.
func UsageOf(ctx context.Context, p *uwstest.Process, id string) (Usage, error) {
	var out struct{ Service Usage }
	err := p.Query(ctx, `query($id: ID!) { service(id: $id) { usage { cpu memoryBytes diskBytes processes descriptors } usageHistory { memoryBytes }
		engineStats { name value } uptime(range: DAY) { share healthySeconds downSeconds } } }`, map[string]any{"id": id}, &out)
	return out.Service, err
}

// hasUsage checks that a running service is measured, and that its history begins.
func hasUsage(t *testing.T, p *uwstest.Process, id string) {
	t.Helper()
	var u Usage
	err := uwstest.Until(t.Context(), "the service is measured", func() (bool, error) {
		var err error
		u, err = UsageOf(t.Context(), p, id)
		return u.Usage != nil, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if u.Usage.MemoryBytes < 1<<20 || u.Usage.Processes == nil || *u.Usage.Processes < 1 {
		t.Errorf("it uses %+v", *u.Usage)
	}
	n := 0
	for _, v := range u.UsageHistory.MemoryBytes {
		if v != nil {
			n++
		}
	}
	if n == 0 {
		t.Error("it has no history")
	}
}
