package telemetry

import (
	"maps"
	"sync"
	"sync/atomic"
)

// maxHandles bounds what is remembered, whatever endpoints say of themselves.
const maxHandles = 10_000

// handles keeps what was looked up once, for as long as the process lives. Finding takes no lock and makes nothing.
type handles[K comparable, V any] struct {
	mu    sync.Mutex
	known atomic.Pointer[map[K]V]
}

func (h *handles[K, V]) find(k K) (V, bool) {
	m := h.known.Load()
	if m == nil {
		var none V
		return none, false
	}
	v, ok := (*m)[k]
	return v, ok
}

// keep remembers v, and gives what is remembered: that of whoever was first. A full one remembers nothing more.
func (h *handles[K, V]) keep(k K, v V) V {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := map[K]V{}
	if old := h.known.Load(); old != nil {
		if first, ok := (*old)[k]; ok {
			return first
		}
		if len(*old) >= maxHandles {
			return v
		}
		next = maps.Clone(*old)
	}
	next[k] = v
	h.known.Store(&next)
	return v
}
