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
			if isOld(r.URL.Path) {
				writeDetail(w, http.StatusForbidden, no.message)
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
	hosts := ownHosts(r)
	if s.loopback && !slices.Contains(hosts, strings.ToLower(r.Host)) {
		return &refusal{"Host", fmt.Sprintf("Host is %q; on loopback only %s are answered", r.Host, strings.Join(hosts, ", "))}
	}
	if origins, own := r.Header.Values("Origin"), scheme(r)+strings.ToLower(r.Host); len(origins) > 1 || len(origins) == 1 && origins[0] != own {
		return &refusal{"Origin", fmt.Sprintf("Origin is %q; only pages of %s are answered", strings.Join(origins, ", "), own)}
	}
	sites := r.Header.Values("Sec-Fetch-Site")
	if len(sites) > 1 || len(sites) == 1 && sites[0] != "same-origin" && sites[0] != "none" && !isLink(r) {
		return &refusal{"Sec-Fetch-Site", fmt.Sprintf("Sec-Fetch-Site is %q; other pages may link here, but not send requests here", strings.Join(sites, ", "))}
	}
	return nil
}

// isLink says whether a browser goes to a page, as by a link that was clicked. Our cookie does not come with it.
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
	for _, name := range []string{"localhost", "127.0.0.1", "[::1]"} {
		if local.Port == 80 || local.Port == 443 {
			hosts = append(hosts, name)
		}
		hosts = append(hosts, name+":"+strconv.Itoa(local.Port))
	}
	return hosts
}
