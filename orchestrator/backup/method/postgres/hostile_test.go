package postgres

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// between stands between clients and a server. It passes each message of the server's replication connections through
// change, which returns what is sent instead, and whether to go on.
func between(t *testing.T, to method.Instance, change func(n int, message []byte) (instead []byte, on bool)) method.Instance {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	address := to.Address
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { relay(client, address, change) })
		}
	})
	to.Address = l.Addr().String()
	return to
}

func relay(client net.Conn, address string, change func(int, []byte) ([]byte, bool)) {
	defer client.Close()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer server.Close()
	first := make([]byte, 4<<10)
	n, err := client.Read(first)
	if err != nil {
		return
	}
	if _, err := server.Write(first[:n]); err != nil {
		return
	}
	go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
	if !bytes.Contains(first[:n], []byte("replication")) {
		_, _ = io.Copy(client, server)
		return
	}
	in := bufio.NewReader(server)
	for n := 0; ; n++ {
		head, err := in.Peek(5)
		if err != nil {
			return
		}
		message := make([]byte, 1+binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(in, message); err != nil {
			return
		}
		instead, on := change(n, message)
		if _, err := client.Write(instead); err != nil || !on {
			return
		}
	}
}

// wire returns a message of PostgreSQL.
func wire(kind byte, body string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4)), body...)
}

func TestHostileServers(t *testing.T) {
	s := launch(t)
	s.exec("postgres", `CREATE TABLE big AS SELECT repeat('x', 1000) AS a FROM generate_series(1, 20000)`)
	flipped := false
	const data = 300 // messages, after which the data flows
	for name, tt := range map[string]struct {
		change func(n int, message []byte) ([]byte, bool)
		want   string
	}{
		"a flipped bit": {func(n int, m []byte) ([]byte, bool) {
			if n >= data && len(m) > 20_000 && !flipped {
				m[len(m)/2], flipped = m[len(m)/2]^1, true
			}
			return m, true
		}, "does not have the checksum of the server's manifest"},
		"closes in the middle": {func(n int, m []byte) ([]byte, bool) { return m, n < data }, "unexpected EOF"},
		"speaks nonsense": {func(n int, m []byte) ([]byte, bool) {
			if n == data {
				return []byte(strings.Repeat("HTTP/1.1 400 Bad Request\r\n", 1000)), false
			}
			return m, true
		}, "receive message failed"},
		"a message without an end": {func(n int, m []byte) ([]byte, bool) {
			if n == data {
				return []byte{'d', 0x7f, 0xff, 0xff, 0xff, 'd'}, true
			}
			return m, true
		}, "receive message failed"},
		"endless notices": {func(n int, m []byte) ([]byte, bool) {
			if n == data {
				return bytes.Repeat(wire('N', "SNOTICE\x00Mbusy\x00\x00"), 20_000), true
			}
			return m, true
		}, "nothing but notices"},
		"endless progress": {func(n int, m []byte) ([]byte, bool) {
			if n == data {
				return bytes.Repeat(wire('d', "p\x00\x00\x00\x00\x00\x00\x00\x01"), 20_000), true
			}
			return m, true
		}, "messages without data"},
		"an archive that leads out": {func(n int, m []byte) ([]byte, bool) {
			return bytes.Replace(m, []byte("backup_label\x00"), []byte("../bad_label\x00"), 1), true
		}, "reading the server's archive"},
		"a piece is left out": {func(n int, m []byte) ([]byte, bool) {
			if n == data && m[0] == 'd' {
				return nil, true
			}
			return m, true
		}, ""},
		"no manifest": {func(n int, m []byte) ([]byte, bool) {
			if bytes.Contains(m, []byte(`"Manifest-Checksum"`)) {
				return bytes.ReplaceAll(m, []byte(`"Manifest-Checksum"`), []byte(`"Manifest-Nonsense"`)), true
			}
			return m, true
		}, "has no checksum at its end"},
	} {
		t.Run(name, func(t *testing.T) {
			at := between(t, s.at, tt.change)
			_, err := Method{Silence: 5 * time.Second}.Save(t.Context(), at, io.Discard, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// TestNotAServer is about addresses where something else answers, or nothing does.
func TestNotAServer(t *testing.T) {
	for name, behave := range map[string]func(net.Conn){
		"silent": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"nonsense": func(c net.Conn) {
			_, _ = io.WriteString(c, strings.Repeat("nonsense\n", 10_000))
			_, _ = io.Copy(io.Discard, c)
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
			at := method.Instance{Address: l.Addr().String(), Credentials: map[string]string{"user": "u", "password": "p", "adminUser": "a"}}
			_, err = Method{Silence: 200 * time.Millisecond}.Save(t.Context(), at, io.Discard, nil)
			if err == nil || name == "silent" && !errors.Is(err, method.ErrSilent) {
				t.Error(err)
			}
		})
	}
}

func TestPrepareRefusesDamage(t *testing.T) {
	s := launch(t)
	archive, _ := s.save()
	var without bytes.Buffer
	out := tar.NewWriter(&without)
	if err := errors.Join(out.WriteHeader(&tar.Header{Name: "PG_VERSION", Typeflag: tar.TypeReg}), out.Close()); err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(archive)
	flipped[0] ^= 1
	link := &bytes.Buffer{}
	out = tar.NewWriter(link)
	if err := errors.Join(out.WriteHeader(&tar.Header{Name: "pg_wal", Linkname: "/etc", Typeflag: tar.TypeSymlink}), out.Close()); err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{
		"cut": archive[:len(archive)/2], "without its end": archive[:len(archive)-1024], "empty": nil, "another archive": without.Bytes(), "a header": flipped, "a link": link.Bytes(),
	} {
		err := Prepare(bytes.NewReader(damaged), io.Discard, Restore{})
		if _, ok := errors.AsType[*method.DamagedError](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	full := errors.New("no room")
	if err := Prepare(bytes.NewReader(archive), &limited{1 << 20, func() error { return full }}, Restore{}); !errors.Is(err, full) {
		t.Error(err)
	}
}
