package sim

import (
	"slices"
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/builtin"
)

// extract lets the extractive model answer. It knows its tools by names with a dot, which most wire formats do not permit: notes_search is notes.search to it.
func extract(req decouple.Request) (decouple.Answer, error) {
	own := map[string]string{}
	for _, name := range []string{decouple.ToolSearch, decouple.ToolOutline, decouple.ToolRead, decouple.ToolFindingsAdd, decouple.ToolFindingsList, decouple.ToolSpawn} {
		own[strings.ReplaceAll(name, ".", "_")] = name
	}
	wire := map[string]string{}
	req.Tools = slices.Clone(req.Tools)
	for i := range req.Tools {
		t := &req.Tools[i]
		if name, ok := own[t.Name]; ok {
			wire[name], t.Name = t.Name, name
		}
	}
	req.Messages = slices.Clone(req.Messages)
	for i := range req.Messages {
		req.Messages[i].Parts = renamed(req.Messages[i].Parts, own)
	}
	req.NoTools = req.NoTools || req.Choice.Mode == "none"
	a, err := builtin.Answer(req)
	if err != nil {
		return a, err
	}
	a.Message.Parts = renamed(a.Message.Parts, wire)
	a.Usage = decouple.Usage{TokensOut: tokensOf(a.Message)}
	return a, nil
}

// renamed are parts whose calls and results have other names of their tools.
func renamed(parts []decouple.Part, to map[string]string) []decouple.Part {
	out := slices.Clone(parts)
	for i := range out {
		p := &out[i]
		if p.Call != nil && to[p.Call.Name] != "" {
			c := *p.Call
			c.Name = to[c.Name]
			p.Call = &c
		}
		if p.Result != nil && to[p.Result.Name] != "" {
			r := *p.Result
			r.Name = to[r.Name]
			p.Result = &r
		}
	}
	return out
}
