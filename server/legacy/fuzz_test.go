package legacy_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/server"
)

// No request makes an old endpoint answer with a server error or with something other than JSON.
func FuzzEndpoints(f *testing.F) {
	for _, seed := range [][3]string{
		{"POST", "/launchBucket", `{"name":"photos"}`}, {"POST", "/launchDB/", `{"template":null,"node_id":"n1"}`}, {"POST", "/launchQueue", `[`},
		{"GET", "/bucket-services", ""}, {"GET", "/bucket-services/s1", ""}, {"HEAD", "/bucket-services/s1/health", ""},
		{"DELETE", "/bucket-services/s1", "{}"}, {"PATCH", "/secrets-services/%00/../x", "x"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	api := newFake()
	api.pages = []orchestrator.List[*orchestrator.Service]{{Items: api.services}}
	opts, token := options(f, api)
	s, err := server.New(opts)
	if err != nil {
		f.Fatal(err)
	}
	address := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}
	ctx := context.WithValue(context.Background(), http.LocalAddrContextKey, address)
	f.Fuzz(func(t *testing.T, method, path, body string) {
		known := false
		for _, word := range []string{"/launch", "/bucket-services", "/db-services", "/nosql-services", "/queue-services", "/secrets-services"} {
			known = known || strings.HasPrefix(path, word)
		}
		r, err := http.NewRequestWithContext(ctx, method, "http://127.0.0.1:8080", strings.NewReader(body))
		if !known || err != nil {
			return
		}
		r.URL = &url.URL{Path: path}
		r.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		switch {
		case w.Code >= 500:
			t.Errorf("%s %q: %d %s", method, path, w.Code, w.Body)
		case w.Code >= 400 && method != http.MethodHead && w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()):
			t.Errorf("%s %q: %d and no JSON: %s", method, path, w.Code, w.Body)
		}
	})
}
