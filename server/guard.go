package server

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// As long as there is no sign-in, whoever can send us a request can do everything. The guard keeps out
// the pages of other sites that a browser on this machine shows: DNS rebinding (a foreign Host), and
// requests and WebSockets from other origins, our own buckets' pages among them.

// refusal of a request, for people; header names what was wrong.
type refusal struct{ header, message string }

func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if no := foreign(r); no != nil {
			s.metrics.refused.WithLabelValues(no.header).Inc()
			s.log.Info("request refused", slog.String("path", r.URL.Path), slog.String("reason", no.message))
			if isOld(r.URL.Path) {
				writeDetail(w, http.StatusForbidden, no.message)
			} else {
				writeError(w, http.StatusForbidden, codeForbidden, no.message)
			}
			return
		}
		next.ServeHTTP(w, r)
	})
}

// foreign says why r is not a request of our own, and nil when it is.
func foreign(r *http.Request) *refusal {
	hosts := ownHosts(r)
	if !slices.Contains(hosts, strings.ToLower(r.Host)) {
		return &refusal{"Host", fmt.Sprintf("Host is %q; without sign-in only %s are answered", r.Host, strings.Join(hosts, ", "))}
	}
	if origins, own := r.Header.Values("Origin"), "http://"+strings.ToLower(r.Host); len(origins) > 1 || len(origins) == 1 && origins[0] != own {
		return &refusal{"Origin", fmt.Sprintf("Origin is %q; without sign-in only pages of %s are answered", strings.Join(origins, ", "), own)}
	}
	if sites := r.Header.Values("Sec-Fetch-Site"); len(sites) > 1 || len(sites) == 1 && sites[0] != "same-origin" && sites[0] != "none" {
		return &refusal{"Sec-Fetch-Site", fmt.Sprintf("Sec-Fetch-Site is %q; without sign-in other pages may not send requests here or link here: type the address instead", strings.Join(sites, ", "))}
	}
	return nil
}

// ownHosts are the values of Host that name the address the request came in on.
func ownHosts(r *http.Request) []string {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return nil
	}
	var hosts []string
	for _, name := range []string{"localhost", "127.0.0.1", "[::1]"} {
		if local.Port == 80 {
			hosts = append(hosts, name)
		}
		hosts = append(hosts, name+":"+strconv.Itoa(local.Port))
	}
	return hosts
}
