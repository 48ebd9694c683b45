package graph

import (
	"bytes"
	"context"
	"io"

	"github.com/99designs/gqlgen/graphql"

	"github.com/unicorn-web-services/uws/graph/model"
	"github.com/unicorn-web-services/uws/graph/scalar"
)

// plainFields are the fields of a service that need no resolver, no directive and no selection of their own. A list in which
// nothing else is selected is written by plainRows: gqlgen's way, with contexts and closures for each field of each row, takes five
// times as long. Values are as in generated code; a test compares the two.
var plainFields = map[string]func(*model.Service) graphql.Marshaler{ //nolint:gochecknoglobals // a constant
	"__typename":    func(*model.Service) graphql.Marshaler { return graphql.MarshalString("Service") },
	"id":            func(s *model.Service) graphql.Marshaler { return graphql.MarshalID(s.ID) },
	"name":          func(s *model.Service) graphql.Marshaler { return graphql.MarshalString(s.Name) },
	"kind":          func(s *model.Service) graphql.Marshaler { return graphql.MarshalString(string(s.Kind)) },
	"desiredState":  func(s *model.Service) graphql.Marshaler { return graphql.MarshalString(string(s.DesiredState)) },
	"phase":         func(s *model.Service) graphql.Marshaler { return graphql.MarshalString(string(s.Phase)) },
	"health":        func(s *model.Service) graphql.Marshaler { return graphql.MarshalString(string(s.Health)) },
	"healthy":       func(s *model.Service) graphql.Marshaler { return graphql.MarshalBoolean(s.Healthy()) },
	"reason":        func(s *model.Service) graphql.Marshaler { return graphql.MarshalString(s.Reason) },
	"reasonCode":    func(s *model.Service) graphql.Marshaler { return orNullValue(s.ReasonCode, keep) },
	"endpoint":      func(s *model.Service) graphql.Marshaler { return orNullValue(s.Endpoint(), graphql.MarshalString) },
	"restarts":      func(s *model.Service) graphql.Marshaler { return graphql.MarshalInt(s.Restarts) },
	"nextRestartAt": func(s *model.Service) graphql.Marshaler { return orNullValue(s.NextRestartAt, scalar.MarshalTime) },
	"lastHealthCheckAt": func(s *model.Service) graphql.Marshaler {
		return orNullValue(s.LastHealthCheckAt(), scalar.MarshalTime)
	},
	"createdAt":  func(s *model.Service) graphql.Marshaler { return scalar.MarshalTime(s.CreatedAt) },
	"image":      func(s *model.Service) graphql.Marshaler { return orNullValue(s.Image(), graphql.MarshalString) },
	"rotating":   func(s *model.Service) graphql.Marshaler { return graphql.MarshalBoolean(s.Rotating) },
	"generation": func(s *model.Service) graphql.Marshaler { return graphql.MarshalInt(s.Generation) },
	"observedGeneration": func(s *model.Service) graphql.Marshaler {
		return orNullValue(s.ObservedGeneration(), graphql.MarshalInt)
	},
}

func keep[T graphql.Marshaler](v T) graphql.Marshaler { return v }

func orNullValue[T any](v *T, marshal func(T) graphql.Marshaler) graphql.Marshaler {
	if v == nil {
		return graphql.Null
	}
	return marshal(*v)
}

// plainRows is a field middleware: lists of services with plain fields alone go to the answer without gqlgen.
func plainRows(ctx context.Context, next graphql.Resolver) (any, error) {
	out, err := next(ctx)
	rows, ok := out.([]*model.Service)
	if !ok || err != nil {
		return out, err
	}
	fields := graphql.CollectFields(graphql.GetOperationContext(ctx), graphql.GetFieldContext(ctx).Field.Selections, []string{"Service"})
	columns := make([]column, len(fields))
	for i, f := range fields {
		value := plainFields[f.Name]
		if value == nil || len(f.Deferrables) > 0 {
			return out, nil
		}
		var name bytes.Buffer
		graphql.MarshalString(f.Alias).MarshalGQL(&name)
		columns[i] = column{name: append(name.Bytes(), ':'), value: value}
	}
	return graphql.Marshaler(table{columns, rows}), nil
}

type column struct {
	name  []byte // with quotes and a colon
	value func(*model.Service) graphql.Marshaler
}

// table is rows to be written.
type table struct {
	columns []column
	rows    []*model.Service
}

// MarshalGQL implements [graphql.Marshaler].
func (t table) MarshalGQL(w io.Writer) {
	before := []byte("[{")
	for _, row := range t.rows {
		for _, c := range t.columns {
			_, _ = w.Write(before)
			_, _ = w.Write(c.name)
			c.value(row).MarshalGQL(w)
			before = comma
		}
		before = nextRow
	}
	if len(t.rows) == 0 {
		_, _ = io.WriteString(w, "[]")
		return
	}
	_, _ = io.WriteString(w, "}]")
}

//nolint:gochecknoglobals // constants
var (
	comma   = []byte(",")
	nextRow = []byte("},{")
)
