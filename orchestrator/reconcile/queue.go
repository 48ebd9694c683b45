package reconcile

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

const (
	farOff = 5 * time.Second        // what is later than this comes at the next tick
	tick   = 100 * time.Millisecond // at 5,000 services, one timer each costs several times as much
)

// queue passes ids to workers: at once, or at a time. At most one worker holds an id; an id that is added meanwhile is
// passed on again afterwards. It needs one timer, however many ids wait.
type queue struct {
	began   time.Time // ticks are counted from here
	mu      sync.Mutex
	ready   []string
	items   map[string]*item
	waiting timers
	closed  bool
	work    *sync.Cond    // ready grew, or closed
	earlier chan struct{} // the earliest time changed
}

type item struct {
	id      string
	at      time.Time // due then; zero: never
	index   int       // in waiting; -1 when not there
	queued  bool      // in ready
	running bool
	again   bool // was added while running
	asked   bool // was added, not just due, since it was last passed on
	since   time.Time
	done    []chan struct{} // waiting for a run that begins from now on
	next    []chan struct{} // waiting for the run after the present one
}

func newQueue() *queue {
	q := &queue{began: time.Now(), items: map[string]*item{}, earlier: make(chan struct{}, 1)}
	q.work = sync.NewCond(&q.mu)
	return q
}

func (q *queue) item(id string) *item {
	it, ok := q.items[id]
	if !ok {
		it = &item{id: id, index: -1}
		q.items[id] = it
	}
	return it
}

// add passes id on as soon as a worker is free. It never blocks.
func (q *queue) add(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ask(q.item(id))
}

// wait adds id and returns when a reconciliation that began afterwards has ended, or ctx has.
func (q *queue) wait(ctx context.Context, id string) {
	ch := make(chan struct{})
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return
	}
	it := q.item(id)
	if it.running {
		it.next = append(it.next, ch)
	} else {
		it.done = append(it.done, ch)
	}
	q.ask(it)
	q.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-ch:
	}
}

func (q *queue) ask(it *item) {
	it.asked = true
	q.enqueue(it)
}

func (q *queue) enqueue(it *item) {
	switch {
	case q.closed:
	case it.running:
		it.again = true
	case !it.queued:
		it.queued, it.since = true, time.Now()
		q.ready = append(q.ready, it.id)
		q.work.Signal()
	}
}

// addAt replaces the time at which id is passed on; zero: never. A time that is far off may come up to a tick later, so that
// ids which are due at about the same time come together.
func (q *queue) addAt(id string, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.set(q.item(id), at)
}

// addBy has id passed on at this time at the latest. While a worker holds id, whose next time is not known yet, it is passed
// on again at once instead.
func (q *queue) addBy(id string, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.item(id)
	switch {
	case it.running:
		it.again = true
	case it.queued, it.index >= 0 && it.at.Before(at):
	default:
		q.set(it, at)
	}
}

func (q *queue) set(it *item, at time.Time) {
	if time.Until(at) > farOff {
		at = at.Add((tick - at.Sub(q.began)%tick) % tick)
	}
	it.at = at
	switch {
	case at.IsZero() && it.index >= 0:
		heap.Remove(&q.waiting, it.index)
	case at.IsZero():
	case it.index >= 0:
		heap.Fix(&q.waiting, it.index)
	default:
		heap.Push(&q.waiting, it)
	}
	q.drop(it)
	select {
	case q.earlier <- struct{}{}:
	default:
	}
}

// drop removes an item that has no state.
func (q *queue) drop(it *item) {
	if it.index < 0 && !it.queued && !it.running && len(it.done) == 0 {
		delete(q.items, it.id)
	}
}

// claim is an id that a worker holds.
type claim struct {
	id     string
	waited time.Duration // in the queue
	due    bool          // it was not added: its time has come
}

// get waits for the next claim; ok is false when the queue is closed.
func (q *queue) get() (next claim, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.ready) == 0 && !q.closed {
		q.work.Wait()
	}
	if q.closed {
		return claim{}, false
	}
	it := q.items[q.ready[0]]
	q.ready = q.ready[1:]
	next = claim{id: it.id, waited: time.Since(it.since), due: !it.asked}
	it.queued, it.running, it.asked = false, true, false
	return next, true
}

// put releases an id.
func (q *queue) put(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.items[id]
	for _, ch := range it.done {
		close(ch)
	}
	it.done, it.next = it.next, nil
	it.running = false
	if it.again {
		it.again = false
		q.enqueue(it)
	}
	q.drop(it)
}

// depth is the number of ids that are ready.
func (q *queue) depth() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.ready)
}

// run moves ids whose time has come until ctx ends, and then closes the queue.
func (q *queue) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(q.due(time.Now()))
		select {
		case <-ctx.Done():
			q.close()
			return
		case <-q.earlier:
		case <-timer.C:
		}
	}
}

// due moves what is due, and returns how long until the next one is.
func (q *queue) due(now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) > 0 {
		it := q.waiting[0]
		if d := it.at.Sub(now); d > 0 {
			return d
		}
		heap.Pop(&q.waiting)
		it.at = time.Time{}
		q.enqueue(it)
	}
	return time.Hour
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, it := range q.items {
		for _, ch := range append(it.done, it.next...) {
			close(ch)
		}
		it.done, it.next = nil, nil
	}
	q.work.Broadcast()
}

// timers is a heap of items by time.
type timers []*item

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}

// Push is for package heap.
func (t *timers) Push(x any) {
	it := x.(*item)
	it.index = len(*t)
	*t = append(*t, it)
}

// Pop is for package heap.
func (t *timers) Pop() any {
	old := *t
	it := old[len(old)-1]
	*t, it.index = old[:len(old)-1], -1
	return it
}
