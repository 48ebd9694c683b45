package server

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/access"
)

const (
	bearerForm = "Authorization must be Bearer and a token, such as one that `uws token create` makes"
	signInForm = `the body must be a JSON object with a string "secret": what a login link has after #, or a token`
)

type failedKey struct{}

// identify puts who asks into the context, or why that is not known although a credential came. A token wins over a cookie.
func (s *Server) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secret, err := bearer(r.Header.Values("Authorization"))
		if secret == "" && err == nil {
			if cookie, missing := r.Cookie(s.opts.Access.CookieName()); missing == nil {
				secret = cookie.Value
			}
		}
		var p *access.Principal
		if secret != "" {
			p, err = s.opts.Access.Authenticate(r.Context(), secret, addressOf(r), access.HTTP)
		}
		r = r.WithContext(context.WithValue(r.Context(), addressKey{}, addressOf(r)))
		switch {
		case err != nil:
			if _, missing := r.Cookie(s.opts.Access.CookieName()); missing == nil {
				http.SetCookie(w, s.cookie(r, "", -1)) // it is worth nothing any more
			}
			r = r.WithContext(context.WithValue(r.Context(), failedKey{}, err))
		case p != nil:
			r = r.WithContext(access.With(r.Context(), p))
		}
		next.ServeHTTP(w, r)
	})
}

// callerOf is who asks, nil for nobody known, and the error when a credential came that is no good.
func callerOf(r *http.Request) (*access.Principal, error) {
	err, _ := r.Context().Value(failedKey{}).(error)
	return access.From(r.Context()), err
}

// known is an error unless a credential came with r that is good; what is for the audit log.
func (s *Server) known(r *http.Request, what string) error {
	if _, err := callerOf(r); err != nil {
		return err
	}
	err := access.Require(r.Context(), access.Viewer)
	if err != nil {
		s.opts.Access.Refused(r.Context(), addressOf(r), access.HTTP, what, err)
	}
	return err
}

// presentable is err when its text is for its reader.
func presentable(err error) error {
	if orchestrator.CodeOf(err) == orchestrator.Internal {
		return orchestrator.Errorf(orchestrator.Internal, "", "credentials cannot be checked at the moment; the log says why")
	}
	return err
}

// need lets through those who have a role.
func (s *Server) need(role access.Role, what string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := callerOf(r)
		if err == nil {
			_, err = s.opts.Access.Read(r.Context(), access.Action{Name: what, Needs: role}, func(context.Context) (any, error) { return nil, nil })
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

// bearer is the token in the values of an Authorization header; empty when there is none.
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

// authenticateSocket is the context of a WebSocket's operations, with who asks: whom the payload of connection_init names,
// else who sent the request that ctx is of.
func (s *Server) authenticateSocket(ctx context.Context, payload json.RawMessage) (context.Context, error) {
	var fields map[string]any
	_ = json.Unmarshal(payload, &fields) // it is an object, or nothing
	for name, value := range fields {
		if !strings.EqualFold(name, "Authorization") {
			continue
		}
		text, _ := value.(string)
		secret, err := bearer([]string{text})
		if err != nil {
			return ctx, err
		}
		address, _ := ctx.Value(addressKey{}).(string)
		p, err := s.opts.Access.Authenticate(ctx, secret, address, access.WebSocket)
		if err != nil {
			return ctx, presentable(err)
		}
		return access.With(ctx, p), nil
	}
	if err, _ := ctx.Value(failedKey{}).(error); err != nil {
		return ctx, presentable(err)
	}
	if err := access.Require(ctx, access.Viewer); err != nil {
		address, _ := ctx.Value(addressKey{}).(string)
		s.opts.Access.Refused(ctx, address, access.WebSocket, "graphql", err)
		return ctx, err
	}
	return access.With(ctx, access.From(ctx).By(access.WebSocket)), nil
}

type addressKey struct{}

// addressOf is from where r came, without the port.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// serveSignIn makes a session out of a login link or token, and gives it to the browser as a cookie.
func (s *Server) serveSignIn(w http.ResponseWriter, r *http.Request) {
	body, bad := readJSON(w, r)
	if bad != nil {
		writeError(w, bad.status, string(bad.code), bad.message)
		return
	}
	var in struct {
		Secret string `json:"secret"`
	}
	if json.Unmarshal(body, &in) != nil || in.Secret == "" {
		writeError(w, http.StatusBadRequest, string(orchestrator.InvalidInput), signInForm)
		return
	}
	secret, p, err := s.opts.Access.SignIn(r.Context(), strings.TrimSpace(in.Secret), addressOf(r), r.UserAgent())
	if err != nil {
		s.answerError(w, err)
		return
	}
	http.SetCookie(w, s.cookie(r, secret, int(s.opts.Access.SessionLifetime().Seconds())))
	writeJSON(w, http.StatusOK, map[string]any{"name": p.Name, "role": p.Role})
}

// serveSignOut ends the session, and takes the cookie away whatever it was.
func (s *Server) serveSignOut(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, s.cookie(r, "", -1))
	if access.From(r.Context()) != nil {
		if err := s.opts.Access.SignOut(r.Context()); err != nil {
			s.answerError(w, err)
			return
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{})
}

func (s *Server) cookie(r *http.Request, value string, maxAge int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure where there is TLS: on loopback there may be none
		Name: s.opts.Access.CookieName(), Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	}
}

// serveAudit answers with the whole audit log, a JSON object in each line, the oldest first.
func (s *Server) serveAudit(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/jsonl")
	w.Header().Set("Content-Disposition", `attachment; filename="audit.jsonl"`)
	out := json.NewEncoder(w)
	gone := errors.New("the client is gone")
	err := s.opts.Access.Export(r.Context(), func(e *access.Entry) error {
		if err := out.Encode(e); err != nil {
			return errors.Join(gone, err)
		}
		return nil
	})
	if err != nil && !errors.Is(err, gone) {
		s.log.Error("the audit log cannot be read", "error", err)
		panic(http.ErrAbortHandler) // so that nobody takes what came so far for the whole
	}
}
