package probe

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

const secret = "s3cr3ts3cr3ts3cr3t"

func target(address string) Target {
	return Target{Address: address, Credentials: map[string]string{
		"accessKey": "AKIAIOSFODNN7EXAMPLE", "secretKey": secret, "user": "uws", "password": secret,
	}}
}

const (
	patient = 20 * time.Second       // timeout for what happens soon
	hasty   = 300 * time.Millisecond // timeout for what never happens
)

func s3Reply(status, body string) string {
	return "HTTP/1.1 " + status + "\r\nContent-Type: application/xml\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\nConnection: close\r\n\r\n" + body
}

func s3Fault(status, code string) string {
	return s3Reply(status, "<?xml version=\"1.0\"?>\n<Error><Code>"+code+"</Code><Message>because "+secret+"</Message></Error>")
}

const buckets = `<ListAllMyBucketsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner><ID>x</ID></Owner><Buckets></Buckets></ListAllMyBucketsResult>`

func jsReply(payload string) string {
	return fmt.Sprintf("MSG _INBOX.uws 1 %d\r\n%s\r\n", len(payload), payload)
}

const jsInfo = `{"type":"io.nats.jetstream.api.v1.account_info_response","memory":0}`

// TestBadServers has one row for each way a server can fail a probe.
func TestBadServers(t *testing.T) {
	huge := strings.Repeat("<Bucket><Name>b</Name></Bucket>", 4000)
	for _, tt := range []struct {
		name    string
		probe   string
		serve   func(net.Conn)
		timeout time.Duration
		verdict Verdict
		detail  string // exact, or a prefix if it ends in *
	}{
		{"s3 right", "s3", saying(s3Reply("200 OK", buckets), false), patient, OK, "listed the buckets"},
		{"s3 right after 100", "s3", saying("HTTP/1.1 100 Continue\r\n\r\n"+s3Reply("200 OK", buckets), false), patient, OK, "listed the buckets"},
		{"s3 right, connection kept", "s3", saying(s3Reply("200 OK", buckets), true), patient, OK, "listed the buckets"},
		{"s3 a great many buckets", "s3", saying(s3Reply("200 OK", "<ListAllMyBucketsResult>"+huge+"</ListAllMyBucketsResult>"), false), patient, OK, "listed the buckets"},
		{"s3 wrong secret", "s3", saying(s3Fault("403 Forbidden", "SignatureDoesNotMatch"), false), patient, Alive, `refuses our secret key: "SignatureDoesNotMatch" (403)`},
		{"s3 wrong key", "s3", saying(s3Fault("403 Forbidden", "InvalidAccessKeyId"), false), patient, Alive, `refuses our access key: "InvalidAccessKeyId" (403)`},
		{"s3 denied", "s3", saying(s3Fault("403 Forbidden", "AccessDenied"), false), patient, Alive, `refuses us: "AccessDenied" (403)`},
		{"s3 clock", "s3", saying(s3Fault("403 Forbidden", "RequestTimeTooSkewed"), false), patient, Alive, `refuses us, since its clock and ours differ: "RequestTimeTooSkewed" (403)`},
		{"s3 busy", "s3", saying(s3Fault("503 Slow Down", "SlowDown"), false), patient, Alive, `is busy: "SlowDown" (503)`},
		{"s3 internal", "s3", saying(s3Fault("500 Oops", "InternalError"), false), patient, Alive, `answers with an error: "InternalError" (500): "because ***"`},
		{"s3 hostile code", "s3", saying(s3Fault("500 Oops", "\n\t"+strings.Repeat("é", 300)), false), patient, Alive, `answers with an error: "ééé*`},
		{"s3 error without code", "s3", saying(s3Reply("500 Oops", "<Error></Error>"), false), patient, Dead, `answered something that is not S3: 500 Internal Server Error, "<Error></Error>"`},
		{"s3 error called a success", "s3", saying(s3Fault("200 OK", "SlowDown"), false), patient, Dead, `answered something that is not S3: 200 OK, "<?xml*`},
		{"s3 other page", "s3", saying(s3Reply("200 OK", "<html>\x1b[31mhi\x00 "+secret), false), patient, Dead, `answered something that is not S3: 200 OK, "<html>?[31mhi? ***"`},
		{"s3 503 of a proxy", "s3", saying("HTTP/1.1 503 \x1b[2J\r\n\r\nnope", false), patient, Dead, `answered something that is not S3: 503 Service Unavailable, "nope"`},
		{"s3 half an answer", "s3", saying(s3Reply("200 OK", buckets)[:150], false), patient, Dead, "closed the connection in the middle of its answer"},
		{"s3 half a list", "s3", saying(s3Reply("200 OK", buckets[:90]), false), patient, Dead, `answered something that is not S3: 200 OK, *`},
		{"s3 half a header", "s3", saying("HTTP/1.1 200 OK\r\nConte", false), patient, Dead, "closed the connection in the middle of its answer"},
		{"s3 secret cut by the quote", "s3", saying(strings.Repeat("x", maxQuote-8)+secret, true), patient, Dead, `answered something that is not S3: "xxx*`},
		{"s3 secret cut by the network", "s3", saying("echo "+secret[:10], true), patient, Dead, `answered something that is not S3: "echo ***"`},
		{"s3 SSH", "s3", saying("SSH-2.0-OpenSSH_9.2\r\n", true), patient, Dead, `answered something that is not S3: "SSH-2.0-OpenSSH_9.2"`},
		{"s3 broken header", "s3", saying("HTTP/1.1 abc\r\n\r\n", true), patient, Dead, `answered something that is not S3: "HTTP/1.1 abc"`},
		{"s3 endless header", "s3", endless("HTTP/1.1 200 OK\r\n", "X: y\r\n"), patient, Dead, "its answer is longer than 64 KiB"},
		{"s3 endless line", "s3", endless("HTTP/1.1 200 OK", "x"), patient, Dead, "its answer is longer than 64 KiB"},
		{"s3 endless body", "s3", endless("HTTP/1.1 200 OK\r\n\r\n", "x"), patient, Dead, `answered something that is not S3: 200 OK, "xxx*`},
		{"s3 endless 100", "s3", endless("", "HTTP/1.1 100 Continue\r\n\r\n"), patient, Dead, "its answer is longer than 64 KiB"},
		{"s3 silent", "s3", silent, hasty, Dead, "no answer within 300ms"},
		{"s3 drip", "s3", dripping("HTTP/1.1 200 OK\r\nX: "), hasty, Dead, "no complete answer within 300ms"},
		{"s3 reset", "s3", resetting(true), patient, Dead, "reset the connection"},
		{"s3 closes", "s3", closing, patient, Dead, "closed the connection without an answer"},

		{"http 204", "http", saying("HTTP/1.1 204 No Content\r\n\r\n", true), patient, OK, "answered 204 No Content"},
		{"http 302", "http", saying(s3Reply("302 Found", ""), false), patient, Alive, "answered 302 Found instead of 200-299"},
		{"http 401", "http", saying(s3Reply("401 No", ""), false), patient, Alive, "refuses us: 401 Unauthorized"},
		{"http 429", "http", saying(s3Reply("429 No", ""), false), patient, Alive, "is busy or not ready: 429 Too Many Requests"},
		{"http 503", "http", saying(s3Reply("503 \x1b]0;x\x07", ""), false), patient, Alive, "is busy or not ready: 503 Service Unavailable"},
		{"http 500", "http", saying(s3Reply("500 Oops", ""), false), patient, Alive, "answered 500 Internal Server Error instead of 200-299"},
		{"http 799", "http", saying(s3Reply("799 Oops", ""), false), patient, Alive, "answered 799 instead of 200-299"},
		{"http endless body", "http", endless("HTTP/1.1 200 OK\r\n\r\n", "x"), patient, OK, "answered 200 OK"},
		{"http body stops", "http", saying("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", false), patient, Dead, "closed the connection in the middle of its answer"},
		{"http body hangs", "http", saying("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", true), hasty, Dead, "no complete answer within 300ms"},
		{"http chunks broken", "http", saying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false), patient, Dead, "no answer: invalid byte in chunk length"},
		{"http silent", "http", silent, hasty, Dead, "no answer within 300ms"},
		{"http reset", "http", resetting(true), patient, Dead, "reset the connection"},
		{"http NATS", "http", saying("INFO {}\r\n", true), patient, Dead, `answered something that is not HTTP: "INFO {}"`},

		{"nats right", "nats", natsServer("PONG\r\n", jsReply(jsInfo)), patient, OK, "logged in, and JetStream answers"},
		{"nats pings and info first", "nats", natsServer("PING\r\nINFO {}\r\n+OK\r\npong\r\n", "PING\r\n"+jsReply(jsInfo)), patient, OK, "logged in, and JetStream answers"},
		{"nats password", "nats", natsServer("-ERR 'Authorization Violation'\r\n", ""), patient, Alive, `refuses our user or password: "Authorization Violation"`},
		{"nats full", "nats", saying("INFO {}\r\n-ERR 'maximum connections exceeded'\r\n", false), patient, Alive, `its connections are used up: "maximum connections exceeded"`},
		{"nats full without INFO", "nats", saying("-ERR 'maximum connections exceeded'\r\n", false), patient, Alive, `its connections are used up: "maximum connections exceeded"`},
		{"nats other error", "nats", natsServer("-ERR 'oh \x1b[1m"+secret+"'\r\n", ""), patient, Alive, `answers with an error: "oh ?[1m***"`},
		{"nats no JetStream", "nats", natsServer("PONG\r\n", "HMSG _INBOX.uws 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"), patient, Alive, "logged in, but JetStream is not enabled"},
		{"nats JetStream full", "nats", natsServer("PONG\r\n", jsReply(`{"type":"io.nats.jetstream.api.v1.account_info_response","error":{"code":503,"description":"insufficient resources"}}`)), patient, Alive, `logged in, but JetStream answers with an error: "insufficient resources" (503)`},
		{"nats wants TLS", "nats", saying("INFO {\"tls_required\":true}\r\n", true), patient, Alive, "it wants TLS, which this probe does not speak"},
		{"nats other payload", "nats", natsServer("PONG\r\n", jsReply("[]")), patient, Dead, `answered something that is not NATS: "[]"`},
		{"nats huge payload", "nats", natsServer("PONG\r\n", "MSG a 1 99999999999\r\n"), patient, Dead, "its answer is longer than 64 KiB"},
		{"nats negative payload", "nats", natsServer("PONG\r\n", "MSG a 1 -5\r\n"), patient, Dead, `answered something that is not NATS: "a 1 -5"`},
		{"nats bare MSG", "nats", natsServer("PONG\r\n", "MSG\r\n"), patient, Dead, `answered something that is not NATS: ""`},
		{"nats bad INFO", "nats", saying("INFO nonsense\r\n", true), patient, Dead, `answered something that is not NATS: "INFO nonsense"`},
		{"nats SSH", "nats", saying("SSH-2.0-x", true), patient, Dead, `answered something that is not NATS: "SSH-2.0-x"`},
		{"nats HTTP", "nats", saying("HTTP/1.1 400 Bad\r\n", true), patient, Dead, `answered something that is not NATS: "HTTP/1.1 400 Bad"`},
		{"nats endless line", "nats", endless("INFO ", "x"), patient, Dead, "its answer is longer than 64 KiB"},
		{"nats endless pings", "nats", endless("INFO {}\r\n", "PING\r\n"), patient, Dead, "its answer is longer than 64 KiB"},
		{"nats silent", "nats", silent, hasty, Dead, "no answer within 300ms"},
		{"nats stops after INFO", "nats", saying("INFO {}\r\n", true), hasty, Dead, "no complete answer within 300ms"},
		{"nats JetStream hangs", "nats", natsServer("PONG\r\n", ""), hasty, Dead, "no complete answer within 300ms"},
		{"nats drip", "nats", dripping("INFO {"), hasty, Dead, "no complete answer within 300ms"},
		{"nats closes", "nats", closing, patient, Dead, "closed the connection without an answer"},
		{"nats reset", "nats", resetting(false), patient, Dead, "reset the connection"},

		{"tcp", "tcp", silent, patient, OK, "accepted a connection"},
		{"tcp, forwarded to nobody", "tcp", closing, patient, Dead, "accepted a connection and ended it at once"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			address := badServer(t, tt.serve)
			r := run(t, tt.probe, target(address), tt.timeout)
			want, open := strings.CutSuffix(tt.detail, "*")
			if r.Verdict != tt.verdict || !strings.HasPrefix(r.Detail, want) || (!open && r.Detail != want) {
				t.Errorf("got  %s %s\nwant %s %s", r.Verdict, r.Detail, tt.verdict, tt.detail)
			}
		})
	}
}

// run makes one attempt and checks what holds for every result.
func run(t testing.TB, probe string, target Target, timeout time.Duration) Result {
	t.Helper()
	f, known := Lookup(probe)
	if !known {
		t.Fatalf("no probe %s", probe)
	}
	r := Run(t.Context(), f, target, timeout, time.Now)
	if len(r.Detail) > maxDetail || r.Detail == "" || !utf8.ValidString(r.Detail) || strings.ContainsFunc(r.Detail, unicode.IsControl) {
		t.Errorf("detail is not fit for people: %q", r.Detail)
	}
	if strings.Contains(r.Detail, secret[:6]) {
		t.Errorf("detail holds a part of the secret: %q", r.Detail)
	}
	if r.Refused != strings.HasPrefix(r.Detail, "refuses our ") {
		t.Errorf("whether the credentials are to blame is %t of %q", r.Refused, r.Detail)
	}
	if r.At.IsZero() || r.Duration <= 0 {
		t.Errorf("times are missing: %+v", r)
	}
	return r
}

func TestRefused(t *testing.T) {
	for _, probe := range Types() {
		if r := run(t, probe, target(refusing(t)), patient); r.Verdict != Dead || r.Detail != "refused the connection" {
			t.Errorf("%s: %s %s", probe, r.Verdict, r.Detail)
		}
	}
}

func TestCancelled(t *testing.T) {
	for _, probe := range []string{"http", "nats", "s3"} {
		ctx, cancel := context.WithCancel(t.Context())
		address := badServer(t, func(c net.Conn) { cancel(); drain(c) })
		f, _ := Lookup(probe)
		if r := Run(ctx, f, target(address), patient, time.Now); r.Verdict != NotAsked || r.Detail != "could not check: the check was canceled" || r.Duration > patient/2 {
			t.Errorf("%s: %s %s after %s", probe, r.Verdict, r.Detail, r.Duration)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := TCP(ctx, target(refusing(t))); r.Verdict != NotAsked {
		t.Errorf("cancelled before: %+v", r)
	}
}

func TestOurOwnTrouble(t *testing.T) {
	if r := run(t, "tcp", target("no-such-host.invalid:1"), patient); r.Verdict != NotAsked || r.Detail != "could not check: the name of its node cannot be looked up" {
		t.Errorf("%+v", r)
	}
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.EADDRNOTAVAIL, syscall.ENETUNREACH, syscall.EPERM} {
		err := &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", errno)}
		if r := dialFailed(t.Context(), Target{}, err, time.Second); r.Verdict != NotAsked || !strings.HasPrefix(r.Detail, "could not check: connecting from this machine failed: ") {
			t.Errorf("%+v", r)
		}
	}
}

func TestHTTPOptions(t *testing.T) {
	asked := make(chan string, 1)
	address := badServer(t, func(c net.Conn) {
		buf := make([]byte, 1000)
		n, _ := c.Read(buf)
		asked <- string(buf[:n])
		saying("HTTP/1.1 404 Not Found\r\n\r\n", false)(c)
	})
	for _, tt := range []struct {
		options map[string]string
		verdict Verdict
		detail  string
	}{
		{map[string]string{"path": "/ready?full=1", "expectStatus": "200-299, 404"}, OK, "answered 404 Not Found"},
		{map[string]string{"path": "/ready?full=1", "deadStatus": "404,500-599"}, Dead, "answered 404 Not Found"},
		{map[string]string{"path": "/ready?full=1", "expectStatus": "200,300-301"}, Alive, "answered 404 Not Found instead of 200,300-301"},
	} {
		tg := target(address)
		tg.Options = tt.options
		if r := run(t, "http", tg, patient); r.Verdict != tt.verdict || r.Detail != tt.detail {
			t.Errorf("%v: %s %s", tt.options, r.Verdict, r.Detail)
		}
		if got := <-asked; !strings.HasPrefix(got, "GET /ready?full=1 HTTP/1.1\r\nHost: "+address+"\r\n") || strings.Contains(got, secret) {
			t.Errorf("asked %q", got)
		}
	}
}

func TestCheck(t *testing.T) {
	opt := func(k, v string) map[string]string { return map[string]string{k: v} }
	keys := []string{"accessKey", "secretKey"}
	for _, tt := range []struct {
		probe       string
		options     map[string]string
		credentials []string
		want        string
	}{
		{"s3", nil, keys, ""},
		{"s3", opt("region", "eu-central-1"), keys, ""},
		{"s3", opt("region", "EU/x"), keys, `option region is "EU/x"; must be a name such as "us-east-1"`},
		{"s3", nil, keys[:1], `probes of type s3 log in with the credential "secretKey"; add it to the template`},
		{"nats", nil, []string{"password", "user"}, ""},
		{"nats", opt("tls", "1"), []string{"password", "user"}, `probes of type nats have no option "tls"; they have none`},
		{"tcp", nil, nil, ""},
		{"http", opt("expectStatus", "200,401-403"), nil, ""},
		{"http", opt("expectStatus", "2xx"), nil, `option expectStatus is "2xx"; must be statuses such as "200-299,401"`},
		{"http", opt("deadStatus", "500-400"), nil, `option deadStatus is "500-400"; must be statuses such as "200-299,401"`},
		{"http", opt("path", "http://evil/"), nil, `option path is "http://evil/"; must be a path such as "/ready"`},
		{"http", opt("path", "/a b\r\nX: y"), nil, `option path is "/a b\r\nX: y"; must be a path such as "/ready"`},
		{"http", opt("paht", "/"), nil, `probes of type http have no option "paht"; they have deadStatus, expectStatus, path`},
		{"telnet", nil, nil, `type is "telnet"; must be one of http, mongodb, nats, openbao, postgres, redis, s3, setec, tcp`},
	} {
		err := Check(tt.probe, tt.options, tt.credentials)
		if got := fmt.Sprint(err); got != tt.want && (err != nil || tt.want != "") {
			t.Errorf("%s %v: %s", tt.probe, tt.options, got)
		}
	}
	for _, name := range Types() {
		if _, known := Lookup(name); !known {
			t.Errorf("%s has no function", name)
		}
	}
	if _, known := Lookup("telnet"); known {
		t.Error("telnet has a function")
	}
}

func TestRun(t *testing.T) {
	clock := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now := func() time.Time { clock = clock.Add(time.Second); return clock }
	r := Run(t.Context(), func(ctx context.Context, _ Target) Result {
		if d, has := ctx.Deadline(); !has || time.Until(d) > time.Minute {
			t.Error("no deadline")
		}
		return Result{Verdict: OK, Detail: " a\n\tb\x00 " + secret + strings.Repeat("é", 200)}
	}, target(""), time.Minute, now)
	if r.Verdict != OK || !strings.HasPrefix(r.Detail, "a b? ***éé") || !strings.HasSuffix(r.Detail, "é…") || len(r.Detail) > maxDetail {
		t.Errorf("%+v", r)
	}
	if r.At.Second() != 6 || r.Duration != time.Second {
		t.Errorf("at %s for %s", r.At, r.Duration)
	}
	r = Run(t.Context(), func(context.Context, Target) Result { panic("oh " + secret) }, target(""), time.Minute, now)
	if r.Verdict != NotAsked || r.Detail != "could not check: the probe itself failed: oh ***" || r.Duration != time.Second {
		t.Errorf("%+v", r)
	}
	r = Run(t.Context(), func(context.Context, Target) Result { return Result{} }, target(""), time.Minute, now)
	if r.Verdict != NotAsked {
		t.Errorf("%+v", r)
	}
}

// A detail keeps credentials that are not secret.
func TestPublicNamesAreNotMasked(t *testing.T) {
	tg := Target{Credentials: map[string]string{"database": "postgres", "password": secret}, Public: []string{"database"}}
	if got := quote(tg, []byte(`no database "postgres" for `+secret)); got != `"no database "postgres" for ***"` {
		t.Error(got)
	}
	r := Run(t.Context(), func(context.Context, Target) Result { return Result{Verdict: OK, Detail: "postgres " + secret} }, tg, patient, time.Now)
	if r.Detail != "postgres ***" {
		t.Error(r.Detail)
	}
}

// TestHoldsNothing probes failing servers many times. Afterwards no goroutine or file descriptor may be left.
func TestHoldsNothing(t *testing.T) {
	addresses := []string{badServer(t, silent), badServer(t, resetting(true)), badServer(t, saying("x", true)), refusing(t)}
	round := func() {
		for _, address := range addresses {
			for _, probe := range Types() {
				run(t, probe, target(address), 5*time.Millisecond)
			}
		}
	}
	round()
	routines, files := runtime.NumGoroutine(), openFiles(t)
	for range 20 {
		round()
	}
	// The servers release theirs soon after the clients disconnect; what a probe leaked would stay.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 5000 {
		if runtime.NumGoroutine() <= routines && openFiles(t) <= files {
			return
		}
		<-tick.C
	}
	t.Errorf("goroutines %d, then %d; files %d, then %d", routines, runtime.NumGoroutine(), files, openFiles(t))
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
