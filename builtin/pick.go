package builtin

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"decouple.dev/decouple"
	"decouple.dev/decouple/prose"
)

// candidate is a unit with how well it fits the question.
type candidate struct {
	unit  decouple.Unit
	inner float64 // share of the question's weight in its words
	outer float64 // and in its words, headings and title together
	whole float64 // and in those of all that was found under the same heading
	named bool    // one of the names that the question speaks of is among these, if it speaks of any
	terms int     // telling terms in words, headings and title
	rank  float64
}

// rank orders units by how well they fit; of units with the same words the best one stays. The search's own score counts, relative to the best one.
func rank(q question, units []decouple.Unit) []candidate {
	top := 0.0
	for _, u := range units {
		top = max(top, u.Score)
	}
	var all []candidate
	for _, u := range units {
		all = append(all, fit(q, u, top))
	}
	together(q, all)
	if q.part {
		leading(all)
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(a.unit.Note, b.unit.Note), cmp.Compare(a.unit.Start, b.unit.Start))
	})
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(c candidate) bool {
		again := seen[c.unit.Text]
		seen[c.unit.Text] = true
		return again
	})
}

// leading favours what stands early under its heading, where a text says what it is about.
func leading(all []candidate) {
	starts := make([]int, 0, len(all))
	for _, c := range all {
		starts = append(starts, c.unit.Start)
	}
	slices.Sort(starts)
	for i := range all {
		n, _ := slices.BinarySearch(starts, all[i].unit.Start)
		all[i].rank /= 1 + 0.06*float64(n)
	}
}

// together weighs what stands under each heading.
func together(q question, all []candidate) {
	terms := map[string]map[string]bool{}
	key := func(u decouple.Unit) string { return string(u.Note) + "\x00" + strings.Join(u.Section, "\x00") }
	for _, c := range all {
		k := key(c.unit)
		if terms[k] == nil {
			terms[k] = prose.Set(place(c.unit))
		}
		for _, t := range prose.Terms(c.unit.Text) {
			terms[k][t] = true
		}
	}
	for i := range all {
		set := terms[key(all[i].unit)]
		all[i].whole, all[i].named = q.cover(set), len(q.names) == 0
		for n := range q.names {
			all[i].named = all[i].named || set[n]
		}
	}
}

// fit weighs one unit: by the question's terms in its words and in its place, by how far its heading is what the question speaks of, and by whether it has what the
// question asks for, a number, a name or a reason. Long units are worth a little less.
func fit(q question, u decouple.Unit, top float64) candidate {
	terms := prose.Set(u.Text)
	c := candidate{unit: u, inner: q.cover(terms)}
	for _, t := range prose.Terms(place(u)) {
		terms[t] = true
	}
	c.outer, c.terms = q.cover(terms), q.telling(terms)
	c.rank = (0.3*c.inner + 0.3*q.sharpest(u.Text) + 0.4*c.outer) * (1 + 0.6*headed(q, u))
	c.rank /= 0.9 + 0.1*float64(len(u.Text))/paragraph
	if top > 0 {
		c.rank *= 0.6 + 0.4*u.Score/top
	}
	if u.Kind == "code" || u.Kind == "cell" {
		c.rank *= 0.9
	}
	if q.figure && len(prose.Numbers(u.Text)) > 0 {
		c.rank *= 1.3
	}
	if q.named && len(prose.Identifiers(u.Text)) > 0 {
		c.rank *= 1.1
	}
	if q.where && places(u.Text) {
		c.rank *= 1.15
	}
	if q.reason && reasons(u.Text) {
		c.rank *= 1.15
	}
	return c
}

// sharpest is the share of the question's weight in the one sentence of a text that holds most of it.
func (q question) sharpest(text string) float64 {
	best := 0.0
	for _, p := range prose.Sentences(text) {
		best = max(best, q.cover(prose.Set(p.Of(text))))
	}
	return best
}

// headed is how far the innermost heading, or the title of a note without headings there, speaks of what is asked: the question's weight that it holds, if most of its own
// terms are the question's.
func headed(q question, u decouple.Unit) float64 {
	best := 0.0
	for _, heading := range [...]string{last(u.Section), u.Title} {
		set := prose.Set(heading)
		common := 0
		for t := range set {
			if q.weight[t] > 0 || q.kin[t] {
				common++
			}
		}
		if common > 0 {
			best = max(best, q.cover(set)*float64(common)/float64(len(set)))
		}
	}
	return best
}

func last(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return path[len(path)-1]
}

// place is what a reader knows of a unit before reading it: title, headings and the file's name.
func place(u decouple.Unit) string {
	return u.Title + " " + strings.Join(u.Section, " ") + " " + strings.TrimSuffix(path.Base(u.Path), path.Ext(u.Path))
}

// places says that a text speaks of one in a file system or a document.
func places(s string) bool {
	set := prose.Set(s)
	return set[prose.Fold("directory")] || set[prose.Fold("location")] || set[prose.Fold("path")]
}

// reasons says that a text gives one.
func reasons(s string) bool {
	for _, w := range prose.Words(s) {
		switch w {
		case "because", "since", "therefore", "avoid", "prevent", "prevents", "guarantee", "so", "otherwise", "not":
			return true
		}
	}
	return false
}

// Shares of the question's weight that a quotation must hold, in its own words and with the headings above it.
const (
	leastInner   = 0.26
	leastOuter   = 0.36
	leastWhole   = 0.47 // with all that was found under the same heading
	mostMissing  = 0.3  // of the weight may be in terms that the sources never say,
	fewPassages  = 40   // of fewer than these a term that they never say says less
	aboutIt      = 0.25 // unless a heading speaks that much of what is asked
	leastPart    = 0.15 // in its own words, where the heading has been chosen already
	furtherWords = 12   // that a quotation after the first one has at least: a short one is too much like others
	closeRank    = 0.6  // of a further quotation, relative to the best
)

// fits says that the weighty terms of the question occur together where the candidate stands, and that there is an amount where one is asked for.
func (q question) fits(c candidate) bool {
	if q.part {
		return c.inner >= leastPart
	}
	if q.number && !amounts(c.unit.Text) || q.year && !years(c.unit.Text) {
		return false
	}
	head := headed(q, c.unit)
	if q.missing > mostMissing+0.005*float64(max(0, fewPassages-q.passages)) && head < aboutIt {
		return false
	}
	return c.named && c.terms >= min(2, q.telling(words(strings.Join(q.terms, " ")))) && c.inner >= leastInner && c.outer >= leastOuter && c.whole+0.3*head >= leastWhole
}

// years says that a text gives a year.
func years(s string) bool {
	return slices.ContainsFunc(prose.Numbers(s), func(n string) bool { return len(n) == 4 && (n[0] == '1' || n[0] == '2') })
}

// amounts says that a text gives an amount, be it none or no limit.
func amounts(s string) bool {
	return len(prose.Numbers(s)) > 0 || slices.ContainsFunc(prose.Words(s), func(w string) bool {
		switch w {
		case "one", "once", "twice", "single", "none", "never", "always", "every", "forever", "unlimited", "arbitrary", "limit", "limited", "infinity", "infinite", "half", "hundred", "thousand":
			return true
		}
		return false
	})
}

// quote is a quotation and the sentence of it that answers best.
type quote struct {
	stretch
	claim string
	cand  candidate
}

// pick takes up to n quotations, best first, that answer the question, stand alone, and share at most 60 % of their words.
func pick(q question, r reader, cands []candidate, n int) []quote {
	var picked []quote
	for _, c := range cands {
		if len(picked) == n {
			break
		}
		if !q.fits(c) || len(picked) > 0 && c.rank < closeRank*picked[0].cand.rank {
			continue
		}
		s, ok := r.quotable(c.unit, q)
		if !ok || repeats(picked, s.text) || len(picked) > 0 && len(prose.Words(s.text)) < furtherWords {
			continue
		}
		claim, ok := claimOf(q, s.text)
		if !ok && prose.OfItself(s.text) {
			claim, ok = c.unit.Title+": "+strings.Join(strings.Fields(prose.Sentences(s.text)[0].Of(s.text)), " "), true
		}
		if ok {
			picked = append(picked, quote{s, claim, c})
		}
	}
	return picked
}

// repeats says that a text shares more than 60 % of its words with a quotation.
func repeats(quotes []quote, text string) bool {
	return slices.ContainsFunc(quotes, func(p quote) bool { return prose.Overlap(p.text, text) > 0.6 })
}

// claimOf is the sentence of a quotation that answers best and can stand alone, on one line and without a word that joins it to the one before.
func claimOf(q question, text string) (string, bool) {
	best, top := "", -1.0
	for _, p := range prose.Sentences(text) {
		s := p.Of(text)
		s = unjoined(strings.Join(strings.Fields(s[prose.Bullet(s):]), " "))
		if !begins(s) || !said(s) || len(s) > 600 {
			continue
		}
		v := q.cover(prose.Set(s))
		if !prose.Complete(s) {
			v -= 0.2 // an item of a list
		}
		if v > top+0.02 {
			best, top = s, v
		}
	}
	if best == "" {
		best = enumeration(text)
	}
	return best, best != ""
}

// enumeration is a list with its introduction as one sentence, if it is short and its items are no sentences of their own.
func enumeration(text string) string {
	intro, list, ok := strings.Cut(text, ":\n")
	if !ok || !begins(intro+":") || len(prose.Sentences(intro)) != 1 {
		return ""
	}
	var items []string
	for line := range strings.Lines(list) {
		line = strings.TrimSpace(line)
		if line = strings.TrimRight(line[prose.Bullet(line):], ".;,"); line != "" {
			items = append(items, line)
		}
	}
	s := strings.Join(strings.Fields(intro), " ") + ": " + strings.Join(items, "; ") + "."
	if len(items) < 2 || len(s) > 400 || len(prose.Sentences(s)) != 1 {
		return ""
	}
	return s
}

// unjoined takes a word such as "However," off the beginning of a sentence.
func unjoined(s string) string {
	word, rest, ok := strings.Cut(s, ", ")
	if !ok || rest == "" {
		return s
	}
	switch word {
	case "However", "Therefore", "Thus", "Also", "Furthermore", "Moreover", "Additionally", "In addition", "Consequently", "Hence", "Finally":
		r, n := utf8.DecodeRuneInString(rest)
		return string(unicode.ToUpper(r)) + rest[n:]
	}
	return s
}
