package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// HTTP requests a page, by default "/", and checks the status. Options:
//
//   - path: may contain a query, such as "/ready?full=1";
//   - expectStatus: the statuses that are OK, such as "200-299,401"; the default is 200-299;
//   - deadStatus: the statuses that are Dead and so lead to a restart; the default is none.
//
// Any other status is Alive, even 500: an engine that answers is not restarted. Redirects are not followed. The body is
// read up to 64 KiB, because a body that breaks off is Dead.
func HTTP(ctx context.Context, t Target) Result {
	o, err := parseHTTPOptions(t.Options)
	if err != nil {
		return notAsked(t, "%s", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.Address+o.path, nil)
	if err != nil {
		return notAsked(t, "the address is not right")
	}
	a, failed := exchange(ctx, t, request, "HTTP")
	if a == nil {
		return failed
	}
	switch {
	case o.dead.has(a.status):
		return dead(t, "answered %s", a.words())
	case o.expect.has(a.status):
		return ok(t, "answered %s", a.words())
	}
	switch a.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return alive(t, "refuses us: %s", a.words())
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return alive(t, "is busy or not ready: %s", a.words())
	}
	return alive(t, "answered %s instead of %s", a.words(), o.expect)
}

type httpOptions struct {
	path         string
	expect, dead statuses
}

func parseHTTPOptions(options map[string]string) (httpOptions, error) {
	o := httpOptions{path: "/", expect: statuses{{200, 299}}}
	if p, given := options["path"]; given {
		if u, err := url.ParseRequestURI(p); err != nil || !strings.HasPrefix(p, "/") || u.Host != "" || strings.Contains(p, "#") {
			return o, fmt.Errorf("option path is %q; must be a path such as \"/ready\"", p)
		}
		o.path = p
	}
	for name, into := range map[string]*statuses{"expectStatus": &o.expect, "deadStatus": &o.dead} {
		if s, given := options[name]; given {
			parsed, err := parseStatuses(s)
			if err != nil {
				return o, fmt.Errorf("option %s is %q; must be statuses such as \"200-299,401\"", name, s)
			}
			*into = parsed
		}
	}
	return o, nil
}

// statuses are ranges of HTTP statuses, both ends included.
type statuses [][2]int

func parseStatuses(s string) (statuses, error) {
	var all statuses
	for part := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		low, err1 := strconv.Atoi(from)
		high, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || low < 100 || high > 599 || low > high {
			return nil, errors.New("not a status")
		}
		all = append(all, [2]int{low, high})
	}
	return all, nil
}

func (s statuses) has(status int) bool {
	for _, r := range s {
		if status >= r[0] && status <= r[1] {
			return true
		}
	}
	return false
}

func (s statuses) String() string {
	var parts []string
	for _, r := range s {
		if r[0] == r[1] {
			parts = append(parts, strconv.Itoa(r[0]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", r[0], r[1]))
		}
	}
	return strings.Join(parts, ",")
}

// httpAnswer is a complete answer, or its first 64 KiB.
type httpAnswer struct {
	status    int
	body      []byte
	truncated bool
}

// words returns the status with its standard text. The server's own text is not trusted.
func (a *httpAnswer) words() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)))
}

// exchange sends a request on a new connection and reads the answer. If there is none, the result says why. It does not
// use net/http's client, whose goroutines can outlive the context: a probe leaves nothing behind.
func exchange(ctx context.Context, t Target, request *http.Request, protocol string) (*httpAnswer, Result) {
	c, failed := dial(ctx, t)
	if c == nil {
		return nil, failed
	}
	defer c.close()
	request.Close = true
	request.Header.Set("User-Agent", "uws-probe")
	sent := request.Write(c.raw) // a server that refused the request early may still have answered
	if _, err := c.in.Peek(1); err != nil {
		return nil, readFailed(ctx, t, errors.Join(err, sent), c.got, c.limit)
	}
	start, _ := c.in.Peek(c.in.Buffered())
	start = bytes.Clone(start) // a copy for messages, before parsing consumes the buffer
	if !looksLikeHTTP(start) {
		return nil, dead(t, "answered something that is not %s: %s", protocol, quote(t, start))
	}
	response, err := readResponse(c, request)
	if err != nil {
		// The parser also says "malformed" if the answer was cut off.
		if c.failed == nil {
			return nil, dead(t, "answered something that is not %s: %s", protocol, quote(t, start))
		}
		return nil, readFailed(ctx, t, c.failed, c.got, c.limit)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil && !errors.Is(err, errTooLong) {
		return nil, readFailed(ctx, t, err, c.got, c.limit)
	}
	return &httpAnswer{status: response.StatusCode, body: body, truncated: err != nil}, Result{}
}

// readResponse skips informational responses, such as 100 Continue.
func readResponse(c *conn, request *http.Request) (*http.Response, error) {
	for {
		response, err := http.ReadResponse(c.in, request)
		if err != nil || response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, err
		}
	}
}

// looksLikeHTTP reports whether start is, or could become, the beginning of an HTTP answer.
func looksLikeHTTP(start []byte) bool {
	const want = "HTTP/1."
	n := min(len(start), len(want))
	return string(start[:n]) == want[:n]
}
