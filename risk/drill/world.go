package drill

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/risk/fleet"
	"decouple.dev/decouple/sim"
)

// world is what a scenario is played in: a catalog, contracts, and who calls.
type world struct {
	*Scenario
	catalog *catalog.Catalog
	clouds  []sim.Cloud
	places  map[catalog.EndpointID]placement.Place
	calm    terms   // before and after the loss
	terms   []terms // during it, in the order in which they hold; the first from its beginning
}

// terms are the contracts that hold from a time on, since the loss began.
type terms struct {
	from   time.Duration
	policy *placement.Policy // nil permits everything
	why    string
}

// simWorld makes the simulated world of a scenario: the clouds that ship with the program, and the scenario's aliases and contracts.
func simWorld(s *Scenario) (*world, error) {
	setup, err := sim.ReadSetup("clouds.yaml", sim.DefaultClouds)
	if err != nil {
		return nil, err
	}
	base, err := catalog.Embedded()
	if err != nil {
		return nil, err
	}
	cat, err := fleet.Catalog(base, setup.Clouds, nil)
	if err != nil {
		return nil, err
	}
	if cat, err = s.aliased(cat); err != nil {
		return nil, err
	}
	var book placement.Book
	for _, t := range s.Contracts {
		c, err := s.contract(t)
		if err != nil {
			return nil, err
		}
		book.Contracts = append(book.Contracts, c)
	}
	w := &world{Scenario: s, catalog: cat, clouds: setup.Clouds}
	return w, w.open(book)
}

// open works out where everything is, and which contracts hold when.
func (w *world) open(book placement.Book) error {
	w.places = map[catalog.EndpointID]placement.Place{}
	for id, e := range w.catalog.Endpoints {
		w.places[id] = gateway.PlaceOf(w.catalog, e)
	}
	for i := range w.Lose {
		l := &w.Lose[i]
		if l.What != Clause && !w.hits(l) {
			return decouple.Errorf(decouple.Invalid, "%s:%d: this entry loses nothing: there is no endpoint %s; `decouple endpoints ls` lists those of an installation, `decouple sim` those of the simulated world", w.ID, l.line, l.who())
		}
	}
	w.calm.why = "the contracts as they are"
	if len(book.Contracts) > 0 {
		p, err := placement.Compile(book, placement.Moment{AsOf: w.Start, Known: w.Start})
		if err != nil {
			return err
		}
		w.calm.policy = p
	}
	var last string
	for _, at := range w.moments() {
		held, why, err := w.bookAt(book, at)
		if err != nil {
			return err
		}
		if at > 0 && why == last {
			continue
		}
		t := terms{from: at, why: cmp.Or(why, w.calm.why)}
		switch {
		case why == "":
			t.policy = w.calm.policy
		case len(held.Contracts) > 0:
			if t.policy, err = placement.Compile(held, placement.Moment{AsOf: w.Start, Known: w.Start}); err != nil {
				return err
			}
		}
		w.terms, last = append(w.terms, t), why
	}
	return nil
}

// hits says whether a loss is about any endpoint.
func (w *world) hits(l *Loss) bool {
	for id := range w.places {
		p := w.places[id]
		if w.about(l, &p) {
			return true
		}
	}
	return false
}

// bookAt is the contracts as they are at a time, without what is lost then; why says in words what is.
func (w *world) bookAt(book placement.Book, at time.Duration) (placement.Book, string, error) {
	held := placement.Book{Contracts: slices.Clone(book.Contracts), SignOffs: book.SignOffs}
	var why []string
	for i := range w.Lose {
		l := &w.Lose[i]
		if l.What != Clause || !l.holds(at) {
			continue
		}
		why = append(why, l.words())
		if l.Clause != "" {
			if !drop(&held, l.Clause) {
				return held, "", decouple.Errorf(decouple.Invalid, "%s:%d: there is no clause %s in the contracts that are drilled", w.ID, l.line, plain(l.Clause))
			}
			continue
		}
		c, err := w.contract(l.Text)
		if err != nil {
			return held, "", err
		}
		held.Contracts = append(slices.DeleteFunc(held.Contracts, func(o placement.Contract) bool { return o.ID == c.ID }), c)
	}
	return held, strings.Join(why, "; "), nil
}

// drop takes a clause out of a book.
func drop(b *placement.Book, name string) bool {
	contract, clause, _ := strings.Cut(name, "/")
	found := false
	for i := range b.Contracts {
		c := &b.Contracts[i]
		if c.ID != contract {
			continue
		}
		n := len(c.Clauses)
		c.Clauses = slices.DeleteFunc(slices.Clone(c.Clauses), func(k placement.Clause) bool { return k.ID == clause })
		found = found || len(c.Clauses) < n
	}
	return found
}

// contract reads a contract that stands in the scenario. Lines of its faults are those of the contract's own text.
func (s *Scenario) contract(t Text) (placement.Contract, error) {
	c, err := placement.Parse(s.ID+", the contract at line "+itoa(t.Line), []byte(t.Text))
	if err != nil {
		return c, err
	}
	return c, nil
}

// aliased adds the scenario's aliases to a catalog.
func (s *Scenario) aliased(cat *catalog.Catalog) (*catalog.Catalog, error) {
	o := catalog.Overlay{Aliases: map[string]catalog.Alias{}}
	for name, list := range s.Aliases {
		a := catalog.Alias{Name: name, Strategy: catalog.Ordered}
		for _, t := range list {
			_, endpoint := cat.Endpoints[catalog.EndpointID(t)]
			_, model := cat.Models[catalog.ModelID(t)]
			switch {
			case endpoint:
				a.Targets = append(a.Targets, catalog.Target{Endpoint: catalog.EndpointID(t)})
			case model:
				a.Targets = append(a.Targets, catalog.Target{Model: catalog.ModelID(t)})
			default:
				return nil, decouple.Errorf(decouple.NotFound, "%s: the alias %s names %q, which is neither an endpoint nor a model of the simulated clouds; `decouple clouds` lists them, as CLOUD/REGION/MODEL", s.ID, plain(name), plain(t))
			}
		}
		o.Aliases[name] = a
	}
	out, err := cat.With(o)
	if err != nil {
		return nil, decouple.Errorf(decouple.KindOf(err), "%s: aliases: %w", s.ID, err)
	}
	return out, nil
}

// at is the terms that hold at a time since the loss began.
func (w *world) at(since time.Duration) *terms {
	i := len(w.terms) - 1
	for i > 0 && w.terms[i].from > since {
		i--
	}
	return &w.terms[i]
}

// ruling says whether contracts let a need be met at an endpoint.
func (t *terms) ruling(n *placement.Need, p *placement.Place) (bool, string) {
	if t.policy == nil {
		return true, ""
	}
	r := t.policy.Judge(n, p)
	if r.Effect == placement.Go {
		return true, ""
	}
	var why []string
	for _, c := range r.Clauses {
		why = append(why, c.ID+" ("+c.Text+")")
	}
	return false, cmp.Or(strings.Join(why, ", "), r.Why)
}

// gap is what a need has left at a time; nil is that something is.
func (w *world) gap(n *placement.Need, members []catalog.EndpointID, since time.Duration) *Gap {
	g := &Gap{From: since}
	t := w.at(since)
	for _, id := range members {
		p := w.places[id]
		ok, why := t.ruling(n, &p)
		switch lost := w.lost(&p, since); {
		case ok && !lost:
			return nil
		case ok:
			g.Lost = append(g.Lost, string(id))
		case !lost:
			g.Refused = append(g.Refused, string(id)+": "+why)
		}
	}
	return g
}
