package probe

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// pgMessage returns one message of a PostgreSQL server.
func pgMessage(kind byte, body string) string {
	return string(kind) + string(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))) + body
}

func pgFault(code, message string) string {
	return pgMessage('E', "SFATAL\x00VFATAL\x00C"+code+"\x00M"+message+"\x00\x00")
}

func pgLogin(kind uint32, said string) string {
	return pgMessage('R', string(binary.BigEndian.AppendUint32(nil, kind))+said)
}

// pgTrusting accepts every login and then sends rest.
func pgTrusting(rest string) string {
	return pgLogin(0, "") + pgMessage('S', "server_version\x0018.4\x00") + pgMessage('K', "12345678") + pgMessage('Z', "I") + rest
}

const pgOne = "\x00\x01\x00\x00\x00\x011"

// mongoSaying answers each request with the next document.
func mongoSaying(replies ...any) func(net.Conn) {
	return func(c net.Conn) {
		for _, r := range replies {
			head := make([]byte, 16)
			if _, err := io.ReadFull(c, head); err != nil {
				return
			}
			if _, err := io.CopyN(io.Discard, c, int64(binary.LittleEndian.Uint32(head))-16); err != nil {
				return
			}
			document, ok := r.([]byte)
			if !ok {
				document, _ = bson.Marshal(r)
			}
			out := binary.LittleEndian.AppendUint32(nil, uint32(len(document)+21))
			out = append(append(out, 0, 0, 0, 0), head[4:8]...) // the id of the request
			out = append(append(out, 0xdd, 7, 0, 0, 0, 0, 0, 0), 0)
			_, _ = c.Write(append(out, document...))
		}
		drain(c)
	}
}

func mongoFault(code int32, name, message string) bson.D {
	return bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: message}, {Key: "code", Value: code}, {Key: "codeName", Value: name}}
}

func mongoSays(payload string, done bool) bson.D {
	return bson.D{{Key: "conversationId", Value: 1}, {Key: "done", Value: done}, {Key: "payload", Value: []byte(payload)}, {Key: "ok", Value: 1.0}}
}

func setecReply(status, body string) func(net.Conn) { return saying(s3Reply(status, body), false) }

// TestBadLogins is like TestBadServers, for protocols that begin with a login.
func TestBadLogins(t *testing.T) {
	const notPG, notMongo, notRedis, notSetec = "answered something that is not PostgreSQL: ", "answered something that is not MongoDB: ",
		"answered something that is not Redis: ", "answered something that is not setec: "
	for _, tt := range []struct {
		name    string
		probe   string
		serve   func(net.Conn)
		timeout time.Duration
		verdict Verdict
		detail  string // exact, or a prefix if it ends in *
	}{
		{"postgres trusting", "postgres", saying(pgTrusting(pgMessage('D', pgOne)+pgMessage('C', "SELECT 1\x00")+pgMessage('Z', "I")), true), patient, OK, "logged in and ran SELECT 1"},
		{"postgres standby", "postgres", saying(pgLogin(0, "")+pgMessage('S', "in_hot_standby\x00on\x00")+pgMessage('Z', "I")+pgMessage('D', pgOne)+pgMessage('Z', "I"), true), patient, Alive, "logged in, but it is read-only: in_hot_standby is on"},
		{"postgres starts", "postgres", saying(pgFault("57P03", "the database system is starting up"), false), patient, Alive, `is starting, recovering or stopping: "the database system is starting up" (57P03)`},
		{"postgres ends sessions", "postgres", saying(pgTrusting(pgFault("57P01", "terminating")), false), patient, Alive, `is stopping: "terminating" (57P01)`},
		{"postgres no memory", "postgres", saying("Ecould not fork new process for connection: Cannot allocate memory\n\x00", false), patient, Alive, `answers with an error: "could not fork new process for connection: Cannot allocate memory ?"`},
		{"postgres other error", "postgres", saying(pgFault("XX000", "oh \x1b[1m"+secret), false), patient, Alive, `answers with an error: "oh ?[1m***" (XX000)`},
		{"postgres wants MD5", "postgres", saying(pgLogin(5, "salt"), true), patient, Alive, "it asks for a login of kind 5, which this probe does not speak"},
		{"postgres wants GSSAPI", "postgres", saying(pgLogin(10, "GSSAPI\x00\x00"), true), patient, Alive, "it asks for a login of kind 10, which this probe does not speak"},
		{"postgres wants much work", "postgres", saying(pgLogin(10, "SCRAM-SHA-256\x00\x00")+pgLogin(11, "r=x,s=c2FsdA==,i=2000000000"), true), patient, Alive, "its login wants 2000000000 rounds of hashing"},
		{"postgres other nonce", "postgres", saying(pgLogin(10, "SCRAM-SHA-256\x00\x00")+pgLogin(11, "r=x,s=c2FsdA==,i=4096"), true), patient, Dead, notPG + `"its part of the login is wrong"`},
		{"postgres without a proof", "postgres", saying(pgLogin(10, "SCRAM-SHA-256\x00\x00")+pgLogin(0, ""), true), patient, Dead, notPG + `"a login without a proof"`},
		{"postgres answers two", "postgres", saying(pgTrusting(pgMessage('D', "\x00\x01\x00\x00\x00\x012")), true), patient, Dead, notPG + `"2"`},
		{"postgres answers nothing", "postgres", saying(pgTrusting(pgMessage('Z', "I")), true), patient, Dead, notPG + `"no answer to what was asked"`},
		{"postgres short login", "postgres", saying(pgMessage('R', ""), true), patient, Dead, notPG + `""`},
		{"postgres HTTP", "postgres", saying("HTTP/1.1 400 Bad\r\n", true), patient, Dead, notPG + `"HTTP/1.1 400 Bad"`},
		{"postgres text like a message", "postgres", saying("Error: what is that?", true), patient, Dead, notPG + `"Error: what is that?"`},
		{"postgres huge message", "postgres", saying("R\x00\x10\x00\x00", true), patient, Dead, "its answer is longer than 64 KiB"},
		{"postgres endless notices", "postgres", endless(pgLogin(0, ""), pgMessage('N', "Mx\x00\x00")), patient, Dead, "its answer is longer than 64 KiB"},
		{"postgres endless fork error", "postgres", endless("Ecould not ", "x"), patient, Dead, "its answer is longer than 64 KiB"},
		{"postgres half a message", "postgres", saying(pgLogin(0, "")[:7], false), patient, Dead, "closed the connection in the middle of its answer"},
		{"postgres stops after the login", "postgres", saying(pgLogin(0, ""), true), hasty, Dead, "no complete answer within 300ms"},
		{"postgres drip", "postgres", dripping(pgMessage('N', strings.Repeat("x", 20000))[:5]), hasty, Dead, "no complete answer within 300ms"},

		{"mongodb refuses", "mongodb", mongoSaying(mongoFault(18, "AuthenticationFailed", "no "+secret)), patient, Alive, `refuses our user or password: "no ***" (AuthenticationFailed)`},
		{"mongodb stops", "mongodb", mongoSaying(mongoFault(91, "ShutdownInProgress", "quiesce")), patient, Alive, `is stopping: "quiesce" (ShutdownInProgress)`},
		{"mongodb recovers", "mongodb", mongoSaying(mongoFault(13436, "NotPrimaryOrSecondary", "x")), patient, Alive, `is recovering or not the primary: "x" (NotPrimaryOrSecondary)`},
		{"mongodb other error", "mongodb", mongoSaying(mongoFault(1, "", "oops")), patient, Alive, `answers with an error: "oops"`},
		{"mongodb wants much work", "mongodb", mongoSaying(mongoSays("r=x,s=c2FsdA==,i=2000000000", false)), patient, Alive, "its login wants 2000000000 rounds of hashing"},
		{"mongodb other nonce", "mongodb", mongoSaying(mongoSays("r=x,s=c2FsdA==,i=4096", false)), patient, Dead, notMongo + `"its part of the login is wrong"`},
		{"mongodb without a proof", "mongodb", mongoSaying(mongoSays("", true)), patient, Dead, notMongo + `"a login without a proof"`},
		{"mongodb broken document", "mongodb", mongoSaying([]byte("\x20\x00\x00\x00nonsense")), patient, Dead, notMongo + `"???nonsense"`},
		{"mongodb HTTP", "mongodb", saying("HTTP/1.1 400 Bad\r\n", true), patient, Dead, notMongo + `"HTTP/1.1 400 Bad"`},
		{"mongodb answer to another", "mongodb", saying("\x30\x00\x00\x00"+strings.Repeat("\x09", 60), true), patient, Dead, notMongo + "*"},
		{"mongodb huge", "mongodb", saying("\x00\x00\x20\x00"+strings.Repeat("\x09", 60), true), patient, Dead, "its answer is longer than 64 KiB"},
		{"mongodb half a head", "mongodb", saying("\x30\x00\x00\x00\x00", false), patient, Dead, "closed the connection in the middle of its answer"},
		{"mongodb drip", "mongodb", dripping("\x00\x09\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00"), hasty, Dead, "no complete answer within 300ms"},

		{"redis right", "redis", saying("+OK\r\n+PONG\r\n", true), patient, OK, "logged in, and it answers a ping"},
		{"redis loads", "redis", saying("-LOADING Redis is loading the dataset in memory\r\n", true), patient, Alive, `is starting: "LOADING Redis is loading the dataset in memory"`},
		{"redis cannot write", "redis", saying("+OK\r\n-MISCONF Errors writing to the AOF file: No space left on device\r\n", true), patient, Alive, `cannot write: "MISCONF Errors writing to the AOF file: No space left on device"`},
		{"redis without a password", "redis", saying("-ERR AUTH <password> called without any password configured for the default user.\r\n", true), patient, Alive, `refuses our user or password: "ERR AUTH <password> called without any*`},
		{"redis full", "redis", saying("-ERR max number of clients reached\r\n", false), patient, Alive, `its connections are used up: "ERR max number of clients reached"`},
		{"redis other error", "redis", saying("-ERR oh \x1b[1m"+secret+"\r\n", true), patient, Alive, `answers with an error: "ERR oh ?[1m***"`},
		{"redis other status", "redis", saying("+YES\r\n", true), patient, Dead, notRedis + `"+YES"`},
		{"redis HTTP", "redis", saying("HTTP/1.1 400 Bad\r\n", true), patient, Dead, notRedis + `"HTTP/1.1 400 Bad"`},
		{"redis endless", "redis", endless("+", "x"), patient, Dead, "its answer is longer than 64 KiB"},
		{"redis drip", "redis", dripping("+O"), hasty, Dead, "no complete answer within 300ms"},
		{"redis half", "redis", saying("+O", false), patient, Dead, "closed the connection in the middle of its answer"},

		{"setec right", "setec", setecReply("200 OK", `{"Value":"eA==","Version":1}`), patient, OK, "read the secret uws/canary"},
		{"setec token", "setec", setecReply("401 Unauthorized", "unauthorized\n"), patient, Alive, "refuses our token"},
		{"setec sealed", "setec", setecReply("503 Service Unavailable", "sealed\n"), patient, Alive, "is sealed: its key does not open the secrets"},
		{"setec no canary", "setec", setecReply("404 Not Found", "not found\n"), patient, Alive, "does not have the secret uws/canary any more; restart the service to recreate it"},
		{"setec denied", "setec", setecReply("403 Forbidden", "access denied\n"), patient, Alive, "refuses us: 403 Forbidden"},
		{"setec error", "setec", setecReply("500 Oops", "internal error\n"), patient, Alive, "answers with an error: 500 Internal Server Error"},
		{"setec empty canary", "setec", setecReply("200 OK", `{"Value":"","Version":1}`), patient, Dead, notSetec + `200 OK, "{"Value":"","Version":1}"`},
		{"setec other page", "setec", setecReply("200 OK", "<html>"+secret), patient, Dead, notSetec + `200 OK, "<html>***"`},
		{"setec other 404", "setec", setecReply("404 Not Found", "404 page not found"), patient, Dead, notSetec + `404 Not Found, "404 page not found"`},
		{"setec SSH", "setec", saying("SSH-2.0-x\r\n", true), patient, Dead, notSetec + `"SSH-2.0-x"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := run(t, tt.probe, target(badServer(t, tt.serve)), tt.timeout)
			want, open := strings.CutSuffix(tt.detail, "*")
			if r.Verdict != tt.verdict || !strings.HasPrefix(r.Detail, want) || (!open && r.Detail != want) {
				t.Errorf("got  %s %s\nwant %s %s", r.Verdict, r.Detail, tt.verdict, tt.detail)
			}
		})
	}
	for _, probe := range []string{"postgres", "mongodb", "redis", "setec"} {
		for _, tt := range []struct {
			name    string
			serve   func(net.Conn)
			timeout time.Duration
			detail  string
		}{
			{"silent", silent, hasty, "no answer within 300ms"},
			{"reset", resetting(true), patient, "reset the connection"},
			{"closes", closing, patient, "closed the connection without an answer"},
		} {
			t.Run(fmt.Sprint(probe, " ", tt.name), func(t *testing.T) {
				t.Parallel()
				expect(t, run(t, probe, target(badServer(t, tt.serve)), tt.timeout), Dead, tt.detail)
			})
		}
	}
}

func TestCheckLogins(t *testing.T) {
	for probe, needed := range map[string][]string{
		"mongodb": {"password", "user"}, "postgres": {"database", "password", "user"}, "redis": {"password"}, "setec": {"token"},
	} {
		if err := Check(probe, nil, needed); err != nil {
			t.Errorf("%s: %v", probe, err)
		}
		if err := Check(probe, nil, needed[1:]); err == nil || !strings.Contains(err.Error(), needed[0]) {
			t.Errorf("%s without %s: %v", probe, needed[0], err)
		}
		if err := Check(probe, map[string]string{"tls": "1"}, needed); err == nil {
			t.Errorf("%s takes any option", probe)
		}
	}
	if err := Check("mongodb", map[string]string{"authSource": "shop"}, []string{"password", "user"}); err != nil {
		t.Error(err)
	}
}
