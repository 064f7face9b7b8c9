package builtin

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/prose"
)

// Bounds of a plan.
const (
	outlines = 2        // notes whose headings are looked at
	splits   = 3        // sections that are read to choose from
	nearest  = 20       // candidates, one of which stands in the section that is split
	children = 8        // sub-questions
	widest   = 80       // headings that a section may have
	readable = 32 << 10 // bytes of a section that are read
	piece    = 8 << 10  // at once
	pieces   = 12       // of all sections together
	single   = 0.75     // of the weight in one unit: it answers, and nothing is split, unless the question asks for things one by one
	even     = 0.7      // what the third part of an open question must fit, relative to the best
	leastFit = 0.5      // of a part, relative to the best one
	asGood   = 0.8      // what stands above the parts is, relative to the best in them
	shared   = 5        // terms of a theme
)

// researcher is the agent that sub-questions are given to.
const researcher decouple.AgentName = "researcher"

// part is one heading under a section, and what is known to stand under it.
type part struct {
	path  []string
	start int
	end   int
	units []decouple.Unit
	inner float64 // share of the question's weight in its best unit and the note's title
	plain float64 // and in that unit with title and headings
	fit   float64
}

// split is a section whose headings may answer a part of the question each.
type split struct {
	note  decouple.NoteID
	start int
	end   int
	top   []string // its heading path; empty is the note as a whole
	depth int
	parts []part
	theme []string
	fit   float64
}

// plan decides whether the question is split. It is undecided where the agent shall go on and research by itself.
func plan(t talk, q question, cands []candidate) (turn, bool) {
	if t.called(decouple.ToolSpawn) > 0 {
		return afterSpawn(t)
	}
	if q.form == narrow || len(t.task.Section) > 0 || len(cands) == 0 || !slices.ContainsFunc(cands, q.fits) || q.form < broad && q.single(cands[0].unit) {
		return turn{}, false
	}
	asked := q
	if q.form == open {
		asked = q.literal()
	}
	if missing := t.wanting(outlinesOf(cands)); len(missing) > 0 {
		return turn{calls: missing}, true
	}
	all := results[decouple.Outline](t, decouple.ToolOutline)
	options := splitsOf(all, rank(asked, unitsOf(cands)))
	for _, s := range splitsOf(all, cands) {
		if !slices.ContainsFunc(options, func(o split) bool { return o.note == s.note && o.start == s.start && o.end == s.end }) {
			options = append(options, s)
		}
	}
	if missing := t.wanting(readings(options)); len(missing) > 0 {
		return turn{calls: missing}, true
	}
	for i := range options {
		options[i].fill(reader(results[decouple.ReadResult](t, decouple.ToolRead)), cands)
	}
	if missing := t.wanting(rarity(options)); len(missing) > 0 {
		return turn{calls: missing}, true
	}
	best, ok := choose(t, asked, options, cands)
	if !ok {
		return turn{}, false
	}
	return turn{calls: append(overview(t, q, best), spawns(t.task, best)...)}, true
}

// single says that a unit answers the whole question: it holds nearly all of its own words, or stands under a heading that is what is asked about.
func (q question) single(u decouple.Unit) bool {
	return q.literal().cover(prose.Set(u.Text)) >= single || q.about(last(u.Section))
}

// unitsOf lists the units of candidates.
func unitsOf(cands []candidate) []decouple.Unit {
	var units []decouple.Unit
	for _, c := range cands {
		units = append(units, c.unit)
	}
	return units
}

// literal is the question without related terms: siblings say what they have in common in the same words, and one of them that happens to hold a related
// word is not to stand out for it.
func (q question) literal() question {
	q.related, q.kin = nil, nil
	return q
}

// about says that every term of a heading is the question's, and together they are a good part of it: it asks about that very section.
func (q question) about(heading string) bool {
	set := prose.Set(heading)
	for t := range set {
		if q.weight[t] == 0 {
			return false
		}
	}
	return q.cover(set) >= 0.2
}

// readings asks for the text of sections, piece by piece, as much of it as may be read.
func readings(options []split) []call {
	var reads []call
	for _, s := range options {
		for at := s.start; at < s.end && at < s.start+readable && len(reads) < pieces; at += piece {
			c := call{decouple.ToolRead, decouple.ReadArgs{Note: s.note, Start: at, End: min(s.end, at+piece)}}
			if !slices.ContainsFunc(reads, func(r call) bool { return r.args == c.args }) {
				reads = append(reads, c)
			}
		}
	}
	return reads
}

// outlinesOf asks for the headings of the notes that hold most of what fits.
func outlinesOf(cands []candidate) []call {
	sum := map[decouple.NoteID]float64{}
	for _, c := range cands[:min(12, len(cands))] {
		sum[c.unit.Note] += c.rank * c.rank
	}
	notes := slices.SortedFunc(maps.Keys(sum), func(a, b decouple.NoteID) int {
		return cmp.Or(cmp.Compare(sum[b], sum[a]), cmp.Compare(a, b))
	})
	var calls []call
	for _, n := range notes[:min(outlines, len(notes))] {
		calls = append(calls, call{decouple.ToolOutline, decouple.OutlineArgs{Note: n}})
	}
	return calls
}

// splitsOf lists the sections with headings of their own that the candidates stand under, those first whose headings hold most of them.
func splitsOf(all []decouple.Outline, cands []candidate) []split {
	var found []split
	for _, o := range all {
		for _, s := range sectionsOf(o) {
			hits := 0
			for i := range s.parts {
				p := &s.parts[i]
				for _, c := range cands {
					if c.unit.Note == s.note && p.start <= c.unit.Start && c.unit.Start < p.end {
						p.fit = max(p.fit, c.rank)
					}
				}
				if p.fit > 0 {
					hits++
					s.fit += p.fit * p.fit
				}
			}
			if s.fit *= math.Sqrt(float64(hits) / float64(len(s.parts))); hits >= 2 {
				found = append(found, s)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b split) int {
		return cmp.Or(cmp.Compare(b.fit, a.fit), cmp.Compare(a.note, b.note), cmp.Compare(a.start, b.start))
	})
	return found[:min(splits, len(found))]
}

// sectionsOf lists the sections of a note, the note as a whole among them, that have two headings or more directly under them.
func sectionsOf(o decouple.Outline) []split {
	tops := []decouple.Section{{}}
	if n := len(o.Sections); n > 0 {
		tops[0] = decouple.Section{Start: o.Sections[0].Start, End: o.Sections[n-1].End}
	}
	tops = append(tops, o.Sections...)
	var all []split
	for _, top := range tops {
		if slices.ContainsFunc(top.Path, boilerplate) || len(top.Path) == 0 && len(all) > 0 {
			continue
		}
		s := split{note: o.Note, start: top.Start, end: top.End, top: top.Path, depth: len(top.Path)}
		for _, c := range o.Sections {
			if len(c.Path) == len(top.Path)+1 && under(c.Path, top.Path) && top.Start <= c.Start && c.End <= max(top.End, c.Start) && !boilerplate(last(c.Path)) {
				s.parts = append(s.parts, part{path: c.Path, start: c.Start, end: c.End})
			}
		}
		if n := len(s.parts); n >= 2 && n <= widest {
			all = append(all, s)
		}
	}
	return all
}

// boilerplate says that a heading is one that any document has and that answers nothing.
func boilerplate(heading string) bool {
	switch strings.ToLower(strings.Trim(heading, " :.`*")) {
	case "", "see also", "references", "further reading", "table of contents", "contents", "synopsis", "example", "examples", "configuration", "introduction",
		"overview", "conclusion", "summary", "license", "licence", "changelog", "author", "authors", "notes", "copyright", "acknowledgements", "acknowledgments", "usage":
		return true
	}
	return false
}

// rarity asks how rare the terms are that the parts of the sections share.
func rarity(options []split) []call {
	var terms []string
	for _, s := range options {
		for _, t := range themeOf(func(string) float64 { return 1 }, s.parts, 4*shared) {
			if !slices.Contains(terms, t) {
				terms = append(terms, t)
			}
		}
	}
	if len(terms) == 0 {
		return nil
	}
	terms = terms[:min(40, len(terms))]
	return []call{{decouple.ToolSearch, decouple.SearchArgs{Query: strings.Join(terms, " "), Limit: 1}}}
}

// choose takes the section that fits best, if the question is to be split at all.
func choose(t talk, q question, options []split, cands []candidate) (split, bool) {
	reads := reader(results[decouple.ReadResult](t, decouple.ToolRead))
	rare := rarities(results[decouple.SearchResult](t, decouple.ToolSearch))
	var best split
	found := false
	for _, s := range options {
		s.theme = themeOf(rare, s.parts, shared)
		s.weigh(t.task, q, reads)
		if len(s.parts) < 2 || !s.holds(cands[:min(nearest, len(cands))]) || q.form == open && !(s.spread() && q.speaksOf(slices.Concat(s.theme, s.name()))) {
			continue
		}
		if !found || s.fit > best.fit {
			best, found = s, true
		}
	}
	return best, found
}

// holds says that one of the candidates stands in the section.
func (s split) holds(cands []candidate) bool {
	return slices.ContainsFunc(cands, func(c candidate) bool {
		return c.unit.Note == s.note && s.start <= c.unit.Start && c.unit.Start < s.end
	})
}

// fill gives each part its units: those read, or else those that the search brought.
func (s *split) fill(reads reader, cands []candidate) {
	add := func(p *part, u decouple.Unit) {
		if u.Note == s.note && p.start <= u.Start && u.Start < p.end && !slices.ContainsFunc(p.units, func(o decouple.Unit) bool { return o.Start == u.Start && o.End == u.End }) {
			p.units = append(p.units, u)
		}
	}
	for i := range s.parts {
		p := &s.parts[i]
		for _, r := range reads {
			for _, u := range r.Units {
				add(p, u)
			}
		}
		if len(p.units) > 0 {
			continue
		}
		for _, c := range cands {
			add(p, c.unit)
		}
	}
}

// themeOf lists the terms that most parts share, the weightiest first: those that more parts share and that are rarer in the sources.
func themeOf(rarity func(string) float64, parts []part, n int) []string {
	count := map[string]int{}
	for _, p := range parts {
		set := map[string]bool{}
		for _, u := range p.units {
			for _, t := range prose.Terms(u.Text) {
				set[t] = true
			}
		}
		for t := range set {
			count[t]++
		}
	}
	need := max(2, (len(parts)*6+9)/10)
	weight := map[string]float64{}
	for t, n := range count {
		if n >= need && !prose.Weak(t) && len(t) > 1 && len(prose.Numbers(t)) == 0 {
			weight[t] = rarity(t) * float64(n) / float64(len(parts))
		}
	}
	theme := slices.SortedFunc(maps.Keys(weight), func(a, b string) int {
		return cmp.Or(cmp.Compare(weight[b], weight[a]), cmp.Compare(a, b))
	})
	return theme[:min(n, len(theme))]
}

// weigh says how well a part fits: by its best unit and by all of them, as a long part has a good one by chance, by how much of the theme it
// holds, and by its heading.
func (p *part) weigh(q question, theme []string) {
	if len(p.units) == 0 {
		return
	}
	sum, all := 0.0, map[string]bool{}
	for _, u := range p.units {
		c := fit(q, u, 0)
		p.plain, sum = max(p.plain, c.outer), sum+c.outer
		p.inner = max(p.inner, q.cover(prose.Set(u.Title+"\n"+u.Text)))
		for _, t := range prose.Terms(u.Text) {
			all[t] = true
		}
	}
	p.fit = 0.4*p.plain + 0.3*sum/float64(len(p.units)) + 0.3*share(theme, all) + 0.6*headed(q, p.units[0])
}

// spread says that three parts or more fit an open question nearly as well as the best one, with their headings and without, and share a theme: no
// single place answers it.
func (s split) spread() bool {
	if len(s.parts) < 3 || len(s.theme) < 2 {
		return false
	}
	var inner, plain []float64
	for _, p := range s.parts {
		inner, plain = append(inner, p.inner), append(plain, p.plain)
	}
	return level(inner) && level(plain)
}

// name is the terms of the section's heading and of the note's title.
func (s split) name() []string {
	title := ""
	if len(s.parts) > 0 && len(s.parts[0].units) > 0 {
		title = s.parts[0].units[0].Title
	}
	return prose.Terms(title + "\n" + last(s.top))
}

// speaksOf says that one of the terms is a telling one of the question.
func (q question) speaksOf(terms []string) bool {
	return slices.ContainsFunc(terms, func(t string) bool { return q.weight[t] > 0.05*q.total })
}

// level says that the third of some figures is not much smaller than the first.
func level(figures []float64) bool {
	slices.Sort(figures)
	n := len(figures)
	return figures[n-3] >= even*figures[n-1]
}

// share is the part of the terms that a set holds.
func share(terms []string, set map[string]bool) float64 {
	n := 0
	for _, t := range terms {
		if set[t] {
			n++
		}
	}
	return float64(n) / float64(max(1, len(terms)))
}

// weigh keeps the parts that have an answer of their own that differs from their siblings', best first, and sums up how well they fit.
func (s *split) weigh(task decouple.Task, q question, reads reader) {
	var kept []part
	var answers []quote
	s.fit = 0
	n := len(s.parts)
	for i := range s.parts {
		s.parts[i].weigh(q, s.theme)
	}
	slices.SortStableFunc(s.parts, func(a, b part) int { return cmp.Compare(b.fit, a.fit) })
	for _, p := range s.parts {
		sub := ask(subTask(task, *s, p), nil)
		picked := pick(sub, reads, rank(sub, p.units), 1)
		if len(picked) == 0 || p.fit < leastFit*s.parts[0].fit || repeats(answers, picked[0].text) {
			continue
		}
		kept = append(kept, p)
		answers = append(answers, picked[0])
		s.fit += p.fit * p.fit
	}
	s.fit *= (1 + 0.25*float64(min(s.depth, 2))) / math.Sqrt(float64(n))
	s.parts = kept[:min(children, len(kept))]
}

// subTask is the task of one part: its heading and the whole question, under the heading's path.
func subTask(task decouple.Task, s split, p part) decouple.Task {
	heading := strings.Trim(p.path[len(p.path)-1], " .:")
	return decouple.Task{
		Question:  heading + ": " + task.Question,
		Objective: "One part of: " + task.Question,
		Theme:     s.theme,
		Section:   p.path,
		Sources:   []decouple.NoteID{s.note},
	}
}

// overview hands in what stands above the parts, if it answers about as well as they do: "There are three forms".
func overview(t talk, q question, s split) []call {
	reads := reader(results[decouple.ReadResult](t, decouple.ToolRead))
	var above []decouple.Unit
	for _, r := range reads {
		for _, u := range r.Units {
			if r.Note == s.note && s.depth > 0 && samePath(u.Section, s.top) && s.start <= u.Start && u.Start < s.end {
				above = append(above, u)
			}
		}
	}
	top := 0.0
	for _, p := range s.parts {
		for _, u := range p.units {
			top = max(top, fit(q, u, 0).rank)
		}
	}
	picked := pick(q, reads, rank(q, above), 1)
	if len(picked) > 0 && picked[0].cand.rank < asGood*top {
		return nil
	}
	return handIn(picked)
}

// spawns asks for a sub-agent for each part.
func spawns(task decouple.Task, s split) []call {
	var calls []call
	for _, p := range s.parts {
		calls = append(calls, call{decouple.ToolSpawn, decouple.SpawnArgs{Agent: researcher, Task: subTask(task, s, p)}})
	}
	return calls
}

// afterSpawn answers for the parts whose sub-agents were refused, from what has been read, and then stops.
func afterSpawn(t talk) (turn, bool) {
	reads := reader(results[decouple.ReadResult](t, decouple.ToolRead))
	var quotes []quote
	for _, e := range t.calls {
		var args decouple.SpawnArgs
		if e.tool != decouple.ToolSpawn || !e.result.Error || json.Unmarshal(e.args, &args) != nil {
			continue
		}
		var under []decouple.Unit
		for _, r := range reads {
			for _, u := range r.Units {
				if samePath(u.Section, args.Task.Section) {
					under = append(under, u)
				}
			}
		}
		q := ask(args.Task, nil)
		for _, p := range pick(q, reads, rank(q, under), 1) {
			if !repeats(quotes, p.text) {
				quotes = append(quotes, p)
			}
		}
	}
	if adds := t.wanting(handIn(quotes)); len(adds) > 0 {
		return turn{calls: adds}, true
	}
	return say(t.summary()), true
}
