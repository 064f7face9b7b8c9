package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/tool"
)

// siteContracts are the contracts as an engine asks for them: the place of a run and of a tool that stays here is the site of this node, that of a tool that speaks HTTP is the host.
type siteContracts struct {
	contracts *registry.Contracts
	catalog   *catalog.Catalog
	node      decouple.NodeID
	site      decouple.Site
}

// Site rules whether this node may work on a run.
func (c siteContracts) Site(r *decouple.Run) (placement.Ruling, error) {
	return c.rule(r, placement.Need{Action: placement.RunAgent}, c.here())
}

// Tool rules whether a call may be made from this node.
func (c siteContracts) Tool(u *engine.ToolUse) (placement.Ruling, error) {
	n := placement.Need{Action: placement.UseTool, Tool: u.Tool, Args: u.Args, Signed: u.Signed}
	at := c.here()
	if u.Host != "" || strings.HasPrefix(u.Tool, "http.") {
		at = placement.Place{ID: u.Host}
	}
	if at.ID == "" {
		at.ID = hostIn(u)
	}
	return c.rule(u.Run, n, at)
}

// here is the site of this node.
func (c siteContracts) here() placement.Place {
	p := gateway.SiteOf(c.catalog, c.site)
	if c.node != "" {
		p.ID = string(c.node)
	}
	return p
}

// hostIn is the host that the arguments of a tool name.
func hostIn(u *engine.ToolUse) string {
	var a struct {
		URL   string `json:"url"`
		Query string `json:"query_url"`
	}
	if json.Unmarshal(u.Args, &a) != nil {
		return "" // the tool will not read them either
	}
	if u.Tool == "http.query" {
		a.URL = a.Query
	}
	return tool.Host(a.URL)
}

// rule asks what holds for a run's tenant.
func (c siteContracts) rule(r *decouple.Run, n placement.Need, at placement.Place) (placement.Ruling, error) {
	terms, err := c.contracts.Policy(r.Tenant)
	if err != nil || terms == nil {
		return placement.Ruling{Verdict: placement.Allow, Effect: placement.Go}, err
	}
	signed, err := c.contracts.Signed(context.Background(), r.Tenant, r.ID, r.Class) // it waits for nothing: what holds was just looked at
	if err != nil {
		return placement.Ruling{}, err
	}
	n.Team, n.Key = r.Team, r.Caller
	n.Class, n.Labels, n.Agent, n.Signed = r.Class, r.Labels, string(r.Agent), slices.Concat(n.Signed, signed)
	return terms.Judge(&n, &at), nil
}
