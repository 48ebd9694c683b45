package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/server"
)

// withObjects returns an API with a backup that has objects, all with the same content.
func withObjects(content string, keys ...string) *fakeAPI {
	api := newFake()
	for _, key := range keys {
		api.backup.objects = append(api.backup.objects, &orchestrator.BackupObject{Bucket: "photos", Key: key, ContentType: "text/html", ETag: "e", ModifiedAt: at, Bytes: int64(len(content))})
	}
	api.backup.content = func(context.Context) io.ReadCloser { return io.NopCloser(strings.NewReader(content)) }
	return api
}

func TestBackupObjectsQuery(t *testing.T) {
	api := withObjects("meow", "a.jpg", "bad \xff&\n")
	url := serve(t, options(api))
	got := post(t, url, `{backupObjects(id:"b1",prefix:"photos/",first:1){edges{cursor node{key}} nodes{bucket key url bytes contentType etag modifiedAt} pageInfo{hasNextPage endCursor}}}`, nil)
	const want = `{"backupObjects":{"edges":[{"cursor":"cphotos","node":{"key":"a.jpg"}}],"nodes":[{"bucket":"photos","key":"a.jpg","url":"/backups/b1/object?bucket=photos\u0026key=a.jpg","bytes":4,"contentType":"text/html","etag":"e","modifiedAt":"2026-01-02T02:04:05Z"}],` +
		`"pageInfo":{"hasNextPage":true,"endCursor":"cphotos"}}}`
	if string(got.Data) != want || !strings.Contains(strings.Join(api.called(), "\n"), "BackupObjects b1 photos/ {First:1 After:}") {
		t.Errorf("got  %s %v\nwant %s", got.Data, got.Errors, want)
	}
	got = post(t, url, `{backupObjects(id:"b1"){nodes{key url}}}`, nil)
	if !strings.Contains(string(got.Data), `{"key":"bad �\u0026\n","url":"/backups/b1/object?bucket=photos\u0026key=bad+%FF%26%0A"}`) {
		t.Errorf("an odd key: %s", got.Data)
	}
}

// The content of an object is sent as it is, for storing and not for showing, whatever its key is.
func TestBackupObjectDownload(t *testing.T) {
	const page = "<script>alert(1)</script>"
	keys := map[string]string{
		"cats/a.html": `attachment; filename=a.html`, "../../etc/passwd": `attachment; filename=passwd`, "ü.jpg": `attachment; filename*=utf-8''%C3%BC.jpg`,
		"a\r\nSet-Cookie: x=y": `attachment; filename=object`, "bad \xff": `attachment; filename=object`, "..": `attachment; filename=object`, "a//": `attachment; filename=a`,
		strings.Repeat("x", 1024): `attachment; filename=object`, `quote".txt`: `attachment; filename="quote\".txt"`,
	}
	var all []string
	for key := range keys {
		all = append(all, key)
	}
	base := serve(t, options(withObjects(page, all...)))
	for key, disposition := range keys {
		response := request(t, http.MethodGet, base+"/backups/b1/object?bucket=photos&key="+url.QueryEscape(key), "", nil)
		body, err := io.ReadAll(response.Body)
		h := response.Header
		if err != nil || response.StatusCode != http.StatusOK || string(body) != page || response.ContentLength != int64(len(page)) {
			t.Errorf("%q: %d %q, %v", key, response.StatusCode, body, err)
		}
		if h.Get("Content-Disposition") != disposition || h.Get("Content-Type") != "application/octet-stream" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Set-Cookie") != "" {
			t.Errorf("%q: %v", key, h)
		}
	}
	for query, want := range map[string]int{
		"bucket=photos&key=nothing": 404, "bucket=other&key=ü.jpg": 404, "bucket=photos": 422, "key=a": 422,
	} {
		if status, body := getText(t, base+"/backups/b1/object?"+query, nil); status != want || !strings.Contains(body, `"message"`) {
			t.Errorf("%s: %d %s, want %d", query, status, body, want)
		}
	}
	if status, _ := getText(t, base+"/backups/no/object?bucket=photos&key=a", nil); status != 404 {
		t.Errorf("of no backup: %d", status)
	}
	head := request(t, http.MethodHead, base+"/backups/b1/object?bucket=photos&key=..", "", nil)
	if head.StatusCode != http.StatusOK || head.ContentLength != int64(len(page)) {
		t.Errorf("HEAD: %d, %d bytes", head.StatusCode, head.ContentLength)
	}
}

// ending ends in the middle.
type ending struct {
	io.Reader
	closed chan struct{}
}

func (e ending) Close() error { close(e.closed); return nil }

// A client does not take a part for the whole, and the content is closed when the client goes away.
func TestBackupObjectBroken(t *testing.T) {
	for name, rest := range map[string]func(context.Context) io.Reader{
		"an error":  func(context.Context) io.Reader { return failingReader{errors.New("the target is gone")} },
		"too early": func(context.Context) io.Reader { return strings.NewReader("") },
	} {
		api := withObjects(strings.Repeat("x", 1<<20), "a")
		closed := make(chan struct{})
		api.backup.content = func(ctx context.Context) io.ReadCloser {
			return ending{io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<19)), rest(ctx)), closed}
		}
		response := request(t, http.MethodGet, serve(t, options(api))+"/backups/b1/object?bucket=photos&key=a", "", nil)
		if n, err := io.Copy(io.Discard, response.Body); err == nil {
			t.Errorf("%s: %d bytes without an error", name, n)
		}
		<-closed
	}
	api := withObjects(strings.Repeat("x", 1<<20), "a")
	closed := make(chan struct{})
	api.backup.content = func(ctx context.Context) io.ReadCloser {
		return ending{io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<19)), waiting{ctx}), closed}
	}
	response := request(t, http.MethodGet, serve(t, options(api))+"/backups/b1/object?bucket=photos&key=a", "", nil)
	_ = response.Body.Close()
	<-closed
}

// Over HTTP/2 a response that breaks off is reset. Its end would look like that of a complete one.
func TestBackupObjectBrokenHTTP2(t *testing.T) {
	dir := t.TempDir()
	files := server.TLSFiles{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	certificate := writeCertificate(t, files, 1)
	api := withObjects(strings.Repeat("x", 1<<20), "a")
	api.backup.content = func(context.Context) io.ReadCloser {
		return io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<19)), failingReader{errors.New("the target is gone")}))
	}
	opts := options(api)
	opts.Access, opts.TLS = newAuth(t, auth.Options{}), &files
	token := tokenOf(t, opts.Access, auth.Operator)
	url, _ := run(t, opts)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trusting(certificate), ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	r, err := http.NewRequest(http.MethodGet, url+"/backups/b1/object?bucket=photos&key=a", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if response.ProtoMajor != 2 || err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("by %s, %d bytes came, and the stream ended with %v, not by a reset", response.Proto, n, err)
	}
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

// waiting reads nothing until its context ends.
type waiting struct{ ctx context.Context }

func (w waiting) Read([]byte) (int, error) {
	<-w.ctx.Done()
	return 0, w.ctx.Err()
}

// Objects are for operators, in backups of services of their kinds, and the audit log has who read them.
func TestReadersOfBackupObjects(t *testing.T) {
	opts := options(withObjects("meow", "a"))
	opts.Access = newAuth(t, auth.Options{})
	base := serveLocked(t, opts)
	bearer := func(role auth.Role, kinds ...catalog.Kind) http.Header {
		return http.Header{"Authorization": {"Bearer " + tokenOf(t, opts.Access, role, kinds...)}}
	}
	for _, tt := range []struct {
		header http.Header
		want   string
		status int
	}{
		{http.Header{}, "UNAUTHENTICATED", 401}, {bearer(auth.Viewer), "FORBIDDEN", 403}, {bearer(auth.Operator, catalog.DB), "NOT_FOUND", 404},
		{bearer(auth.Operator, catalog.Bucket), "OK", 200},
	} {
		var a answer
		if err := json.NewDecoder(request(t, http.MethodPost, base+"/graphql", `{"query":"{backupObjects(id:\"b1\"){nodes{key}}}"}`, tt.header).Body).Decode(&a); err != nil || a.code() != tt.want {
			t.Errorf("listing is %s, %v, want %s", a.code(), err, tt.want)
		}
		if status, body := getText(t, base+"/backups/b1/object?bucket=photos&key=a", tt.header); status != tt.status {
			t.Errorf("it is %d %s, want %d", status, body, tt.status)
		}
	}
	var log answer
	if err := json.NewDecoder(request(t, http.MethodPost, base+"/graphql", `{"query":"{auditLog(filter:{action:\"backupObjects\"}){nodes{target result}}}"}`, bearer(auth.Admin)).Body).Decode(&log); err != nil {
		t.Fatal(err)
	}
	if read, refused := strings.Count(string(log.Data), `{"target":"b1","result":"OK"}`), strings.Count(string(log.Data), "FORBIDDEN"); read != 1 || refused != 2 {
		t.Errorf("the audit log is %s", log.Data)
	}
}
