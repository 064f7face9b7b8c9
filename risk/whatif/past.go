package whatif

import (
	"slices"

	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/placement"
)

// Asked is a recorded call as a question, as of when it was made and by what was known then.
func Asked(c ledger.Recorded) Question {
	q := Question{Model: c.Asked, Class: c.Class, Labels: c.Labels, Team: c.Team, Agent: string(c.Agent), Key: c.Key, Signed: c.Signed, When: placement.Moment{AsOf: c.At, Known: c.At}}
	if q.Class == "" && c.Run == "" {
		q.Class = gateway.StatelessAPI
	}
	return q
}

// Past judges the places of a recorded call again. What was chosen then is in the answer whether or not the catalog still has it.
func Past(cat *catalog.Catalog, policy *placement.Policy, c ledger.Recorded) (Answer, error) {
	q := Asked(c)
	if _, err := cat.Resolve(q.Model); err != nil {
		q.Model = c.Model // the alias is gone: the model that was asked may not be
	}
	a, err := Explain(cat, policy, q)
	if err != nil {
		a = Answer{Verdict: placement.Deny, Needs: []string{}, Clauses: []placement.Cited{}, Endpoints: []Endpoint{}, AsOf: q.When.AsOf, Known: q.When.Known}
	}
	a.Chosen = c.Endpoint
	if c.Endpoint != "" && !slices.ContainsFunc(a.Endpoints, func(e Endpoint) bool { return e.Name == c.Endpoint }) {
		place := placeOf(cat, c)
		need := q.need()
		s := spot{place: place, ruling: policy.Judge(&need, &place)}
		s.ruling.Why += " (the endpoint is no longer among those of the model)"
		a.add(&s, route.Decision{})
		a.Verdict = verdicts[min(slices.Index(verdicts, a.Verdict), slices.Index(verdicts, s.ruling.Verdict))]
	}
	return a, nil
}

// placeOf is where a recorded call went.
func placeOf(cat *catalog.Catalog, c ledger.Recorded) placement.Place {
	ep, ok := cat.Endpoints[catalog.EndpointID(c.Endpoint)]
	if !ok { // what is not known denies wherever a clause asks for it
		ep = catalog.Endpoint{ID: catalog.EndpointID(c.Endpoint), Model: catalog.ModelID(c.Model)}
	}
	return gateway.PlaceOf(cat, ep)
}
