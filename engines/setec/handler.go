package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
)

// maxRequest is the maximum size of a request in bytes. The largest secret is about three quarters of it.
const maxRequest = 4 << 20

// newHandler serves /healthz to everyone, and everything else to callers with the token.
func newHandler(v *vault, token string) http.Handler {
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if r.URL.Path == "/healthz" {
			if _, err := v.open(); err != nil {
				http.Error(w, "sealed", http.StatusServiceUnavailable)
				return
			}
			_, _ = io.WriteString(w, "ok\n")
			return
		}
		scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(given))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="setec"`)
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		api, err := v.open()
		if err != nil {
			log.Printf("sealed: %v", err)
			http.Error(w, "sealed", http.StatusServiceUnavailable)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		api.ServeHTTP(w, r)
	})
}

// auditLog writes audit entries, one line each, except reads of the canary, which the probe makes continuously.
type auditLog struct {
	out io.Writer
	mu  sync.Mutex
}

func (a *auditLog) Write(entry []byte) (int, error) {
	if bytes.Contains(entry, []byte(`"action":"get"`)) && bytes.Contains(entry, []byte(`"secret":"`+canary+`"`)) {
		return len(entry), nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.out.Write(entry)
}
