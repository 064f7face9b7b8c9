package gateway

import (
	"sync"
	"sync/atomic"

	"decouple.dev/decouple/placement"
)

// rulings remembers what one version of the contracts says to a need at each endpoint of one world, so that the choice among many endpoints costs one look-up. A new version, or a
// new world, begins anew.
type rulings struct {
	by    Judge
	world *world
	room  int // how many needs it may remember

	mu    sync.RWMutex
	known map[string][]atomic.Pointer[placement.Ruling]
}

// maxRulings bounds what is remembered of one version and tenant, in rulings.
const maxRulings = 50_000

// remembered is what is remembered for a need: a ruling for each endpoint by its number, nil where it was not judged yet.
func (c *call) remembered() []atomic.Pointer[placement.Ruling] {
	w, by, n := c.world, c.judge, &c.want
	had, _ := c.g.ruled.Load(c.who.Tenant)
	r, _ := had.(*rulings)
	if r == nil || r.by != by || r.world != w {
		r = &rulings{by: by, world: w, room: max(16, maxRulings/max(1, len(w.endpoints))), known: map[string][]atomic.Pointer[placement.Ruling]{}}
		c.g.ruled.Store(c.who.Tenant, r)
	}
	var buf [256]byte
	key := signature(buf[:0], n)
	r.mu.RLock()
	row := r.known[string(key)]
	r.mu.RUnlock()
	if row != nil {
		return row
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if row = r.known[string(key)]; row != nil {
		return row
	}
	if len(r.known) >= r.room {
		clear(r.known)
	}
	row = make([]atomic.Pointer[placement.Ruling], len(w.endpoints))
	r.known[string(key)] = row
	return row
}

// signature is all that a ruling on a model call can depend on beside the place. Every part is preceded by its length.
func signature(b []byte, n *placement.Need) []byte {
	add := func(s string) {
		b = append(b, byte(len(s)), byte(len(s)>>8), byte(len(s)>>16))
		b = append(b, s...)
	}
	for _, s := range [...]string{n.Class, n.Team, n.Agent, n.Key} {
		add(s)
	}
	for _, list := range [...][]string{n.Labels, n.Signed} {
		b = append(b, byte(len(list)), byte(len(list)>>8))
		for _, s := range list {
			add(s)
		}
	}
	return b
}

// rule is what the call's contracts say to it at an endpoint.
func (c *call) rule(ep *endpoint) *placement.Ruling {
	if c.row == nil {
		c.row = c.remembered()
	}
	at := &c.row[ep.number]
	if r := at.Load(); r != nil {
		return r
	}
	r := c.judge.Judge(&c.want, &ep.place)
	at.Store(&r)
	return &r
}
