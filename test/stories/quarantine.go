package stories

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// publisher is where a database subscribes to changes: it counts connections, and closes them.
type publisher struct {
	*testing.T
	net.Listener
	connected chan struct{}
}

func publish(t *testing.T) *publisher {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &publisher{t, l, make(chan struct{}, 1000)}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
			p.connected <- struct{}{}
		}
	}()
	return p
}

// forget forgets connections, and returns how many there were.
func (p *publisher) forget() (n int) {
	for {
		select {
		case <-p.connected:
			n++
		default:
			return n
		}
	}
}

func (p *publisher) await(who string) {
	p.Helper()
	select {
	case <-p.connected:
	case <-time.After(uwstest.Patience):
		p.Fatalf("%s does not follow its subscription", who)
	}
}

// HeldBack returns what a service in quarantine is kept from, empty if it is in none.
func HeldBack(t *testing.T, p *uwstest.Process, id string) string {
	t.Helper()
	var out struct {
		Service struct {
			Quarantined    bool
			HeldBack       string
			AllowedActions []string
		}
	}
	if err := p.Query(t.Context(), `query($i: ID!) { service(id: $i) { quarantined heldBack allowedActions } }`, map[string]any{"i": id}, &out); err != nil {
		t.Fatal(err)
	}
	s := out.Service
	if offered := strings.Contains(fmt.Sprint(s.AllowedActions), "END_QUARANTINE"); s.Quarantined != (s.HeldBack != "") || s.Quarantined != offered {
		t.Errorf("%+v", s)
	}
	return s.HeldBack
}

// EndQuarantine lets a service act on others.
func EndQuarantine(t *testing.T, p *uwstest.Process, id string) {
	t.Helper()
	if err := p.Do(t.Context(), "endQuarantine", id); err != nil {
		t.Fatal(err)
	}
	if now := HeldBack(t, p, id); now != "" {
		t.Errorf("it is still in quarantine: %s", now)
	}
}

// launchers returns how many processes a database has that start those of subscriptions.
func launchers(t *testing.T, s *uwstest.Service, keys map[string]string) (n int) {
	t.Helper()
	c, err := PostgresConnect(t.Context(), s.Endpoint, keys)
	if err == nil {
		err = c.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'logical replication launcher'").Scan(&n)
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close(t.Context())
	return n
}

// QuarantinedDB restores a database whose user is a superuser and that follows a subscription. The copy does not until
// its quarantine is ended, whatever happens to it. host is where its engine runs.
func QuarantinedDB(t *testing.T, p *uwstest.Process, host Host, s *uwstest.Service, folder string) {
	t.Helper()
	keys, err := p.Credentials(t.Context(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	source := publish(t)
	at := source.Addr().(*net.TCPAddr)
	execAll(t, s, keys, "postgres",
		fmt.Sprintf("CREATE SUBSCRIPTION follows CONNECTION 'host=%s port=%d user=cat password=meow' PUBLICATION cats WITH (connect = false, slot_name = 'cats')", at.IP, at.Port),
		"ALTER SUBSCRIPTION follows ENABLE")
	source.await("the database")
	target, _ := Target(t, p, "disk", folder)
	b := BackUp(t, p, s.ID, target)
	Remove(t, p, s.ID, "DELETE")
	source.forget()

	copied := RestoreBackup(t, p, b.ID, "copy")
	if text := HeldBack(t, p, copied.ID); !strings.Contains(text, "subscriptions") {
		t.Errorf("what is held back: %q", text)
	}
	quiet := func(when string, s *uwstest.Service) {
		t.Helper()
		if n := launchers(t, s, keys); n != 0 || HeldBack(t, p, s.ID) == "" {
			t.Errorf("%s: %d processes start those of subscriptions", when, n)
		}
	}
	quiet("restored", copied)
	Signal(t, host, copied.ID, 9)
	quiet("after a crash", Healthy(t, p, copied.ID, 1))
	was, err := host.EnginePID(copied.ID)
	if err == nil {
		err = p.Do(t.Context(), "restartService", copied.ID)
	}
	if err == nil {
		err = uwstest.Until(t.Context(), "the copy is restarted", func() (bool, error) {
			pid, err := host.EnginePID(copied.ID)
			return pid != 0 && pid != was, err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	quiet("after a restart", Healthy(t, p, copied.ID, 1))
	Remove(t, p, copied.ID, "RETAIN")
	copied = Launch(t, p, "DB", "copy", map[string]any{"reattach": Retained(t, p)[0]})
	quiet("reattached", copied)
	if n := source.forget(); n > 0 {
		t.Errorf("%d connections from quarantine", n)
	}

	EndQuarantine(t, p, copied.ID)
	source.await("the copy")
	EndQuarantine(t, p, copied.ID) // again
	if n := launchers(t, Healthy(t, p, copied.ID, 0), keys); n != 1 {
		t.Errorf("%d processes start those of subscriptions", n)
	}
	Remove(t, p, copied.ID, "DELETE")
	source.forget()
	open := restoreAs(t, p, b.ID, map[string]any{"name": "open", "quarantine": false})
	source.await("a copy without quarantine")
	if HeldBack(t, p, open.ID) != "" {
		t.Error("it is in quarantine")
	}
}

// queue is a connection to a queue.
type queue struct {
	*testing.T
	jetstream.JetStream
}

func queueOf(t *testing.T, p *uwstest.Process, s *uwstest.Service) queue {
	t.Helper()
	keys, err := p.Credentials(t.Context(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	nc, js, err := natsConnect(s.Endpoint, keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return queue{t, js}
}

func (q queue) info(name string) *jetstream.StreamInfo {
	q.Helper()
	s, err := q.Stream(q.Context(), name)
	if err != nil {
		q.Fatal(err)
	}
	return s.CachedInfo()
}

// await waits until a stream has so many messages.
func (q queue) await(name string, messages uint64) {
	q.Helper()
	err := uwstest.Until(q.Context(), fmt.Sprintf("%s has %d messages", name, messages), func() (bool, error) { return q.info(name).State.Msgs == messages, nil })
	if err != nil {
		q.Fatal(err)
	}
}

func (q queue) publish() {
	q.Helper()
	if _, err := q.Publish(q.Context(), "from", []byte("meow")); err != nil {
		q.Fatal(err)
	}
}

// LinkedStreams makes a stream, a mirror of it, and one that has it as a source. Both hold ten messages that the stream itself
// does not have any more.
func LinkedStreams(t *testing.T, p *uwstest.Process, s *uwstest.Service) {
	t.Helper()
	q := queueOf(t, p, s)
	for _, c := range []jetstream.StreamConfig{
		{Name: "FROM", Subjects: []string{"from"}}, {Name: "COPY", Mirror: &jetstream.StreamSource{Name: "FROM"}},
		{Name: "ALL", Sources: []*jetstream.StreamSource{{Name: "FROM"}}},
	} {
		if _, err := q.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		q.publish()
	}
	q.await("COPY", 10)
	q.await("ALL", 10)
	from, err := q.Stream(t.Context(), "FROM")
	if err == nil {
		err = from.Purge(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// WantLinked fails unless the streams of LinkedStreams hold what they held, and take messages again.
func WantLinked(t *testing.T, p *uwstest.Process, s *uwstest.Service) {
	t.Helper()
	q := queueOf(t, p, s)
	before := q.info("COPY").State
	if before.FirstSeq != 1 || before.Msgs < 10 {
		t.Errorf("the mirror has %+v", before)
	}
	all := q.info("ALL").State.Msgs
	q.publish()
	q.await("COPY", before.Msgs+1)
	q.await("ALL", all+1)
}

// QuarantinedQueue restores a queue with streams that take messages from others. Those of the copy do not until its
// quarantine is ended, also if it is a copy of a copy.
func QuarantinedQueue(t *testing.T, p *uwstest.Process, folder string) {
	t.Helper()
	original := Launch(t, p, "QUEUE", "orders", nil)
	LinkedStreams(t, p, original)
	target, _ := Target(t, p, "disk", folder)
	copied := RestoreBackup(t, p, BackUp(t, p, original.ID, target).ID, "copy")
	again := RestoreBackup(t, p, BackUp(t, p, copied.ID, target).ID, "again")
	for _, s := range []*uwstest.Service{copied, again} {
		if text := HeldBack(t, p, s.ID); !strings.Contains(text, "ALL, COPY") {
			t.Errorf("what is held back: %q", text)
		}
		if plan, err := Swap(t, p, original.ID, s.ID, false); err != nil || !strings.Contains(fmt.Sprint(plan.Warnings), "is in quarantine") {
			t.Errorf("the plan of an exchange: %+v, %v", plan, err)
		}
		q := queueOf(t, p, s)
		for _, name := range []string{"COPY", "ALL"} {
			if info := q.info(name); info.Config.Mirror != nil || info.Config.Sources != nil || info.State.Msgs != 10 {
				t.Errorf("%+v", info)
			}
		}
		EndQuarantine(t, p, s.ID)
		WantLinked(t, p, s)
	}
	WantLinked(t, p, original)
	plain := Launch(t, p, "QUEUE", "plain", nil)
	if text := HeldBack(t, p, RestoreBackup(t, p, BackUp(t, p, plain.ID, target).ID, "plain-copy").ID); text != "" {
		t.Errorf("a queue without such streams: %q", text)
	}
}

// RestartedByEndOfQuarantine restores a database. Its engine is started with settings of its own after quarantine, with the same data.
func RestartedByEndOfQuarantine(t *testing.T, p *uwstest.Process, folder string) {
	t.Helper()
	s := Launch(t, p, "DB", "shop", nil)
	keys, err := p.Credentials(t.Context(), s.ID)
	if err == nil {
		err = Postgres.Write(t.Context(), s.Endpoint, keys, "meow")
	}
	if err != nil {
		t.Fatal(err)
	}
	target, _ := Target(t, p, "disk", folder)
	copied := RestoreBackup(t, p, BackUp(t, p, s.ID, target).ID, "copy")
	workers := func() (n string, err error) {
		c, err := PostgresConnect(t.Context(), copied.Endpoint, keys)
		if err != nil {
			return "", err
		}
		defer c.Close(t.Context())
		err = c.QueryRow(t.Context(), "SHOW max_logical_replication_workers").Scan(&n)
		return n, err
	}
	if n, err := workers(); err != nil || n != "0" || HeldBack(t, p, copied.ID) == "" {
		t.Errorf("in quarantine %s processes may follow subscriptions (%v)", n, err)
	}
	EndQuarantine(t, p, copied.ID)
	err = uwstest.Until(t.Context(), "the copy has its own settings", func() (bool, error) {
		n, err := workers()
		return err == nil && n != "0", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := Postgres.Read(t.Context(), copied.Endpoint, keys); err != nil || text != "meow" {
		t.Errorf("the copy has %q (%v)", text, err)
	}
}
