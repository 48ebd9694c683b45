// Package client has the commands that talk to a running uws, over its public API alone.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/Khan/genqlient/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/unicorn-web-services/uws/internal/clean"
)

// requestTimeout bounds one request that is not followed.
const requestTimeout = time.Minute

// defaultURL is where `uws serve` listens unless it is told otherwise.
const defaultURL = "http://127.0.0.1:8080"

// Exit codes, beside 1, that of the program for other errors.
const (
	exitUsage    = 2
	exitNotFound = 3
	exitConflict = 4
	exitTimeout  = 5
)

// Error is an error with the exit code of the program.
type Error struct {
	Code int
	Text string
}

func (e *Error) Error() string { return e.Text }

// ExitCode returns the exit code that the program ends with.
func (e *Error) ExitCode() int { return e.Code }

func wrongUsage(text string) error { return &Error{exitUsage, text} }

func notFound(format string, args ...any) error {
	return &Error{exitNotFound, fmt.Sprintf(format, args...)}
}

// Connection has the flags with which a server is reached.
type Connection struct {
	URL string `placeholder:"URL" env:"UWS_URL" help:"Address of the server, such as https://uws.example. Default: that of uws login, else http://127.0.0.1:8080."`
	// The token has no flag: command lines are visible to all users of a machine.
	Token string `kong:"-"`
}

// settings are what `uws login` stores.
type settings struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

// settingsPath returns the path of the stored settings.
func settingsPath() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("finding the folder for settings: %w; set UWS_URL and UWS_TOKEN instead", err)
	}
	return filepath.Join(dir, "uws", "client.json"), nil
}

func readSettings() (s settings, err error) {
	path, err := settingsPath()
	if err != nil {
		return s, nil //nolint:nilerr // without a home there are no settings
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil {
		return s, fmt.Errorf("reading the settings of uws login: %w; run uws login again, or delete %s", err, path)
	}
	return s, nil
}

// server is a server that was chosen, with the token for it.
type server struct {
	base  *url.URL
	token string
	http  *http.Client
}

// open chooses the server: that of the flag or the environment, else that of `uws login`. A stored token is sent to the server
// that it was stored for alone.
func (c Connection) open() (*server, error) {
	stored, err := readSettings()
	if err != nil {
		return nil, err
	}
	address, token := c.URL, os.Getenv("UWS_TOKEN")
	if address == "" {
		address = stored.URL
	}
	if address == "" {
		address = defaultURL
	}
	if token == "" && strings.TrimSuffix(address, "/") == stored.URL {
		token = stored.Token
	}
	if token == "" {
		return nil, fmt.Errorf("there is no token for %s: run `uws login %s`, or set UWS_TOKEN; `uws token create` makes one", clean.URL(address), clean.URL(address))
	}
	return newServer(address, token)
}

func newServer(address, token string) (*server, error) {
	base, err := url.Parse(strings.TrimSuffix(address, "/"))
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.User != nil {
		return nil, fmt.Errorf("%q is not the address of a server: it must be like https://uws.example or %s", clean.URL(address), defaultURL)
	}
	s := &server{base: base, token: token}
	s.http = &http.Client{Transport: authorized{token}, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("the server redirects elsewhere, to where the token is not sent; give the address that it redirects to")
	}}
	return s, nil
}

// plaintext reports whether the token can be read on the way.
func (s *server) plaintext() bool {
	host := s.base.Hostname()
	ip := net.ParseIP(host)
	return s.base.Scheme == "http" && host != "localhost" && (ip == nil || !ip.IsLoopback())
}

// authorized adds the token to requests.
type authorized struct{ token string }

// RoundTrip implements [http.RoundTripper].
func (a authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+a.token)
	return http.DefaultTransport.RoundTrip(r)
}

// api returns the GraphQL API.
func (s *server) api() graphql.Client {
	return graphql.NewClient(s.base.JoinPath("graphql").String(), s)
}

// Do implements [graphql.Doer].
func (s *server) Do(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	response, err := s.http.Do(r.WithContext(ctx)) //nolint:gosec // the user chooses the server
	if err != nil {
		cancel()
		return nil, s.unreachable(err)
	}
	response.Body = cancelled{response.Body, cancel}
	return response, nil
}

type cancelled struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (c cancelled) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}

// unreachable explains why a request got no answer.
func (s *server) unreachable(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	code := 1
	if errors.Is(err, context.DeadlineExceeded) {
		code = exitTimeout
	}
	return &Error{code, fmt.Sprintf("%s does not answer: %v", s.base, err)}
}

// explain turns an error of the API into one for people, with the exit code of its code.
func explain(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if h, ok := errors.AsType[*graphql.HTTPError](err); ok {
		if len(h.Response.Errors) > 0 {
			return explain(h.Response.Errors)
		}
		return fmt.Errorf("the server answers with status %d: is this the address of a uws?", h.StatusCode)
	}
	list, ok := errors.AsType[gqlerror.List](err)
	if !ok || len(list) == 0 {
		return err
	}
	code, _ := list[0].Extensions["code"].(string)
	text, ok := list[0].Extensions["text"].(string) // without the input's field, which is no flag
	if !ok {
		text = list[0].Message
	}
	switch code {
	case "NOT_FOUND":
		return &Error{exitNotFound, text}
	case "CONFLICT":
		return &Error{exitConflict, text}
	case "UNAUTHENTICATED":
		return errors.New(text + "; run `uws login`, or set UWS_TOKEN")
	case "GRAPHQL_VALIDATION_FAILED":
		return errors.New(text + "; is the server another version than this program? `uws version` prints this one's")
	}
	return errors.New(text)
}
