package prose

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sentences cuts s into its sentences, each without the white space around it. A blank line and a list mark at the beginning of a line end a sentence, and
// so do . ! ? before white space, unless the dot belongs to an abbreviation, an initial, a number of a list or to code between backquotes, or a small letter follows.
func Sentences(s string) []Span {
	var spans []Span
	start := 0
	cut := func(end int) {
		if p := trim(s, start, end); p.End > p.Start {
			spans = append(spans, p)
		}
		start = end
	}
	code := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '`':
			code = !code
		case c == '\n':
			if rest := strings.TrimLeft(s[i+1:], " \t\r"); rest == "" || rest[0] == '\n' || Bullet(rest) > 0 {
				code = false
				cut(i)
			}
		case !code && (c == '.' || c == '!' || c == '?'):
			if end := closed(s, i+1); ends(s, start, i, end) {
				cut(end)
				i = end - 1
			}
		}
	}
	cut(len(s))
	return spans
}

// trim narrows a stretch of s to what is not white space.
func trim(s string, start, end int) Span {
	part := s[start:end]
	left := strings.TrimLeftFunc(part, unicode.IsSpace)
	start += len(part) - len(left)
	return Span{start, start + len(strings.TrimRightFunc(left, unicode.IsSpace))}
}

// closed skips the quotes, brackets and further marks that belong to a sentence's end at i.
func closed(s string, i int) int {
	for i < len(s) {
		r, n := utf8.DecodeRuneInString(s[i:])
		if !strings.ContainsRune(".!?\"')]”’»", r) {
			break
		}
		i += n
	}
	return i
}

// ends says whether the mark at i, closed at end, ends the sentence that begins at start.
func ends(s string, start, i, end int) bool {
	if end < len(s) {
		next, _ := utf8.DecodeRuneInString(s[end:])
		if !unicode.IsSpace(next) {
			return false
		}
		rest := strings.TrimLeftFunc(s[end:], unicode.IsSpace)
		if first, _ := utf8.DecodeRuneInString(rest); unicode.IsLower(first) && !named(rest) {
			return false
		}
	}
	return s[i] != '.' || end > i+1 || !abbreviated(strings.TrimSpace(s[start:i]))
}

// named says that a text which begins with a small letter begins with an identifier, which begins a sentence as well as a word does.
func named(s string) bool {
	i := tail(s, 0)
	t := token{text: s[:i]}
	return t.identifier() || strings.HasPrefix(s[i:], "(")
}

// abbreviated says that the dot after before is not a sentence's end.
func abbreviated(before string) bool {
	i := strings.LastIndexFunc(before, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("(\"'[-", r) })
	last := before[i+1:]
	if abbreviation[strings.ToLower(last)] {
		return true
	}
	if len(last) == 1 && capital(last[0]) {
		return true // an initial
	}
	return last == before && decimal(last) && len(last) <= 3 // the number of a list item
}

var abbreviation = set(`e.g i.e eg ie etc vs cf mr mrs ms dr prof st fig figs eq sec ch vol pp p no nos approx resp al inc ltd co corp dept est jan feb
	mar apr jun jul aug sept sep oct nov dec a.k.a u.s u.k ca viz`)

// Bullet is the length of a list mark at the beginning of s, with the space after it; 0 if there is none.
func Bullet(s string) int {
	for _, mark := range [...]string{"- ", "* ", "+ ", "• "} {
		if strings.HasPrefix(s, mark) {
			return len(mark)
		}
	}
	n := 0
	for n < len(s) && n < 3 && digit(s[n]) {
		n++
	}
	if n > 0 && n+1 < len(s) && (s[n] == '.' || s[n] == ')') && s[n+1] == ' ' {
		return n + 2
	}
	return 0
}
