package exposure

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/placement"
)

// Flow is what one workload has asked of one endpoint.
type Flow struct {
	Class    string
	Agent    string
	Team     string
	Key      string
	Labels   []string // of the data
	Asked    string   // the alias, model or endpoint, as the caller named it: its members are the alternates
	Model    string
	Endpoint catalog.EndpointID
	Calls    int64
	Tokens   int64
	Spend    decouple.Money
	Unpriced int64 // calls whose price is not known and not in Spend
}

// Workload is the name of the workload that a flow belongs to: its class, or the agent, the team, the key or the name asked for where calls have none.
func (f Flow) Workload() string {
	for _, by := range []struct{ what, name string }{{"class", f.Class}, {"agent", f.Agent}, {"team", f.Team}, {"key", f.Key}, {"model", f.Asked}} {
		if by.name != "" {
			return by.what + " " + by.name
		}
	}
	return "unnamed"
}

// Judge says what contracts permit; a compiled policy of the room placement does.
type Judge interface {
	Judge(*placement.Need, *placement.Place) placement.Ruling
}

// Simulated is the mode of a drill that played in simulated clouds: it says how the router would do, not what this customer's calls lose.
const Simulated = "sim"

// Drill is what a drill has measured, as far as exposure counts it.
type Drill struct {
	ID         string        `json:"id"`
	Mode       string        `json:"mode"` // sim, shadow or live
	At         time.Time     `json:"at"`
	Due        time.Time     `json:"due,omitzero"` // zero: Facts.DrillDue after At
	Removed    []Node        `json:"removed"`      // what was taken away
	Workloads  []string      `json:"workloads,omitempty"`
	Calls      int64         `json:"calls"`
	Failed     int64         `json:"failed"`
	Touched    bool          `json:"touched,omitempty"` // Calls are only those that hung on it, not all that were made
	Recovery   time.Duration `json:"recovery_ns"`
	Breaches   int64         `json:"breaches"`   // of contracts or residency
	Duplicated int64         `json:"duplicated"` // effects
}

// lost is the share of calls that failed.
func (d Drill) lost() float64 { return ratio(float64(d.Failed), float64(d.Calls)) }

// Parity is what a parity evaluation has found of an alternate.
type Parity struct {
	Primary   catalog.EndpointID `json:"primary"`
	Alternate catalog.EndpointID `json:"alternate"`
	Pass      bool               `json:"pass"`
	At        time.Time          `json:"at"`
}

// Input is what an assessment is made from. Catalog and Place are required.
type Input struct {
	Catalog *catalog.Catalog
	Place   func(catalog.Endpoint) placement.Place // an endpoint as contracts speak of it
	Judge   Judge                                  // nil permits everything, and the report says so
	Class   string                                 // as which contracts judge calls that name none
	Flows   []Flow                                 // none: the catalog's aliases are taken for one workload each, and the report says so
	Facts   Facts
	Drills  []Drill
	Parity  []Parity
	Since   time.Time
	Now     time.Time
}

// station is an endpoint and what it hangs on.
type station struct {
	ep      catalog.Endpoint
	place   placement.Place
	closure map[Node]Strength
}

// stream is a flow with what follows from it.
type stream struct {
	Flow
	at     *station
	work   *workload
	may    []*station // permitted members of what was asked for, at itself among them
	held   int        // members that need a sign-off first
	weight [4]float64 // by Weight
}

// workload is calls that belong together.
type workload struct {
	name    string
	level   Level
	why     string
	streams []*stream
	calls   int64
	tokens  int64
	spend   decouple.Money
}

// world is an assessment under way.
type world struct {
	Input
	graph    *Graph
	stations map[catalog.EndpointID]*station
	streams  []*stream
	works    []*workload
	total    [4]float64
	passed   map[[2]catalog.EndpointID]bool
	rulings  map[string]placement.Effect
	gone     []string // endpoints that calls went to and that the catalog does not have any more
	basis    string
}

// Bases of a report.
const (
	Recorded = "recorded calls"
	Assumed  = "the catalog alone"
)

func newWorld(in Input) *world {
	w := &world{Input: in, graph: NewGraph(in.Facts.Edges, in.Now), stations: map[catalog.EndpointID]*station{}, passed: map[[2]catalog.EndpointID]bool{}, rulings: map[string]placement.Effect{}, basis: Recorded}
	for _, ep := range in.Catalog.Endpoints {
		w.build(ep)
	}
	for _, s := range w.stations {
		s.closure = w.graph.Closure(map[Node]Strength{{OfEndpoint, string(s.ep.ID)}: Hard})
	}
	for _, p := range in.Parity {
		if p.Pass && in.Now.Sub(p.At) <= in.Facts.ParityDue {
			w.passed[[2]catalog.EndpointID{p.Primary, p.Alternate}] = true
		}
	}
	flows := in.Flows
	if len(flows) == 0 {
		w.basis = Assumed
		flows = slices.DeleteFunc(assumed(in.Catalog), func(f Flow) bool { return w.effect(f, w.stations[f.Endpoint]) != placement.Go })
	}
	w.take(flows)
	return w
}

func (w *world) build(ep catalog.Endpoint) *station {
	s := &station{ep: ep, place: w.Place(ep)}
	w.stations[ep.ID] = s
	for _, e := range direct(ep, s.place) {
		w.graph.add(e)
	}
	return s
}

// assumed are flows where nothing was recorded: each alias that something answers for, and each model that no alias has, is a workload, spread evenly over its endpoints. The model in this
// program stands for nobody else's as long as there are others.
func assumed(cat *catalog.Catalog) []Flow {
	const parts = 1000
	var list []Flow
	covered := map[catalog.EndpointID]bool{}
	add := func(name string) {
		alias, err := cat.Resolve(name)
		if err != nil {
			return
		}
		members := cat.Members(alias)
		for _, id := range members {
			covered[id] = true
			if ep := cat.Endpoints[id]; ep.Provider != builtinProvider {
				list = append(list, Flow{Asked: name, Endpoint: id, Model: string(ep.Model), Calls: max(1, parts/int64(len(members)))})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cat.Aliases)) {
		add(name)
	}
	for _, id := range slices.Sorted(maps.Keys(cat.Endpoints)) {
		if !covered[id] {
			add(string(cat.Endpoints[id].Model))
		}
	}
	return list
}

// take sorts flows into workloads.
func (w *world) take(flows []Flow) {
	byName := map[string]*workload{}
	for _, f := range flows {
		at := w.stations[f.Endpoint]
		if at == nil {
			at = w.missing(f)
		}
		work := byName[f.Workload()]
		if work == nil {
			work = &workload{name: f.Workload()}
			byName[work.name] = work
			w.works = append(w.works, work)
		}
		s := &stream{Flow: f, at: at, work: work}
		s.may, s.held = w.permitted(f)
		work.streams = append(work.streams, s)
		work.calls, work.tokens, work.spend = work.calls+f.Calls, work.tokens+f.Tokens, work.spend+f.Spend
		w.streams = append(w.streams, s)
	}
	slices.SortFunc(w.works, func(a, b *workload) int {
		return cmp.Or(cmp.Compare(b.spend, a.spend), cmp.Compare(b.tokens, a.tokens), cmp.Compare(b.calls, a.calls), strings.Compare(a.name, b.name))
	})
	w.levels()
	for _, s := range w.streams {
		s.weight = [4]float64{float64(s.Spend), float64(s.Tokens), float64(s.Calls), s.work.level.weight() * ratio(float64(s.Calls), float64(s.work.calls))}
		for i := range s.weight {
			w.total[i] += s.weight[i]
		}
	}
}

// missing is an endpoint of recorded calls that the catalog does not have any more: of it only its id and its model's maker are known.
func (w *world) missing(f Flow) *station {
	ep := catalog.Endpoint{ID: f.Endpoint, Model: catalog.ModelID(f.Model)}
	if f.Endpoint == "" {
		ep.ID = "unknown"
	}
	ep.Account, _, _ = strings.Cut(string(ep.ID), "/")
	if w.Catalog.Providers[ep.Account].ID != "" {
		ep.Provider, ep.Cloud = ep.Account, w.Catalog.Providers[ep.Account].Cloud
	}
	if s := w.stations[ep.ID]; s != nil {
		return s
	}
	w.gone = append(w.gone, string(ep.ID))
	s := w.build(ep)
	s.closure = w.graph.Closure(map[Node]Strength{{OfEndpoint, string(ep.ID)}: Hard})
	return s
}

// permitted are the endpoints that may answer for a flow: the members of what was asked for that the contracts let it go to now.
func (w *world) permitted(f Flow) (may []*station, held int) {
	ids := []catalog.EndpointID{}
	if alias, err := w.Catalog.Resolve(f.Asked); err == nil {
		ids = w.Catalog.Members(alias)
	} else if alias, err := w.Catalog.Resolve(f.Model); err == nil && f.Model != "" {
		ids = w.Catalog.Members(alias)
	}
	for _, id := range ids {
		switch s := w.stations[id]; w.effect(f, s) {
		case placement.Go:
			may = append(may, s)
		case placement.Hold:
			held++
		}
	}
	return may, held
}

// effect asks the contracts, once for each kind of work and place.
func (w *world) effect(f Flow, s *station) placement.Effect {
	if w.Judge == nil {
		return placement.Go
	}
	key := fmt.Sprintf("%q", append([]string{f.Class, f.Team, f.Agent, f.Key, string(s.ep.ID)}, f.Labels...))
	if e, ok := w.rulings[key]; ok {
		return e
	}
	e := w.Judge.Judge(&placement.Need{Action: placement.CallModel, Class: cmp.Or(f.Class, w.Class), Labels: f.Labels, Team: f.Team, Agent: f.Agent, Key: f.Key}, &s.place).Effect
	w.rulings[key] = e
	return e
}

// mostSpend is the part of all spend whose workloads are critical unless the facts say otherwise.
const mostSpend = 0.8

// levels says how critical each workload is: as the facts say, else by spend (or tokens or calls, where nothing has a price): the largest that together make up four fifths
// of it are critical, the next down to a hundredth are normal, and the rest are low.
func (w *world) levels() {
	var total float64
	size := func(k *workload) float64 { return float64(k.spend) }
	for _, by := range []func(*workload) float64{size, func(k *workload) float64 { return float64(k.tokens) }, func(k *workload) float64 { return float64(k.calls) }} {
		size, total = by, 0
		for _, k := range w.works {
			total += size(k)
		}
		if total > 0 {
			break
		}
	}
	ordered := slices.Clone(w.works)
	slices.SortStableFunc(ordered, func(a, b *workload) int { return cmp.Compare(size(b), size(a)) })
	sum := 0.0
	for _, k := range ordered {
		share := ratio(size(k), total)
		switch {
		case sum < mostSpend:
			k.level = Critical
		case share >= 0.01:
			k.level = Normal
		default:
			k.level = Low
		}
		sum += share
		k.why = fmt.Sprintf("by its size: %s of all", percent(share))
		for _, c := range w.Facts.Criticality {
			if slices.ContainsFunc(k.streams, func(s *stream) bool { return c.matches(s.Flow) }) {
				k.level, k.why = c.Level, "as the file of facts says"
				break
			}
		}
	}
}

// proved says whether an alternate has passed a parity evaluation against what it would stand in for: the endpoint itself, or the same model elsewhere.
func (w *world) proved(for_, alternate *station) bool {
	for pair := range w.passed {
		if pair[1] != alternate.ep.ID {
			continue
		}
		if p := w.stations[pair[0]]; pair[0] == for_.ep.ID || p != nil && p.ep.Model == for_.ep.Model {
			return true
		}
	}
	return false
}

// ratio is a part of a whole, and nothing of nothing.
func ratio(part, whole float64) float64 {
	if whole == 0 {
		return 0
	}
	return part / whole
}
