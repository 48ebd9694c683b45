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

// Every request needs credentials, but browsers send cookies by themselves. The guard refuses what pages of other sites
// make a browser send: requests with a foreign Host, as in DNS rebinding of a server on loopback, and requests and
// WebSockets from other origins. Pages in uws's own buckets have other origins too.

// refusal is the reason why a request is refused, for users. header names the header that is wrong.
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

// foreign returns why r is refused, or nil if its Host and origin are our own.
func (s *Server) foreign(r *http.Request) *refusal {
	if prefix := strings.Trim(r.Header.Get("X-Forwarded-Prefix"), "/"); prefix != "" {
		return &refusal{"X-Forwarded-Prefix", fmt.Sprintf("the proxy serves this under the path /%s; uws needs a whole host: use a separate host name (docs/proxy.md)", prefix)}
	}
	if no := s.foreignHost(r); no != nil {
		return no
	}
	if origins := r.Header.Values("Origin"); len(origins) > 1 || len(origins) == 1 && !s.isOwn(r, origins[0]) {
		return &refusal{"Origin", fmt.Sprintf("Origin is %q; only pages of %s are accepted. %s", strings.Join(origins, ", "), s.ownOrigins(r), behindProxy)}
	}
	sites := r.Header.Values("Sec-Fetch-Site")
	if len(sites) > 1 || len(sites) == 1 && sites[0] != "same-origin" && sites[0] != "none" && !isLink(r) {
		return &refusal{"Sec-Fetch-Site", fmt.Sprintf("Sec-Fetch-Site is %q; other pages may link here, but not send requests here", strings.Join(sites, ", "))}
	}
	return nil
}

const behindProxy = "Behind a proxy, start uws with --public-url and the address that browsers use"

// foreignHost refuses names other than our own, on loopback and if public URLs are set. /healthz and /readyz are
// exempt: probes of load balancers use any name, and the answers contain no secrets.
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
	return &refusal{"Host", fmt.Sprintf("Host is %q; only %s are accepted. %s", r.Host, strings.Join(hosts, ", "), behindProxy)}
}

// isOwn reports whether origin is that of our own pages. If the Host is a public one, the scheme must be that of its
// public URL, because a proxy may terminate TLS.
func (s *Server) isOwn(r *http.Request, origin string) bool {
	if _, ok := s.publicOrigin(r); ok {
		return true
	}
	host := strings.ToLower(r.Host)
	public := slices.ContainsFunc(s.opts.PublicURLs, func(o Origin) bool { return o.Host == host })
	return !public && origin == scheme(r)+host
}

// ownOrigins returns the accepted origins, for users.
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

// isLink reports whether a browser navigates to a page, as after a click on a link. Our cookie is not sent then.
func isLink(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https://"
	}
	return "http://"
}

// ownHosts returns the Host values that name the address on which the request arrived.
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
