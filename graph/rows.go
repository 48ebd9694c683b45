package graph

import (
	"bytes"
	"context"
	"io"

	"github.com/99designs/gqlgen/graphql"

	"github.com/unicorn-web-services/uws/graph/model"
	"github.com/unicorn-web-services/uws/graph/scalar"
	"github.com/unicorn-web-services/uws/orchestrator"
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
	"createdAt":   func(s *model.Service) graphql.Marshaler { return scalar.MarshalTime(s.CreatedAt) },
	"image":       func(s *model.Service) graphql.Marshaler { return orNullValue(s.Image(), graphql.MarshalString) },
	"rotating":    func(s *model.Service) graphql.Marshaler { return graphql.MarshalBoolean(s.Rotating) },
	"quarantined": func(s *model.Service) graphql.Marshaler { return graphql.MarshalBoolean(s.Quarantined()) },
	"heldBack":    func(s *model.Service) graphql.Marshaler { return orNullValue(s.HeldBack(), graphql.MarshalString) },
	"generation":  func(s *model.Service) graphql.Marshaler { return graphql.MarshalInt(s.Generation) },
	"observedGeneration": func(s *model.Service) graphql.Marshaler {
		return orNullValue(s.ObservedGeneration(), graphql.MarshalInt)
	},
}

// plainLogFields are the same of a line of a log: all of its fields.
var plainLogFields = map[string]func(*orchestrator.LogLine) graphql.Marshaler{ //nolint:gochecknoglobals // a constant
	"__typename": func(*orchestrator.LogLine) graphql.Marshaler { return graphql.MarshalString("LogLine") },
	"cursor":     func(l *orchestrator.LogLine) graphql.Marshaler { return graphql.MarshalID(l.Cursor) },
	"at":         func(l *orchestrator.LogLine) graphql.Marshaler { return scalar.MarshalTime(l.At) },
	"stream":     func(l *orchestrator.LogLine) graphql.Marshaler { return graphql.MarshalString(string(l.Stream)) },
	"level": func(l *orchestrator.LogLine) graphql.Marshaler {
		return orNullValue(l.Level, func(level orchestrator.LogLevel) graphql.Marshaler { return graphql.MarshalString(string(level)) })
	},
	"run":  func(l *orchestrator.LogLine) graphql.Marshaler { return orNullValue(l.Run, graphql.MarshalID) },
	"text": func(l *orchestrator.LogLine) graphql.Marshaler { return graphql.MarshalString(l.Text) },
}

func keep[T graphql.Marshaler](v T) graphql.Marshaler { return v }

func orNullValue[T any](v *T, marshal func(T) graphql.Marshaler) graphql.Marshaler {
	if v == nil {
		return graphql.Null
	}
	return marshal(*v)
}

// plainRows is a field middleware: lists of services or lines with plain fields alone go to the answer without gqlgen.
func plainRows(ctx context.Context, next graphql.Resolver) (any, error) {
	out, err := next(ctx)
	if err != nil {
		return out, err
	}
	switch rows := out.(type) {
	case []*model.Service:
		if t := tableOf(ctx, "Service", rows, plainFields); t != nil {
			return t, nil
		}
	case []*orchestrator.LogLine:
		if t := tableOf(ctx, "LogLine", rows, plainLogFields); t != nil {
			return t, nil
		}
	}
	return out, nil
}

// tableOf returns what writes rows with the fields that are selected, nil if one of them is not plain.
func tableOf[T any](ctx context.Context, object string, rows []*T, plain map[string]func(*T) graphql.Marshaler) graphql.Marshaler {
	fields := graphql.CollectFields(graphql.GetOperationContext(ctx), graphql.GetFieldContext(ctx).Field.Selections, []string{object})
	columns := make([]column[T], len(fields))
	for i, f := range fields {
		value := plain[f.Name]
		if value == nil || len(f.Deferrables) > 0 {
			return nil
		}
		var name bytes.Buffer
		graphql.MarshalString(f.Alias).MarshalGQL(&name)
		columns[i] = column[T]{name: append(name.Bytes(), ':'), value: value}
	}
	return table[T]{columns, rows}
}

type column[T any] struct {
	name  []byte // with quotes and a colon
	value func(*T) graphql.Marshaler
}

// table is rows to be written.
type table[T any] struct {
	columns []column[T]
	rows    []*T
}

// MarshalGQL implements [graphql.Marshaler].
func (t table[T]) MarshalGQL(w io.Writer) {
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
