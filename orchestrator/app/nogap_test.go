package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/app"
)

// follower follows serviceHealthChanged and keeps what each connection was told.
type follower struct {
	mu      sync.Mutex
	cursor  string
	visits  []visit
	expired int
}

// visit is one connection.
type visit struct {
	since string
	told  []string // cursors
	over  bool     // ended by CURSOR_EXPIRED
}

func (f *follower) follow(ctx context.Context, d *door, held func()) error {
	for ctx.Err() == nil {
		f.mu.Lock()
		f.visits = append(f.visits, visit{since: f.cursor})
		f.mu.Unlock()
		err := d.subscribe(ctx, eventsQuery, f.cursor, func(m json.RawMessage) error {
			held()
			return f.got(m)
		})
		if refused, ok := errors.AsType[errRefused](err); ok {
			if !refused.expired() {
				return refused
			}
			f.mu.Lock()
			f.visits[len(f.visits)-1].over = true
			f.cursor = ""
			f.expired++
			f.mu.Unlock()
		}
		breathe(ctx)
	}
	return nil
}

func (f *follower) got(payload json.RawMessage) error {
	var message struct {
		Data struct {
			ServiceHealthChanged struct{ Cursor string }
		}
	}
	if err := json.Unmarshal(payload, &message); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cursor = message.Data.ServiceHealthChanged.Cursor
	v := &f.visits[len(f.visits)-1]
	v.told = append(v.told, f.cursor)
	return nil
}

func (f *follower) last() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if told := f.visits[len(f.visits)-1].told; len(told) > 0 {
		return told[len(told)-1]
	}
	return ""
}

// crowd is many clients and what they live through.
type crowd struct {
	t          *testing.T
	w          *world
	door       *door
	rng        *rand.Rand
	dashboards []*dashboard
	followers  []*follower
	gates      [2]turnstile       // shut: the first dashboard and the first follower do not read
	drop       context.CancelFunc // disconnects everyone
	ended      sync.WaitGroup
	names      int
}

// audited has the database itself write down every event, out of reach of compaction.
func (c *crowd) audited() {
	db := c.w.openDB()
	defer db.Close()
	_, err := db.ExecContext(c.t.Context(), `CREATE TABLE IF NOT EXISTS audit (id INTEGER PRIMARY KEY, mark INTEGER, service TEXT);
		INSERT OR IGNORE INTO audit SELECT id, mark, coalesce(service_id, '') FROM events;
		CREATE TRIGGER IF NOT EXISTS audit_events AFTER INSERT ON events
		BEGIN INSERT INTO audit VALUES (new.id, new.mark, coalesce(new.service_id, '')); END`)
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *crowd) connect() {
	ctx, cancel := context.WithCancel(context.Background())
	c.drop = cancel
	held := func(i int) func() { return func() { c.gates[i].wait(ctx) } }
	none := func() {}
	go1 := func(follow func() error) {
		c.ended.Go(func() {
			if err := follow(); err != nil {
				c.t.Error(err)
			}
		})
	}
	for i, b := range c.dashboards {
		go1(func() error { return b.follow(ctx, c.door, pick(i == 0, held(0), none)) })
	}
	for i, f := range c.followers {
		go1(func() error { return f.follow(ctx, c.door, pick(i == 0, held(1), none)) })
	}
}

func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}

// turnstile holds up those who come to it while it is shut.
type turnstile struct {
	mu   sync.Mutex
	shut chan struct{} // closed when the gate opens; nil while it is open
}

func (g *turnstile) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case shut && g.shut == nil:
		g.shut = make(chan struct{})
	case !shut && g.shut != nil:
		close(g.shut)
		g.shut = nil
	}
}

func (g *turnstile) wait(ctx context.Context) {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut != nil {
		select {
		case <-ctx.Done():
		case <-shut:
		}
	}
}

// pause has the slow ones stop reading, or go on.
func (c *crowd) pause(on bool) {
	for i := range c.gates {
		c.gates[i].set(on)
	}
}

// act does something at random.
func (c *crowd) act() {
	ctx := c.t.Context()
	var all []*orchestrator.Service
	if list, err := c.w.Services(ctx, orchestrator.ServiceFilter{}, orchestrator.Page{First: 500}); err == nil {
		all = list.Items
	}
	one := func(do func(id string)) {
		if len(all) > 0 {
			do(all[c.rng.IntN(len(all))].ID)
		}
	}
	switch c.rng.IntN(12) {
	case 0, 1, 2:
		c.names++
		c.w.launch(fmt.Sprintf("s%d", c.names))
	case 3:
		one(func(id string) { _, _ = c.w.Stop(ctx, id) })
	case 4:
		one(func(id string) { _, _ = c.w.Start(ctx, id) })
	case 5:
		one(func(id string) { _, _ = c.w.Restart(ctx, id) })
	case 6:
		one(func(id string) { _, _ = c.w.Remove(ctx, id, true) })
	case 7, 8:
		one(func(id string) { c.w.machine.crash(id, c.rng.IntN(3)) })
	case 9:
		c.w.machine.set(func() { c.w.machine.away = pick(c.w.machine.away == nil, errors.New("gone"), nil) })
	case 10:
		c.pause(c.rng.IntN(2) == 0)
	case 11: // everyone comes back
		c.drop()
		c.ended.Wait()
		c.connect()
	}
}

// check compares what followers were told in this life of the server with what the database wrote down.
func (c *crowd) check() {
	c.t.Helper()
	db := c.w.openDB()
	defer db.Close()
	rows, err := db.QueryContext(c.t.Context(), `SELECT audit.id, audit.mark, service, events.id IS NOT NULL FROM audit LEFT JOIN events USING (id) ORDER BY 1`)
	if err != nil {
		c.t.Fatal(err)
	}
	defer rows.Close()
	kept, place, story := map[string]bool{}, map[string]int{}, []string{} // place: how many of the story come up to a cursor
	for rows.Next() {
		var e orchestrator.Event
		var there bool
		if err := rows.Scan(&e.ID, &e.Mark, &e.ServiceID, &there); err != nil {
			c.t.Fatal(err)
		}
		cursor := orchestrator.EventCursor(&e)
		if e.ServiceID != "" {
			story = append(story, cursor)
		}
		place[cursor], kept[cursor] = len(story), there
	}
	if err := rows.Err(); err != nil {
		c.t.Fatal(err)
	}
	for i, f := range c.followers {
		for _, v := range f.visits {
			c.checkVisit(i, v, story, place, kept)
		}
		f.visits = nil
	}
}

func (c *crowd) checkVisit(who int, v visit, story []string, place map[string]int, kept map[string]bool) {
	c.t.Helper()
	if v.over && kept[pick(len(v.told) > 0, lastOf(v.told), v.since)] {
		c.t.Errorf("follower %d: cursor %s is in the log and was called expired", who, v.since)
	}
	if len(v.told) == 0 {
		return
	}
	at, known := place[v.since]
	if v.since == "" {
		at = place[v.told[0]] - 1
	} else if !known {
		c.t.Errorf("follower %d: was told something after a cursor that this store never had", who)
		return
	}
	for i, cursor := range v.told {
		if at+i >= len(story) || story[at+i] != cursor {
			c.t.Errorf("follower %d: message %d of %d after %q is not event %d of the log", who, i, len(v.told), v.since, at+i)
			return
		}
	}
}

func lastOf(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// live is one life of the server: things happen, and in the end everyone knows everything.
func (c *crowd) live() {
	c.t.Helper()
	for range 25 {
		c.act()
	}
	c.w.machine.set(func() { c.w.machine.away = nil })
	c.pause(false)
	mark := c.w.launch("mark" + strconv.Itoa(c.names)) // followers that have nothing to replay are told this
	c.names++
	c.w.healthy(mark.ID)
	for i, b := range c.dashboards {
		c.door.agrees(fmt.Sprintf("dashboard %d", i), b)
	}
	for i, f := range c.followers {
		c.w.eventually(fmt.Sprintf("follower %d is told the newest event", i), func() bool {
			page, err := c.w.Events(c.t.Context(), orchestrator.EventFilter{}, orchestrator.Page{First: 500})
			if err != nil {
				return false
			}
			for _, e := range page.Items {
				if e.ServiceID != "" {
					return f.last() == orchestrator.EventCursor(e)
				}
			}
			return false
		})
	}
}

// end closes the server and checks what was told; between restarts the store.
func (c *crowd) end(between func()) {
	c.t.Helper()
	if c.rng.IntN(2) == 0 { // else the clients find out by themselves
		c.drop()
		c.ended.Wait()
	}
	c.door.close()
	c.w.stop()
	c.drop()
	c.ended.Wait()
	c.check()
	between()
	c.w.start()
	c.door.open()
	c.connect()
}

// copyStore puts a copy of the database in place of another; nobody has it open.
func copyStore(t *testing.T, from, to string) {
	t.Helper()
	old, err := filepath.Glob(filepath.Join(to, "uws.db*"))
	for _, file := range old {
		err = errors.Join(err, os.Remove(file))
	}
	files, globErr := filepath.Glob(filepath.Join(from, "uws.db*"))
	for _, file := range files {
		b, readErr := os.ReadFile(file)
		err = errors.Join(err, readErr, os.WriteFile(filepath.Join(to, filepath.Base(file)), b, 0o600))
	}
	if err := errors.Join(err, globErr); err != nil {
		t.Fatal(err)
	}
}

// Through random changes, disconnects, slow reads, restarts, compaction and a store restored from a copy, every
// dashboard ends with what the store holds, and every follower is told every event, in order and once on a
// connection, as long as the log has it.
func TestNobodyMissesAnything(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			c := &crowd{t: t, rng: rand.New(rand.NewPCG(seed, 7))}
			c.w = newWorld(t, func(o *app.Options) { o.EventMax, o.Compaction = 60, 20*time.Millisecond })
			c.audited()
			c.door = c.w.openDoor()
			for range 6 {
				c.dashboards, c.followers = append(c.dashboards, &dashboard{}), append(c.followers, &follower{})
			}
			c.connect()
			defer func() {
				c.drop()
				c.ended.Wait()
			}()
			data, saved := filepath.Join(c.w.dir, "data"), mkdir(t, c.w.dir, "saved")
			c.live()
			c.end(func() { copyStore(t, data, saved) })
			c.live()
			c.end(func() {})
			c.live()
			c.end(func() { copyStore(t, saved, data) })
			c.live()
			resets := 0
			for _, b := range c.dashboards {
				resets += b.resets
			}
			if resets == 0 {
				t.Error("a store was restored, and no dashboard was told so")
			}
			c.end(func() {})
		})
	}
}
