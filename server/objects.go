package server

import (
	"cmp"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
)

// costOfObject is what reading an object of a backup takes, in bytes.
const costOfObject = 8 << 20

// serveObject writes the content of an object of a backup. Its bucket and key are parameters, since keys can be like "../..//a".
func (s *Server) serveObject(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	id, bucket, key := r.PathValue("id"), query.Get("bucket"), query.Get("key")
	_, err := callerOf(r)
	api := auth.Scoped(s.opts.API)
	if err == nil {
		err = s.mayReadObjects(r.Context(), api, id)
	}
	switch {
	case err != nil:
	case bucket == "":
		err = orchestrator.Errorf(orchestrator.InvalidInput, "bucket", "is missing: name the bucket that the object was in")
	case key == "":
		err = orchestrator.Errorf(orchestrator.InvalidInput, "key", "is missing: name the object by its key")
	}
	if err != nil {
		s.answerError(w, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if err := admissionOf(ctx).page(ctx, costOfObject); err != nil {
		s.refuseBusy(w, r, err)
		return
	}
	if stopping, ok := ctx.Value(stoppingKey{}).(context.Context); ok {
		defer context.AfterFunc(stopping, cancel)()
	}
	defer auth.From(ctx).Hold(cancel)()
	o, content, err := api.OpenBackupObject(ctx, id, bucket, key)
	if err != nil {
		s.answerError(w, err)
		return
	}
	defer content.Close()
	w.Header().Set("Content-Type", "application/octet-stream") // a page of somebody else must not act as one of ours
	w.Header().Set("Content-Disposition", attachment(key))
	w.Header().Set("Content-Length", strconv.FormatInt(o.Bytes, 10))
	if r.Method == http.MethodHead {
		return
	}
	from := &failing{Reader: content}
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, from, make([]byte, 256<<10))
	if err == nil && n == o.Bytes {
		return
	}
	if ctx.Err() == nil && (from.failed != nil || err == nil) {
		s.log.Error("an object of a backup cannot be read", "id", id, "error", cmp.Or(from.failed, io.ErrUnexpectedEOF))
	}
	panic(http.ErrAbortHandler) // resets the stream: over HTTP/2 a return would end it as if it were complete
}

// failing keeps the error of a reader.
type failing struct {
	io.Reader
	failed error
}

func (f *failing) Read(b []byte) (int, error) {
	n, err := f.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		f.failed = err
	}
	return n, err
}

// attachment returns a Content-Disposition that has a browser store an object under the last part of its key.
func attachment(key string) string {
	name := path.Base(strings.TrimRight(key, "/"))
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(name) > 200 || name == "." || name == ".." || name == "/" {
		name = "object"
	}
	return mime.FormatMediaType("attachment", map[string]string{"filename": name})
}

// mayReadObjects returns an error unless the caller may read what is in a backup, and records that it does.
func (s *Server) mayReadObjects(ctx context.Context, api orchestrator.API, id string) error {
	a := auth.Action{Name: "backupObjects", Needs: auth.Operator}
	if auth.Require(ctx, a.Needs) == nil {
		if _, err := api.Backup(ctx, id); err != nil {
			return err
		}
		a.Target = id
	}
	_, err := s.opts.Access.Read(ctx, a, func(context.Context) (any, error) { return nil, nil })
	return err
}
