package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// By names what usage can be summed by.
type By string

// What usage can be summed by.
const (
	ByTenant   By = "tenant"
	ByKey      By = "key"
	ByTeam     By = "team"
	ByAgent    By = "agent"
	ByAsked    By = "asked" // the model as the caller named it
	ByModel    By = "model" // that was asked in the end
	ByEndpoint By = "endpoint"
	ByDoor     By = "door"
	BySource   By = "source"
	ByOutcome  By = "outcome"
	ByDay      By = "day"
	ByHour     By = "hour"
)

// Query selects usage. Zero fields select all; times count in whole hours.
type Query struct {
	Tenant decouple.TenantID
	Since  time.Time // included
	Until  time.Time // not included
	By     []By
}

// Row is a sum of usage. Of Group, the fields that were asked for are set.
type Row struct {
	Group    Group          `json:"group"`
	Calls    int64          `json:"calls"` // that an endpoint was asked for; a call of two endpoints counts in both
	Usage    decouple.Usage `json:"usage"`
	Unpriced int64          `json:"unpriced,omitempty"` // lines whose cost is not known and not in Usage
	Unseen   int64          `json:"unseen,omitempty"`   // lines whose end was not seen: Usage has what was reserved for them
}

// Group is what calls have in common.
type Group struct {
	Tenant   decouple.TenantID  `json:"tenant,omitempty"`
	Key      string             `json:"key,omitempty"`
	Team     string             `json:"team,omitempty"`
	Agent    decouple.AgentName `json:"agent,omitempty"`
	Asked    string             `json:"asked,omitempty"`
	Model    string             `json:"model,omitempty"`
	Endpoint string             `json:"endpoint,omitempty"`
	Door     Door               `json:"door,omitempty"`
	Source   Source             `json:"source,omitempty"`
	Outcome  Outcome            `json:"outcome,omitempty"`
	Day      string             `json:"day,omitempty"`
	Hour     string             `json:"hour,omitempty"`
}

// View is a fold of all usage in the journal: sums by everything that can be asked for, so that asking again does not cost a read of every call.
type View struct {
	log   journal.Reader
	mu    sync.Mutex
	upTo  decouple.Position
	sums  map[cell]*Row
	spent map[spentKey]Amount
	seen  map[origin]int64 // number of the last settlement
}

// cell is the finest sum that is kept.
type cell struct {
	Group
	hour int64 // since 1970
}

// origin is who numbered settlements.
type origin struct {
	tenant decouple.TenantID
	holder string
}

// NewView reads the usage in a journal when it is first asked.
func NewView(log journal.Reader) *View {
	return &View{log: log, sums: map[cell]*Row{}, spent: map[spentKey]Amount{}, seen: map[origin]int64{}}
}

// Usage sums what was used, as far as the journal has it: what nodes have settled within the last second may be missing.
func (v *View) Usage(ctx context.Context, q Query) ([]Row, error) { return v.usage(ctx, q, "", nil) }

// usage sums what was used: all that the journal has, and what a holder has not journaled yet.
func (v *View) usage(ctx context.Context, q Query, holder string, mine []storedCall) ([]Row, error) {
	if err := v.follow(ctx); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	late := NewView(nil)
	for i := range mine {
		if mine[i].N > v.seen[origin{mine[i].Tenant, holder}] {
			late.add(&mine[i])
		}
	}
	sums := map[Group]*Row{}
	for _, cells := range []map[cell]*Row{v.sums, late.sums} {
		if err := q.sum(sums, cells); err != nil {
			return nil, err
		}
	}
	out := make([]Row, 0, len(sums))
	for g, r := range sums {
		r.Group = g
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b Row) int { return compareGroups(a.Group, b.Group) })
	return out, nil
}

// fold adds a call, unless it was added before.
func (v *View) fold(from origin, c *storedCall) {
	if c.N <= v.seen[from] {
		return
	}
	v.seen[from] = c.N
	v.add(c)
}

// add adds a call.
func (v *View) add(c *storedCall) {
	for _, b := range c.Budgets {
		k := spentKey{c.Tenant, b}
		v.spent[k] = v.spent[k].plus(Amount{c.USD, c.Tokens})
	}
	k := cell{hour: c.At / int64(time.Hour/time.Microsecond), Group: Group{Tenant: c.Tenant, Key: c.Key, Team: c.Team, Agent: c.Agent, Asked: c.Model, Door: c.Door, Outcome: c.Outcome}}
	lines := c.Lines
	if len(lines) == 0 {
		lines = []storedLine{{}}
	}
	for i := range lines {
		l := &lines[i]
		k.Endpoint, k.Model, k.Source = l.Endpoint, l.Model, l.Source
		r := v.sums[k]
		if r == nil {
			r = &Row{}
			v.sums[k] = r
		}
		r.Calls++
		r.Usage = r.Usage.Add(l.usage())
		if l.Unpriced {
			r.Unpriced++
		}
		if l.Source == Unknown {
			r.Unseen++
		}
	}
}

// follow folds what is new in the journal.
func (v *View) follow(ctx context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for {
		events, err := v.log.Scan(ctx, journal.Filter{Kind: StreamUsage, After: v.upTo})
		if err != nil || len(events) == 0 {
			return err
		}
		for _, e := range events {
			if err := v.apply(e); err != nil {
				return err
			}
			v.upTo = e.Position
		}
	}
}

func (v *View) apply(e decouple.Event) error {
	list, from, err := callsOf(e)
	for i := range list {
		v.fold(from, &list[i])
	}
	return err
}

// unjournaled reads the settlements that the journal did not have when this was asked.
func (l *Ledger) unjournaled() ([]storedCall, error) {
	l.mu.Lock()
	err := l.files.written(l.files.appended)
	mine := slices.Clone(l.pending)
	for _, p := range mine {
		p.segment.refs++ // it stays until it is read
	}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, p := range mine {
			p.segment.refs--
		}
	}()
	if err != nil {
		return nil, err
	}
	parts, err := readBatch(mine)
	if err != nil {
		return nil, err
	}
	var out []storedCall
	for tenant, calls := range parts {
		for _, b := range calls {
			c := storedCall{}
			if err := json.Unmarshal(b, &c); err != nil {
				return nil, decouple.Errorf(decouple.Internal, "a settlement in the ledger's file cannot be read: %w", err)
			}
			c.Tenant = tenant
			out = append(out, c)
		}
	}
	return out, nil
}

// Usage sums what was used: all that the journal has, and what this node has not journaled yet.
func (l *Ledger) Usage(ctx context.Context, q Query) ([]Row, error) {
	// What is pending is read first: what is journaled in between is then seen twice, and told apart by its number.
	mine, err := l.unjournaled()
	if err != nil {
		return nil, err
	}
	return l.view.usage(ctx, q, l.holder, mine)
}

// spentOf is what was used of a budget's window, by all nodes.
func (l *Ledger) spentOf(k spentKey) (Amount, error) {
	mine, err := l.unjournaled()
	if err != nil {
		return Amount{}, err
	}
	l.view.mu.Lock()
	defer l.view.mu.Unlock()
	a := l.view.spent[k]
	for i := range mine {
		if c := &mine[i]; c.Tenant == k.tenant && slices.Contains(c.Budgets, k.budget) && c.N > l.view.seen[origin{c.Tenant, l.holder}] {
			a = a.plus(Amount{c.USD, c.Tokens})
		}
	}
	return a, nil
}

// sum adds the cells that a query selects.
func (q Query) sum(into map[Group]*Row, cells map[cell]*Row) error {
	for c, r := range cells {
		at := time.Unix(c.hour*3600, 0).UTC()
		if q.Tenant != "" && c.Tenant != q.Tenant || !q.Since.IsZero() && at.Before(q.Since.Truncate(time.Hour)) || !q.Until.IsZero() && !at.Before(q.Until) {
			continue
		}
		g, err := q.group(&c, at)
		if err != nil {
			return err
		}
		s := into[g]
		if s == nil {
			s = &Row{}
			into[g] = s
		}
		s.Calls, s.Unpriced, s.Unseen = s.Calls+r.Calls, s.Unpriced+r.Unpriced, s.Unseen+r.Unseen
		s.Usage = s.Usage.Add(r.Usage)
	}
	return nil
}

// Check refuses a query for sums that there are none of.
func (q Query) Check() error {
	_, err := q.group(&cell{}, time.Time{})
	return err
}

// group keeps of a cell what was asked for.
func (q Query) group(c *cell, at time.Time) (Group, error) {
	var g Group
	for _, by := range q.By {
		switch by {
		case ByTenant:
			g.Tenant = c.Tenant
		case ByKey:
			g.Key = c.Key
		case ByTeam:
			g.Team = c.Team
		case ByAgent:
			g.Agent = c.Agent
		case ByAsked:
			g.Asked = c.Asked
		case ByModel:
			g.Model = c.Model
		case ByEndpoint:
			g.Endpoint = c.Endpoint
		case ByDoor:
			g.Door = c.Door
		case BySource:
			g.Source = c.Source
		case ByOutcome:
			g.Outcome = c.Outcome
		case ByDay:
			g.Day = at.Format(time.DateOnly)
		case ByHour:
			g.Hour = at.Format("2006-01-02T15")
		default:
			return g, decouple.Errorf(decouple.Invalid, "usage is not summed by %q: choose among tenant, key, team, agent, asked, model, endpoint, door, source, outcome, day and hour", by)
		}
	}
	return g, nil
}

func compareGroups(a, b Group) int {
	return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Hour, b.Hour), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Team, b.Team), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Agent, b.Agent),
		cmp.Compare(a.Asked, b.Asked), cmp.Compare(a.Model, b.Model), cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.Door, b.Door), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Outcome, b.Outcome))
}
