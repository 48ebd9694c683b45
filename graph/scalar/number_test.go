package scalar_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/unicorn-web-services/uws/graph/scalar"
)

// text is what a value is written as, which any JSON parser reads as the same number.
func text(m graphql.Marshaler) string {
	var out strings.Builder
	m.MarshalGQL(&out)
	return out.String()
}

// Numbers are written so that they are read as the same, and nothing else is read.
func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 5 << 32: "21474836480", -1: "-1", 1 << 53: "9007199254740992"} {
		if got := text(scalar.MarshalBytes(n)); got != want {
			t.Errorf("%d bytes are written as %s", n, got)
		}
		if got, err := scalar.UnmarshalBytes(json.Number(want)); err != nil || got != n {
			t.Errorf("%s is read as %d bytes: %v", want, got, err)
		}
	}
	for _, wrong := range []any{1.5, 1e300, math.NaN(), true} {
		if got, err := scalar.UnmarshalBytes(wrong); err == nil {
			t.Errorf("%v is read as %d bytes", wrong, got)
		}
	}
	for d, want := range map[time.Duration][2]string{0: {"0", "0"}, 90 * time.Second: {"90", "90"}, 1500 * time.Millisecond: {"1.5", "1"}} {
		if seconds, whole := text(scalar.MarshalSeconds(d)), text(scalar.MarshalWholeSeconds(d)); seconds != want[0] || whole != want[1] {
			t.Errorf("%s is written as %s and %s", d, seconds, whole)
		}
		if got, err := scalar.UnmarshalSeconds(json.Number(want[0])); err != nil || got != d {
			t.Errorf("%s is read as %s: %v", want[0], got, err)
		}
		if got, err := scalar.UnmarshalWholeSeconds(json.Number(want[1])); err != nil || got != d.Truncate(time.Second) {
			t.Errorf("%s is read as %s: %v", want[1], got, err)
		}
	}
}
