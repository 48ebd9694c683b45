package nats

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// Check reads every message of the restored streams, with their checksums, and compares the number of messages, the first
// and the last sequence, and the durable consumers and their ack floors. A stream whose messages expire, or that takes
// messages from others, may have lost or got some.
func (m Method) Check(ctx context.Context, restored method.Instance, expected method.Saved) (method.Report, error) {
	began := time.Now()
	s, err := m.connect(ctx, restored)
	if err != nil {
		return method.Report{}, err
	}
	defer s.close()
	var report method.Report
	var messages, consumers int64
	for _, want := range expected.Contents.Groups {
		got, err := s.read(ctx, want.Name)
		if isCode(err, errStreamNotFound) {
			report.Fail(fmt.Sprintf("stream %s is missing", want.Name))
			continue
		}
		if err != nil {
			return report, fmt.Errorf("stream %s: %w", want.Name, err)
		}
		compare(&report, want, got)
		messages += got.Count
		consumers += int64(len(want.Consumers))
	}
	report.Add("streams", int64(len(expected.Contents.Groups)))
	report.Add("messages read with checksums", messages)
	report.Add("consumers", consumers)
	report.Duration = time.Since(began)
	return report, nil
}

// read reads a stream by a snapshot.
func (s *session) read(ctx context.Context, name string) (method.Group, error) {
	reader, writer := io.Pipe()
	type result struct {
		group method.Group
		err   error
	}
	done := make(chan result, 1)
	go func() {
		group, _, _, err := inspect(reader)
		_ = reader.CloseWithError(err)
		done <- result{group, err}
	}()
	_, err := s.snapshot(ctx, name, writer, func(int) {})
	_ = writer.CloseWithError(err) // nil is the end
	inspected := <-done
	if err != nil {
		return method.Group{}, err
	}
	return inspected.group, inspected.err
}

// compare records the differences of a stream.
func compare(report *method.Report, want, got method.Group) {
	fail := func(format string, args ...any) {
		report.Fail("stream " + want.Name + ": " + fmt.Sprintf(format, args...))
	}
	if got.Count != want.Count && !want.Changes {
		fail("has %d messages, and %d were saved", got.Count, want.Count)
	}
	if max(1, got.FirstSequence) != max(1, want.FirstSequence) && !want.Changes { // 0: nothing was ever published
		fail("begins at sequence %d, and what was saved at %d", got.FirstSequence, want.FirstSequence)
	}
	if got.LastSequence != want.LastSequence && (!want.Changes || got.LastSequence < want.LastSequence) {
		fail("ends at sequence %d, and what was saved at %d", got.LastSequence, want.LastSequence)
	}
	floors := map[string]uint64{}
	for _, c := range got.Consumers {
		floors[c.Name] = c.AckFloor
	}
	for _, c := range want.Consumers {
		floor, ok := floors[c.Name]
		switch {
		case !ok:
			fail("consumer %s is missing", c.Name)
		case floor != c.AckFloor && !want.Changes:
			fail("consumer %s has acknowledged up to %d, and had up to %d", c.Name, floor, c.AckFloor)
		}
	}
}
