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

// retryAfter is the Retry-After header, in seconds, of a request that is refused for lack of memory.
const retryAfter = "1"

// smallBody is the size in bytes up to which a body is covered by the memory of its connection.
const smallBody = 4 << 10

// writeTimeout is the time a client has to read the answer, apart from what the kernel buffers.
const writeTimeout = 20 * time.Second

// admission is the memory that a request holds, and the writer of its answer.
type admission struct {
	http.ResponseWriter
	server  *Server
	caller  string
	size    int          // in bytes
	request *budget.Hold // from Memory.Requests
	answer  *budget.Hold // from Memory.Answers
	refused error        // why there was no memory for the answer
}

type admissionKey struct{}

func admissionOf(ctx context.Context) *admission {
	a, _ := ctx.Value(admissionKey{}).(*admission)
	return a
}

// admit lets authenticated requests and requests for metrics pass while there is memory to serve them. Those with a
// body wait in readJSON. Other requests hold nothing but their connection: they are refused before their body is read.
func (s *Server) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := callerOf(r)
		if websocket.IsWebSocketUpgrade(r) || p == nil && r.URL.Path != "/metrics" {
			if r.ContentLength < 0 || r.ContentLength > smallBody {
				w.Header().Set("Connection", "close") // otherwise net/http would wait for the body
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

// body waits for memory for a body that is about to be read. size is -1 if it is unknown.
func (a *admission) body(ctx context.Context, size int64) (*budget.Hold, error) {
	if a == nil || size >= 0 && size <= smallBody {
		return nil, nil //nolint:nilnil // nothing is held
	}
	if size < 0 || size > maxBody {
		size = maxBody
	}
	return a.server.take(ctx, a.server.memory.Bodies, a.caller, int(size))
}

// serve waits for memory to serve a request whose body of size bytes has been read.
func (a *admission) serve(ctx context.Context, size int) (err error) {
	if a == nil || a.request != nil { // there is no body
		return nil
	}
	a.size = size
	a.request, err = a.server.take(ctx, a.server.memory.Requests, a.caller, graph.CostToRead(size))
	return err
}

// page waits for memory for a page of an answer that is written in pieces.
func (a *admission) page(ctx context.Context, size int) (err error) {
	a.answer, err = a.server.take(ctx, a.server.memory.Answers, a.caller, size)
	return err
}

// take waits for memory for up to BusyTimeout, and returns an error if there is none.
func (s *Server) take(ctx context.Context, from *budget.Budget, caller string, bytes int) (*budget.Hold, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.BusyTimeout)
	defer cancel()
	hold, err := from.Take(ctx, caller, bytes)
	switch {
	case errors.Is(err, budget.ErrShare):
		return nil, orchestrator.Errorf(orchestrator.RateLimited, "", "you have too many requests at once; send fewer, and try again in a second")
	case err != nil:
		return nil, orchestrator.Errorf(orchestrator.Unavailable, "", "the server is busy with requests of others; try again in a second")
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

// admitAnswer is a [graphql.ResponseMiddleware]. It builds the answer of a request once there is memory for it.
func (s *Server) admitAnswer(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	a := admissionOf(ctx)
	if a == nil || !graphql.HasOperationContext(ctx) {
		return next(ctx)
	}
	op := graphql.GetOperationContext(ctx)
	if op.Operation == nil { // the request was refused
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

// Write implements [http.ResponseWriter]. An answer is written in one piece. From then on the request holds only the
// memory of that answer.
func (a *admission) Write(data []byte) (int, error) {
	if a.refused != nil {
		a.Header().Set("Retry-After", retryAfter)
		a.WriteHeader(statusOf(orchestrator.CodeOf(a.refused)))
		a.refused = nil
	}
	a.answer.Shrink(2 * len(data))
	_ = http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Now().Add(writeTimeout)) // not supported by some test writers
	return a.ResponseWriter.Write(data)
}

// Unwrap is called by [http.ResponseController].
func (a *admission) Unwrap() http.ResponseWriter { return a.ResponseWriter }
