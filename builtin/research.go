package builtin

import (
	"slices"

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
	if missing := t.wanting(openings(t.task)); len(missing) > 0 {
		return turn{calls: missing}
	}
	if missing := t.wanting(ofSection(t)); len(missing) > 0 {
		return turn{calls: missing}
	}
	found := results[decouple.SearchResult](t, decouple.ToolSearch)
	q := ask(t.task, found)
	cands := rank(q, unitsFor(t, found))
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

// openings is what a task begins with: a search and, if it names a section of one note, that note's headings.
func openings(task decouple.Task) []call {
	args := decouple.SearchArgs{Query: rephrase(task.Question), Theme: task.Theme, Section: task.Section, Sources: task.Sources, Limit: units}
	if !sectioned(task) {
		return []call{{decouple.ToolSearch, args}}
	}
	args.Limit = unitsOfPart
	return []call{{decouple.ToolSearch, args}, {decouple.ToolOutline, decouple.OutlineArgs{Note: task.Sources[0]}}}
}

// sectioned says that a task names a section of one note.
func sectioned(task decouple.Task) bool { return len(task.Section) > 0 && len(task.Sources) == 1 }

// ofSection asks for the text of the section that a task names.
func ofSection(t talk) []call {
	if !sectioned(t.task) {
		return nil
	}
	for _, o := range results[decouple.Outline](t, decouple.ToolOutline) {
		for _, s := range o.Sections {
			if o.Note == t.task.Sources[0] && samePath(s.Path, t.task.Section) {
				return readings([]split{{note: o.Note, start: s.Start, end: min(s.End, s.Start+2*piece)}})
			}
		}
	}
	return nil
}

// unitsFor lists the units to choose from: those of the task's section, if it names one and there are any, or else those that the first search brought.
func unitsFor(t talk, found []decouple.SearchResult) []decouple.Unit {
	var all, section []decouple.Unit
	if len(found) > 0 {
		all = found[0].Units
	}
	if len(t.task.Section) == 0 {
		return all
	}
	top := 0.0
	for _, u := range all {
		if top = max(top, u.Score); under(u.Section, t.task.Section) {
			section = append(section, u)
		}
	}
	for _, r := range results[decouple.ReadResult](t, decouple.ToolRead) {
		for _, u := range r.Units {
			if under(u.Section, t.task.Section) && !slices.ContainsFunc(section, func(o decouple.Unit) bool { return o.Start == u.Start && o.End == u.End }) {
				section = append(section, u)
			}
		}
	}
	if len(section) == 0 {
		return all
	}
	for i := range section {
		section[i].Score = top // read, not searched: the score says nothing
	}
	return section
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
