package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// kinds are launched in turn. There is a client for each.
var kinds = []string{"BUCKET", "QUEUE"}

// client is a stock client of one service.
type client interface {
	write(ctx context.Context, key, value string) error // returns when the engine has acknowledged it
	read(ctx context.Context, key string) (string, error)
}

const writeTimeout = 5 * time.Second

// write writes a value to a service in a goroutine. The engine may be killed meanwhile: only acknowledged values count.
func (s *soak) write() bool {
	sl := s.one(running)
	if sl == nil {
		return false
	}
	p, id := s.process(), sl.id
	s.writes.Go(func() {
		ctx, cancel := context.WithTimeout(s.t.Context(), writeTimeout)
		defer cancel()
		sl.mu.Lock()
		defer sl.mu.Unlock()
		if id != sl.id {
			return // launched again meanwhile
		}
		_ = sl.put(ctx, p)
	})
	return true
}

// put writes another value. The slot's lock is held.
func (sl *slot) put(ctx context.Context, p *uwstest.Process) error {
	if err := sl.connect(ctx, p); err != nil {
		return err
	}
	sl.serial++
	key, value := fmt.Sprintf("key-%d", sl.serial), fmt.Sprintf("%s wrote this as number %d", sl.name, sl.serial)
	if err := sl.client.write(ctx, key, value); err != nil {
		return err
	}
	sl.written[key] = value
	return nil
}

// connect makes a client for the service in the slot, unless there is one.
func (sl *slot) connect(ctx context.Context, p *uwstest.Process) error {
	if sl.client != nil {
		return nil
	}
	service, err := p.Service(ctx, sl.id)
	if err != nil {
		return err
	}
	if service == nil || service.Health != "HEALTHY" { // until then its port may change
		return errors.New("not healthy")
	}
	keys, err := p.Credentials(ctx, sl.id)
	if err != nil {
		return err
	}
	switch sl.kind {
	case "BUCKET":
		sl.client, err = newBucket(service.Endpoint, keys)
	case "QUEUE":
		sl.client = &queue{endpoint: service.Endpoint, keys: keys}
	}
	return err
}

// readBack waits until all acknowledged values can be read.
func (s *soak) readBack(sl *slot) {
	s.t.Helper()
	sl.mu.Lock()
	defer sl.mu.Unlock()
	for key, want := range sl.written {
		var got string
		err := uwstest.Until(s.t.Context(), "reading "+key, func() (bool, error) {
			ctx, cancel := context.WithTimeout(s.t.Context(), writeTimeout)
			defer cancel()
			err := sl.connect(ctx, s.process())
			if err == nil {
				got, err = sl.client.read(ctx, key)
			}
			return err == nil, nil
		})
		if err != nil || got != want {
			s.t.Errorf("%s: %s of %d is %q, want %q: %v", sl.name, key, len(sl.written), got, want, err)
		}
	}
}

const bucketName = "soak"

type bucket struct{ c *minio.Client }

func newBucket(endpoint string, keys map[string]string) (client, error) {
	c, err := minio.New(strings.TrimPrefix(endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(keys["accessKey"], keys["secretKey"], ""), Region: "us-east-1", MaxRetries: 1})
	return bucket{c}, err
}

func (b bucket) write(ctx context.Context, key, value string) error {
	if err := b.c.MakeBucket(ctx, bucketName, minio.MakeBucketOptions{}); err != nil &&
		minio.ToErrorResponse(err).Code != "BucketAlreadyOwnedByYou" {
		return err
	}
	_, err := b.c.PutObject(ctx, bucketName, key, strings.NewReader(value), int64(len(value)), minio.PutObjectOptions{})
	return err
}

func (b bucket) read(ctx context.Context, key string) (string, error) {
	o, err := b.c.GetObject(ctx, bucketName, key, minio.GetObjectOptions{})
	if err != nil {
		return "", err
	}
	defer o.Close()
	text, err := io.ReadAll(o)
	return string(text), err
}

// queue connects for each call, so that no connection is left open to a service that is gone.
type queue struct {
	endpoint string
	keys     map[string]string
}

func (q *queue) with(use func(jetstream.JetStream) error) error {
	nc, err := nats.Connect(q.endpoint, nats.UserInfo(q.keys["user"], q.keys["password"]), nats.Timeout(writeTimeout), nats.NoReconnect())
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return use(js)
}

func (q *queue) write(ctx context.Context, key, value string) error {
	return q.with(func(js jetstream.JetStream) error {
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "soak", Subjects: []string{"soak.>"}}); err != nil {
			return err
		}
		_, err := js.Publish(ctx, "soak."+key, []byte(value))
		return err
	})
}

func (q *queue) read(ctx context.Context, key string) (string, error) {
	var text string
	err := q.with(func(js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, "soak")
		if err != nil {
			return err
		}
		m, err := stream.GetLastMsgForSubject(ctx, "soak."+key)
		if err == nil {
			text = string(m.Data)
		}
		return err
	})
	return text, err
}
