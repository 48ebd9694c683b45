package server_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestGuard(t *testing.T) {
	url := serve(t, options(newFake()))
	own := strings.TrimPrefix(url, "http://")
	port := own[strings.LastIndex(own, ":"):]
	tests := []struct {
		name, host string
		header     http.Header
		status     int
	}{
		{"a shell", own, nil, 200},
		{"Prometheus", "localhost" + port, http.Header{"User-Agent": {"Prometheus/3"}}, 200},
		{"IPv6 name", "[::1]" + port, nil, 200},
		{"capitals", "LOCALHOST" + port, nil, 200},
		{"typed address", own, http.Header{"Sec-Fetch-Site": {"none"}}, 200},
		{"own page", own, http.Header{"Origin": {url}, "Sec-Fetch-Site": {"same-origin"}}, 200},
		{"rebinding", "evil.example" + port, nil, 403},
		{"rebinding, own origin", "evil.example" + port, http.Header{"Origin": {"http://evil.example" + port}, "Sec-Fetch-Site": {"same-origin"}}, 403},
		{"subdomain", "x.localhost" + port, nil, 403},
		{"trailing dot", "localhost." + port, nil, 403},
		{"other port", "localhost:1", nil, 403},
		{"no port", "localhost", nil, 403},
		{"other origin", own, http.Header{"Origin": {"http://evil.example"}}, 403},
		{"other port's origin: a bucket's page", own, http.Header{"Origin": {"http://127.0.0.1:20000"}}, 403},
		{"other name of ours", own, http.Header{"Origin": {"http://localhost" + port}}, 403},
		{"https origin", own, http.Header{"Origin": {"https://" + own}}, 403},
		{"null origin", own, http.Header{"Origin": {"null"}}, 403},
		{"empty origin", own, http.Header{"Origin": {""}}, 403},
		{"two origins", own, http.Header{"Origin": {url, "http://evil.example"}}, 403},
		{"other site", own, http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"same site, other port", own, http.Header{"Sec-Fetch-Site": {"same-site"}}, 403},
		{"another site's link", own, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}, 200},
		{"another site's frame", own, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"iframe"}}, 403},
		{"two sites", own, http.Header{"Sec-Fetch-Site": {"same-origin", "cross-site"}}, 403},
	}
	for _, path := range []string{"/", "/graphql", "/playground", "/metrics", "/healthz", "/readyz", "/nothing", "/launchDB", "/bucket-services", "/queue-services/s1/health"} {
		for _, tt := range tests {
			t.Run(path+" "+tt.name, func(t *testing.T) {
				if (path == "/healthz" || path == "/readyz") && (tt.header == nil || strings.HasPrefix(tt.name, "rebinding")) {
					tt.status = 200 // any Host is accepted
				}
				request, err := http.NewRequest(http.MethodGet, url+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				request.Host = tt.host
				for name, values := range tt.header {
					request.Header[name] = values
				}
				response, err := http.DefaultClient.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				if refused := response.StatusCode == 403; refused != (tt.status == 403) {
					t.Fatalf("got %d, want %d", response.StatusCode, tt.status)
				}
				if tt.status != 403 {
					return
				}
				if isOld := strings.Contains(path, "launch") || strings.Contains(path, "-services"); isOld {
					body, err := io.ReadAll(response.Body)
					if err != nil || !strings.HasPrefix(string(body), `{"detail":"`) || !strings.Contains(string(body), " is ") {
						t.Errorf("got %s, %v", body, err)
					}
					return
				}
				a := read(t, response)
				if a.code() != "FORBIDDEN" || !strings.Contains(a.Errors[0].Message, " is ") {
					t.Errorf("got %+v", a.Errors)
				}
			})
		}
	}
}
