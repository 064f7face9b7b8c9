package builtin

import (
	"decouple.dev/decouple"
)

// How much is asked for.
const (
	units          = 40 // of one search
	findings       = 3  // that one agent hands in
	findingsOfPart = 2
	unitsOfPart    = 24
	contexts       = 8 // units whose neighbourhood is read
)

// research is the next turn of an agent that searches: each stage asks for what it lacks, and the last one hands in.
func research(t talk) turn {
	search := call{decouple.ToolSearch, searchFor(t.task)}
	if missing := t.wanting([]call{search}); len(missing) > 0 {
		return turn{calls: missing}
	}
	found := results[decouple.SearchResult](t, decouple.ToolSearch)
	q := ask(t.task, found)
	cands := within(t.task, rank(q, unitsOf(found[:min(1, len(found))])))
	if t.called(decouple.ToolFindingsAdd) > 0 && t.called(decouple.ToolSpawn) == 0 {
		return again(t, q, cands)
	}
	if t.offered[decouple.ToolSpawn] || t.called(decouple.ToolSpawn) > 0 {
		if next, decided := plan(t, q, cands); decided {
			return next
		}
	}
	if missing := t.wanting(neighbourhoods(q, nil, cands)); len(missing) > 0 {
		return turn{calls: missing}
	}
	n := findings
	if q.part {
		n = findingsOfPart
	}
	if adds := t.wanting(handIn(pick(q, results[decouple.ReadResult](t, decouple.ToolRead), cands, n))); len(adds) > 0 {
		return turn{calls: adds}
	}
	return say(t.summary())
}

// searchFor is the search that a task begins with.
func searchFor(task decouple.Task) decouple.SearchArgs {
	n := units
	if len(task.Section) > 0 {
		n = unitsOfPart
	}
	return decouple.SearchArgs{Query: rephrase(task.Question), Theme: task.Theme, Section: task.Section, Sources: task.Sources, Limit: n}
}

func unitsOf(found []decouple.SearchResult) []decouple.Unit {
	var all []decouple.Unit
	for _, r := range found {
		all = append(all, r.Units...)
	}
	return all
}

// within keeps the candidates under the section that the task names, if there are any.
func within(task decouple.Task, cands []candidate) []candidate {
	if len(task.Section) == 0 {
		return cands
	}
	var kept []candidate
	for _, c := range cands {
		if under(c.unit.Section, task.Section) {
			kept = append(kept, c)
		}
	}
	if len(kept) == 0 {
		return cands
	}
	return kept
}

// neighbourhoods asks for what stands around the best candidates that cannot stand alone.
func neighbourhoods(q question, r reader, cands []candidate) []call {
	var calls []call
	for i, c := range cands {
		if i == contexts {
			break
		}
		if s, ok := r.quotable(c.unit, q); ok && len(s.text) == len(c.unit.Text) {
			continue
		}
		u := c.unit
		calls = append(calls, call{decouple.ToolRead, decouple.ReadArgs{Note: u.Note, Start: max(0, u.Start-around), End: u.Start + len(u.Text) + around}})
	}
	return calls
}

// handIn is the findings of some quotations, one each.
func handIn(quotes []quote) []call {
	var calls []call
	for _, p := range quotes {
		calls = append(calls, call{decouple.ToolFindingsAdd, decouple.FindingArgs{
			Claim:  p.claim,
			Quotes: []decouple.QuoteArg{{Note: p.note, Text: p.text, Start: p.start}},
		}})
	}
	return calls
}

// again hands in, once, other quotations where all were refused.
func again(t talk, q question, cands []candidate) turn {
	if len(t.accepted()) == 0 && t.called(decouple.ToolFindingsAdd) <= findings {
		more := pick(q, results[decouple.ReadResult](t, decouple.ToolRead), cands, 2*findings)
		if adds := t.wanting(handIn(more)); len(adds) > 0 {
			return turn{calls: adds}
		}
	}
	return say(t.summary())
}
