package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
)

const (
	defaultTail = 100 // lines
	allLines    = "all"
	costOfPage  = 2 << 20 // bytes that a page takes
	noRun       = "-"
)

// errClient is returned when a client cannot be written to.
var errClient = errors.New("the client is gone")

// serveLogs writes the log of a service as text, oldest line first: time, stream, run and text of each. With follow=1 it goes on
// with what is written from then on, until the client leaves, its credential ends or the service is removed.
func (s *Server) serveLogs(w http.ResponseWriter, r *http.Request) {
	query, tail, follow, err := logQuery(r.URL.Query())
	if _, failed := callerOf(r); failed != nil {
		err = failed
	}
	id := r.PathValue("id")
	api := auth.Scoped(s.opts.API)
	if err == nil {
		err = s.mayReadLogs(r.Context(), api, id)
	}
	if err != nil {
		s.answerError(w, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if err := admissionOf(ctx).page(ctx, costOfPage); err != nil {
		s.refuseBusy(w, r, err)
		return
	}
	if stopping, ok := ctx.Value(stoppingKey{}).(context.Context); ok {
		defer context.AfterFunc(stopping, cancel)()
	}
	defer auth.From(ctx).Hold(cancel)()

	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out := &logWriter{to: bufio.NewWriterSize(w, 16<<10), control: http.NewResponseController(w)}
	end, err := out.pages(ctx, api, id, query, tail)
	if err == nil && follow {
		selects := query.Matcher()
		_, err = api.WatchLogs(ctx, id, orchestrator.Span{Since: end, Live: true}, func(b *orchestrator.LogBatch) error {
			return out.batch(b, func(line *orchestrator.LogLine) bool {
				selected, _ := selects(line)
				return selected
			})
		})
	}
	switch {
	case err == nil, errors.Is(err, errClient), ctx.Err() != nil:
	case out.begun:
		s.log.Error("a log cannot be read", "id", id, "error", err)
		panic(http.ErrAbortHandler) // abort, so that the client does not take a part for the whole
	default:
		s.answerError(w, err)
	}
}

// mayReadLogs returns an error unless the caller may read the log of a service, and records that it does.
func (s *Server) mayReadLogs(ctx context.Context, api orchestrator.API, id string) error {
	a := auth.Action{Name: "serviceLogs", Needs: auth.Operator}
	if auth.Require(ctx, a.Needs) == nil {
		if _, err := api.Service(ctx, id); err != nil {
			return err
		}
		a.Target = id
	}
	_, err := s.opts.Access.Read(ctx, a, func(context.Context) (any, error) { return nil, nil })
	return err
}

// logQuery reads the parameters of a request for a log. tail is -1 for all lines.
func logQuery(values url.Values) (query orchestrator.LogQuery, tail int, follow bool, err error) {
	invalid := func(name, format string, args ...any) error {
		return orchestrator.Errorf(orchestrator.InvalidInput, name, format, args...)
	}
	tail = defaultTail
	for name, all := range values {
		value := all[0]
		switch name {
		case "follow":
			follow, err = strconv.ParseBool(value)
			if err != nil {
				return query, 0, false, invalid(name, "must be 1 or 0, not %.40q", value)
			}
		case "tail":
			if tail, err = strconv.Atoi(value); value == allLines {
				tail, err = -1, nil
			}
			if err != nil || tail < -1 {
				return query, 0, false, invalid(name, "must be a number of lines, or all, not %.40q", value)
			}
		case "since":
			if query.Since, err = sinceTime(value, time.Now()); err != nil {
				return query, 0, false, invalid(name, "must be a time such as 2026-11-27T13:43:00Z, or an age such as 10m, not %.40q", value)
			}
			if !values.Has("tail") {
				tail = -1
			}
		case "contains":
			query.Contains = value
		case "run":
			query.Run = value
		case "level":
			query.Level = orchestrator.LogLevel(strings.ToUpper(value))
			if !slices.Contains(orchestrator.LogLevels(), query.Level) {
				return query, 0, false, invalid(name, "must be one of debug, info, warning, error and fatal, not %.40q", value)
			}
		default:
			return query, 0, false, invalid("", "there is no parameter %.40q; there are contains, follow, level, run, since and tail", name)
		}
	}
	return query, tail, follow, nil
}

// sinceTime parses a time, or an age before now.
func sinceTime(text string, now time.Time) (time.Time, error) {
	if age, err := time.ParseDuration(text); err == nil && age >= 0 {
		return now.Add(-age), nil
	}
	return time.Parse(time.RFC3339, text)
}

// logWriter writes lines to a client.
type logWriter struct {
	to      *bufio.Writer
	control *http.ResponseController
	begun   bool
}

// pages writes the newest tail lines that a query selects, all with -1, and returns the cursor of what follows them. Pages are
// found from the newest to the oldest, and then read again in the order in which they are written, so that none is kept.
func (l *logWriter) pages(ctx context.Context, api orchestrator.LogReader, id string, query orchestrator.LogQuery, tail int) (end string, err error) {
	var found []orchestrator.LogQuery
	for more := true; more; {
		query.First = orchestrator.MaxPage
		if tail >= 0 {
			query.First = min(query.First, tail)
		}
		page, err := api.Logs(ctx, id, query) // with a tail of 0 it reads one line, for the end
		if err != nil {
			return "", err
		}
		if end == "" {
			end = page.End
		}
		if len(page.Lines) == 0 || tail == 0 {
			break
		}
		first := query
		first.Before, first.First = page.End, len(page.Lines)
		found = append(found, first)
		query.Before, more = page.Lines[0].Cursor, page.More
		if tail >= 0 {
			tail -= len(page.Lines)
			more = more && tail > 0
		}
	}
	for _, q := range slices.Backward(found) {
		page, err := api.Logs(ctx, id, q)
		if err != nil {
			return "", err
		}
		for i := range page.Lines {
			if err := l.line(&page.Lines[i]); err != nil {
				return "", err
			}
		}
	}
	return end, l.flush()
}

// batch writes the lines of a message that are selected.
func (l *logWriter) batch(b *orchestrator.LogBatch, selected func(*orchestrator.LogLine) bool) error {
	if b.Dropped > 0 {
		note := orchestrator.LogLine{At: time.Now(), Stream: orchestrator.LogNote, Text: fmt.Sprintf("%d lines were left out here, because they came too fast", b.Dropped)}
		if err := l.line(&note); err != nil {
			return err
		}
	}
	for i := range b.Lines {
		if !selected(&b.Lines[i]) {
			continue
		}
		if err := l.line(&b.Lines[i]); err != nil {
			return err
		}
	}
	return l.flush()
}

func (l *logWriter) line(line *orchestrator.LogLine) error {
	l.begun = true
	run := noRun
	if line.Run != nil {
		run = *line.Run
	}
	_, err := fmt.Fprintf(l.to, "%s %s %s %s\n", line.At.UTC().Format("2006-01-02T15:04:05.000000Z"), strings.ToLower(string(line.Stream)), run, line.Text)
	return client(err)
}

// flush passes on what was written, or the headers alone, so that the client sees that it is connected.
func (l *logWriter) flush() error {
	l.begun = true
	return client(errors.Join(l.to.Flush(), l.control.Flush()))
}

func client(err error) error {
	if err != nil {
		return errors.Join(errClient, err)
	}
	return nil
}
