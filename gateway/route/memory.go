package route

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// prefixes remembers where the prefix of a conversation was sent last. It holds two generations of at most a half each and drops the older, so that its memory is bounded.
type prefixes struct {
	young, old map[string]visits
}

// visits are the last two endpoints that a prefix went to.
type visits [2]struct {
	to *endpoint
	at int64
}

const (
	generation  = 32_768
	cacheFor    = 5 * time.Minute
	cachedShare = 0.9 // of the input that is expected to be the cached prefix
)

// find gives the visits of a prefix.
func (p *prefixes) find(sticky string) (visits, bool) {
	v, ok := p.young[sticky]
	if !ok {
		v, ok = p.old[sticky]
	}
	return v, ok
}

// went remembers that a prefix was at an endpoint.
func (p *prefixes) went(sticky string, e *endpoint, t int64) {
	v, _ := p.find(sticky)
	if v[0].to != e {
		v[1] = v[0]
	}
	v[0].to, v[0].at = e, t
	if p.young == nil || len(p.young) >= generation {
		p.old, p.young = p.young, map[string]visits{}
	}
	p.young[sticky] = v
}

// warm tells whether an endpoint still holds what went there.
func (v *visits) warm(e *endpoint, t int64, keep time.Duration) bool {
	for i := range v {
		if v[i].to == e {
			return t-v[i].at <= int64(cmp.Or(keep, cacheFor))
		}
	}
	return false
}

// turns shares calls out by weight: each target of an alias has a time of its own that advances by one part of its weight with each call, and the earliest is next. A target
// that was away does not catch up.
type turns struct {
	now  map[string]float64 // by alias
	next map[turn]float64
}

type turn struct{ alias, target string }

// of is the time of a target. It lags behind that of the alias by one call at most.
func (u *turns) of(alias, target string, weight float64) float64 {
	return max(u.next[turn{alias, target}], u.now[alias]-1/weight)
}

// took advances the time of a target.
func (u *turns) took(alias, target string, weight float64) {
	if u.now == nil {
		u.now, u.next = map[string]float64{}, map[turn]float64{}
	}
	start := u.of(alias, target, weight)
	u.now[alias] = max(u.now[alias], start)
	u.next[turn{alias, target}] = start + 1/weight
}

// retries is the budget of attempts beyond the first.
type retries struct {
	saved  float64
	earned float64 // since the floor was looked at last
	at     int64
}

// called earns a share of an attempt.
func (r *retries) called(cfg *Config) {
	r.saved = min(r.saved+cfg.RetryShare, cfg.RetryBurst)
	r.earned += cfg.RetryShare
}

// left is how many attempts there are. Where calls are so few that they earned less than the floor, the floor counts.
func (r *retries) left(t int64, cfg *Config) float64 {
	saved := r.saved
	if r.at != 0 && t > r.at {
		if floor := cfg.RetryFloor * float64(t-r.at) / float64(time.Minute); floor > r.earned {
			saved = min(saved+floor-r.earned, cfg.RetryBurst)
		}
	}
	return saved + 1e-9
}

// spend takes one attempt, if there is one.
func (r *retries) spend(t int64, cfg *Config) bool {
	r.saved = r.left(t, cfg)
	r.at, r.earned = max(r.at, t), 0
	if r.saved < 1 {
		return false
	}
	r.saved--
	return true
}

// Retry spends one attempt of the retry budget, and says whether there was one. It is asked before every attempt beyond a call's first: retries, hedges and second opinions, but not
// the next step of a cascade. Over any time, such attempts are at most the share of the calls that Config says, and the burst.
func (s *State) Retry(now time.Time) bool { return s.retries.spend(now.UnixNano(), &s.cfg) }

// sortedKeys gives the keys of a map in order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
