package stories

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// Move is the move of a service as the API shows it.
type Move struct{ ID, State, Reason, ServiceID string }

// Moving begins to move a service, or says what that would do if confirm is false.
func Moving(ctx context.Context, p *uwstest.Process, id, node, target string, confirm bool) (move *Move, steps []string, err error) {
	var out struct {
		MoveService struct {
			Restore         *Move
			Steps, Warnings []string
		}
	}
	err = p.Query(ctx, `mutation($i: ID!, $n: ID!, $t: ID!, $c: Boolean!) { moveService(id: $i, nodeId: $n, targetId: $t, confirm: $c) { restore { id state reason serviceId } steps warnings } }`,
		map[string]any{"i": id, "n": node, "t": target, "c": confirm}, &out)
	return out.MoveService.Restore, slices.Concat(out.MoveService.Steps, out.MoveService.Warnings), err
}

// Moved waits until a move is over, and returns it.
func Moved(t *testing.T, p *uwstest.Process, id string) Move {
	t.Helper()
	var out struct{ Restore Move }
	err := uwstest.Until(t.Context(), "move "+id+" is over", func() (bool, error) {
		err := p.Query(t.Context(), `query($i: ID!) { restore(id: $i) { id state reason serviceId } }`, map[string]any{"i": id}, &out)
		return slices.Contains([]string{"COMPLETE", "FAILED", "CANCELLED"}, out.Restore.State), err
	})
	if err != nil {
		t.Fatalf("%v: %+v", err, out.Restore)
	}
	return out.Restore
}

// MoveService moves a service to another node.
func MoveService(t *testing.T, p *uwstest.Process, id, node, target string) {
	t.Helper()
	m, _, err := Moving(t.Context(), p, id, node, target, true)
	if err != nil {
		t.Fatal(err)
	}
	if got := Moved(t, p, m.ID); got.State != "COMPLETE" || got.ServiceID != id {
		t.Fatalf("the move is %+v", got)
	}
}

// NodeOf returns the id of the node that a service is on.
func NodeOf(t *testing.T, p *uwstest.Process, id string) string {
	t.Helper()
	var out struct {
		Service struct{ Node struct{ ID string } }
	}
	if err := p.Query(t.Context(), `query($i: ID!) { service(id: $i) { node { id } } }`, map[string]any{"i": id}, &out); err != nil {
		t.Fatal(err)
	}
	return out.Service.Node.ID
}

// ThereAndBack moves a service between two nodes: what was written is there each time, under its id and name and with its
// credentials, and its former data is retained.
func ThereAndBack(t *testing.T, p *uwstest.Process, e Engine, nodes [2]string, folder string) {
	t.Helper()
	ctx := t.Context()
	s := Launch(t, p, e.Kind, e.Template, map[string]any{"template": e.Template, "nodeId": nodes[0]})
	keys, err := p.Credentials(ctx, s.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Client.Write(ctx, s.Endpoint, keys, "meow"); err != nil {
		t.Fatal(err)
	}
	target, _ := Target(t, p, e.Template, filepath.Join(folder, e.Template))
	m, plan, err := Moving(ctx, p, s.ID, nodes[1], target, false)
	if text := strings.Join(plan, " "); err != nil || m != nil || !strings.Contains(text, "is stopped") || !strings.Contains(text, "retained") {
		t.Fatalf("the plan is %v, begun: %v (%v)", plan, m, err)
	}
	for _, node := range []string{nodes[1], nodes[0]} {
		MoveService(t, p, s.ID, node, target)
		now := Healthy(t, p, s.ID, 0)
		is, err := p.Credentials(ctx, s.ID)
		if err != nil || fmt.Sprint(is) != fmt.Sprint(keys) || now.Name != s.Name || NodeOf(t, p, s.ID) != node {
			t.Errorf("it is %+v on node %s (%v)", now, NodeOf(t, p, s.ID), err)
		}
		if text, err := e.Client.Read(ctx, now.Endpoint, keys); err != nil || text != "meow" {
			t.Errorf("on node %s it has %q (%v)", node, text, err)
		}
	}
	Remove(t, p, s.ID, "DELETE")
}

// MoveUnderLoad moves a database while a client writes rows to it. Every row that was acknowledged is there afterwards.
func MoveUnderLoad(t *testing.T, p *uwstest.Process, nodes [2]string, folder string) {
	t.Helper()
	s := Launch(t, p, "DB", "shop", map[string]any{"nodeId": nodes[0]})
	keys, err := p.Credentials(t.Context(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	target, _ := Target(t, p, "shop", filepath.Join(folder, "shop"))
	w := &rowWriter{p: p, id: s.ID, keys: keys, more: make(chan int), end: make(chan struct{}), ended: make(chan error, 1)}
	go func() { w.ended <- w.run(t.Context()) }()
	w.until(t, 500)
	MoveService(t, p, s.ID, nodes[1], target)
	w.until(t, 500) // more after the move
	close(w.end)
	if err := <-w.ended; err != nil {
		t.Fatal(err)
	}
	db, err := PostgresConnect(t.Context(), Healthy(t, p, s.ID, 0).Endpoint, keys)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())
	for _, n := range w.acknowledged {
		var found int
		if err := db.QueryRow(t.Context(), "SELECT count(*) FROM acknowledged WHERE n = $1", n).Scan(&found); err != nil || found != 1 {
			t.Fatalf("row %d of %d was acknowledged, and is there %d times (%v)", n, len(w.acknowledged), found, err)
		}
	}
	t.Logf("%d rows were acknowledged, all of them are there; none was for %s", len(w.acknowledged), w.pause.Round(10*time.Millisecond))
}

// rowWriter writes numbered rows as fast as it can, and notes those that were acknowledged.
type rowWriter struct {
	p    *uwstest.Process
	id   string
	keys map[string]string

	acknowledged []int
	newest       time.Time     // when the newest was
	pause        time.Duration // the longest between two
	more         chan int      // receives how many were acknowledged so far
	end          chan struct{}
	ended        chan error
}

// until waits until so many more rows were acknowledged.
func (w *rowWriter) until(t *testing.T, more int) {
	t.Helper()
	want := 0
	for {
		select {
		case n := <-w.more:
			if want == 0 {
				want = n + more
			}
			if n >= want {
				return
			}
		case err := <-w.ended:
			t.Fatalf("the client ended: %v", err)
		case <-t.Context().Done():
			t.Fatal("not in time")
		}
	}
}

// noteTime notes that a row was acknowledged just now.
func (w *rowWriter) noteTime() {
	now := time.Now()
	if !w.newest.IsZero() {
		w.pause = max(w.pause, now.Sub(w.newest))
	}
	w.newest = now
}

func (w *rowWriter) run(ctx context.Context) error {
	for n := 0; ; {
		s, err := w.p.Service(ctx, w.id) // it may have another address by now
		if err != nil {
			return err
		}
		db, err := PostgresConnect(ctx, s.Endpoint, w.keys)
		for err == nil {
			if n == 0 {
				_, err = db.Exec(ctx, "CREATE TABLE IF NOT EXISTS acknowledged (n int)")
			}
			if n++; err == nil {
				_, err = db.Exec(ctx, "INSERT INTO acknowledged VALUES ($1)", n)
			}
			if err == nil {
				w.acknowledged = append(w.acknowledged, n)
				w.noteTime()
			}
			select {
			case w.more <- len(w.acknowledged):
			case <-w.end:
				return db.Close(ctx)
			default:
			}
		}
		if db != nil {
			_ = db.Close(ctx) // it is broken
		}
		select {
		case <-w.end:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
	}
}
