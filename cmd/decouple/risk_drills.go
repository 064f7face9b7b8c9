package main

import (
	"context"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/risk/drill"
	"decouple.dev/decouple/risk/exposure"
)

// rehearsed are the drills of a tenant that took one thing away, as exposure counts them. One that was aborted, or took away several things at once, says nothing of one of them.
func (o *owner) rehearsed(ctx context.Context, tenant decouple.TenantID, facts exposure.Facts) ([]exposure.Drill, error) {
	list, err := drill.List(ctx, o.store, tenant, time.Now())
	if err != nil {
		return nil, err
	}
	var out []exposure.Drill
	for _, e := range list {
		if e.Result == nil || e.State != drill.Passed && e.State != drill.Failed {
			continue
		}
		n, ok := takenAway(e.Result.Scenario.Losses, o.catalog, facts)
		if !ok {
			continue
		}
		t := e.Result.Total
		d := exposure.Drill{ID: e.ID, Mode: string(e.Mode), At: e.Started, Due: e.Due, Removed: []exposure.Node{n}, Calls: t.During.Calls, Failed: t.During.Bad(), Breaches: t.Residency + t.Contract, Duplicated: t.Duplicated, Touched: e.Mode == drill.Shadow}
		if t.Recover != nil {
			d.Recovery = *t.Recover
		}
		out = append(out, d)
	}
	return out, nil
}

// takenAway is the one thing that all losses are about, if one of them took it away whole. What is merely dearer, slower or narrower is not gone.
func takenAway(losses []drill.Loss, cat *catalog.Catalog, facts exposure.Facts) (exposure.Node, bool) {
	var one exposure.Node
	whole := false
	for i := range losses {
		l := &losses[i]
		n, ok := nodeOf(l, cat, facts)
		if !ok || i > 0 && n != one {
			return exposure.Node{}, false
		}
		one = n
		switch l.What {
		case drill.Outage, drill.Storm, drill.Overload, drill.Refuse, drill.Auth, drill.StallFirst:
			whole = whole || l.Share == 1
		}
	}
	return one, whole
}

// nodeOf is the node of the graph that a loss names. One that is narrower than a node, such as one model of a vendor, is none.
func nodeOf(l *drill.Loss, cat *catalog.Catalog, facts exposure.Facts) (exposure.Node, bool) {
	s := l.Selector
	node := func(k exposure.Kind, name string) (exposure.Node, bool) {
		return exposure.Node{Kind: k, Name: name}, name != ""
	}
	if l.Ancestor != "" {
		return ancestorOf(l.Ancestor, cat, facts)
	}
	named := 0
	for _, v := range []string{s.Vendor, s.Cloud, s.Model, s.Lab, s.Hardware, s.Endpoint} {
		if v != "" {
			named++
		}
	}
	switch {
	case named == 1 && len(s.Regions) == 1 && s.Cloud != "":
		return node(exposure.OfRegion, s.Cloud+"/"+s.Regions[0])
	case named == 1 && len(s.Regions) == 1 && s.Vendor != "":
		under := s.Vendor
		if cloud := cat.Providers[s.Vendor].Cloud; cloud != "" {
			under = cloud
		}
		return node(exposure.OfRegion, under+"/"+s.Regions[0])
	case named != 1 || len(s.Regions) > 0 || s.Model != "" || s.Hardware != "":
		return exposure.Node{}, false
	case s.Vendor != "":
		return node(exposure.OfSeller, s.Vendor)
	case s.Cloud != "":
		return node(exposure.OfCloud, s.Cloud)
	case s.Lab != "":
		return node(exposure.OfLab, s.Lab)
	}
	return node(exposure.OfEndpoint, s.Endpoint)
}

// ancestorOf is the node of a name: written as kind:name, or a cloud, seller or lab of the catalog, or the only node of that name among the facts.
func ancestorOf(name string, cat *catalog.Catalog, facts exposure.Facts) (exposure.Node, bool) {
	if n, err := exposure.ParseNode(name); err == nil {
		return n, true
	}
	found := map[exposure.Node]bool{}
	for _, ep := range cat.Endpoints {
		switch {
		case strings.EqualFold(name, ep.Cloud):
			return exposure.Node{Kind: exposure.OfCloud, Name: ep.Cloud}, true
		case strings.EqualFold(name, ep.Provider):
			found[exposure.Node{Kind: exposure.OfSeller, Name: ep.Provider}] = true
		case strings.EqualFold(name, cat.Models[ep.Model].Lab):
			found[exposure.Node{Kind: exposure.OfLab, Name: cat.Models[ep.Model].Lab}] = true
		}
	}
	for _, e := range facts.Edges {
		if strings.EqualFold(name, e.To.Name) && (e.To.Kind == exposure.OfIdentity || e.To.Kind == exposure.OfCDN || e.To.Kind == exposure.OfDNS) {
			found[e.To] = true
		}
	}
	for n := range found {
		return n, len(found) == 1
	}
	return exposure.Node{}, false
}
