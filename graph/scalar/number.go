package scalar

import (
	"math"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// MarshalBytes writes a number of bytes as a Float, as an Int has 32 bits, in all of its digits.
func MarshalBytes(n int64) graphql.Marshaler { return graphql.MarshalInt64(n) }

// UnmarshalBytes reads a whole number.
func UnmarshalBytes(v any) (int64, error) {
	n, err := graphql.UnmarshalFloat(v)
	if err != nil || n != math.Trunc(n) || math.Abs(n) > 1<<53 {
		return 0, orchestrator.Errorf(orchestrator.InvalidInput, "", "%.40q is not a whole number of bytes", v)
	}
	return int64(n), nil
}

// MarshalSeconds writes a duration as a number of seconds.
func MarshalSeconds(d time.Duration) graphql.Marshaler { return MarshalDuration(d) }

// UnmarshalSeconds reads a number of seconds.
func UnmarshalSeconds(v any) (time.Duration, error) { return UnmarshalDuration(v) }

// MarshalWholeSeconds writes a duration as a whole number of seconds.
func MarshalWholeSeconds(d time.Duration) graphql.Marshaler {
	return graphql.MarshalInt(int(d / time.Second))
}

// UnmarshalWholeSeconds reads a whole number of seconds.
func UnmarshalWholeSeconds(v any) (time.Duration, error) {
	n, err := graphql.UnmarshalInt(v)
	return time.Duration(n) * time.Second, err
}
