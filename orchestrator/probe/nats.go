package probe

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// NATS logs in with the credentials user and password and requests the account's figures from JetStream. OK requires
// both. An -ERR is Alive, with its text, and so is JetStream if it is off or out of resources. Everything else is Dead.
func NATS(ctx context.Context, t Target) Result {
	c, failed := dial(ctx, t)
	if c == nil {
		return failed
	}
	defer c.close()
	s := &natsSession{conn: c, target: t}
	err := s.run()
	var refused refusal
	var strange notNATS
	switch {
	case err == nil:
		r := ok(t, "logged in, and JetStream answers")
		if t.Stats { // they are in the answer
			r.Stats = []Stat{{"streams", StatCount, s.streams}, {"consumers", StatCount, s.consumers}, {"stream_bytes", StatBytes, s.bytes}}
		}
		return r
	case errors.As(err, &refused):
		return refused.alive(t)
	case errors.As(err, &strange):
		return dead(t, "answered something that is not NATS: %s", quote(t, []byte(strange)))
	}
	return readFailed(ctx, t, err, c.got, c.limit)
}

type notNATS string // what was received instead

func (e notNATS) Error() string { return string(e) }

// natsSession is one login on one connection.
type natsSession struct {
	*conn
	target Target

	streams, consumers, bytes float64 // of the account, in memory and on disk
}

func (s *natsSession) run() error {
	if err := s.login(); err != nil {
		return err
	}
	payload, err := s.request("$JS.API.INFO", nil)
	if err != nil {
		return err
	}
	return s.accountInfo(payload)
}

// login logs in and subscribes to the replies of requests.
func (s *natsSession) login() error {
	line, err := s.expect("INFO")
	if err != nil {
		return err
	}
	var info struct {
		TLSRequired bool `json:"tls_required"`
	}
	if err := json.Unmarshal([]byte(line), &info); err != nil {
		return notNATS("INFO " + line)
	}
	if info.TLSRequired {
		return refusal{words: "it wants TLS, which this probe does not speak"}
	}
	login, err := json.Marshal(map[string]any{
		"user": s.target.Credentials["user"], "pass": s.target.Credentials["password"], "name": "uws-probe",
		"lang": "go", "version": "1", "protocol": 1, "verbose": false, "pedantic": false, "headers": true, "no_responders": true,
	})
	if err != nil {
		return err
	}
	s.write("CONNECT " + string(login) + "\r\nPING\r\n")
	if _, err := s.expect("PONG"); err != nil {
		return err
	}
	s.write("SUB " + natsInbox + " 1\r\n") // no other client uses this connection, so any inbox will do
	return nil
}

const natsInbox = "_INBOX.uws"

// write sends text and ignores errors. A server that refuses us may close the connection before it has read everything,
// and its reason must still be read. If the server is gone, the next read fails.
func (s *natsSession) write(text string) { _, _ = io.WriteString(s.raw, text) }

// request publishes to a subject and reads the first reply.
func (s *natsSession) request(subject string, body []byte) ([]byte, error) {
	s.write(fmt.Sprintf("PUB %s %s %d\r\n%s\r\n", subject, natsInbox, len(body), body))
	line, err := s.expect("MSG", "HMSG")
	if err != nil {
		return nil, err
	}
	// MSG <subject> <sid> <bytes>, or HMSG <subject> <sid> <header bytes> <bytes>
	fields := strings.Fields(line)
	if len(fields) < 3 {
		return nil, notNATS(line)
	}
	size, err := strconv.Atoi(fields[len(fields)-1])
	if err != nil || size < 0 {
		return nil, notNATS(line)
	}
	if size > maxAnswer {
		return nil, errTooLong
	}
	payload := make([]byte, size+len("\r\n"))
	if _, err := io.ReadFull(s.in, payload); err != nil {
		return nil, err
	}
	payload = payload[:size]
	if strings.HasPrefix(string(payload), "NATS/1.0 503") {
		return nil, refusal{words: "logged in, but JetStream is not enabled"}
	}
	return payload, nil
}

// accountInfo parses the reply to $JS.API.INFO.
func (s *natsSession) accountInfo(payload []byte) error {
	var answer struct {
		Type      string  `json:"type"`
		Streams   float64 `json:"streams"`
		Consumers float64 `json:"consumers"`
		Memory    float64 `json:"memory"`
		Storage   float64 `json:"storage"`
		Error     *struct {
			Code        int    `json:"code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(payload, &answer); err != nil || answer.Type != "io.nats.jetstream.api.v1.account_info_response" {
		return notNATS(payload)
	}
	if answer.Error != nil {
		return refusal{words: fmt.Sprintf("logged in, but JetStream answers with an error: %s (%d)",
			quote(s.target, []byte(answer.Error.Description)), answer.Error.Code)}
	}
	s.streams, s.consumers, s.bytes = answer.Streams, answer.Consumers, answer.Memory+answer.Storage
	return nil
}

// expect reads up to a line that begins with one of the verbs, and returns the rest of that line.
func (s *natsSession) expect(verbs ...string) (string, error) {
	for {
		line, err := s.line()
		if err != nil {
			return "", err
		}
		verb, rest, _ := strings.Cut(line, " ")
		for _, v := range verbs {
			if strings.EqualFold(verb, v) {
				return rest, nil
			}
		}
		switch strings.ToUpper(verb) {
		case "-ERR":
			return "", natsError(s.target, strings.Trim(rest, " '"))
		case "PING":
			s.write("PONG\r\n")
		case "INFO", "+OK", "PONG":
		default:
			return "", notNATS(line)
		}
	}
}

// line reads one line. If the first byte cannot be NATS, it fails without waiting for a whole line.
func (s *natsSession) line() (string, error) {
	if first, err := s.in.Peek(1); err != nil {
		return "", err
	} else if !strings.Contains("IiPpMmHh-+", string(first)) {
		start, _ := s.in.Peek(s.in.Buffered())
		return "", notNATS(start)
	}
	var line []byte
	for {
		part, err := s.in.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			return strings.TrimRight(string(line), "\r\n"), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
	}
}

func natsError(t Target, text string) refusal {
	said := quote(t, []byte(text))
	lower := strings.ToLower(text)
	switch {
	case strings.Contains(lower, "authorization") || strings.Contains(lower, "authentication"):
		return login(said)
	case strings.Contains(lower, "maximum") && strings.Contains(lower, "connections"):
		return refusal{words: "its connections are used up: " + said}
	}
	return refusal{words: "answers with an error: " + said}
}

// writeNATS creates a stream with file storage, publishes a message to it and deletes it. If a stream is left behind,
// the next check uses it; the configuration is the same.
func writeNATS(ctx context.Context, t Target) Result {
	c, failed := dial(ctx, t)
	if c == nil {
		return failed
	}
	defer c.close()
	s := &natsSession{conn: c, target: t}
	err := s.login()
	if err == nil {
		err = s.writeStream()
	}
	var said natsAPIError
	var refused refusal
	var strange notNATS
	switch {
	case err == nil:
		return wrote(t)
	case errors.As(err, &said) && said.denied():
		return notAsked(t, "%s", said.words(t))
	case errors.As(err, &said):
		return refusedWrite(t, said.full(), said.words(t))
	case errors.As(err, &refused):
		return refusedWrite(t, false, refused.words)
	case errors.As(err, &strange):
		return dead(t, "answered something that is not NATS: %s", quote(t, []byte(strange)))
	}
	return readFailed(ctx, t, err, c.got, c.limit)
}

func (s *natsSession) writeStream() error {
	config, err := json.Marshal(map[string]any{
		"name": writeName, "subjects": []string{writeName}, "storage": "file", "retention": "limits", "discard": "old", "max_msgs": 1, "num_replicas": 1,
		"description": "Made by uws to check that there is room to write, and deleted at once.",
	})
	if err != nil {
		return err
	}
	if err := s.jetStream("$JS.API.STREAM.CREATE."+writeName, config); err != nil {
		return err // and leaves nothing behind
	}
	written := s.jetStream(writeName, incompressible())
	deleted := s.jetStream("$JS.API.STREAM.DELETE."+writeName, nil)
	if written != nil {
		return written
	}
	return deleted
}

// jetStream sends a request to JetStream and waits for the reply.
func (s *natsSession) jetStream(subject string, body []byte) error {
	payload, err := s.request(subject, body)
	if err != nil {
		return err
	}
	var answer struct{ Error *natsAPIError }
	if err := json.Unmarshal(payload, &answer); err != nil {
		return notNATS(payload)
	}
	if answer.Error != nil {
		return *answer.Error
	}
	return nil
}

// natsAPIError is an error reply of JetStream.
type natsAPIError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e natsAPIError) Error() string { return e.Description }

func (e natsAPIError) words(t Target) string {
	return fmt.Sprintf("JetStream answers with an error: %s (%d)", quote(t, []byte(e.Description)), e.ErrCode)
}

// full reports whether there is no space: JetStream's storage limit is reached (10023, 10047), or the disk is full, for
// which there is only a text.
func (e natsAPIError) full() bool {
	return e.ErrCode == 10023 || e.ErrCode == 10047 || strings.Contains(e.Description, "no space left")
}

// denied reports whether the account cannot have another stream: its limit is reached (10026, 10027), or a stream of a
// user takes all subjects (10065).
func (e natsAPIError) denied() bool {
	return e.ErrCode == 10026 || e.ErrCode == 10027 || e.ErrCode == 10065
}
