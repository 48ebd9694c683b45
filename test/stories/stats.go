package stories

import (
	"slices"
	"testing"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// hasStats checks that an engine reports what its template's documentation says.
func hasStats(t *testing.T, p *uwstest.Process, id, template string) {
	t.Helper()
	want := map[string][]string{
		"postgres": {"connections_max", "connections_used", "database_bytes"},
		"ferretdb": {"database_bytes"},
		"nats":     {"consumers", "stream_bytes", "streams"},
		"redis":    {"connections_max", "connections_used", "keys", "memory_bytes"},
		"setec":    {"secrets"},
	}[template]
	var got []string
	err := uwstest.Until(t.Context(), "the engine reports stats", func() (bool, error) {
		var out struct {
			Service struct {
				EngineStats []struct {
					Name  string
					Value float64
				}
			}
		}
		err := p.Query(t.Context(), `query($id: ID!) { service(id: $id) { engineStats { name value } } }`, map[string]any{"id": id}, &out)
		got = nil
		for _, s := range out.Service.EngineStats {
			got = append(got, s.Name)
			if s.Value < 0 || s.Value > 1e12 {
				t.Errorf("%s is %g", s.Name, s.Value)
			}
		}
		slices.Sort(got)
		return len(got) >= len(want), err
	})
	if err != nil || want != nil && !slices.Equal(got, want) {
		t.Errorf("%s reports %q, want %q: %v", template, got, want, err)
	}
}
