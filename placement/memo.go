package placement

import (
	"hash/maphash"
	"sync"
)

// Bounds of what a policy remembers: each of the shards keeps at most two generations.
const (
	shards     = 16
	generation = 512
	longest    = 1024 // of a signature that is remembered: who sends long labels is judged each time, and takes no memory
)

// memo remembers rulings by signature. When a shard's generation is full, the one before it is forgotten, so what is asked for often stays.
type memo struct {
	seed  maphash.Seed
	shard [shards]shard
}

type shard struct {
	mu       sync.RWMutex
	now, old map[string]Ruling
}

func (m *memo) make() {
	m.seed = maphash.MakeSeed()
	for i := range m.shard {
		m.shard[i].now = map[string]Ruling{}
	}
}

func (m *memo) of(sig []byte) *shard { return &m.shard[maphash.Bytes(m.seed, sig)%shards] }

func (s *shard) get(sig []byte) (Ruling, bool) {
	s.mu.RLock()
	r, ok := s.now[string(sig)]
	again := false
	if !ok {
		r, again = s.old[string(sig)]
	}
	s.mu.RUnlock()
	if again {
		s.put(sig, r)
	}
	return r, ok || again
}

func (s *shard) put(sig []byte, r Ruling) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.now) >= generation {
		s.old, s.now = s.now, make(map[string]Ruling, generation)
	}
	s.now[string(sig)] = r
}
