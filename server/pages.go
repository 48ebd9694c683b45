package server

import (
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
)

const (
	// Pages load only our own files. No text is executed as code.
	strictPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
		"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
	// The playground's editor inserts style elements, starts workers, and renders the schema's comments.
	playgroundPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; " +
		"connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

	indexPage      = "index.html"
	playgroundPage = "graphiql/index.html"
	iconFile       = "favicon.svg"
)

// pages serves the dashboard, the playground and their files. A file may also exist compressed, with ".gz" appended to
// its name.
type pages struct {
	files fs.FS
	began time.Time // modification time of all files: embedded files have none
}

func (p *pages) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /playground", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", playgroundPolicy)
		p.serve(w, r, playgroundPage)
	})
	// Browsers ask for this beside answers that are no pages, such as /metrics.
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, iconFile) })
	mux.HandleFunc("/", p.serveAny)
}

// serveAny serves a file. If a browser navigates to a path that is not a file, it serves the dashboard, whose router
// handles the path.
func (p *pages) serveAny(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		writeError(w, http.StatusMethodNotAllowed, string(orchestrator.InvalidInput), "pages are read with GET")
		return
	}
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	switch {
	case name == "":
		p.serve(w, r, indexPage)
	case p.has(name):
		p.serve(w, r, name)
	case path.Ext(name) == "" && strings.Contains(r.Header.Get("Accept"), "text/html"):
		p.serve(w, r, indexPage)
	default:
		http.NotFound(w, r)
	}
}

func (p *pages) has(name string) bool {
	info, err := fs.Stat(p.files, name)
	return err == nil && info.Mode().IsRegular()
}

func (p *pages) serve(w http.ResponseWriter, r *http.Request, name string) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	if strings.HasPrefix(name, "assets/") {
		h.Set("Cache-Control", "public, max-age=31536000, immutable") // the names contain a hash of the content
	}
	if kind := mime.TypeByExtension(path.Ext(name)); kind != "" {
		h.Set("Content-Type", kind)
	}
	h.Add("Vary", "Accept-Encoding")
	if p.has(name+".gz") && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		name += ".gz"
	}
	content, err := fs.ReadFile(p.files, name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", p.began, strings.NewReader(string(content)))
}
