package control

import (
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// Stores of earlier versions hold these hashes: a launch that is repeated must still find its service.
func TestInputHashesStayWhatTheyWere(t *testing.T) {
	three := 3
	for want, in := range map[string]orchestrator.LaunchInput{
		"8e2b320496ff4a7c798efb84b5d7a8436c95a5f201f900b0ffd958c02ce471b0": {Kind: catalog.Queue, Name: "q"},
		"2a750818260a26a832d827a5aceb8ad2f2c1e0d479531d0f330e1d32056d7b77": {Kind: catalog.DB, Name: "db", Template: "postgres", NodeID: "n", Reattach: "v", Check: orchestrator.CheckInput{FailureThreshold: &three}},
	} {
		if got, err := hashInput(in); got != want || err != nil {
			t.Errorf("%+v has hash %s (%v), want %s", in, got, err, want)
		}
	}
	seen := map[string]bool{}
	for _, in := range []orchestrator.LaunchInput{
		{Name: "q"}, {Name: "q", Limits: orchestrator.LimitsInput{MemoryMiB: &three}}, {Name: "q", Limits: orchestrator.LimitsInput{PIDs: &three}},
		{Name: "q", NodeLabels: []orchestrator.Label{{Name: "a", Value: "1"}}}, {Name: "q", NodeLabels: []orchestrator.Label{{Name: "a", Value: "2"}}},
	} {
		hash, err := hashInput(in)
		if err != nil || seen[hash] {
			t.Errorf("%+v has the hash of another (%v)", in, err)
		}
		seen[hash] = true
	}
	one, other := orchestrator.LaunchInput{NodeLabels: []orchestrator.Label{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}}}, orchestrator.LaunchInput{NodeLabels: []orchestrator.Label{{Name: "b", Value: "2"}, {Name: "a", Value: "1"}}}
	a, errA := hashInput(one)
	b, errB := hashInput(other)
	if a != b || errA != nil || errB != nil || one.NodeLabels[0].Name != "a" || other.NodeLabels[0].Name != "b" {
		t.Errorf("the order of labels counts: %s, %s", a, b)
	}
}
