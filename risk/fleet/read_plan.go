package fleet

import (
	"math"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/sim"
)

// plan makes what the file says into a plan. An error comes with its line.
func (f *filePlan) plan() (p Plan, line int, err error) {
	p = Plan{Name: f.Name, Seed: f.Seed, Start: f.Start, Span: f.Span, Slice: f.Slice, Labels: f.Labels}
	if p.Start.IsZero() {
		return p, 1, decouple.Errorf(decouple.Invalid, "start is missing: the day on which the plan is played, such as 2026-03-09, for prices and clauses")
	}
	if p.Clouds, line, err = f.clouds(); err != nil {
		return p, line, err
	}
	for _, name := range sortedKeys(f.Labels) {
		if cloudNamed(p.Clouds, name) == nil {
			return p, 1, decouple.Errorf(decouple.Invalid, "labels: there is no cloud %s", quoted(name))
		}
	}
	if f.Catalog.Kind != 0 {
		if p.Overlay, err = catalog.ReadOverlay(&f.Catalog); err != nil {
			return p, f.Catalog.Line, err
		}
	}
	if p.Faults, line, err = readFaults(&f.Faults); err != nil {
		return p, line, err
	}
	p.Router = Router{Naive: f.Router.Naive, MaxWait: f.Router.MaxWait, Queue: route.QueueConfig{Max: int(min(f.Router.Queue, 1<<20))}, Route: route.Config{Replicas: f.Router.Replicas}}
	if f.Router.MaxWait < 0 || f.Router.MaxWait > longest || f.Router.Replicas < 0 {
		return p, 1, decouple.Errorf(decouple.Invalid, "router: max_wait is a span, and replicas a number, not below zero")
	}
	for _, c := range f.Contracts {
		if c.At < 0 || len(c.Without) == 0 {
			return p, 1, decouple.Errorf(decouple.Invalid, "contracts: a change has a time, at, not below zero, and clauses that are gone from then on, without")
		}
		p.Without = append(p.Without, Gone(c))
	}
	slices.SortStableFunc(p.Without, func(a, b Gone) int { return int(max(-1, min(1, a.At-b.At))) })
	for i := range f.Workloads {
		p.Workloads = append(p.Workloads, f.Workloads[i].workload())
	}
	return p, 1, nil
}

// Gone are clauses of contracts that fall away at a time.
type Gone struct {
	At      time.Duration
	Without []string // contract, or contract/clause
	Why     string
}

// clouds are those that the file names, or describes; all that ship where it says nothing.
func (f *filePlan) clouds() ([]sim.Cloud, int, error) {
	ship, err := sim.ReadSetup("clouds.yaml", sim.DefaultClouds)
	if err != nil {
		return nil, 1, err
	}
	list := ship.Clouds
	if len(f.Clouds) > 0 {
		list = nil
	}
	for i := range f.Clouds {
		n := &f.Clouds[i]
		if n.Kind == yaml.ScalarNode {
			c := cloudNamed(ship.Clouds, n.Value)
			if c == nil {
				return nil, n.Line, decouple.Errorf(decouple.Invalid, "no cloud of the name %s ships: there are %s; describe others as docs/sim.md says", quoted(n.Value), strings.Join(names(ship.Clouds), ", "))
			}
			list = append(list, *c)
			continue
		}
		data, err := yaml.Marshal(map[string][]*yaml.Node{"clouds": {n}})
		if err != nil {
			return nil, n.Line, decouple.Errorf(decouple.Invalid, "a cloud is a name or a mapping: %w", err)
		}
		own, err := sim.ReadSetup("in this cloud", data)
		if err != nil {
			return nil, n.Line, err
		}
		list = append(list, own.Clouds...)
	}
	for _, name := range sortedKeys(f.Quotas) {
		n := f.Quotas[name]
		times, ok := number(&n)
		c := cloudNamed(list, name)
		if !ok || times > 1e6 || c == nil {
			return nil, n.Line, decouple.Errorf(decouple.Invalid, "quotas: %s is no cloud of the plan, or its factor no number up to a million", quoted(name))
		}
		widen(c, times)
	}
	return list, 1, nil
}

func cloudNamed(list []sim.Cloud, name string) *sim.Cloud {
	if i := slices.IndexFunc(list, func(c sim.Cloud) bool { return c.Name == name }); i >= 0 {
		return &list[i]
	}
	return nil
}

func names(list []sim.Cloud) []string {
	var out []string
	for i := range list {
		out = append(out, list[i].Name)
	}
	return out
}

// widen makes the quotas of a cloud, and what it works on at once, so many times as large.
func widen(c *sim.Cloud, times float64) {
	l := &c.Limits
	for _, n := range []*int64{&l.Requests, &l.Tokens, &l.TokensIn, &l.TokensOut, &l.TokensDay, &l.Units, &c.Concurrent, &c.Queue} {
		if *n > 0 {
			*n = int64(min(max(1, math.Round(float64(*n)*times)), 1e12))
		}
	}
	c.Concurrent = min(c.Concurrent, 1_000_000)
}

// readFaults reads faults as files of clouds have them.
func readFaults(n *yaml.Node) ([]sim.Fault, int, error) {
	if n.Kind == 0 {
		return nil, 1, nil
	}
	if n.Kind != yaml.SequenceNode {
		return nil, n.Line, decouple.Errorf(decouple.Invalid, "faults is a list; docs/sim.md says of what")
	}
	var list []sim.Fault
	for _, item := range n.Content {
		data, err := yaml.Marshal(item)
		if err != nil || item.Kind != yaml.MappingNode {
			return nil, item.Line, decouple.Errorf(decouple.Invalid, "a fault is a mapping such as {kind: outage, cloud: azure, from: 10m, to: 70m}")
		}
		some, err := sim.ReadFault(data)
		if err != nil {
			return nil, item.Line, err
		}
		list = append(list, some...)
	}
	return list, 1, nil
}

func (f *fileWorkload) workload() Workload {
	a := f.Arrive
	return Workload{
		Name: f.Name, Class: f.Class, Labels: f.Labels, Tenant: f.Tenant, Team: f.Team, Agent: f.Agent, Keys: f.Keys, Model: f.Model,
		Arrive: Arrival{Pattern: Pattern(a.Pattern), Rate: float64(a.Rate), Every: a.Every, For: a.For, Times: a.Times, Peak: a.Peak, Swing: a.Swing},
		Runs:   int64(f.Runs), Calls: Spread(f.Calls), Tools: Spread(f.Tools), In: Spread(f.In), Grow: Spread(f.Grow), Prefix: int64(f.Prefix), Out: Spread(f.Out), MaxOut: int64(f.MaxOut),
		Stream: f.Stream, Begun: f.Restart, Late: f.Late, Priority: f.Priority, Deadline: f.Deadline, Again: f.Again, Pause: f.Pause, Unchecks: f.Unchecks, SignOff: f.SignOff,
	}
}

// Expected is how many runs a plan is expected to have.
func (p *Plan) Expected() float64 {
	n := 0.0
	for i := range p.Workloads {
		n += p.Workloads[i].expected(p.Span)
	}
	return n
}

func (w *Workload) expected(span time.Duration) float64 {
	if w.Runs > 0 {
		return float64(w.Runs)
	}
	return w.Arrive.Rate * span.Seconds()
}

// Scale makes a plan have so many runs in all, its workloads in the proportion that they have. With wide the span grows or shrinks with them and they come as fast as before; without, as many more
// come in the same time.
func (p *Plan) Scale(runs int64, wide bool) {
	all := p.Expected()
	if !(all > 0) || runs <= 0 {
		return
	}
	times := float64(runs) / all
	given, before := int64(0), 0.0
	for i := range p.Workloads {
		w := &p.Workloads[i]
		before += w.expected(p.Span) * times
		w.Runs = max(1, int64(math.Round(before))-given)
		given += w.Runs
		if !wide {
			w.Arrive.Rate *= times
		}
	}
	if wide {
		p.Span = min(time.Duration(float64(p.Span)*times), longest)
	}
}
