package server

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
)

// sessionHeader carries the page's half of a session secret. The browser sends the other half, the cookie, by itself to
// every port of the host. A WebSocket sends the key under the same name in the payload of connection_init.
const sessionHeader = "Uws-Session-Key"

const signInForm = `the body must be a JSON object with a string "secret": what a login link has after #, or a token`

// maxSignIn is the maximum size in bytes of the body of a sign-in, which needs no credentials.
const maxSignIn = 4 << 10

type cookieKey struct{}

// identify adds the caller to the context, or an error if the credentials are invalid. A token takes precedence over a
// session. A cookie alone does not authenticate.
func (s *Server) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address, cookie := addressOf(r), s.sessionCookie(r)
		ctx := context.WithValue(r.Context(), addressKey{}, address)
		ctx = context.WithValue(ctx, cookieKey{}, cookie)
		p, err := s.callerIn(ctx, r.Header, auth.HTTP)
		switch {
		case err != nil:
			ctx = context.WithValue(ctx, failedKey{}, err)
		case p != nil:
			ctx = auth.With(ctx, p)
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// callerIn returns the principal of the credentials in header, or nil if there are none.
func (s *Server) callerIn(ctx context.Context, header http.Header, channel auth.Channel) (*auth.Principal, error) {
	address, _ := ctx.Value(addressKey{}).(string)
	token, err := bearer(header.Values("Authorization"))
	if err != nil {
		return nil, err
	}
	if token != "" {
		return s.opts.Access.Authenticate(ctx, token, address, channel)
	}
	cookie, _ := ctx.Value(cookieKey{}).(string)
	key := header.Get(sessionHeader)
	if cookie == "" || key == "" {
		return nil, nil //nolint:nilnil // no credentials
	}
	return s.opts.Access.AuthenticateSession(ctx, auth.SessionSecret{Cookie: cookie, Key: key}, address, channel)
}

// authenticateSocket returns the context of a WebSocket's operations, with the caller: the one named in the payload of
// connection_init, else the caller of the upgrade request, whose context is ctx.
func (s *Server) authenticateSocket(ctx context.Context, payload json.RawMessage) (context.Context, error) {
	var fields map[string]any
	_ = json.Unmarshal(payload, &fields) // an object, or missing
	header := http.Header{}
	for name, value := range fields {
		text, _ := value.(string)
		header.Add(name, text)
	}
	p, err := s.callerIn(ctx, header, auth.WebSocket)
	if err != nil {
		return ctx, presentable(err)
	}
	if p != nil {
		return auth.With(ctx, p), nil
	}
	if err, _ := ctx.Value(failedKey{}).(error); err != nil {
		return ctx, presentable(err)
	}
	if err := auth.Require(ctx, auth.Viewer); err != nil {
		address, _ := ctx.Value(addressKey{}).(string)
		s.opts.Access.Refused(ctx, address, auth.WebSocket, "graphql", err)
		return ctx, err
	}
	return auth.With(ctx, auth.From(ctx).By(auth.WebSocket)), nil
}

// serveSignIn creates a session from a login link or token. It sends one half of the session's secret as a cookie and
// the other in the response.
func (s *Server) serveSignIn(w http.ResponseWriter, r *http.Request) {
	body, bad := readJSON(w, r, maxSignIn)
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
	http.SetCookie(w, s.cookie(r, secret.Cookie, int(s.opts.Access.SessionLifetime().Seconds())))
	writeJSON(w, http.StatusOK, map[string]any{"name": p.Name, "role": p.Role, "sessionKey": secret.Key})
}

// serveSignOut ends the session and always deletes the cookie.
func (s *Server) serveSignOut(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, s.cookie(r, "", -1))
	if auth.From(r.Context()) != nil {
		if err := s.opts.Access.SignOut(r.Context()); err != nil {
			s.answerError(w, err)
			return
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{})
}

func (s *Server) cookie(r *http.Request, value string, maxAge int) *http.Cookie {
	secure := s.secure(r)
	return &http.Cookie{ //nolint:gosec // Secure with TLS only: on loopback there may be none
		Name: s.opts.Access.CookieName(secure), Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: secure,
	}
}

// sessionCookie returns the value of the session cookie, or "" if there is none. It also accepts the name used with TLS
// on a connection without TLS, because a proxy may hide that the browser uses TLS.
func (s *Server) sessionCookie(r *http.Request) string {
	cookie, err := r.Cookie(s.opts.Access.CookieName(true))
	if err != nil && !s.secure(r) {
		cookie, err = r.Cookie(s.opts.Access.CookieName(false))
	}
	if err != nil {
		return ""
	}
	return cookie.Value
}
