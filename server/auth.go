package server

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/unicorn-web-services/uws/internal/clean"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
)

const bearerForm = "Authorization must be Bearer and a token, such as one created by `uws token create`"

type failedKey struct{}

// callerOf returns the principal of a request, nil if it has no credentials, or an error if they are invalid.
func callerOf(r *http.Request) (*auth.Principal, error) {
	err, _ := r.Context().Value(failedKey{}).(error)
	return auth.From(r.Context()), err
}

// known returns an error unless r has valid credentials. what is the action in the audit log.
func (s *Server) known(r *http.Request, what string) error {
	if _, err := callerOf(r); err != nil {
		return err
	}
	err := auth.Require(r.Context(), auth.Viewer)
	if err != nil {
		s.opts.Access.Refused(r.Context(), addressOf(r), auth.HTTP, what, err)
	}
	return err
}

// presentable returns err if its text is meant for users, else a general error.
func presentable(err error) error {
	if orchestrator.CodeOf(err) == orchestrator.Internal {
		return orchestrator.Errorf(orchestrator.Internal, "", "credentials cannot be checked at the moment; the log says why")
	}
	return err
}

// need lets requests of callers with a role pass.
func (s *Server) need(role auth.Role, what string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := callerOf(r)
		if err == nil {
			_, err = s.opts.Access.Read(r.Context(), auth.Action{Name: what, Needs: role}, func(context.Context) (any, error) { return nil, nil })
		}
		if err != nil {
			s.answerError(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) answerError(w http.ResponseWriter, err error) {
	if orchestrator.CodeOf(err) == orchestrator.Internal {
		s.log.Error("request failed", "error", err)
	}
	err = presentable(err)
	code := orchestrator.CodeOf(err)
	if code == orchestrator.Unauthenticated {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	writeError(w, statusOf(code), string(code), err.Error())
}

// explain returns the HTTP status of an error and what clients may see of it.
func (s *Server) explain(ctx context.Context, err error) (status int, shown *orchestrator.Error) {
	if u, ok := errors.AsType[*unfit](err); ok {
		return u.status, &orchestrator.Error{Code: u.code, Message: u.message}
	}
	shown = s.graph.Explain(ctx, err)
	return statusOf(shown.Code), shown
}

func statusOf(code orchestrator.Code) int {
	switch code {
	case orchestrator.Unauthenticated:
		return http.StatusUnauthorized
	case orchestrator.Forbidden:
		return http.StatusForbidden
	case orchestrator.NotFound:
		return http.StatusNotFound
	case orchestrator.InvalidInput:
		return http.StatusUnprocessableEntity
	case orchestrator.Conflict:
		return http.StatusConflict
	case orchestrator.NodeUnavailable, orchestrator.Unavailable:
		return http.StatusServiceUnavailable
	case orchestrator.LimitExceeded, orchestrator.RateLimited:
		return http.StatusTooManyRequests
	default:
		return http.StatusInternalServerError
	}
}

// bearer returns the token in an Authorization header, or "" if there is none.
func bearer(values []string) (string, error) {
	if len(values) == 0 {
		return "", nil
	}
	kind, token, _ := strings.Cut(values[0], " ")
	if token = strings.TrimSpace(token); len(values) > 1 || !strings.EqualFold(kind, "Bearer") || token == "" {
		return "", orchestrator.Errorf(orchestrator.Unauthenticated, "", bearerForm)
	}
	return token, nil
}

type addressKey struct{}

// addressOf returns the address that r came from, without the port.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// serveAudit writes the whole audit log, oldest line first, one JSON object per line.
func (s *Server) serveAudit(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/jsonl")
	w.Header().Set("Content-Disposition", `attachment; filename="audit.jsonl"`)
	out := json.NewEncoder(clean.JSONWriter{W: w})
	gone := errors.New("the client is gone")
	err := s.opts.Access.Export(r.Context(), func(e *auth.Entry) error {
		if err := out.Encode(e); err != nil {
			return errors.Join(gone, err)
		}
		return nil
	})
	if err != nil && !errors.Is(err, gone) {
		s.log.Error("the audit log cannot be read", "error", err)
		panic(http.ErrAbortHandler) // abort, so that the client does not take a part for the whole
	}
}
