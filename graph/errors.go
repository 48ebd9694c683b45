package graph

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/unicorn-web-services/uws/internal/clean"
	"github.com/unicorn-web-services/uws/orchestrator"
)

// presenter turns any error into what clients see: a text meant for them and extensions.code. It is the
// only place that does.
type presenter struct {
	log   *slog.Logger
	enums map[string]string // by an enum's name, the values it has
}

// Explain returns what clients may see of an error, for doors other than GraphQL. An internal error is logged, under an id
// that the message names.
func (g *Graph) Explain(ctx context.Context, err error) *orchestrator.Error {
	if e, ok := orchestrator.AsError(err); ok {
		return &orchestrator.Error{Code: e.Code, Path: e.Path, Message: clean.URLs(e.Message)}
	}
	e := g.root.errors.present(ctx, err)
	code, _ := e.Extensions["code"].(string)
	return &orchestrator.Error{Code: orchestrator.Code(code), Message: e.Message}
}

// Recovered logs what a door other than GraphQL panicked with, and gives an error for Explain.
func (g *Graph) Recovered(ctx context.Context, panicked any) error {
	return g.root.errors.recovered(ctx, panicked)
}

// loggedError stands for an error that the log has under id.
type loggedError struct{ id string }

func (e *loggedError) Error() string {
	return fmt.Sprintf("internal error; the log has it under id %s", e.id)
}

// present never changes err: transports look at its original code afterwards.
func (p *presenter) present(ctx context.Context, err error) *gqlerror.Error {
	out := &gqlerror.Error{Path: graphql.GetPath(ctx)}
	given, isGraphQL := errors.AsType[*gqlerror.Error](err)
	if isGraphQL {
		out.Locations = given.Locations
		if given.Path != nil {
			out.Path = given.Path
		}
	}
	if e, ok := orchestrator.AsError(err); ok {
		field := fieldOf(ctx, e.Path)
		out = finish(out, e.Under(field), e.Code, field)
		if field != "" {
			out.Extensions["text"] = clean.URLs(e.Message)
		}
		return out
	}
	if isGraphQL && isProtocolError(given) {
		code := orchestrator.InvalidInput
		// The parser's own limits, of tokens and depth, have no code.
		if given.Rule == rules.MaxIntrospectionDepth.Name || strings.HasPrefix(given.Message, "exceeded ") {
			code = orchestrator.LimitExceeded
		}
		field := variableField(given.Path)
		return finish(out, strings.TrimPrefix(field+" ", " ")+p.withValues(given.Message), code, field)
	}
	if isBadNumber(err) {
		return finish(out, "a number is out of range: "+err.Error(), orchestrator.InvalidInput, "")
	}
	logged, ok := errors.AsType[*loggedError](err)
	if !ok {
		logged = p.record(ctx, err)
	}
	return finish(out, logged.Error(), orchestrator.Internal, "")
}

// fieldOf returns the name that the API has for a path of the control plane: that of an argument, or of a field of the
// argument `input`.
func fieldOf(ctx context.Context, path string) string {
	switch path {
	case "healthCheck.interval", "healthCheck.timeout", "healthCheck.grace":
		path += "Seconds"
	}
	fc := graphql.GetFieldContext(ctx)
	if path == "" || fc == nil || fc.Field.Field == nil {
		return path
	}
	root, _, _ := strings.Cut(path, ".")
	root, _, _ = strings.Cut(root, "[")
	arguments := fc.Field.Definition.Arguments
	if arguments.ForName("input") == nil || arguments.ForName(root) != nil {
		return path
	}
	return "input." + path
}

// variableField returns the path of a field within the variables, such as input.kind; empty for any other path.
func variableField(path ast.Path) string {
	if len(path) < 2 || path[0] != ast.PathName("variable") {
		return ""
	}
	return path[1:].String()
}

// recovered is called with what a resolver panicked with.
func (p *presenter) recovered(ctx context.Context, panicked any) error {
	return p.record(ctx, fmt.Errorf("panic: %v", panicked), slog.String("stack", string(debug.Stack())))
}

// record logs err under a fresh id, which tells a client nothing.
func (p *presenter) record(ctx context.Context, err error, attrs ...slog.Attr) *loggedError {
	level := slog.LevelError
	if ctx.Err() != nil {
		level = slog.LevelDebug // the client is gone: nobody is waiting for the answer
	}
	id := newErrorID()
	attrs = append(attrs, slog.String("id", id), slog.Any("error", err), slog.String("path", graphql.GetPath(ctx).String()))
	p.log.LogAttrs(ctx, level, "request failed", attrs...)
	return &loggedError{id: id}
}

func finish(e *gqlerror.Error, message string, code orchestrator.Code, field string) *gqlerror.Error {
	e.Message = clean.URLs(message)
	e.Extensions = map[string]any{"code": string(code)}
	if field != "" {
		e.Extensions["field"] = field
	}
	return e
}

// isProtocolError reports whether the document or its variables are to blame.
func isProtocolError(err *gqlerror.Error) bool {
	code := err.Extensions["code"]
	return code == errcode.ValidationFailed || code == errcode.ParseFailed
}

// The two ways in which validation names an enum whose value it does not know: of a literal, and of a variable.
var enumNamed = regexp.MustCompile(`in "(\w+)[!\]]*" enum|is not a valid (\w+)$`)

// withValues adds what would be right to a message about a value that its enum does not have.
func (p *presenter) withValues(message string) string {
	m := enumNamed.FindStringSubmatch(message)
	if m == nil || p.enums[m[1]+m[2]] == "" {
		return message
	}
	return strings.TrimSuffix(message, ".") + "; it is one of " + p.enums[m[1]+m[2]]
}

func enumsOf(schema *ast.Schema) map[string]string {
	enums := map[string]string{}
	for name, def := range schema.Types {
		var values []string
		for _, v := range def.EnumValues {
			values = append(values, v.Name)
		}
		enums[name] = strings.Join(values, ", ")
	}
	return enums
}

// isBadNumber reports whether err comes from reading an argument: validation accepts numbers of any size.
func isBadNumber(err error) bool {
	if _, ok := errors.AsType[*strconv.NumError](err); ok {
		return true
	}
	_, ok := errors.AsType[*graphql.IntegerError](err)
	return ok
}

// refuse makes an error of the operation itself, which the transports answer as such.
func refuse(code orchestrator.Code, format string, args ...any) *gqlerror.Error {
	return refuseWith(orchestrator.Errorf(code, "", format, args...))
}

func refuseWith(err error) *gqlerror.Error {
	return &gqlerror.Error{
		Err:        err,
		Message:    err.Error(),
		Extensions: map[string]any{"code": errcode.ValidationFailed},
	}
}

func newErrorID() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
