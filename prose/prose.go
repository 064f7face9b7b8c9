// Package prose answers "which words say the same?": it finds the sentences, the words and the content terms of an English text, folds
// spellings and forms of a word into one, and judges whether a text can stand alone as a quotation.
//
// Everything is a pure function of its arguments. [Terms] is the vocabulary that search and ranking share: lower case, stop words left out,
// a light stemmer, British and American spelling as one, a few synonyms of general English, and identifiers such as sync.Once kept whole as
// well as split into their parts. [Sentences] gives byte offsets, so that what is cut is still the text itself.
package prose

// Span is a stretch of a text in bytes, End excluded.
type Span struct {
	Start int
	End   int
}

// Of is the stretch of s that the span names.
func (p Span) Of(s string) string { return s[p.Start:p.End] }

// Terms lists the folded content terms of s in order, repetitions included. An identifier gives its whole and then its parts.
func Terms(s string) []string {
	var terms []string
	each(s, func(t token) {
		terms = appendTerms(terms, t)
	})
	return terms
}

// Unique is Terms without repetitions, in order of first occurrence.
func Unique(s string) []string {
	seen := map[string]bool{}
	var terms []string
	for _, t := range Terms(s) {
		if !seen[t] {
			seen[t] = true
			terms = append(terms, t)
		}
	}
	return terms
}

// Set is Terms as a set.
func Set(s string) map[string]bool {
	set := map[string]bool{}
	for _, t := range Terms(s) {
		set[t] = true
	}
	return set
}

// Words lists the words of s as written but in lower case, stop words included; an identifier is one word.
func Words(s string) []string {
	var words []string
	each(s, func(t token) {
		words = append(words, lower(t.text))
	})
	return words
}

// Overlap is the share of the different words of the text that has fewer of them that the other one has too: from 0 to 1, and 0 if either
// has no words.
func Overlap(a, b string) float64 {
	small, large := wordSet(a), wordSet(b)
	if len(small) > len(large) {
		small, large = large, small
	}
	if len(small) == 0 {
		return 0
	}
	common := 0
	for w := range small {
		if large[w] {
			common++
		}
	}
	return float64(common) / float64(len(small))
}

func wordSet(s string) map[string]bool {
	set := map[string]bool{}
	for _, w := range Words(s) {
		set[w] = true
	}
	return set
}

// appendTerms adds the terms of one token.
func appendTerms(terms []string, t token) []string {
	parts := t.parts()
	if len(parts) > 1 && t.identifier() {
		terms = append(terms, lower(t.bare()))
	}
	for _, p := range parts {
		if w := lower(p); !stop[w] && (len(w) > 1 || digit(w[0])) {
			terms = append(terms, Fold(w))
		}
	}
	return terms
}
