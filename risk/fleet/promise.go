package fleet

import (
	"slices"
	"time"

	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/placement"
)

// countEvery is how old the figures may be by which endpoints are preferred that keep a promised share, as in the gateway's process.
const countEvery = int64(5 * time.Second)

// promising is a policy that holds promised shares: *placement.Policy does.
type promising interface{ Shares() []placement.Share }

// promise takes in the shares that a policy promises, and has them counted from now on.
func (f *fleet) promise() {
	f.shares, f.behind = nil, nil
	for _, w := range f.works {
		w.prefer = nil
	}
	if p, ok := f.policy.(promising); ok && !f.Router.Naive {
		f.shares = p.Shares()
	}
	if len(f.shares) > 0 && !f.counting {
		f.counting = true
		f.idle(entry{at: f.now + countEvery, what: tallies})
	}
}

// count finds the promised shares that are not kept, and prefers who brings them nearer.
func (f *fleet) count() {
	if f.counting = len(f.shares) > 0; !f.counting {
		return
	}
	uses := f.uses()
	var behind []string
	for i := range f.shares {
		if !f.shares[i].State(uses).Kept {
			behind = append(behind, f.shares[i].ID)
		}
	}
	if !slices.Equal(behind, f.behind) {
		f.behind = behind
		for _, w := range f.works {
			w.prefer = f.wishes(w)
		}
	}
	f.counting = f.idle(entry{at: f.now + countEvery, what: tallies})
}

// wishes are the endpoints that bring a share nearer which is not kept.
func (f *fleet) wishes(w *work) map[catalog.EndpointID]string {
	var out map[catalog.EndpointID]string
	for _, id := range w.members {
		u := f.use(w, f.byID[id])
		for i := range f.shares {
			s := &f.shares[i]
			if !slices.Contains(f.behind, s.ID) || !s.Counts(&u) || s.Named(&u) == s.AtMost {
				continue
			}
			if out == nil {
				out = map[catalog.EndpointID]string{}
			}
			out[id] = s.ID + ": " + s.Text
			break
		}
	}
	return out
}

// use is what a workload uses at an endpoint, as contracts count it, of nothing yet.
func (f *fleet) use(w *work, to int32) placement.Use {
	p := &f.targets[to].place
	return placement.Use{Vendor: p.Vendor, Cloud: p.Cloud, Region: p.Region, Lab: p.Lab, Model: p.Model, Class: w.need(nil).Class, Team: w.Team, Agent: w.Agent}
}

// uses are what was used so far.
func (f *fleet) uses() []placement.Use {
	var list []placement.Use
	for i, cells := range f.books.cells {
		for to := range cells {
			if c := &cells[to]; c.Attempts > 0 {
				u := f.use(f.works[i], int32(to))
				u.Spend, u.Tokens, u.Calls = c.Cost, c.TokensIn+c.TokensOut, c.Answers
				list = append(list, u)
			}
		}
	}
	return list
}

// idle notes something that is of no use when nothing else happens any more; it says whether anything does.
func (f *fleet) idle(e entry) bool {
	if f.ended() {
		return false
	}
	f.idlers++
	f.cal.add(e)
	return true
}

// ended says that nothing happens any more.
func (f *fleet) ended() bool { return f.begun && len(f.cal.heap) <= f.idlers }
