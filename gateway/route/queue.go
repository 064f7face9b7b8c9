package route

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"decouple.dev/decouple"
)

// QueueConfig bounds a queue. The zero value of each field stands for what its comment says.
type QueueConfig struct {
	Max     int           // calls that wait at once; 1,024
	Wait    time.Duration // longest wait of one; 30 s
	Quantum int64         // tokens that a tenant, and a key within it, is given at a time; 4,096
	Low     int           // one in so many calls is taken from the classes below the highest, so that none starves; 16
}

// Queue holds calls that no endpoint can take now: a bounded number for a bounded time. The highest class goes first, but for one call in [QueueConfig.Low]; within a class tenants take
// turns by deficit round robin over tokens, and so do the keys of a tenant. Like [State] it needs the caller's lock.
type Queue struct {
	cfg     QueueConfig
	classes []*class // descending
	items   map[string]*item
	expiry  expiry
	turn    int
	gap     float64 // nanoseconds between two calls that were taken while others waited
	gaps    int
	last    int64 // when the last was taken
}

// class is the calls of one priority.
type class struct {
	priority int
	root     node
}

// item is one call that waits.
type item struct {
	id    string
	need  Need
	cost  int64
	until int64
	class *class
	path  [3]*node // root, tenant, key
	heap  int
}

// Place is the answer to a call that wants to wait.
type Place struct {
	Position   int           // calls expected to be taken before it, and itself; 0: it may not wait
	Expected   time.Duration // until it is taken; 0 is not known
	Refused    decouple.Kind // why it may not wait: the kind of error to answer with
	RetryAfter time.Duration // with Refused
	Evicted    string        // the call that lost its place to this one, and is to be answered as refused with the same RetryAfter
	Why        string
}

// NewQueue makes an empty queue.
func NewQueue(cfg QueueConfig) *Queue {
	cfg.Max = cmp.Or(cfg.Max, 1024)
	cfg.Wait = cmp.Or(cfg.Wait, 30*time.Second)
	cfg.Quantum = cmp.Or(cfg.Quantum, 4096)
	cfg.Low = cmp.Or(cfg.Low, 16)
	return &Queue{cfg: cfg, items: map[string]*item{}}
}

// Len is how many calls wait.
func (q *Queue) Len() int { return len(q.items) }

// Enqueue lets a call wait, or refuses it: when it would wait longer than it may, and when the queue is full and nobody in it has a lesser right to a place.
func (q *Queue) Enqueue(id string, n Need, now time.Time) Place {
	t := now.UnixNano()
	if q.items[id] != nil {
		return Place{Refused: decouple.Conflict, Why: "the call waits already"}
	}
	until := t + int64(q.cfg.Wait)
	if !n.Deadline.IsZero() {
		until = min(until, n.Deadline.UnixNano())
	}
	if until <= t {
		return Place{Refused: decouple.Deadline, Why: "the deadline of the call is over"}
	}
	c := q.class(n.Priority)
	position := q.ahead(c, &n) + 1
	wait := q.expect(position, t)
	if wait > 0 && t+int64(wait) > until {
		return Place{Refused: decouple.RateLimited, RetryAfter: seconds(wait), Why: "the call would wait longer than it may"}
	}
	p := Place{Position: position, Expected: wait, Why: "it waits for its turn"}
	if len(q.items) >= q.cfg.Max {
		victim := q.victim(c, &n)
		if victim == nil {
			return Place{Refused: decouple.RateLimited, RetryAfter: seconds(max(wait, time.Second)), Why: "as many calls wait as may, and none has a lesser right to its place"}
		}
		q.remove(victim)
		p.Evicted = victim.id
		c = q.class(n.Priority)
	}
	it := &item{id: id, need: n, cost: n.cost(), until: until, class: c}
	it.path = [3]*node{&c.root, c.root.child(n.Tenant), nil}
	it.path[2] = it.path[1].child(n.Key)
	it.path[2].items = append(it.path[2].items, it)
	for _, x := range it.path {
		x.n++
	}
	q.items[id] = it
	heap.Push(&q.expiry, it)
	return p
}

// cost is what a call counts for in the round robin: its tokens, as far as they are known, and something for being a call.
func (n *Need) cost() int64 { return 500 + n.TokensIn + min(cmp.Or(n.MaxOut, 300), 2000) }

// seconds rounds up to whole ones: that is what Retry-After can say.
func seconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// class finds the class of a priority, in its place.
func (q *Queue) class(priority int) *class {
	i, ok := slices.BinarySearchFunc(q.classes, priority, func(c *class, p int) int { return p - c.priority })
	if !ok {
		q.classes = slices.Insert(q.classes, i, &class{priority: priority})
	}
	return q.classes[i]
}

// ahead is how many calls are expected to be taken before another of this tenant.
func (q *Queue) ahead(c *class, n *Need) int {
	higher := 0
	for _, x := range q.classes {
		if x.priority > c.priority {
			higher += x.root.n
		}
	}
	own := 0
	if tenant := c.root.find(n.Tenant); tenant != nil {
		own = tenant.n
	}
	return higher + min(c.root.n, (own+1)*len(c.root.ring))
}

// expect is how long the call at a position waits, by the time between calls that were taken lately; 0 is not known. Only times while others waited count: how often calls are taken from an
// empty queue says how often they come.
func (q *Queue) expect(position int, t int64) time.Duration {
	if q.gaps < 5 {
		return 0
	}
	return time.Duration(float64(position) * max(q.gap, float64(t-q.last)/4))
}

// took counts a call that was taken.
func (q *Queue) took(t int64) {
	if q.last != 0 {
		ewma(&q.gap, &q.gaps, float64(t-q.last), 0.05)
	}
	if q.last = t; len(q.items) == 0 {
		q.last, q.gap, q.gaps = 0, 0, 0
	}
}

// victim is the call that has to go for one of class c: the newest of the tenant, and of its key, that has most of the lowest class. Nobody goes for a call of a lower class, or for one of
// a tenant or key that has as many itself.
func (q *Queue) victim(c *class, n *Need) *item {
	for i := len(q.classes) - 1; i >= 0; i-- {
		low := q.classes[i]
		if low.priority > c.priority {
			return nil
		}
		if low.root.n == 0 {
			continue
		}
		tenant := low.root.longest()
		key := tenant.longest()
		if low == c {
			own := low.root.find(n.Tenant)
			switch {
			case own != tenant && own.size()+1 >= tenant.n:
				return nil
			case own == tenant && key.name == n.Key, own == tenant && own.find(n.Key).size()+1 >= key.n:
				return nil
			}
		}
		return key.items[len(key.items)-1]
	}
	return nil
}

// Next takes the next call that canTake says can be served now. Calls that cannot are passed over and keep their places; they gain nothing by that. A call that needs no less of the same
// endpoints than one that was passed over is not asked about.
func (q *Queue) Next(now time.Time, canTake func(id string, n *Need) bool) (id string, n Need, ok bool) {
	t := now.UnixNano()
	var full []*Need
	take := func(it *item) bool {
		if it.until <= t {
			return false
		}
		for _, f := range full {
			if f.Priority == it.need.Priority && f.TokensIn+f.MaxOut <= it.need.TokensIn+it.need.MaxOut && slices.Equal(f.Endpoints, it.need.Endpoints) {
				return false
			}
		}
		if canTake(it.id, &it.need) {
			return true
		}
		if len(full) < 16 && len(it.need.Tried) == 0 {
			full = append(full, &it.need)
		}
		return false
	}
	first := q.lowest()
	for i := range q.classes {
		c := q.classes[(first+i)%len(q.classes)]
		it := c.root.pick(take, q.cfg.Quantum)
		if it == nil {
			continue
		}
		for _, x := range it.path {
			x.credit -= it.cost
		}
		q.remove(it)
		q.turn++
		q.took(t)
		return it.id, it.need, true
	}
	return "", Need{}, false
}

// lowest is the class that is asked first: the highest, and now and then one below.
func (q *Queue) lowest() int {
	i := 0
	for t := q.turn + 1; t%q.cfg.Low == 0 && i < len(q.classes)-1; t /= q.cfg.Low {
		i++
	}
	return i
}

// Drop forgets a call, whose caller has gone; it says whether it waited.
func (q *Queue) Drop(id string) bool {
	it := q.items[id]
	if it != nil {
		q.remove(it)
	}
	return it != nil
}

// Expire takes out the calls that have waited as long as they may.
func (q *Queue) Expire(now time.Time) []string {
	var ids []string
	for len(q.expiry) > 0 && q.expiry[0].until <= now.UnixNano() {
		it := q.expiry[0]
		q.remove(it)
		ids = append(ids, it.id)
	}
	return ids
}

// Wake is when the next call expires; it is zero when nobody waits.
func (q *Queue) Wake() time.Time {
	if len(q.expiry) == 0 {
		return time.Time{}
	}
	return at(q.expiry[0].until)
}

// remove takes an item out of everything.
func (q *Queue) remove(it *item) {
	delete(q.items, it.id)
	heap.Remove(&q.expiry, it.heap)
	leaf := it.path[2]
	i := slices.Index(leaf.items, it)
	leaf.items = slices.Delete(leaf.items, i, i+1)
	for i := len(it.path) - 1; i >= 0; i-- {
		if it.path[i].n--; it.path[i].n == 0 && i > 0 {
			it.path[i-1].drop(it.path[i])
		}
	}
	if it.class.root.n == 0 {
		q.classes = slices.DeleteFunc(q.classes, func(c *class) bool { return c == it.class })
	}
}
