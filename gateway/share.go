package gateway

import (
	"sync"
	"sync/atomic"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/placement"
)

// Shares says which promised shares of use are not kept now. It is asked by every call, and must be quick.
type Shares interface {
	// Behind are those of a tenant; nil is none.
	Behind(t decouple.TenantID) *Behind
}

// Behind are promised shares that are not kept. It is never changed: another one takes its place. Endpoints by which they come nearer to what is promised are preferred, as long as price,
// deadline and contracts allow (route.Need.Prefer).
type Behind struct {
	Shares []placement.Share

	known sync.Map // wisher -> map[catalog.EndpointID]string
	asked atomic.Int64
}

// maxWishers bounds what is remembered of one count: callers name classes as they like.
const maxWishers = 1000

// wisher is what a share's category can depend on.
type wisher struct {
	world *world
	class string
	team  string
	agent decouple.AgentName
}

// prefer says which endpoints bring a promised share nearer that is not kept.
func (c *call) prefer() {
	if c.g.cfg.Shares == nil {
		return
	}
	b := c.g.cfg.Shares.Behind(c.who.Tenant)
	if b == nil || len(b.Shares) == 0 {
		return
	}
	k := wisher{c.world, c.want.Class, c.who.Team, c.who.Agent}
	known, ok := b.known.Load(k)
	if !ok {
		known = b.wishes(k)
		if b.asked.Add(1) <= maxWishers {
			b.known.Store(k, known)
		}
	}
	c.need.Prefer = known.(map[catalog.EndpointID]string)
}

// wishes are the endpoints of a world that bring a share nearer, with the share that they do it for.
func (b *Behind) wishes(k wisher) map[catalog.EndpointID]string {
	out := map[catalog.EndpointID]string{}
	for id, ep := range k.world.endpoints {
		u := placement.Use{Vendor: ep.place.Vendor, Cloud: ep.place.Cloud, Region: ep.place.Region, Lab: ep.place.Lab, Model: ep.place.Model, Class: k.class, Team: k.team, Agent: string(k.agent)}
		for i := range b.Shares {
			s := &b.Shares[i]
			if !s.Counts(&u) {
				continue // a use that is not of its category changes nothing of it
			}
			if s.Named(&u) != s.AtMost {
				out[id] = s.ID + ": " + s.Text
				break
			}
		}
	}
	return out
}
