package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// logOf returns n lines of a log, of which every third has a level.
func logOf(n int) []orchestrator.LogLine {
	all := make([]orchestrator.LogLine, n)
	levels := orchestrator.LogLevels()
	for i := range all {
		all[i] = orchestrator.LogLine{At: at.Add(time.Duration(i) * time.Second), Stream: orchestrator.LogStderr, Run: new("1a2b3c4d"), Text: fmt.Sprint("line ", i)}
		if i%3 == 0 {
			all[i].Level, all[i].Run = &levels[i/3%len(levels)], nil
		}
	}
	return all
}

// getText requests a log as text.
func getText(t *testing.T, url string, header http.Header) (int, string) {
	t.Helper()
	response := request(t, http.MethodGet, url, "", header)
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestServiceLogsQuery(t *testing.T) {
	api := newFake()
	api.log = logOf(10)
	url := serve(t, options(api))
	const fields = `{edges{cursor node{at stream level run text}} nodes{text} pageInfo{hasNextPage hasPreviousPage startCursor endCursor}}}`
	got := post(t, url, `{serviceLogs(id:"s1",first:2,before:"8")`+fields, nil)
	const want = `{"serviceLogs":{"edges":[` +
		`{"cursor":"6","node":{"at":"2026-01-02T02:04:11Z","stream":"STDERR","level":"WARNING","run":null,"text":"line 6"}},` +
		`{"cursor":"7","node":{"at":"2026-01-02T02:04:12Z","stream":"STDERR","level":null,"run":"1a2b3c4d","text":"line 7"}}],` +
		`"nodes":[{"text":"line 6"},{"text":"line 7"}],"pageInfo":{"hasNextPage":true,"hasPreviousPage":true,"startCursor":"6","endCursor":"8"}}}`
	if string(got.Data) != want {
		t.Errorf("got  %s %v\nwant %s", got.Data, got.Errors, want)
	}
	got = post(t, url, `{serviceLogs(id:"s1",level:ERROR,contains:"LINE",since:"2026-01-02T02:04:06Z"){nodes{text} pageInfo{hasPreviousPage}}}`, nil)
	if want := `{"serviceLogs":{"nodes":[{"text":"line 9"}],"pageInfo":{"hasPreviousPage":false}}}`; string(got.Data) != want {
		t.Errorf("got  %s %v\nwant %s", got.Data, got.Errors, want)
	}
	if calls := api.called(); !strings.Contains(strings.Join(calls, "\n"), `Logs s1 100 "" "LINE" "" "ERROR"`) {
		t.Errorf("the calls are %q", calls)
	}
	for query, want := range map[string]string{
		`{serviceLogs(id:"no"){nodes{text}}}`:                                             "NOT_FOUND",
		`{serviceLogs(id:"s1",before:"x"){nodes{text}}}`:                                  "INVALID_INPUT",
		`{serviceLogs(id:"s1",first:0){nodes{text}}}`:                                     "INVALID_INPUT",
		`{serviceLogs(id:"s1",level:LOUD){nodes{text}}}`:                                  "INVALID_INPUT",
		`{serviceLogs(id:"s1",contains:"` + strings.Repeat("x", 101) + `"){nodes{text}}}`: "INVALID_INPUT",
	} {
		if got := post(t, url, query, nil); got.code() != want {
			t.Errorf("%s is %s, want %s", query, got.code(), want)
		}
	}
}

func TestServiceLogsSubscription(t *testing.T) {
	api := newFake()
	lines := logOf(3)
	api.batches = []orchestrator.LogBatch{{Lines: lines[:2], Cursor: "a", Position: 1}, {Lines: lines[2:], Dropped: 7, Reset: true, Cursor: "b", Position: 2}}
	s := connect(t, serve(t, options(api)))
	s.subscribe("x", `subscription{serviceLogs(id:"s1",since:"c"){lines{text} dropped reset cursor}}`)
	s.expect("x", "next", `{"data":{"serviceLogs":{"lines":[{"text":"line 0"},{"text":"line 1"}],"dropped":0,"reset":false,"cursor":"a"}}}`)
	s.expect("x", "next", `{"data":{"serviceLogs":{"lines":[{"text":"line 2"}],"dropped":7,"reset":true,"cursor":"b"}}}`)
	if calls := api.called(); !strings.Contains(strings.Join(calls, "\n"), `WatchLogs s1 "c"`) {
		t.Errorf("the calls are %q", calls)
	}
}

// The log as text, for curl: the newest lines, or all since a time, in order, whatever the number of pages that takes.
func TestLogsAsText(t *testing.T) {
	api := newFake()
	api.log = logOf(2500)
	url := serve(t, options(api)) + "/services/s1/logs"
	lines := func(query string) []string {
		t.Helper()
		status, body := getText(t, url+query, nil)
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", query, status, body)
		}
		return strings.Split(strings.TrimSuffix(body, "\n"), "\n")
	}
	if got, want := lines("?tail=2"), []string{"2026-01-02T02:45:43.000000Z stderr 1a2b3c4d line 2498", "2026-01-02T02:45:44.000000Z stderr - line 2499"}; strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
	for query, want := range map[string]int{"": 100, "?tail=all": 2500, "?tail=1700": 1700, "?tail=5000": 2500, "?since=2026-01-02T02:44:05Z": 100, "?contains=LINE+24&tail=all": 1 + 10 + 100,
		"?level=warning&tail=all": 500, "?run=1a2b3c4d&tail=all": 1666, "?run=none": 1, "?tail=0": 1} {
		got := lines(query)
		if len(got) != want {
			t.Errorf("%q has %d lines, want %d: %.100q", query, len(got), want, got)
		}
		for i := 1; i < len(got); i++ {
			if got[i] <= got[i-1] {
				t.Fatalf("%q: %q follows %q", query, got[i], got[i-1])
			}
		}
	}
	for query, want := range map[string]string{
		"?tail=-5": "tail: must be a number of lines, or all", "?tail=x": "tail: must be a number of lines, or all", "?follow=maybe": "follow: must be 1 or 0",
		"?since=yesterday": "since: must be a time such as", "?level=loud": "level: must be one of debug, info, warning, error and fatal", "?lines=5": "there are contains, follow, level, run, since and tail",
	} {
		if status, body := getText(t, url+query, nil); status != http.StatusUnprocessableEntity || !strings.Contains(body, want) || !strings.Contains(body, "INVALID_INPUT") {
			t.Errorf("%s: %d %s, want %s", query, status, body, want)
		}
	}
	if status, body := getText(t, strings.Replace(url, "s1", "no", 1), nil); status != http.StatusNotFound {
		t.Errorf("of no service: %d %s", status, body)
	}
}

// Following as text goes on after the newest lines, with the same conditions, and ends when the server stops or the token is
// revoked.
func TestLogsFollowedAsText(t *testing.T) {
	api := newFake()
	api.log = logOf(3)
	api.batches = []orchestrator.LogBatch{{Lines: logOf(8)[4:], Position: 1}, {Lines: logOf(10)[8:], Dropped: 3, Position: 2}}
	opts := options(api)
	opts.Access = newAuth(t, auth.Options{})
	url := serveLocked(t, opts)
	secret, token, err := opts.Access.CreateToken(auth.With(t.Context(), auth.CommandLine()), auth.TokenInput{Name: "reader", Role: auth.Operator})
	if err != nil {
		t.Fatal(err)
	}
	response := request(t, http.MethodGet, url+"/services/s1/logs?follow=1&tail=1&level=warning", "", http.Header{"Authorization": {"Bearer " + secret}})
	body := bufio.NewReader(response.Body)
	for _, want := range []string{"line 6", "3 lines were left out here", "line 9"} {
		line, err := body.ReadString('\n')
		if err != nil || !strings.Contains(line, want) {
			t.Fatalf("got %q, %v; want %q", line, err, want)
		}
	}
	if err := opts.Access.RevokeToken(auth.With(t.Context(), auth.CommandLine()), token.ID); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
		t.Errorf("after its token was revoked it ends with %q, %v", rest, err)
	}
}

// Logs are for operators, of services of their kinds, and the audit log has who read them, once an hour.
func TestReadersOfLogs(t *testing.T) {
	api := newFake()
	api.log = logOf(3)
	opts := options(api)
	opts.Access = newAuth(t, auth.Options{})
	url := serveLocked(t, opts)
	bearer := func(role auth.Role, kinds ...catalog.Kind) http.Header {
		return http.Header{"Authorization": {"Bearer " + tokenOf(t, opts.Access, role, kinds...)}}
	}
	admin, reader := bearer(auth.Admin), bearer(auth.Operator)
	const query = `{"query":"{serviceLogs(id:\"s1\"){nodes{text}}}"}`
	ask := func(h http.Header) string {
		t.Helper()
		var a answer
		if err := json.NewDecoder(request(t, http.MethodPost, url+"/graphql", query, h).Body).Decode(&a); err != nil {
			t.Fatal(err)
		}
		return a.code()
	}
	for _, tt := range []struct {
		header http.Header
		want   string
		status int
	}{
		{http.Header{}, "UNAUTHENTICATED", 401}, {bearer(auth.Viewer), "FORBIDDEN", 403}, {bearer(auth.Operator, catalog.DB), "NOT_FOUND", 404},
		{bearer(auth.Operator, catalog.Bucket), "OK", 200}, {reader, "OK", 200}, {reader, "OK", 200},
	} {
		if got := ask(tt.header); got != tt.want {
			t.Errorf("it is %s, want %s", got, tt.want)
		}
		if status, body := getText(t, url+"/services/s1/logs", tt.header); status != tt.status {
			t.Errorf("as text it is %d %s, want %d", status, body, tt.status)
		}
	}
	var log answer
	if err := json.NewDecoder(request(t, http.MethodPost, url+"/graphql", `{"query":"{auditLog(filter:{action:\"serviceLogs\"}){nodes{target result}}}"}`, admin).Body).Decode(&log); err != nil {
		t.Fatal(err)
	}
	if read := strings.Count(string(log.Data), `{"target":"s1","result":"OK"}`); read != 2 {
		t.Errorf("the audit log has %d readers, want 2: %s", read, log.Data)
	}
	if refused := strings.Count(string(log.Data), "FORBIDDEN"); refused != 2 {
		t.Errorf("the audit log has %d refusals, want 2: %s", refused, log.Data)
	}
}
