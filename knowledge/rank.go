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
}

// newAsked weighs the terms of a question by how rare they are among n passages. Terms that no passage holds weigh nothing.
func newAsked(own, theme []decouple.Term, section []string, n int) asked {
	var q asked
	add := func(terms []decouple.Term, theme bool) {
		for _, t := range terms {
			w := 0.0
			if t.Passages > 0 {
				w = math.Log(1 + (float64(n-t.Passages)+0.5)/(float64(t.Passages)+0.5))
			}
			if prose.Weak(t.Term) {
				w *= weakWeight
			}
			if theme {
				w *= themeWeight
			}
			q.terms = append(q.terms, askedTerm{t.Term, hashTerm(t.Term), w, theme})
		}
	}
	add(own, false)
	add(theme, true)
	for _, s := range section {
		q.section = append(q.section, hashes(prose.Terms(s)))
	}
	return q
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
		hits, share := 0.0, 0.0
		for _, h := range u.terms {
			if h == t.hash {
				hits++
			}
		}
		if hits > 0 {
			share = 1
			inText = inText || !t.theme
		}
		if slices.Contains(s.terms, t.hash) {
			hits += headingHit
			share = max(share, headingHit)
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
