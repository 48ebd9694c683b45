// Package scalar holds the API's own scalars.
package scalar

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/unicorn-web-services/uws/orchestrator"
)

// MarshalTime writes a moment as RFC 3339 in UTC; the zero time is null.
func MarshalTime(t time.Time) graphql.Marshaler {
	if t.IsZero() {
		return graphql.Null
	}
	return graphql.WriterFunc(func(w io.Writer) {
		_, _ = io.WriteString(w, strconv.Quote(t.UTC().Format(time.RFC3339Nano)))
	})
}

// UnmarshalTime reads a moment in RFC 3339.
func UnmarshalTime(v any) (time.Time, error) {
	if s, ok := v.(string); ok {
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, orchestrator.Errorf(orchestrator.InvalidInput, "", "%s is no time: it must be a string in RFC 3339, such as %q", fmt.Sprintf("%.40q", fmt.Sprint(v)), "2026-01-02T15:04:05Z")
}
