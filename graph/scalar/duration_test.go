package scalar_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/graph/scalar"
)

// A duration is a number of seconds in both directions, and nothing else.
func TestDuration(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, 90 * time.Second, -time.Hour} {
		var out strings.Builder
		scalar.MarshalDuration(d).MarshalGQL(&out)
		if got, err := scalar.UnmarshalDuration(d.Seconds()); got != d || err != nil {
			t.Errorf("%s, written as %s, is read as %s: %v", d, out.String(), got, err)
		}
	}
	for _, wrong := range []any{"5", "5s", math.NaN(), 1e300, true} {
		if got, err := scalar.UnmarshalDuration(wrong); err == nil {
			t.Errorf("%v is read as %s", wrong, got)
		}
	}
}
