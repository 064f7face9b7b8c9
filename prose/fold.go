package prose

import "strings"

// Fold is the one form of a word that all its forms share: lower case, American and British spelling as one, endings taken off, a synonym of
// general English replaced by the one that stands for them. It is a key to compare by and need not be a word.
func Fold(word string) string {
	w := lower(word)
	if !ascii(w) || len(w) < 3 {
		return w
	}
	if f, ok := irregular[w]; ok {
		w = f
	}
	w = stem(spell(w))
	if f, ok := synonym[w]; ok {
		return f
	}
	return w
}

// ascii says that w has small letters of ASCII only; nothing else is stemmed.
func ascii(w string) bool {
	for i := 0; i < len(w); i++ {
		if !small(w[i]) {
			return false
		}
	}
	return true
}

// spell makes British and American spelling one.
func spell(w string) string {
	if f, ok := spelling[w]; ok {
		return f
	}
	if root, rest, ok := strings.Cut(w, "our"); ok && our[root] {
		return root + "or" + rest
	}
	for _, e := range endings {
		if base, ok := strings.CutSuffix(w, e.from); ok && len(base) >= e.keep {
			return base + e.to
		}
	}
	return w
}

// stem takes endings off, one group after the other.
func stem(w string) string {
	if w = plural(w); stemmed[w] {
		return w
	}
	w = verbal(w)
	for range 2 { // implementation: first -ation, then -ment
		for _, e := range suffixes {
			if base, ok := strings.CutSuffix(w, e.from); ok && len(base) >= e.keep && !stemmed[w] {
				w = base + e.to
				break
			}
		}
	}
	if n := len(w); n >= 6 && strings.HasSuffix(w, "ll") {
		return w[:n-1]
	}
	if n := len(w); n >= 5 && w[n-1] == 'e' && w[n-2] != 'e' {
		return w[:n-1]
	}
	return w
}

// plural takes off the -s of plurals and of the third person.
func plural(w string) string {
	n := len(w)
	switch {
	case n < 4 || w[n-1] != 's' || stemmed[w]:
		return w
	case strings.HasSuffix(w, "ies"):
		if n == 4 {
			return w[:n-1]
		}
		return w[:n-3] + "y"
	case strings.HasSuffix(w, "sses"), strings.HasSuffix(w, "xes"), strings.HasSuffix(w, "shes"), strings.HasSuffix(w, "tches"), strings.HasSuffix(w, "oes"):
		return w[:n-2]
	case w[n-2] == 's' || w[n-2] == 'u' || w[n-2] == 'i':
		return w
	}
	return w[:n-1]
}

// verbal takes off -ing and -ed where a vowel remains.
func verbal(w string) string {
	base, ok := strings.CutSuffix(w, "ing")
	if !ok {
		if base, ok = strings.CutSuffix(w, "ied"); ok && len(base) > 1 {
			return base + "y"
		}
		if base, ok = strings.CutSuffix(w, "ed"); !ok || strings.HasSuffix(base, "e") {
			return w
		}
	}
	n := len(base)
	if n < 3 || !strings.ContainsAny(base, "aeiouy") {
		return w
	}
	last := base[n-1]
	switch {
	case last == base[n-2] && strings.IndexByte("bdgmnprt", last) >= 0:
		return base[:n-1]
	case n == 3 && !vowel(base[0]) && (vowel(base[1]) || base[1] == 'y') && !vowel(last) && strings.IndexByte("wxy", last) < 0:
		return base + "e"
	}
	return base
}

func vowel(c byte) bool { return strings.IndexByte("aeiou", c) >= 0 }

// ending is replaced where at least keep letters stand before it.
type ending struct {
	from, to string
	keep     int
}

// endings make spellings one: -ize is written -ise and -yze -yse, as every -ise then stays as it is.
var endings = []ending{
	{"izations", "isations", 3}, {"ization", "isation", 3}, {"izing", "ising", 2}, {"izers", "isers", 2}, {"izer", "iser", 2},
	{"izes", "ises", 2}, {"ized", "ised", 2}, {"ize", "ise", 2}, {"izable", "isable", 2},
	{"yzing", "ysing", 2}, {"yzers", "ysers", 2}, {"yzer", "yser", 2}, {"yzes", "yses", 2}, {"yzed", "ysed", 2}, {"yze", "yse", 2},
	{"ogues", "ogs", 3}, {"ogued", "oged", 3}, {"oguing", "oging", 3}, {"ogue", "og", 3},
	{"metres", "meters", 0}, {"metre", "meter", 0}, {"litres", "liters", 0}, {"litre", "liter", 0},
	{"llers", "lers", 5}, {"ller", "ler", 5},
}

// suffixes are taken off after plurals and verbal endings.
var suffixes = []ending{
	{"isation", "ise", 3}, {"iser", "ise", 3}, {"ational", "", 4}, {"ation", "", 4}, {"ability", "able", 2}, {"ibility", "ible", 2},
	{"ically", "ic", 3}, {"bly", "ble", 4}, {"ly", "", 5}, {"ness", "", 4}, {"ement", "e", 4}, {"ment", "", 5}, {"ency", "ent", 4}, {"ence", "ent", 4},
	{"ancy", "ant", 4}, {"ance", "ant", 4}, {"ator", "", 4}, {"ctor", "ct", 4}, {"ity", "", 5}, {"ion", "", 5}, {"ate", "", 4}, {"at", "", 5},
}
