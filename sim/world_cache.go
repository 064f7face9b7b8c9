package sim

import (
	"time"

	"decouple.dev/decouple"
)

// Prefix is a beginning of a prompt. Equal beginnings have equal hashes.
type Prefix struct {
	Hash   uint64
	Tokens int64         // of the prompt up to here
	Keep   time.Duration // the caller marks it as worth keeping for so long; 0 it does not
}

// long is the time to live from which on a cache write is billed as a long one.
const long = time.Hour

// prompts is a prompt cache: of one account, one model, one region.
type prompts struct {
	kept  map[uint64]kept
	sweep int // size at which what has expired is thrown away
}

type kept struct {
	until int64 // nanoseconds since the start
	keep  int64
}

// read looks the prompt of a call up, keeps what is to be kept, and says what of it was read from the cache and what was written.
func (p *prompts) read(c *Cache, call *Call, now int64) (u decouple.Usage) {
	u.TokensIn = call.In
	for i := len(call.Prefixes) - 1; i >= 0; i-- {
		x := call.Prefixes[i]
		if k, ok := p.kept[x.Hash]; ok && k.until > now && x.Tokens <= call.In {
			u.Cached = x.Tokens
			break
		}
	}
	if c.Step > 1 {
		u.Cached -= u.Cached % c.Step
	}
	var short, hour int64
	for _, x := range call.Prefixes {
		keep := x.Keep
		if c.Kind == CacheAuto {
			keep = c.Keep
		}
		if keep <= 0 || x.Tokens < c.Min || x.Tokens > call.In {
			continue
		}
		p.keep(x.Hash, now, int64(keep))
		if keep >= long && c.Kind == CacheMarks {
			hour = x.Tokens
		} else {
			short = x.Tokens
		}
	}
	if c.Kind == CacheMarks || c.Writes {
		u.CacheLong = max(0, hour-u.Cached)
		u.CacheWrite = max(0, short-max(hour, u.Cached))
	}
	return u
}

// keep remembers a prefix, or prolongs it.
func (p *prompts) keep(hash uint64, now, keep int64) {
	if old, ok := p.kept[hash]; ok && old.until > now {
		keep = max(keep, old.keep)
	}
	p.kept[hash] = kept{until: now + keep, keep: keep}
	if len(p.kept) < p.sweep {
		return
	}
	for h, k := range p.kept {
		if k.until <= now {
			delete(p.kept, h)
		}
	}
	p.sweep = max(1024, 2*len(p.kept))
}
