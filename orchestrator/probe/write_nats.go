package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

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
