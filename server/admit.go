package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/unicorn-web-services/uws/graph"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/server/budget"
	"github.com/unicorn-web-services/uws/server/legacy"
)

// retryAfter is what a client is told to wait, in seconds, when there is no room for its request.
const retryAfter = "1"

// smallBody is the size in bytes of bodies that are part of what a connection takes.
const smallBody = 4 << 10

// writeTimeout is how long a client may take to read an answer, beside what the kernel holds of it.
const writeTimeout = 20 * time.Second

// admission is what a request holds of the memory, and how it is answered.
type admission struct {
	http.ResponseWriter
	server  *Server
	caller  string
	size    int          // of the body, in bytes
	request *budget.Hold // of Memory.Requests
	answer  *budget.Hold // of Memory.Answers
	refused error        // why there was no room for the answer
}

type admissionKey struct{}

func admissionOf(ctx context.Context) *admission {
	a, _ := ctx.Value(admissionKey{}).(*admission)
	return a
}

// admit lets through requests of callers that are known, and for the metrics, while there is room for what serving them
// takes. Those with a body wait in readJSON. Others hold nothing but their connection: they are refused before their body
// is read.
func (s *Server) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := callerOf(r)
		if websocket.IsWebSocketUpgrade(r) || p == nil && r.URL.Path != "/metrics" {
			if r.ContentLength < 0 || r.ContentLength > smallBody {
				w.Header().Set("Connection", "close") // or net/http would wait for the body
			}
			next.ServeHTTP(w, r)
			return
		}
		a := &admission{ResponseWriter: w, server: s}
		if p != nil {
			a.caller = p.Name
		}
		if r.ContentLength == 0 {
			if err := a.serve(r.Context(), 0); err != nil {
				s.refuseBusy(w, r, err)
				return
			}
		}
		defer func() {
			a.answer.Release()
			a.request.Release()
		}()
		next.ServeHTTP(a, r.WithContext(context.WithValue(r.Context(), admissionKey{}, a)))
	})
}

// body waits for room for a body that comes; size is -1 if it is not known.
func (a *admission) body(ctx context.Context, size int64) (*budget.Hold, error) {
	if a == nil || size >= 0 && size <= smallBody {
		return nil, nil //nolint:nilnil // nothing is held
	}
	if size < 0 || size > maxBody {
		size = maxBody
	}
	return a.server.take(ctx, a.server.memory.Bodies, a.caller, int(size))
}

// serve waits for room for a request whose body of size bytes is there.
func (a *admission) serve(ctx context.Context, size int) (err error) {
	if a == nil || a.request != nil { // it has no body
		return nil
	}
	a.size = size
	a.request, err = a.server.take(ctx, a.server.memory.Requests, a.caller, graph.CostToRead(size))
	return err
}

// take waits a little for room, and says what is wrong when there is none.
func (s *Server) take(ctx context.Context, from *budget.Budget, caller string, bytes int) (*budget.Hold, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.BusyTimeout)
	defer cancel()
	hold, err := from.Take(ctx, caller, bytes)
	switch {
	case errors.Is(err, budget.ErrShare):
		return nil, orchestrator.Errorf(orchestrator.RateLimited, "", "too many requests of yours at once; send fewer, and try again in a second")
	case err != nil:
		return nil, orchestrator.Errorf(orchestrator.Unavailable, "", "the server is busy with others' requests; try again in a second")
	}
	return hold, nil
}

func (s *Server) refuseBusy(w http.ResponseWriter, r *http.Request, err error) {
	w.Header().Set("Retry-After", retryAfter)
	if legacy.HasPath(r.URL.Path) {
		s.legacy.WriteError(w, statusOf(orchestrator.CodeOf(err)), err.Error())
		return
	}
	s.refuse(w, statusOf(orchestrator.CodeOf(err)), orchestrator.CodeOf(err), err.Error())
}

// admitAnswer is a [graphql.ResponseMiddleware]: it makes the answer of a request when there is room for that.
func (s *Server) admitAnswer(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	a := admissionOf(ctx)
	if a == nil || !graphql.HasOperationContext(ctx) {
		return next(ctx)
	}
	op := graphql.GetOperationContext(ctx)
	if op.Operation == nil { // refused
		return next(ctx)
	}
	cost := graph.CostOf(op, a.size)
	a.request.Shrink(cost.Serve)
	if cost.Answer > 0 {
		if a.answer, a.refused = s.take(ctx, s.memory.Answers, a.caller, cost.Answer); a.refused != nil {
			return &graphql.Response{Errors: gqlerror.List{{
				Message: a.refused.Error(), Extensions: map[string]any{"code": string(orchestrator.CodeOf(a.refused))},
			}}}
		}
	}
	return next(ctx)
}

// Write implements [http.ResponseWriter]. An answer comes in one piece, and all that is held from then on is that.
func (a *admission) Write(data []byte) (int, error) {
	if a.refused != nil {
		a.Header().Set("Retry-After", retryAfter)
		a.WriteHeader(statusOf(orchestrator.CodeOf(a.refused)))
		a.refused = nil
	}
	a.answer.Shrink(2 * len(data))
	_ = http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Now().Add(writeTimeout)) // some test's writer cannot
	return a.ResponseWriter.Write(data)
}

// Unwrap is for [http.ResponseController].
func (a *admission) Unwrap() http.ResponseWriter { return a.ResponseWriter }
