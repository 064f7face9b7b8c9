package fleet

import (
	"cmp"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/route"
)

// A naive router trusts status codes: a 4xx is the caller's fault, a 429 is waited for at the same endpoint, and only 5xx and broken connections lead elsewhere. It has no memory, no
// budget of retries and gives a first token as long as a connection is held open. It is here to compare with.

const (
	naiveTries = 3 // endpoints of one call
	naiveWaits = 5 // for Retry-After
)

// pursueNaive asks the endpoint whose turn it is: of an ordered alias the first, of any other one by chance, and then the one after it.
func (f *fleet) pursueNaive(c *call) {
	f.rejudge(c)
	n := len(c.need.Endpoints)
	if n == 0 { // another policy holds by now
		f.fail(c, string(decouple.Denied))
		return
	}
	if c.asked == 0 {
		c.asked = 1
		if s := c.need.Alias.Strategy; s != catalog.Ordered && s != catalog.Cascade {
			c.at = int(c.need.Random % uint64(n))
		}
	}
	f.begin(c, f.byID[c.need.Endpoints[c.at%n]], 0)
}

// afterNaive decides what follows from a failure.
func (f *fleet) afterNaive(c *call, a *attempt) {
	if c.winner == a && !c.r.w.Begun {
		f.fail(c, c.failed)
		return
	}
	c.winner = nil
	switch a.kind {
	case route.RateLimited:
		if c.waits++; c.waits > naiveWaits {
			f.fail(c, c.failed)
			return
		}
		wait := cmp.Or(a.after, time.Second<<(c.waits-1))
		if f.clock.Add(wait).After(c.need.Deadline) {
			f.fail(c, c.failed)
			return
		}
		f.cal.add(entry{at: f.now + int64(wait), what: resumes, ref: c.i})
	case route.Refused, route.CallerFault, route.KeyRefused:
		f.fail(c, c.failed)
	default:
		clientError := a.kind == route.Failed && a.code >= 400 && a.code < 500
		if clientError || c.asked >= min(naiveTries, len(c.need.Endpoints)) {
			f.fail(c, c.failed)
			return
		}
		c.at++
		c.asked++
		f.pursueNaive(c)
	}
}
