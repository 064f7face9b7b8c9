package fleet

import (
	"slices"
	"strings"

	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/sim"
)

// permit is where calls of a workload may go under the policy of now.
type permit struct {
	endpoints []catalog.EndpointID
	refused   []route.Candidate
	held      []string // clauses that a person could sign off, so that the first endpoint that is held may be asked
	why       string
}

// change lets another policy hold.
func (f *fleet) change(c *Change) {
	f.policy = c.Policy
	f.changes++
	f.permitAll()
	f.promise()
	f.mix(changes, 0, -1, 0)
	f.tell(Event{Kind: Changed, Why: c.Why})
	for _, w := range f.works {
		parked := w.parked
		w.parked = nil
		for _, i := range parked {
			f.cal.add(entry{at: f.now, what: again, ref: i})
		}
	}
	f.requeue()
}

// permitAll works out where each workload may go.
func (f *fleet) permitAll() {
	for _, w := range f.works {
		w.permit = f.permitted(w, nil)
		w.approved = permit{}
		if len(w.permit.endpoints) == 0 && len(w.permit.held) > 0 {
			w.approved = f.permitted(w, w.permit.held)
		}
		w.judged = make([]int8, 2*len(f.targets))
	}
}

// permitted asks the policy about every endpoint that a workload's model or alias stands for.
func (f *fleet) permitted(w *work, signed []string) permit {
	var p permit
	need := w.need(signed)
	for _, id := range w.members {
		t := &f.targets[f.byID[id]]
		if f.policy == nil {
			p.endpoints = append(p.endpoints, id)
			continue
		}
		r := f.policy.Judge(need, &t.place)
		switch r.Effect {
		case placement.Go:
			p.endpoints = append(p.endpoints, id)
			continue
		case placement.Hold:
			if p.held == nil { // a person is asked about one endpoint
				p.held, p.why = clauseIDs(r.Clauses), string(id)+": "+r.Why
			}
		}
		if p.why == "" {
			p.why = string(id) + ": " + r.Why
		}
		p.refused = append(p.refused, route.Candidate{Endpoint: id, Verdict: route.Denied, Why: r.Why})
	}
	return p
}

// clauseIDs are the names contract/clause of clauses.
func clauseIDs(list []placement.Cited) []string {
	out := []string{}
	for _, c := range list {
		id := c.ID
		if c.Contract != "" && !strings.HasPrefix(id, c.Contract+"/") {
			id = c.Contract + "/" + id
		}
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// rejudge takes those endpoints from a call that another policy has denied since it came. One that was refused before stays so.
func (f *fleet) rejudge(c *call) {
	if c.policy == f.changes {
		return
	}
	c.policy = f.changes
	p := c.r.permit()
	c.need.Endpoints = slices.DeleteFunc(slices.Clone(c.need.Endpoints), func(id catalog.EndpointID) bool { return !slices.Contains(p.endpoints, id) })
	c.need.Refused = p.refused
}

// permit is where the calls of a run may go now.
func (r *run) permit() *permit {
	if r.signed && len(r.w.permit.endpoints) == 0 {
		return &r.w.approved
	}
	return &r.w.permit
}

// reach is what a cloud sees of where a call goes.
type reach struct{ cloud, region, model string }

// watch looks at what reaches a cloud, and counts what contracts deny there. It shares nothing with the way to the decision but the policy itself.
func (f *fleet) watch(r *run, asked *sim.Call) bool {
	if f.policy == nil {
		return true
	}
	w := r.w
	i, known := f.reached[reach{asked.Cloud, asked.Region, asked.Model}]
	at := int(i)
	var signed []string
	if r.signed && len(w.permit.endpoints) == 0 {
		at += len(f.targets)
		signed = w.permit.held
	}
	if known && w.judged[at] != 0 {
		return w.judged[at] == 1
	}
	effect := placement.Stop
	if known {
		effect = f.policy.Judge(w.need(signed), &f.targets[i].place).Effect
		w.judged[at] = 2
		if effect == placement.Go {
			w.judged[at] = 1
		}
	}
	return effect == placement.Go
}
