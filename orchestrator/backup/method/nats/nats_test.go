package nats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// TestSaveAndLoad saves streams of every sort, and reads them back from another server.
func TestSaveAndLoad(t *testing.T) {
	s, ctx := launch(t), t.Context()
	orders := s.stream(jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}})
	s.publish("orders.eu", 5000)
	if err := errors.Join(orders.DeleteMsg(ctx, 1), orders.DeleteMsg(ctx, 77)); err != nil {
		t.Fatal(err)
	}
	billing, err := orders.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "billing", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := billing.Fetch(100)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for m := range batch.Messages() {
		if n++; n == 50 {
			continue // is delivered again after a restore
		}
		if err := m.DoubleAck(ctx); err != nil {
			t.Fatal(err)
		}
	}
	s.stream(jetstream.StreamConfig{Name: "Größe-✓:#1", Subjects: []string{"odd"}, Storage: jetstream.MemoryStorage})
	s.publish("odd", 10)
	s.stream(jetstream.StreamConfig{Name: "EMPTY", Subjects: []string{"empty"}})
	purged := s.stream(jetstream.StreamConfig{Name: "PURGED", Subjects: []string{"purged"}})
	s.publish("purged", 10)
	if err := purged.Purge(ctx); err != nil {
		t.Fatal(err)
	}
	s.stream(jetstream.StreamConfig{Name: writeCheck, Subjects: []string{writeCheck}})
	s.stream(jetstream.StreamConfig{Name: "COPY", Mirror: &jetstream.StreamSource{Name: "ORDERS"}})
	s.stream(jetstream.StreamConfig{Name: "ALL", Sources: []*jetstream.StreamSource{{Name: "ORDERS"}, {Name: "PURGED"}}})
	kv, err := s.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "settings", History: 3})
	if err == nil {
		_, err = kv.PutString(ctx, "colour", "blue")
	}
	if err == nil {
		_, err = kv.PutString(ctx, "colour", "grün")
	}
	if err != nil {
		t.Fatal(err)
	}
	files, err := s.js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: "files"})
	big := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	if err == nil {
		_, err = files.PutBytes(ctx, "big", big)
	}
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, s, "ALL", 4998)
	waitFor(t, s, "COPY", 4998)

	var archive bytes.Buffer
	var last int64
	saved, err := Method{}.Save(ctx, s.at, &archive, func(n int64) { last = n })
	if err != nil {
		t.Fatal(err)
	}
	size, err := Method{}.Size(ctx, s.at)
	if err != nil || size < 3_000_000 || last == 0 {
		t.Errorf("%d, %v, %d", size, err, last)
	}
	if len(saved.Contents.Groups) != 8 {
		t.Errorf("%+v", saved.Contents)
	}

	other := launch(t)
	if err := (Method{}).Load(ctx, other.at, bytes.NewReader(archive.Bytes()), nil); err != nil {
		t.Fatal(err)
	}
	checked(t, other, saved)
	for _, name := range []string{"ORDERS", "Größe-✓:#1", "PURGED", "COPY", "KV_settings", "OBJ_files"} {
		if got, want := other.info(name), s.info(name); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	again, err := other.js.Stream(ctx, "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.GetMsg(ctx, 77); !errors.Is(err, jetstream.ErrMsgNotFound) {
		t.Error(err)
	}
	if m, err := again.GetMsg(ctx, 78); err != nil || string(m.Data) != "message 77" {
		t.Errorf("%+v, %v", m, err)
	}
	consumer, err := again.Consumer(ctx, "billing")
	if err != nil {
		t.Fatal(err)
	}
	info, err := consumer.Info(ctx)
	if err != nil || info.NumPending != 4898 || info.NumAckPending != 1 || info.AckFloor.Stream == 0 {
		t.Errorf("%+v, %v", info, err)
	}
	if kv, err = other.js.KeyValue(ctx, "settings"); err != nil {
		t.Fatal(err)
	}
	if v, err := kv.Get(ctx, "colour"); err != nil || string(v.Value()) != "grün" {
		t.Errorf("%v, %v", v, err)
	}
	if files, err = other.js.ObjectStore(ctx, "files"); err != nil {
		t.Fatal(err)
	}
	if got, err := files.GetBytes(ctx, "big"); err != nil || !bytes.Equal(got, big) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	err = Method{}.Load(ctx, other.at, bytes.NewReader(archive.Bytes()), nil)
	if _, ok := errors.AsType[*method.NotEmptyError](err); !ok || len(other.names()) != 8 {
		t.Errorf("%v, %q", err, other.names())
	}
}

// info returns what of a stream must be equal after a restore.
func (s *server) info(name string) any {
	s.t.Helper()
	stream, err := s.js.Stream(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	info := stream.CachedInfo()
	return []any{info.Config, info.State.Msgs, info.State.Bytes, info.State.FirstSeq, info.State.LastSeq, info.State.Consumers}
}

// waitFor waits until a stream that takes messages from others has as many.
func waitFor(t *testing.T, s *server, name string, messages uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		stream, err := s.js.Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if stream.CachedInfo().State.Msgs >= messages {
			return
		}
	}
}

func TestNoStreams(t *testing.T) {
	s, other := launch(t), launch(t)
	archive, saved := s.save()
	if err := (Method{}).Load(t.Context(), other.at, bytes.NewReader(archive), nil); err != nil || len(saved.Contents.Groups) > 0 {
		t.Errorf("%v, %+v", err, saved)
	}
	checked(t, other, saved)
}

// TestSaveWhilePublishing saves 200,000 messages while more are published.
func TestSaveWhilePublishing(t *testing.T) {
	s := launch(t)
	s.stream(jetstream.StreamConfig{Name: "BUSY", Subjects: []string{"busy"}})
	s.publish("busy", 200_000)
	ctx, stop := context.WithCancel(t.Context())
	var publishing sync.WaitGroup
	var published int
	publishing.Go(func() {
		for ctx.Err() == nil {
			if _, err := s.js.Publish(ctx, "busy", []byte("more")); err == nil {
				published++
			}
		}
	})
	began := time.Now()
	archive, saved := s.save()
	took := time.Since(began)
	stop()
	publishing.Wait()
	t.Logf("%d bytes in %s, while %d more were published", len(archive), took, published)
	group := saved.Contents.Groups[0]
	if group.Count < 200_000 || uint64(group.Count) != group.LastSequence || published == 0 {
		t.Errorf("%+v", group)
	}
	other := launch(t)
	began = time.Now()
	if err := (Method{}).Load(t.Context(), other.at, bytes.NewReader(archive), nil); err != nil {
		t.Fatal(err)
	}
	t.Logf("loaded in %s", time.Since(began))
	checked(t, other, saved)
	stream, err := other.js.Stream(t.Context(), "BUSY")
	if err == nil {
		err = stream.DeleteMsg(t.Context(), 5)
	}
	if err != nil {
		t.Fatal(err)
	}
	checked(t, other, saved, fmt.Sprintf("stream BUSY: has %d messages, and %d were saved", group.Count-1, group.Count))
	if err := other.js.DeleteStream(t.Context(), "BUSY"); err != nil {
		t.Fatal(err)
	}
	checked(t, other, saved, "stream BUSY is missing")
}
