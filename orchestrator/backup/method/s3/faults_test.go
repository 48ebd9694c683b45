package s3

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// cut stands between clients and a server, and closes one connection once that many bytes were answered, after it has
// called then.
func cut(t *testing.T, to method.Instance, after int64, then func()) method.Instance {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	var answered atomic.Int64
	var once sync.Once
	address := to.Address
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer client.Close()
				server, err := net.Dial("tcp", address)
				if err != nil {
					return
				}
				defer server.Close()
				go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
				buffer := make([]byte, 32<<10)
				for {
					n, err := server.Read(buffer)
					if _, werr := client.Write(buffer[:n]); err != nil || werr != nil {
						return
					}
					if answered.Add(int64(n)) > after {
						ended := false
						once.Do(func() { then(); ended = true })
						if ended {
							return
						}
					}
				}
			})
		}
	})
	to.Address = l.Addr().String()
	return to
}

// TestConnectionBreaks breaks the connection while a large object is read, which may be replaced or deleted at that moment.
func TestConnectionBreaks(t *testing.T) {
	old, fresh := bytes.Repeat([]byte("old "), 5_000_000), bytes.Repeat([]byte("fresh "), 4_000_000)
	for name, tt := range map[string]struct {
		then func(*server)
		want []byte
	}{
		"goes on":  {func(*server) {}, old},
		"replaced": {func(s *server) { s.put("things", "large", fresh, minio.PutObjectOptions{DisableMultipart: true}) }, fresh},
		"deleted": {func(s *server) {
			if err := s.RemoveObject(context.Background(), "things", "large", minio.RemoveObjectOptions{}); err != nil {
				s.t.Error(err)
			}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, other := launch(t), launch(t)
			s.bucket("things")
			s.put("things", "large", old, minio.PutObjectOptions{DisableMultipart: true})
			s.put("things", "small", []byte("small"), minio.PutObjectOptions{})
			var archive bytes.Buffer
			saved, err := Method{}.Save(t.Context(), cut(t, s.at, 10<<20, func() { tt.then(s) }), &archive, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := (Method{}).Load(t.Context(), other.at, bytes.NewReader(archive.Bytes()), nil); err != nil {
				t.Fatal(err)
			}
			checked(t, other, saved)
			object, err := other.GetObject(t.Context(), "things", "large", minio.GetObjectOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(object)
			if !bytes.Equal(got, tt.want) || (err != nil) != (tt.want == nil) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

// TestDoubtful changes a file behind the server's back.
func TestDoubtful(t *testing.T) {
	s := launch(t)
	s.bucket("things")
	s.put("things", "small", []byte("content"), minio.PutObjectOptions{})
	s.put("things", "large", make([]byte, 10<<20), minio.PutObjectOptions{DisableMultipart: true})
	for _, name := range []string{"small", "large"} {
		f, err := os.OpenFile(s.dir+"/things/"+name, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("C"), 0); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	archive, saved := s.save()
	other := launch(t)
	if err := (Method{}).Load(t.Context(), other.at, bytes.NewReader(archive), nil); err != nil {
		t.Fatal(err)
	}
	checked(t, other, saved)
	var details Details
	if err := json.Unmarshal(saved.Details, &details); err != nil || strings.Join(details.Doubtful, " ") != "things/large things/small" || saved.Contents.Groups[0].Count != 2 {
		t.Errorf("%+v, %v", details, saved.Contents)
	}
}

func TestLoadRefusesDamage(t *testing.T) {
	s, other := launch(t), launch(t)
	s.bucket("first")
	s.put("first", "object", []byte("content"), minio.PutObjectOptions{})
	s.bucket("second")
	s.put("second", "object", bytes.Repeat([]byte("content"), 1000), minio.PutObjectOptions{})
	whole, _ := s.save()
	for name, damaged := range map[string][]byte{
		"cut":             whole[:len(whole)-5000],
		"without its end": whole[:len(whole)-1024],
		"empty":           nil,
		"nonsense":        bytes.Repeat([]byte("nonsense"), 1000),
		"another format":  bytes.Replace(whole, []byte(`{"format":1}`), []byte(`{"format":2}`), 1),
		"content":         bytes.Replace(whole, []byte("contentcontent"), []byte("contentCONTENT"), 1),
		"a record":        bytes.Replace(whole, []byte(`{"key":"object"`), []byte(`{"key":object"`+`"`), 1),
		"no bucket":       bytes.Replace(whole, []byte("buckets/second/bucket.json"), []byte("buckets/second/buckeX.json"), 1),
	} {
		err := Method{}.Load(t.Context(), other.at, bytes.NewReader(damaged), nil)
		if _, ok := errors.AsType[*method.DamagedError](err); !ok || other.buckets() > 0 {
			t.Errorf("%s: %v, and leaves %d buckets", name, err, other.buckets())
		}
	}
}

// hooked calls a function once a number of bytes were written or read.
type hooked struct {
	io.Reader
	left int
	then func() error
}

func (h *hooked) pass(n int) error {
	if h.left -= n; h.left < 0 && h.then != nil {
		then := h.then
		h.then = nil
		return then()
	}
	return nil
}

func (h *hooked) Write(b []byte) (int, error) { return len(b), h.pass(len(b)) }

func (h *hooked) Read(b []byte) (int, error) {
	if err := h.pass(len(b)); err != nil {
		return 0, err
	}
	return h.Reader.Read(b)
}

func TestEnds(t *testing.T) {
	s := launch(t)
	s.bucket("things")
	s.put("things", "in parts", make([]byte, 40<<20), minio.PutObjectOptions{PartSize: 10 << 20})
	s.put("things", "large", make([]byte, 40<<20), minio.PutObjectOptions{DisableMultipart: true})
	whole, _ := s.save()
	full := errors.New("no room")
	hasty := Method{Silence: 500 * time.Millisecond}
	for name, tt := range map[string]struct {
		then func(s *server, cancel func()) error
		want error
		half int
	}{
		"the other side fails":           {func(*server, func()) error { return full }, full, 60 << 20},
		"the other side fails, in parts": {func(*server, func()) error { return full }, full, 30 << 20},
		"cancelled":                      {func(_ *server, cancel func()) error { cancel(); return nil }, context.Canceled, 60 << 20},
		"the server hangs":               {func(s *server, _ func()) error { return s.cmd.Process.Signal(syscall.SIGSTOP) }, method.ErrSilent, 60 << 20},
		"the server is killed":           {func(s *server, _ func()) error { return s.cmd.Process.Kill() }, nil, 60 << 20},
	} {
		t.Run("load: "+name, func(t *testing.T) {
			other := launch(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := hasty.Load(ctx, other.at, &hooked{bytes.NewReader(whole), tt.half, func() error { return tt.then(other, cancel) }}, nil)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if errors.Is(tt.want, full) || errors.Is(tt.want, context.Canceled) {
				if left := other.buckets(); left > 0 {
					t.Errorf("left %d buckets", left)
				}
			}
			_ = other.cmd.Process.Signal(syscall.SIGCONT)
		})
		t.Run("save: "+name, func(t *testing.T) {
			other := launch(t)
			if err := (Method{}).Load(t.Context(), other.at, bytes.NewReader(whole), nil); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err := hasty.Save(ctx, other.at, &hooked{nil, tt.half, func() error { return tt.then(other, cancel) }}, nil)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			_ = other.cmd.Process.Signal(syscall.SIGCONT)
		})
	}
}

// TestNotAServer is about addresses where something else answers, or nothing does.
func TestNotAServer(t *testing.T) {
	endless := func(c net.Conn, begin, more string) {
		for _, err := io.WriteString(c, begin); err == nil; _, err = io.WriteString(c, more) {
		}
	}
	for name, behave := range map[string]func(net.Conn){
		"silent":          func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"nonsense":        func(c net.Conn) { _, _ = io.WriteString(c, strings.Repeat("nonsense\n", 10_000)) },
		"endless headers": func(c net.Conn) { endless(c, "HTTP/1.1 200 OK\r\n", "X: "+strings.Repeat("x", 1000)+"\r\n") },
		"endless buckets": func(c net.Conn) {
			endless(c, "HTTP/1.1 200 OK\r\n\r\n<ListAllMyBucketsResult><Buckets>", strings.Repeat("<Bucket><Name>abc</Name></Bucket>", 100))
		},
		"closes": func(net.Conn) {},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			t.Cleanup(func() { _ = l.Close(); all.Wait() })
			all.Go(func() {
				for c, err := l.Accept(); err == nil; c, err = l.Accept() {
					all.Go(func() { behave(c); _ = c.Close() })
				}
			})
			at := method.Instance{Address: l.Addr().String(), Credentials: map[string]string{"accessKey": "u", "secretKey": "p"}}
			if _, err = (Method{Silence: 200 * time.Millisecond}).Save(t.Context(), at, io.Discard, nil); err == nil {
				t.Error("no error")
			}
		})
	}
}
