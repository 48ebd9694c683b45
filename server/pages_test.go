package server_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/unicorn-web-services/uws/ui"
)

// built returns files like those that npm builds.
func built(t *testing.T) fstest.MapFS {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte("export {}")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{
		"index.html":          {Data: []byte("<!doctype html><title>app</title>")},
		"graphiql/index.html": {Data: []byte("<!doctype html><title>playground</title>")},
		"theme.js":            {Data: []byte("(() => {})()")},
		"favicon.svg":         {Data: []byte("<svg></svg>")},
		"assets/app-1.js":     {Data: []byte("export {}")},
		"assets/app-1.js.gz":  {Data: packed.Bytes()},
		"assets/app-2.css":    {Data: []byte("body{}")},
	}
}

func fetchPage(t *testing.T, url string, header map[string]string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	client := http.Client{Transport: &http.Transport{DisableCompression: true}}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestPages(t *testing.T) {
	opts := options(newFake())
	opts.UI = built(t)
	url := serve(t, opts)
	for path, want := range map[string]struct{ kind, text string }{
		"/":                {"text/html", "app"},
		"/playground":      {"text/html", "playground"},
		"/theme.js":        {"javascript", "=>"},
		"/favicon.svg":     {"image/svg", "svg"},
		"/favicon.ico":     {"image/svg", "svg"},
		"/assets/app-1.js": {"javascript", "export"},
		"/metrics":         {"text/plain", "uws_"},
	} {
		response, body := fetchPage(t, url+path, nil)
		header := response.Header
		if response.StatusCode != 200 || !strings.Contains(header.Get("Content-Type"), want.kind) || !strings.Contains(body, want.text) {
			t.Errorf("%s: got %d, %s, %q", path, response.StatusCode, header.Get("Content-Type"), body)
		}
		if header.Get("X-Content-Type-Options") != "nosniff" || header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s lacks security headers: %v", path, header)
		}
		policy := header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "http") || strings.Contains(policy, "unsafe-eval") {
			t.Errorf("%s: policy is %q", path, policy)
		}
		if path != "/playground" && (strings.Contains(policy, "unsafe") || !strings.Contains(policy, "require-trusted-types-for 'script'")) {
			t.Errorf("%s: policy is %q", path, policy)
		}
	}
	response, err := http.Post(url+"/", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, response); got.status != 405 {
		t.Errorf("POST /: got %d", got.status)
	}
}

// Paths of the dashboard's router serve the dashboard, but only if a browser navigates there. A program gets 404.
func TestPagesOfTheRouter(t *testing.T) {
	opts := options(newFake())
	opts.UI = built(t)
	url := serve(t, opts)
	html := map[string]string{"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
	for _, path := range []string{"/services", "/databases/s123", "/activity", "/nothing"} {
		if response, body := fetchPage(t, url+path, html); response.StatusCode != 200 || !strings.Contains(body, "<title>app") {
			t.Errorf("%s: got %d %s", path, response.StatusCode, body)
		}
		if response, _ := fetchPage(t, url+path, nil); response.StatusCode != 404 {
			t.Errorf("%s without Accept: got %d", path, response.StatusCode)
		}
	}
	for _, path := range []string{"/assets/gone.js", "/assets/", "/assets", "/index.html.bak", "/../server/pages.go", "/embed.go"} {
		if response, body := fetchPage(t, url+path, nil); response.StatusCode != 404 {
			t.Errorf("%s: got %d %s", path, response.StatusCode, body)
		}
	}
	if response, _ := fetchPage(t, url+"/assets/gone.js", html); response.StatusCode != 404 {
		t.Errorf("a script that is gone: got %d", response.StatusCode)
	}
}

func TestPagesCompressedAndCached(t *testing.T) {
	opts := options(newFake())
	opts.UI = built(t)
	url := serve(t, opts)
	gzipped := map[string]string{"Accept-Encoding": "gzip, br"}
	response, body := fetchPage(t, url+"/assets/app-1.js", gzipped)
	if response.Header.Get("Content-Encoding") != "gzip" || !strings.Contains(response.Header.Get("Content-Type"), "javascript") {
		t.Errorf("got %v", response.Header)
	}
	r, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(r); err != nil || string(plain) != "export {}" {
		t.Errorf("got %q, %v", plain, err)
	}
	if cache := response.Header.Get("Cache-Control"); !strings.Contains(cache, "immutable") {
		t.Errorf("assets: Cache-Control is %q", cache)
	}
	if response, _ := fetchPage(t, url+"/assets/app-2.css", gzipped); response.Header.Get("Content-Encoding") != "" {
		t.Error("what is not there compressed was said to be")
	}
	response, _ = fetchPage(t, url+"/", gzipped)
	if cache := response.Header.Get("Cache-Control"); cache != "no-cache" {
		t.Errorf("the page: Cache-Control is %q", cache)
	}
	if response.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("Vary is %q", response.Header.Get("Vary"))
	}
}

// A build without the dashboard says so.
func TestPagesOfThisBuild(t *testing.T) {
	opts := options(newFake())
	opts.UI = ui.Files
	url := serve(t, opts)
	for path, want := range map[string]string{"/": "UWS Orchestrator", "/playground": "playground"} {
		if response, body := fetchPage(t, url+path, nil); response.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: got %d %s", path, response.StatusCode, body)
		}
	}
}
