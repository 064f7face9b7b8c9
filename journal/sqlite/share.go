package sqlite

import (
	"container/heap"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// shares holds the ready runs so that everybody gets a turn: the tenant that was served least recently goes first, within it the highest priority, within that
// the tree that was served least recently, within a tree the oldest run.
type shares struct {
	tick    int64 // counts what was served
	tenants tenantHeap
	byName  map[decouple.TenantID]*tenantShare
	trees   map[decouple.RunID]*treeShare
	served  map[decouple.RunID]int64 // trees that have nothing ready now
}

// tenantShare is a tenant with ready runs.
type tenantShare struct {
	name   decouple.TenantID
	served int64
	trees  treeHeap
	index  int
}

// treeShare is a tree with ready runs.
type treeShare struct {
	root   decouple.RunID
	tenant *tenantShare
	served int64
	runs   readyHeap
	index  int
}

// remembered bounds how many trees without ready runs are known to have been served.
const remembered = 4096

func newShares() shares {
	return shares{byName: map[decouple.TenantID]*tenantShare{}, trees: map[decouple.RunID]*treeShare{}, served: map[decouple.RunID]int64{}}
}

// push keeps a ready run.
func (s *shares) push(r readyRun) {
	t := s.trees[r.root]
	if t == nil {
		owner := s.byName[r.key.tenant]
		if owner == nil {
			owner = &tenantShare{name: r.key.tenant, index: -1}
			s.byName[r.key.tenant] = owner
		}
		t = &treeShare{root: r.root, tenant: owner, served: s.served[r.root]}
		delete(s.served, r.root)
		s.trees[r.root] = t
		t.runs = append(t.runs, &r)
		heap.Push(&owner.trees, t)
		if owner.index < 0 {
			heap.Push(&s.tenants, owner)
		}
		return
	}
	heap.Push(&t.runs, &r)
	heap.Fix(&t.tenant.trees, t.index)
}

// pop takes the run that goes first among those that are wanted.
func (s *shares) pop(w journal.Want) (readyRun, bool) {
	var t *treeShare
	switch {
	case w.Root != "":
		if t = s.trees[w.Root]; t != nil && w.Tenant != "" && t.tenant.name != w.Tenant {
			t = nil
		}
	case w.Tenant != "":
		if owner := s.byName[w.Tenant]; owner != nil && owner.index >= 0 {
			t = owner.trees[0]
		}
	case len(s.tenants) > 0:
		t = s.tenants[0].trees[0]
	}
	if t == nil {
		return readyRun{}, false
	}
	r := heap.Pop(&t.runs).(*readyRun)
	s.tick++
	t.served, t.tenant.served = s.tick, s.tick
	if len(t.runs) > 0 {
		heap.Fix(&t.tenant.trees, t.index)
	} else {
		heap.Remove(&t.tenant.trees, t.index)
		delete(s.trees, t.root)
		s.remember(t)
	}
	if len(t.tenant.trees) > 0 {
		heap.Fix(&s.tenants, t.tenant.index)
	} else {
		heap.Remove(&s.tenants, t.tenant.index)
		t.tenant.index = -1
	}
	return *r, true
}

// remember keeps when a tree was served, for when it has ready runs again. Of many trees those that were served long ago are forgotten: they go first anyway.
func (s *shares) remember(t *treeShare) {
	s.served[t.root] = t.served
	if len(s.served) <= 2*remembered {
		return
	}
	for root, at := range s.served {
		if at <= s.tick-remembered {
			delete(s.served, root)
		}
	}
}

type tenantHeap []*tenantShare

func (h tenantHeap) Len() int           { return len(h) }
func (h tenantHeap) Less(i, j int) bool { return h[i].served < h[j].served }
func (h tenantHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push adds an element; it is for package heap.
func (h *tenantHeap) Push(x any) {
	t := x.(*tenantShare)
	t.index = len(*h)
	*h = append(*h, t)
}

// Pop removes the last element; it is for package heap.
func (h *tenantHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	*h = old[:len(old)-1]
	return t
}

type treeHeap []*treeShare

func (h treeHeap) Len() int { return len(h) }
func (h treeHeap) Less(i, j int) bool {
	if a, b := h[i].runs[0].priority, h[j].runs[0].priority; a != b {
		return a > b
	}
	if h[i].served != h[j].served {
		return h[i].served < h[j].served
	}
	return h[i].runs[0].age < h[j].runs[0].age
}
func (h treeHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push adds an element; it is for package heap.
func (h *treeHeap) Push(x any) {
	t := x.(*treeShare)
	t.index = len(*h)
	*h = append(*h, t)
}

// Pop removes the last element; it is for package heap.
func (h *treeHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	*h = old[:len(old)-1]
	return t
}

type readyHeap []*readyRun

func (h readyHeap) Len() int           { return len(h) }
func (h readyHeap) Less(i, j int) bool { return h[i].before(h[j]) }
func (h readyHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push adds an element; it is for package heap.
func (h *readyHeap) Push(x any) { *h = append(*h, x.(*readyRun)) }

// Pop removes the last element; it is for package heap.
func (h *readyHeap) Pop() any {
	old := *h
	r := old[len(old)-1]
	*h = old[:len(old)-1]
	return r
}
