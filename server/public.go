package server

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/unicorn-web-services/uws/internal/clean"
)

// Origin is an address at which browsers reach the server through a proxy: a scheme, a host and an optional port.
type Origin struct{ Scheme, Host string }

func (o Origin) String() string { return o.Scheme + "://" + o.Host }

// ParsePublicURL parses a value of --public-url. A path is an error: pages, cookie and API are at the root of their
// host.
func ParsePublicURL(text string) (Origin, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Hostname() == "":
		return Origin{}, fmt.Errorf("public-url %q must be a scheme and a host, such as https://uws.example", clean.URL(text))
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return Origin{}, fmt.Errorf("public-url must be a scheme and a host alone, such as %s://%s", u.Scheme, u.Host)
	case strings.Trim(u.Path, "/") != "":
		return Origin{}, fmt.Errorf("public-url %q has the path %s: uws cannot be served under a path, because its pages and its cookie belong to a whole host. "+
			"Give it a host name or a port of its own, such as https://uws.example", text, u.Path)
	}
	host := strings.ToLower(u.Host)
	if (u.Scheme == "https" && u.Port() == "443") || (u.Scheme == "http" && u.Port() == "80") {
		host = host[:strings.LastIndexByte(host, ':')] // browsers leave the default port out
	}
	return Origin{u.Scheme, strings.TrimSuffix(host, ":")}, nil
}

// ParseProxies parses the values of --trusted-proxies: addresses and networks.
func ParseProxies(texts []string) ([]netip.Prefix, error) {
	var proxies []netip.Prefix
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			address, notAddress := netip.ParseAddr(text)
			if notAddress != nil {
				return nil, fmt.Errorf("trusted-proxies: %q must be an address or a network, such as 127.0.0.1 or 10.1.0.0/16", text)
			}
			prefix = netip.PrefixFrom(address, address.BitLen())
		}
		if prefix.Bits() == 0 {
			return nil, fmt.Errorf("trusted-proxies: %s trusts every address, so that anybody could choose the address that limits and the audit log see; "+
				"name your proxy's address", text)
		}
		proxies = append(proxies, prefix)
	}
	return proxies, nil
}

// forwarded sets the client address of requests that came through a trusted proxy: the right-most address in
// X-Forwarded-For that is not a trusted proxy. Addresses left of it are claims of the client.
func (s *Server) forwarded(next http.Handler) http.Handler {
	if len(s.opts.TrustedProxies) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if client := s.clientOf(r); client != addressOf(r) {
			r = r.WithContext(r.Context()) // a copy
			r.RemoteAddr = net.JoinHostPort(client, "0")
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) clientOf(r *http.Request) string {
	client := addressOf(r)
	if !s.trusts(client) {
		return client
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		address, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break // a proxy that is not trusted wrote the rest
		}
		client = address.Unmap().WithZone("").String()
		if !s.trusts(client) {
			break
		}
	}
	return client
}

func (s *Server) trusts(text string) bool {
	address, err := netip.ParseAddr(text)
	if err != nil {
		return false
	}
	address = address.Unmap().WithZone("")
	return slices.ContainsFunc(s.opts.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(address) })
}

// publicOrigin returns the public URL of a request: the one that equals its Origin header, else the one whose host
// equals its Host header.
func (s *Server) publicOrigin(r *http.Request) (Origin, bool) {
	if origins := r.Header.Values("Origin"); len(origins) > 0 {
		for _, o := range s.opts.PublicURLs {
			if o.String() == origins[0] {
				return o, true
			}
		}
		return Origin{}, false
	}
	for _, o := range s.opts.PublicURLs {
		if o.Host == strings.ToLower(r.Host) {
			return o, true
		}
	}
	return Origin{}, false
}

// secure reports whether the browser that sent r uses TLS, either to this server or to a proxy in front of it.
func (s *Server) secure(r *http.Request) bool {
	public, ok := s.publicOrigin(r)
	return r.TLS != nil || ok && public.Scheme == "https"
}

// proxied reports whether r has a header that proxies add.
func proxied(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"} {
		if len(r.Header.Values(name)) > 0 {
			return true
		}
	}
	return false
}

// direct reports whether r came from this machine to a loopback address, and not through a proxy.
func (s *Server) direct(r *http.Request) bool {
	return s.loopback && !proxied(r) && slices.Contains(ownHosts(r), strings.ToLower(r.Host))
}
