package research

import (
	"regexp"
	"strings"

	"decouple.dev/decouple/prose"
)

// clause is a stretch of a sentence that is either turned round by a negation or is not.
type clause struct {
	terms   map[string]bool
	negated bool
	either  bool     // its sentence holds a word such as "forbidden", which negates without saying so: it agrees with both
	heads   []string // the terms that its negations stand before
}

var (
	clauseEnd = regexp.MustCompile(`(?i)[,;:()—–]|\s-\s|\b(?:but|while|because|although|though|whereas|if|when|where|which|so that)\b`)
	// noNegation are phrases that hold the word and deny nothing.
	noNegation = regexp.MustCompile(`(?i)\b(?:not only|not just|whether or not|not merely)\b`)
	implied    = regexp.MustCompile(`(?i)\b(?:forbid|forbidden|prohibit\w*|prevent\w*|refus\w*|reject\w*|den(?:y|ies|ied)|disallow\w*|illegal\w*|invalid\w*|incorrect\w*|wrong\w*|` +
		`error\w*|fail\w*|lack\w*|avoid\w*|undefined|unspecified|unsafe|impossible|rather than|instead of|omit\w*|ignor\w*|skip\w*|disabl\w*|absen\w*|missing|free of|too \w+ to)\b`)
)

// clausesIn cuts a text into clauses.
func clausesIn(s string) []clause {
	var clauses []clause
	for _, span := range prose.Sentences(s) {
		either := implied.MatchString(span.Of(s))
		for _, part := range clauseEnd.Split(span.Of(s), -1) {
			part = noNegation.ReplaceAllString(part, " ")
			c := clause{terms: prose.Set(part), either: either}
			c.heads, c.negated = headsIn(part)
			if len(c.terms) > 0 || c.negated {
				clauses = append(clauses, c)
			}
		}
	}
	return clauses
}

// headsIn gives the terms right after each negation, one after "not" and its like and two after "no", and whether there is a negation.
func headsIn(part string) (heads []string, negated bool) {
	left := 0
	for _, w := range strings.Fields(part) {
		if n := prose.Negations(w); len(n) > 0 {
			negated = true
			left = 1
			if n[0] == "no" || n[0] == "neither" || n[0] == "none" {
				left = 2
			}
			continue
		}
		terms := prose.Terms(w)
		if left == 0 || len(terms) == 0 || strings.HasSuffix(w, "ly") { // an adverb stands between
			continue
		}
		heads = append(heads, terms...)
		left--
	}
	return heads, negated
}

// polarityFault says that a statement negates what the quotations do not, or leaves out a negation of theirs.
func polarityFault(statement, all string) string {
	said, there := clausesIn(statement), clausesIn(all)
	denied := false // the quotations negate something somewhere
	for _, c := range there {
		denied = denied || c.negated || c.either
	}
	for _, c := range said {
		switch {
		case c.negated && !denied:
			return "the statement has a negation and the quotations have none"
		case c.either:
		case turned(c, there, len(said)):
			return opposite(c)
		}
	}
	if why := headFault(said, there); why != "" {
		return why
	}
	return copyFault(statement, all)
}

func opposite(c clause) string {
	if c.negated {
		return "the statement negates what the quotations say without a negation"
	}
	return "the quotations negate what the statement says without a negation"
}

// turned says that the clause of the quotations that is nearest to c has the other sign. A short clause among others is too little to tell.
func turned(c clause, there []clause, clauses int) bool {
	if len(c.terms) < 2 || len(c.terms) < 3 && clauses > 1 {
		return false
	}
	same, other := 0, 0
	for _, t := range there {
		n := common(c.terms, t.terms)
		if t.either || t.negated == c.negated {
			same = max(same, n)
		}
		if !t.either && t.negated != c.negated {
			other = max(other, n)
		}
	}
	return other > same && other*5 >= len(c.terms)*3
}

func common(a, b map[string]bool) int {
	n := 0
	for t := range a {
		if b[t] {
			n++
		}
	}
	return n
}

// headFault compares what the negations of both sides stand before.
func headFault(said, there []clause) string {
	for _, c := range there {
		for _, h := range c.heads {
			if occurs(h, said, false) && !occurs(h, said, true) && !occurs(h, there, false) {
				return opposite(clause{})
			}
		}
	}
	for _, c := range said {
		for _, h := range c.heads {
			if occurs(h, there, false) && !occurs(h, there, true) {
				return opposite(clause{negated: true})
			}
		}
	}
	return ""
}

// occurs says that a term is in a clause of that sign; one that agrees with both has both.
func occurs(term string, clauses []clause, negated bool) bool {
	for _, c := range clauses {
		if c.terms[term] && (c.negated == negated || c.either) {
			return true
		}
	}
	return false
}

// copyFault compares sentences that are nearly copies of one of the quotations': they have as many negations.
func copyFault(statement, all string) string {
	for _, span := range prose.Sentences(statement) {
		s := unsigned(span.Of(statement))
		alike, same := signed{}, false
		for _, source := range prose.Sentences(all) {
			if q := unsigned(source.Of(all)); nearCopy(s.words, q.words) {
				alike, same = q, same || q.negations == s.negations
			}
		}
		if len(alike.words) > 0 && !same {
			return opposite(clause{negated: s.negations > alike.negations})
		}
	}
	return ""
}

// signed is a sentence's words and how many of them, left out, negate.
type signed struct {
	words     map[string]bool
	negations int
}

func unsigned(sentence string) signed {
	s := signed{words: map[string]bool{}}
	for _, w := range prose.Words(sentence) {
		if len(prose.Negations(w)) > 0 {
			s.negations++
		} else {
			s.words[w] = true
		}
	}
	return s
}

// nearCopy says that two sentences share three quarters of their words.
func nearCopy(a, b map[string]bool) bool {
	n := common(a, b)
	return 4*n >= 3*(len(a)+len(b)-n)
}
