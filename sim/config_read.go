package sim

import (
	"encoding/json"
	"fmt"
	"regexp"

	"go.yaml.in/yaml/v3"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
)

// setup makes what the file says into what the world takes. An error comes with its place.
func (f *fileSetup) setup() (Setup, where, error) {
	s := Setup{Speed: 1, Instant: f.Instant, Ports: map[string]int{}, Keys: map[string][]string{}}
	s.Seed, s.Start = f.Seed, f.Start
	if f.Speed != nil {
		s.Speed = *f.Speed
	}
	if !(s.Speed > 0 && s.Speed <= 1e6) {
		return s, where{"speed"}, decouple.Errorf(decouple.Invalid, "speed is a number above 0, at most a million")
	}
	var at where
	var err error
	if s.Answers, at, err = f.Answers.answers(); err != nil {
		return s, append(where{"answers"}, at...), err
	}
	seen := map[string]bool{}
	for i, c := range f.Clouds {
		made, at, err := c.cloud()
		if err == nil {
			err = made.check()
		}
		if err == nil && seen[made.Name] {
			err = decouple.Errorf(decouple.Invalid, "there are two clouds of the name %q", made.Name)
		}
		if err != nil {
			return s, append(where{"clouds", i}, at...), err
		}
		if c.Port < 0 || c.Port > 65535 {
			return s, where{"clouds", i, "port"}, decouple.Errorf(decouple.Invalid, "a port is a number from 1 to 65535")
		}
		seen[made.Name] = true
		s.Clouds, s.Ports[c.Name] = append(s.Clouds, made), c.Port
		if len(c.Keys) > 0 {
			s.Keys[c.Name] = c.Keys
		}
	}
	if len(s.Clouds) == 0 {
		return s, where{"clouds"}, decouple.Errorf(decouple.Invalid, "clouds: there must be at least one")
	}
	for i, fault := range f.Faults {
		x := fault.fault()
		if err := x.check(s.cloud); err != nil {
			return s, where{"faults", i}, err
		}
		s.Faults = append(s.Faults, x)
	}
	return s, nil, nil
}

func (s *Setup) cloud(name string) *Cloud {
	for i := range s.Clouds {
		if s.Clouds[i].Name == name {
			return &s.Clouds[i]
		}
	}
	return nil
}

func (f *fileCloud) cloud() (Cloud, where, error) {
	l := f.Limits
	c := Cloud{
		Name: f.Name, Vendor: Vendor(f.Vendor), Hardware: f.Hardware, Regions: f.Regions, First: Spread{f.First.P50, f.First.P95}, Rate: f.Rate,
		Loaded: Loaded{f.Loaded.Rate, int64(f.Loaded.At)}, Prefill: f.Prefill, Concurrent: int64(f.Concurrent), Queue: int64(f.Queue),
		Cache:  Cache{Kind: CacheKind(f.Cache.Kind), Min: int64(f.Cache.Min), Step: int64(f.Cache.Step), Keep: f.Cache.Keep, Writes: f.Cache.Writes},
		Cancel: Billing(f.Cancel), Broken: Billing(f.Broken), Errors: f.Errors,
	}
	c.Limits = Limits{
		Limits:    catalog.Limits{Requests: int64(l.Requests), Tokens: int64(l.Tokens), TokensIn: int64(l.TokensIn), TokensOut: int64(l.TokensOut), TokensDay: int64(l.TokensDay), AdmitMax: l.AdmitMax, CachedFree: l.CachedFree},
		PerRegion: l.PerRegion, KeepMax: l.KeepMax, AdmitAll: l.AdmitAll, Units: int64(l.Units), UnitIn: int64(l.UnitIn), OutWeight: int64(l.OutWeight),
		Pool: Pool{Hot: l.Pool.Hot, Refuse: l.Pool.Refuse, Window: l.Pool.Window},
	}
	if c.Limits.Units > 0 && c.Limits.OutWeight == 0 {
		c.Limits.OutWeight = 1
	}
	for i, m := range f.Models {
		made, err := m.offer()
		if err == nil {
			err = made.check()
		}
		if err != nil {
			return c, where{"models", i}, err
		}
		c.Models = append(c.Models, made)
	}
	return c, nil, nil
}

func (f *fileModel) offer() (Offer, error) {
	m := Offer{
		ID: catalog.ModelID(f.ID), Name: f.Name, Names: f.Names, Context: int64(f.Context), MaxOut: int64(f.MaxOut), Out: int64(f.Out), Embeds: f.Embeds, Retires: f.Retires,
	}
	if m.Name == "" {
		m.Name = f.ID
	}
	list := f.Prices
	if f.Price != nil {
		if len(list) > 0 {
			return m, decouple.Errorf(decouple.Invalid, "model %q has both price and prices: write one of them", f.ID)
		}
		list = []filePrice{*f.Price}
	}
	for _, p := range list {
		m.Prices = append(m.Prices, p.price())
	}
	return m, nil
}

func (f *filePrice) price() catalog.Price {
	p := catalog.Price{From: f.From, Source: f.Source, Tiers: []catalog.Tier{f.Tier.tier()}}
	for _, t := range f.Tiers {
		p.Tiers = append(p.Tiers, t.tier())
	}
	for _, table := range []struct {
		from map[string]times
		to   *map[string]catalog.Part
	}{{f.Uplift, &p.Uplift}, {f.Class, &p.Class}} {
		for k, v := range table.from {
			if *table.to == nil {
				*table.to = map[string]catalog.Part{}
			}
			(*table.to)[k] = catalog.Part(v)
		}
	}
	return p
}

// tier fills in what is not said: then the cache costs what reading costs.
func (f *fileTier) tier() catalog.Tier {
	t := catalog.Tier{Above: int64(f.Above), In: decouple.Money(f.In), Out: decouple.Money(f.Out)}
	t.Cached, t.CacheWrite, t.CacheLong = t.In, t.In, t.In
	if f.Cached != nil {
		t.Cached = decouple.Money(*f.Cached)
	}
	if f.CacheWrite != nil {
		t.CacheWrite, t.CacheLong = decouple.Money(*f.CacheWrite), decouple.Money(*f.CacheWrite)
	}
	if f.CacheLong != nil {
		t.CacheLong = decouple.Money(*f.CacheLong)
	}
	return t
}

func (f *fileFault) fault() Fault {
	return Fault{
		Name: f.Name, Cloud: f.Cloud, Region: f.Region, Model: f.Model, Kind: FaultKind(f.Kind), From: f.From, To: f.To, Share: f.Share, Nth: f.Nth,
		Mode: f.Mode, After: f.After, For: f.For, Factor: f.Factor, RetryAfter: f.RetryAfter, Message: f.Message,
	}
}

func (f *fileAnswers) answers() (Answers, where, error) {
	a := Answers{Mode: Mode(f.Mode), Tokens: int64(f.Tokens), Filter: f.Filter}
	switch a.Mode {
	case "":
		if a.Mode = ByBuiltin; len(f.Script) > 0 {
			a.Mode = ByScript
		}
	case ByBuiltin, ByEcho, ByLength, ByScript:
	default:
		return a, where{"mode"}, decouple.Errorf(decouple.Invalid, "answers come by builtin, script, echo or length, not by %q", f.Mode)
	}
	if a.Mode == ByLength && (a.Tokens == 0 || a.Tokens > maxText) {
		return a, where{"mode"}, decouple.Errorf(decouple.Invalid, "answers of a fixed length need tokens: how many, at most %d", maxText)
	}
	for i, s := range f.Script {
		line := Scripted{Text: s.Text, Thought: s.Thought}
		var err error
		if line.Match, err = regexp.Compile(s.Match); err != nil {
			return a, where{"script", i, "match"}, decouple.Errorf(decouple.Invalid, "match is not a regular expression: %w", err)
		}
		if s.Text == "" && len(s.Calls) == 0 {
			return a, where{"script", i}, decouple.Errorf(decouple.Invalid, "an answer of a script needs text or calls")
		}
		for j, c := range s.Calls {
			args, err := jsonOf(&c.Args)
			if err != nil || c.Name == "" {
				return a, where{"script", i, "calls", j}, decouple.Errorf(decouple.Invalid, "a call needs a name, and args that are an object")
			}
			line.Calls = append(line.Calls, decouple.ToolCall{Name: c.Name, Args: args})
		}
		a.Script = append(a.Script, line)
	}
	return a, nil, nil
}

// jsonOf writes a mapping of YAML as JSON.
func jsonOf(n *yaml.Node) (json.RawMessage, error) {
	if n.IsZero() {
		return json.RawMessage("{}"), nil
	}
	if n.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("not an object")
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}
