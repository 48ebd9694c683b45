package credentials

import (
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

func TestTurnOf(t *testing.T) {
	ok := probe.Result{Verdict: probe.OK}
	refused := probe.Result{Verdict: probe.Alive, Refused: true}
	full, dead := probe.Result{Verdict: probe.Alive}, probe.Result{Verdict: probe.Dead}
	for _, tt := range []struct {
		name       string
		fresh, old probe.Result
		want       turn
	}{
		{"only the new ones", ok, refused, turnDone},
		{"only the old ones", refused, ok, turnChange},
		{"both", ok, ok, turnBoth},
		{"neither", refused, refused, turnLost},
		{"no answer", dead, dead, turnWait},
		{"no answer to the old ones", ok, dead, turnWait},
		{"no answer to the new ones", dead, ok, turnWait},
		{"too busy to tell", full, refused, turnWait},
		{"too busy to tell of the old ones", ok, full, turnWait},
		{"refuses one and is gone", refused, dead, turnWait},
	} {
		if got := turnOf(tt.fresh, tt.old); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
