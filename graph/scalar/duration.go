package scalar

import (
	"fmt"
	"math"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// MarshalDuration writes a duration as a number of seconds.
func MarshalDuration(d time.Duration) graphql.Marshaler { return graphql.MarshalFloat(d.Seconds()) }

// UnmarshalDuration reads a number of seconds.
func UnmarshalDuration(v any) (time.Duration, error) {
	seconds, err := graphql.UnmarshalFloat(v)
	if _, isText := v.(string); isText || err != nil || math.IsNaN(seconds) || math.Abs(seconds) > math.MaxInt64/float64(time.Second) {
		return 0, orchestrator.Errorf(orchestrator.InvalidInput, "", "%s is not a duration: it must be a number of seconds", fmt.Sprintf("%.40q", fmt.Sprint(v)))
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
