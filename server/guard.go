package server

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/server/legacy"
)

// Whoever asks must name a credential, but browsers add a cookie by themselves. The guard keeps out the pages of other
// sites that a browser shows: DNS rebinding of a server on loopback (a foreign Host), and requests and WebSockets from
// other origins, our own buckets' pages among them.

// refusal of a request, for people; header names what was wrong.
type refusal struct{ header, message string }

func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if no := s.foreign(r); no != nil {
			s.metrics.refused.WithLabelValues(no.header).Inc()
			s.log.Info("request refused", slog.String("path", r.URL.Path), slog.String("reason", no.message))
			if legacy.HasPath(r.URL.Path) {
				s.legacy.WriteError(w, http.StatusForbidden, no.message)
			} else {
				writeError(w, http.StatusForbidden, string(orchestrator.Forbidden), no.message)
			}
			return
		}
		next.ServeHTTP(w, r)
	})
}

// foreign says why r is not a request of our own, and nil when it is.
func (s *Server) foreign(r *http.Request) *refusal {
	if prefix := strings.Trim(r.Header.Get("X-Forwarded-Prefix"), "/"); prefix != "" {
		return &refusal{"X-Forwarded-Prefix", fmt.Sprintf("the proxy serves this under the path /%s; uws needs a whole host: give it a host name of its own (docs/proxy.md)", prefix)}
	}
	if no := s.foreignHost(r); no != nil {
		return no
	}
	if origins := r.Header.Values("Origin"); len(origins) > 1 || len(origins) == 1 && !s.isOwn(r, origins[0]) {
		return &refusal{"Origin", fmt.Sprintf("Origin is %q; only pages of %s are answered. %s", strings.Join(origins, ", "), s.ownOrigins(r), behindProxy)}
	}
	sites := r.Header.Values("Sec-Fetch-Site")
	if len(sites) > 1 || len(sites) == 1 && sites[0] != "same-origin" && sites[0] != "none" && !isLink(r) {
		return &refusal{"Sec-Fetch-Site", fmt.Sprintf("Sec-Fetch-Site is %q; other pages may link here, but not send requests here", strings.Join(sites, ", "))}
	}
	return nil
}

const behindProxy = "Behind a proxy, start uws with --public-url and the address that browsers use"

// foreignHost refuses names that are not ours, on loopback and where public addresses are known. Probes of load balancers
// reach /healthz and /readyz by whatever name; nothing secret is there.
func (s *Server) foreignHost(r *http.Request) *refusal {
	if !s.loopback && len(s.opts.PublicURLs) == 0 || r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
		return nil
	}
	hosts := ownHosts(r)
	for _, o := range s.opts.PublicURLs {
		hosts = append(hosts, o.Host)
	}
	if slices.Contains(hosts, strings.ToLower(r.Host)) {
		return nil
	}
	return &refusal{"Host", fmt.Sprintf("Host is %q; only %s are answered. %s", r.Host, strings.Join(hosts, ", "), behindProxy)}
}

// isOwn reports whether origin is that of our own pages. By a public Host they are where the public URLs say, since a proxy
// may do TLS.
func (s *Server) isOwn(r *http.Request, origin string) bool {
	if _, ok := s.publicOrigin(r); ok {
		return true
	}
	host := strings.ToLower(r.Host)
	public := slices.ContainsFunc(s.opts.PublicURLs, func(o Origin) bool { return o.Host == host })
	return !public && origin == scheme(r)+host
}

// ownOrigins are the addresses whose pages are answered, for people.
func (s *Server) ownOrigins(r *http.Request) string {
	own := []string{}
	if direct := scheme(r) + strings.ToLower(r.Host); s.isOwn(r, direct) {
		own = append(own, direct)
	}
	for _, o := range s.opts.PublicURLs {
		own = append(own, o.String())
	}
	return strings.Join(own, ", ")
}

// isLink reports whether a browser goes to a page, as by a link that was clicked. Our cookie does not come with it.
func isLink(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https://"
	}
	return "http://"
}

// ownHosts are the values of Host that name the address the request came in on.
func ownHosts(r *http.Request) []string {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return nil
	}
	var hosts []string
	names := []string{"localhost", "127.0.0.1", "[::1]"}
	if !local.IP.IsLoopback() {
		names = append(names, strings.TrimSuffix(net.JoinHostPort(local.IP.String(), ""), ":"))
	}
	for _, name := range names {
		if local.Port == 80 || local.Port == 443 {
			hosts = append(hosts, name)
		}
		hosts = append(hosts, name+":"+strconv.Itoa(local.Port))
	}
	return hosts
}
