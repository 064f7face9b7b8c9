package sqlite

// cache keeps what was used lately, in two generations: when the young one is full it becomes the old one, and what was in the old one is let go.
type cache[K comparable, V any] struct {
	young, old map[K]V
}

const cacheSize = 16384 // of one generation

func (c *cache[K, V]) get(k K) (V, bool) {
	if v, ok := c.young[k]; ok {
		return v, true
	}
	v, ok := c.old[k]
	if ok {
		c.put(k, v)
	}
	return v, ok
}

func (c *cache[K, V]) put(k K, v V) {
	if c.young == nil || len(c.young) >= cacheSize {
		c.old, c.young = c.young, make(map[K]V, 256)
	}
	c.young[k] = v
}
