package route

import (
	"time"

	"decouple.dev/decouple/catalog"
)

// Health is what is known of one endpoint, for people and metrics.
type Health struct {
	Endpoint    catalog.EndpointID `json:"endpoint"`
	State       Verdict            `json:"state"` // ready, degraded, suspect, half-open, probing, open, limited, no-headroom
	Why         string             `json:"why"`
	Until       time.Time          `json:"until,omitzero"` // when that ends, where it is known
	Headroom    float64            `json:"headroom"`       // share of its tightest limit that is free
	InFlight    int                `json:"in_flight"`
	PerMinute   float64            `json:"requests_per_minute"`   // sent lately
	Learned     float64            `json:"learned_rpm,omitempty"` // requests a minute that 429s have taught; 0 is none
	FirstToken  time.Duration      `json:"first_token"`           // expected of a short call; 0 was not measured
	Rate        float64            `json:"tokens_per_second"`     // 0 was not measured
	FailShare   float64            `json:"fail_share"`
	RefuseShare float64            `json:"refuse_share"`
	Opened      int                `json:"opened"` // times in a row that its breaker has opened
}

// Snapshot gives what is known of every endpoint of the catalog, by id.
func (s *State) Snapshot(now time.Time) []Health {
	t := now.UnixNano()
	var all []Health
	for _, id := range sortedKeys(s.endpoints) {
		if e := s.endpoints[id]; !e.gone {
			all = append(all, s.healthOf(e, t))
		}
	}
	return all
}

// healthOf asks what would become of the smallest call.
func (s *State) healthOf(e *endpoint, t int64) Health {
	var o option
	s.weigh(&o, &question{Need: &Need{MaxOut: 1}, t: t, deadline: 1<<63 - 1}, e)
	share, _ := e.health.share(t, &s.cfg)
	no, yes := e.refusal.no.value(t, refusalHalf), e.refusal.yes.value(t, refusalHalf)
	h := Health{
		Endpoint: e.ID, State: o.verdict, Why: o.why, Headroom: o.headroom, InFlight: e.load.inFlight,
		PerMinute: e.load.perSecond(t) * 60, FirstToken: time.Duration(e.speed.first), Rate: e.speed.rate,
		FailShare: share, Opened: e.breaker.times,
	}
	if no+yes > 0 {
		h.RefuseShare = no / (no + yes)
	}
	learned := e.load.learned
	if learned.rise(t); learned.bucket.size > 0 {
		h.Learned = learned.rate * 60
	}
	if o.until > t {
		h.Until = at(o.until)
	}
	return h
}
