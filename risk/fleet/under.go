package fleet

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/placement"
)

// Under puts a plan under contracts: as they hold on the days of the plan, and without the clauses that the plan lets fall away. A clause that the plan names and that is not there is
// NotFound.
func (p *Plan) Under(book placement.Book) error {
	p.Policies = nil
	for _, g := range p.Without {
		for _, id := range g.Without {
			if clauses(without(book, []string{id})) == clauses(book) {
				return decouple.Errorf(decouple.NotFound, "the plan lets the clause %s fall away, and no contract has it: it is named contract/clause, or contract for all of it", quoted(id))
			}
		}
	}
	for at := time.Duration(0); ; {
		b, why := book, "the contracts of "+p.Start.Add(at).UTC().Format("2 January 2006")
		for _, g := range p.Without {
			if g.At <= at {
				b = without(b, g.Without)
			}
			if g.At == at {
				why = cmp.Or(g.Why, strings.Join(g.Without, ", ")+" has fallen away")
			}
		}
		policy, err := placement.Compile(b, placement.Moment{AsOf: p.Start.Add(at)})
		if err != nil {
			return err
		}
		p.Policies = append(p.Policies, Change{At: at, Policy: policy, Why: why})
		next := p.nextChange(policy, at)
		if next <= at {
			return nil
		}
		at = next
	}
}

// after is for how long after the last run has come contracts are looked up: those under way go on.
const after = time.Hour

// nextChange is when another policy holds; 0 is never within the plan.
func (p *Plan) nextChange(policy *placement.Policy, at time.Duration) time.Duration {
	next := time.Duration(0)
	consider := func(t time.Duration) {
		if t > at && t < p.Span+after && (next == 0 || t < next) {
			next = t
		}
	}
	if u := policy.Until(); !u.IsZero() {
		consider(u.Sub(p.Start))
	}
	for _, g := range p.Without {
		consider(g.At)
	}
	return next
}

// without is a book from which clauses are gone.
func without(b placement.Book, gone []string) placement.Book {
	out := placement.Book{SignOffs: b.SignOffs}
	for _, c := range b.Contracts {
		if slices.Contains(gone, c.ID) {
			continue
		}
		c.Clauses = slices.DeleteFunc(slices.Clone(c.Clauses), func(k placement.Clause) bool { return slices.Contains(gone, c.ID+"/"+k.ID) })
		out.Contracts = append(out.Contracts, c)
	}
	return out
}

// clauses is how many contracts and clauses a book has.
func clauses(b placement.Book) int {
	n := len(b.Contracts)
	for _, c := range b.Contracts {
		n += len(c.Clauses)
	}
	return n
}

// Uses are what was used, as contracts count it.
func (r *Result) Uses() []placement.Use {
	var list []placement.Use
	for i := range r.Workloads {
		w := &r.Workloads[i]
		for j := range w.Cells {
			c, e := &w.Cells[j], &r.Endpoints[j]
			if c.Attempts == 0 {
				continue
			}
			list = append(list, placement.Use{
				Vendor: e.Vendor, Cloud: e.Host, Region: e.Region, Lab: e.Lab, Model: string(e.Model), Class: w.Class, Team: w.Team, Agent: w.Agent,
				Spend: c.Cost, Tokens: c.TokensIn + c.TokensOut, Calls: c.Answers,
			})
		}
	}
	return list
}

// Promise is how a promised share would stand if all that is used were what the fleet uses.
type Promise struct {
	ID    string               `json:"id"`
	Text  string               `json:"text"`
	Part  string               `json:"part"` // promised
	Most  bool                 `json:"at_most,omitempty"`
	Of    placement.Measure    `json:"of"`
	With  []string             `json:"with"`
	State placement.ShareState `json:"state"`
}

// Promises are the shares that a policy's contracts promise, as the fleet kept them.
func (r *Result) Promises(p *placement.Policy) []Promise {
	var list []Promise
	uses := r.Uses()
	for _, s := range p.Shares() {
		list = append(list, Promise{ID: s.ID, Text: s.Text, Part: s.ShareTerm.Part.String(), Most: s.AtMost, Of: s.Of, With: s.With, State: s.State(uses)})
	}
	return list
}
