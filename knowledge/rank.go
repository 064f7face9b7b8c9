package knowledge

import (
	"cmp"
	"math"
	"slices"

	"decouple.dev/decouple"
	"decouple.dev/decouple/prose"
)

// The numbers of the ranking.
const (
	saturation   = 1.2  // BM25's k1
	lengthNorm   = 0.3  // BM25's b: a list with its introduction is not to lose against its items
	usualTerms   = 40   // of a unit
	headingHit   = 0.6  // of a hit in the text
	themeWeight  = 0.25 // of a term of the theme, beside one of the question
	weakWeight   = 0.3  // of a term such as "use", which says little
	sectionBonus = 1.5
	headingSaid  = 1.5 // for a unit whose heading the question says in full
	relatedHit   = 0.8 // of a term that is only related to one of the question
	sameTerms    = 0.9 // share of common terms from which two units say the same
)

// asked is a question as the ranking sees it.
type asked struct {
	terms   []askedTerm
	section [][]uint32 // the heading path to prefer, each heading's terms
}

// askedTerm is a term of the question or of its theme.
type askedTerm struct {
	term   string
	hash   uint32
	weight float64
	theme  bool
	also   []relatedTerm // said in its stead
}

// relatedTerm is a term that may say what one of the question does.
type relatedTerm struct {
	hash  uint32
	share float64 // of the weight of the term that it stands for
}

// rareness is what a term weighs among n passages; one that no passage holds weighs nothing.
func rareness(t decouple.Term, n int) float64 {
	if t.Passages == 0 {
		return 0
	}
	w := math.Log(1 + (float64(n-t.Passages)+0.5)/(float64(t.Passages)+0.5))
	if prose.Weak(t.Term) {
		w *= weakWeight
	}
	return w
}

// newAsked weighs the terms of a question by how rare they are among n passages. A term that no passage holds weighs what the weightiest of those
// related to it does.
func newAsked(own, theme, related []decouple.Term, section []string, n int) asked {
	var q asked
	weight := map[string]float64{}
	for _, t := range related {
		weight[t.Term] = rareness(t, n)
	}
	add := func(terms []decouple.Term, theme bool) {
		for _, t := range terms {
			a := askedTerm{term: t.Term, hash: hashTerm(t.Term), weight: rareness(t, n), theme: theme}
			if theme {
				a.weight *= themeWeight
			} else {
				a.relate(weight)
			}
			q.terms = append(q.terms, a)
		}
	}
	add(own, false)
	add(theme, true)
	for _, s := range section {
		q.section = append(q.section, hashes(prose.Terms(s)))
	}
	return q
}

// relate adds the related terms that have a weight.
func (t *askedTerm) relate(weight map[string]float64) {
	if t.weight == 0 {
		for _, r := range prose.Related(t.term) {
			t.weight = max(t.weight, relatedHit*weight[r])
		}
	}
	for _, r := range prose.Related(t.term) {
		if w := weight[r]; w > 0 && t.weight > 0 {
			t.also = append(t.also, relatedTerm{hashTerm(r), relatedHit * min(1, w/t.weight)})
		}
	}
}

// said is how much of a term some terms hold: 1 for each time that they hold it, and if they do not, the share of the best term related to it.
func (t askedTerm) said(terms []uint32) float64 {
	hits, related := 0.0, 0.0
	for _, h := range terms {
		if h == t.hash {
			hits++
			continue
		}
		for _, r := range t.also {
			if r.hash == h {
				related = max(related, r.share)
			}
		}
	}
	return max(hits, related)
}

// score is what a unit is worth as an answer, and which of the question's own terms it or its heading path holds. base is the score of its passage
// relative to the best, from 0 to 1.
func (q asked) score(u cardUnit, s cardSection, base float64) (float64, []string) {
	var matched []string
	sum, covered, total := 0.0, 0.0, 0.0
	inText := false
	length := 1 - lengthNorm + lengthNorm*float64(len(u.terms))/usualTerms
	for _, t := range q.terms {
		if !t.theme {
			total += t.weight
		}
		hits := t.said(u.terms)
		share := min(hits, 1)
		inText = inText || hits > 0 && !t.theme
		if above := headingHit * min(1, t.said(s.terms)); above > 0 {
			hits += above
			share = max(share, above)
		}
		if hits == 0 {
			continue
		}
		sum += t.weight * hits * (saturation + 1) / (hits + saturation*length)
		if !t.theme {
			covered += t.weight * share
			matched = append(matched, t.term)
		}
	}
	if !inText || total == 0 {
		return 0, matched
	}
	score := sum * (covered / total) * (1 + 0.25*base) * q.near(u.terms) * q.named(s) * kindFactor(u)
	if q.prefers(s) {
		score *= sectionBonus
	}
	return math.Round(score*1e4) / 1e4, matched
}

// named rewards a unit whose heading the question says in full, or in good part.
func (q asked) named(s cardSection) float64 {
	said := 0
	for _, h := range s.terms[:s.named] {
		if slices.ContainsFunc(q.terms, func(t askedTerm) bool { return t.hash == h && !t.theme }) {
			said++
		}
	}
	switch {
	case said == 0:
		return 1
	case said == s.named:
		return headingSaid
	case said*2 >= s.named:
		return 1 + (headingSaid-1)/2
	}
	return 1
}

// kindFactor is what a unit is worth by what it is.
func kindFactor(u cardUnit) float64 {
	f := 1.0
	switch u.kind {
	case "code":
		f = 0.85
	case "cell":
		f = 0.8
	}
	if u.leans {
		f *= 0.7
	}
	return f
}

// near rewards different terms of the question that stand close together, and a rare one at the beginning, where what is spoken of is named.
func (q asked) near(terms []uint32) float64 {
	best := 0
	for i, t := range q.terms {
		if !t.theme && t.weight > q.terms[best].weight {
			best = i
		}
	}
	f := 1.0
	last, lastAt := -1, 0
	for at, h := range terms {
		for i, t := range q.terms {
			if t.hash != h || t.theme || t.weight == 0 {
				continue
			}
			if i == best && at < 4 && f < 1.1 {
				f += 0.1
			}
			if last >= 0 && last != i && at-lastAt <= 3 && f < 1.3 {
				f += 0.05
			}
			last, lastAt = i, at
		}
	}
	return f
}

// prefers says that the unit stands under the heading path that the question begins at.
func (q asked) prefers(s cardSection) bool {
	if len(q.section) == 0 {
		return false
	}
	for _, heading := range q.section {
		for _, h := range heading {
			if !slices.Contains(s.terms, h) {
				return false
			}
		}
	}
	return true
}

// hit is a unit that was found.
type hit struct {
	unit    cardUnit
	section []string
	note    *candidateNote
	score   float64
	matched []string
}

// best sorts hits and takes the first limit of them that neither overlap in one note nor say the same.
func best(hits []hit, limit int) []hit {
	slices.SortFunc(hits, func(a, b hit) int {
		return cmp.Or(-cmp.Compare(a.score, b.score), cmp.Compare(a.note.path, b.note.path), a.unit.start-b.unit.start, a.unit.end-b.unit.end)
	})
	var out []hit
	for _, h := range hits {
		if len(out) == limit {
			break
		}
		if !slices.ContainsFunc(out, func(o hit) bool {
			return o.note == h.note && o.unit.start < h.unit.end && h.unit.start < o.unit.end || same(o.unit.terms, h.unit.terms)
		}) {
			out = append(out, h)
		}
	}
	return out
}

// same says that two units have nearly all their terms in common.
func same(a, b []uint32) bool {
	if len(a) > 2*len(b) || len(b) > 2*len(a) {
		return false
	}
	all := make(map[uint32]int, len(a)+len(b))
	for _, t := range a {
		all[t] |= 1
	}
	for _, t := range b {
		all[t] |= 2
	}
	common := 0
	for _, in := range all {
		if in == 3 {
			common++
		}
	}
	return float64(common) >= sameTerms*float64(len(all))
}
