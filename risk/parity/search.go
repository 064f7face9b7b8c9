package parity

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/prose"
)

// researchTools are the tools of research as the rooms tool and research offer them to agents; a test holds them to be the same.
func researchTools() []decouple.ToolSpec {
	return []decouple.ToolSpec{
		{Name: decouple.ToolSearch, Effect: decouple.EffectNone, Description: "Searches the notes and documents and gives the stretches of text that answer best, each with its note, heading path and place, and how many passages hold each word of the query.",
			Params: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["query"],"properties":{` +
				`"query":{"type":"string","minLength":1},"theme":{"type":"array","items":{"type":"string"}},"section":{"type":"array","items":{"type":"string"}},` +
				`"sources":{"type":"array","items":{"type":"string"}},"limit":{"type":"integer","minimum":1,"maximum":50}}}`)},
		{Name: decouple.ToolFindingsAdd, Effect: decouple.EffectNone, Description: "Hand in one finding: a claim, which is one plain sentence that answers the question, and the quotations that carry it, copied letter for letter from a note.",
			Params: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["claim","quotes"],"properties":{"claim":{"type":"string"},` +
				`"quotes":{"type":"array","minItems":1,"maxItems":8,"items":{"type":"object","additionalProperties":false,"required":["note","text"],"properties":{` +
				`"note":{"type":"string"},"text":{"type":"string"},"start":{"type":"integer"}}}}}}`)},
	}
}

// reply answers a tool call of a case: the tools of research from its sources, others with an empty object, which lets the conversation go on.
func (c *Case) reply(call decouple.ToolCall) decouple.ToolResult {
	out := decouple.ToolResult{ID: call.ID, Name: call.Name, Text: "{}"}
	if !c.Research {
		return out
	}
	switch call.Name {
	case decouple.ToolSearch:
		var args decouple.SearchArgs
		if json.Unmarshal(call.Args, &args) != nil || args.Query == "" {
			out.Text, out.Error = "the query is missing", true
			return out
		}
		out.Text = text(c.search(args))
	case decouple.ToolFindingsAdd:
		var args decouple.FindingArgs
		if json.Unmarshal(call.Args, &args) != nil {
			out.Text, out.Error = "the arguments cannot be read", true
			return out
		}
		var r decouple.FindingResult
		for _, q := range args.Quotes {
			if c.stands(q.Text) {
				r.Accepted++
				continue
			}
			r.Refused = append(r.Refused, decouple.Refusal{Text: q.Text, Why: "it stands in no note, letter for letter"})
		}
		out.Text, out.Error = text(r), r.Accepted == 0
	default:
		out.Text, out.Error = "there is no such tool", true
	}
	return out
}

// text is a value as a tool's result has it.
func text[T any](v T) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "{}" // not for these types
	}
	return string(b)
}

// search ranks the paragraphs of the sources by how many terms of the query they hold, rare ones first.
func (c *Case) search(args decouple.SearchArgs) decouple.SearchResult {
	terms := prose.Unique(args.Query)
	units := c.units()
	holds := map[string]int{}
	for _, u := range units {
		set := prose.Set(u.Text + "\n" + strings.Join(u.Section, "\n"))
		for _, t := range terms {
			if set[t] {
				holds[t]++
			}
		}
	}
	r := decouple.SearchResult{Passages: len(units)}
	for _, t := range terms {
		r.Terms = append(r.Terms, decouple.Term{Term: t, Passages: holds[t]})
	}
	for _, u := range units {
		set := prose.Set(u.Text + "\n" + strings.Join(u.Section, "\n"))
		for _, t := range terms {
			if set[t] {
				u.Matched = append(u.Matched, t)
				u.Score += 1 / float64(holds[t])
			}
		}
		if len(u.Matched) > 0 {
			r.Units = append(r.Units, u)
		}
	}
	slices.SortStableFunc(r.Units, func(a, b decouple.Unit) int { return cmp.Compare(b.Score, a.Score) })
	limit := args.Limit
	if limit <= 0 {
		limit = 12
	}
	r.Units = r.Units[:min(limit, len(r.Units))]
	return r
}

// units are the paragraphs of the sources under their headings.
func (c *Case) units() []decouple.Unit {
	var list []decouple.Unit
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		at, heading := 0, name
		for _, block := range strings.SplitAfter(c.Sources[name], "\n\n") {
			start := at
			at += len(block)
			body := strings.TrimRight(block, "\n")
			if h, ok := strings.CutPrefix(body, "# "); ok {
				heading = h
				continue
			}
			if body == "" {
				continue
			}
			list = append(list, decouple.Unit{Note: decouple.NoteID(name), Title: name, Path: "/" + name + ".md", Section: []string{heading}, Kind: "paragraph", Start: start, End: start + len(body), Text: body, Matched: []string{}})
		}
	}
	return list
}
