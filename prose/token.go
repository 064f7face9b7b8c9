package prose

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// token is a word or an identifier as written.
type token struct {
	text  string
	start int
}

// each calls fn for every token of s. A token begins with a letter, a digit, an underscore or the dashes of an option, and goes on over
// single joiners (. - / _ : and the apostrophe) that stand between letters or digits.
func each(s string, fn func(token)) {
	for i := 0; i < len(s); {
		start := i
		if n := prefix(s, i); n > 0 {
			i += n
		}
		n := letter(s, i)
		if n == 0 {
			_, size := utf8.DecodeRuneInString(s[i:])
			i += size
			continue
		}
		i = tail(s, i+n)
		fn(token{s[start:i], start})
	}
}

// prefix is the length of the marks that begin an identifier at i: the dashes of an option, $ or @; 0 inside a word.
func prefix(s string, i int) int {
	if i > 0 && s[i-1] != ' ' && s[i-1] != '\n' && s[i-1] != '\t' && s[i-1] != '`' && s[i-1] != '[' && s[i-1] != '(' && s[i-1] != '"' {
		return 0
	}
	n := 0
	for i+n < len(s) && n < 2 && s[i+n] == '-' {
		n++
	}
	if n == 0 && i < len(s) && (s[i] == '$' || s[i] == '@') {
		n = 1
	}
	if n > 0 && letter(s, i+n) > 0 {
		return n
	}
	return 0
}

// tail is where the token that has begun before i ends.
func tail(s string, i int) int {
	for i < len(s) {
		if n := letter(s, i); n > 0 {
			i += n
			continue
		}
		if n := joiner(s, i); n > 0 && letter(s, i+n) > 0 {
			i += n
			continue
		}
		break
	}
	if i < len(s) && (s[i] == '#' || strings.HasPrefix(s[i:], "++")) && capital(s[i-1]) && (i < 2 || letter(s, i-2) == 0) {
		if s[i] == '#' {
			return i + 1
		}
		return i + 2
	}
	return i
}

// joiner is the length of a mark at i that joins letters to one token.
func joiner(s string, i int) int {
	switch s[i] {
	case '.', '-', '/', '\'', ':':
		return 1
	}
	if strings.HasPrefix(s[i:], "’") {
		return len("’")
	}
	return 0
}

// letter is the length of the letter, digit or underscore at i, 0 if there is none.
func letter(s string, i int) int {
	if i >= len(s) {
		return 0
	}
	if c := s[i]; c < utf8.RuneSelf {
		if small(c) || capital(c) || digit(c) || c == '_' {
			return 1
		}
		return 0
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) {
		return n
	}
	return 0
}

func small(c byte) bool   { return 'a' <= c && c <= 'z' }
func capital(c byte) bool { return 'A' <= c && c <= 'Z' }
func digit(c byte) bool   { return '0' <= c && c <= '9' }

// lower is s in lower case, with the straight apostrophe.
func lower(s string) string {
	s = strings.ToLower(s)
	if strings.Contains(s, "’") {
		s = strings.ReplaceAll(s, "’", "'")
	}
	return s
}

// bare is the token without the marks before it.
func (t token) bare() string { return strings.TrimLeft(t.text, "-$@") }

// identifier tells names of code from words: a dot, an underscore or a colon inside, letters with digits, a capital after a letter, or marks before it.
func (t token) identifier() bool {
	s := t.text
	if s != t.bare() {
		return true
	}
	letters, digits := 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '_' || c == ':':
			return true
		case c == '.':
			if digits < i {
				return true // not a decimal
			}
			digits++
		case digit(c):
			digits++
		case capital(c) && i > 0 && (small(s[i-1]) || capital(s[i-1])):
			return true
		case small(c) || capital(c):
			letters++
		}
	}
	return digits > 0 && letters > 0
}

// parts splits a token at its joiners and where its case changes; a possessive ending is dropped.
func (t token) parts() []string {
	s := t.bare()
	for _, end := range [...]string{"'s", "’s", "'", "’"} {
		s = strings.TrimSuffix(s, end)
	}
	if decimal(s) {
		return []string{s}
	}
	var parts []string
	start := 0
	cut := func(end, next int) {
		if end > start {
			parts = append(parts, s[start:end])
		}
		start = next
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '.' || c == '-' || c == '/' || c == '_' || c == ':':
			cut(i, i+1)
		case i > start && capital(c) && small(s[i-1]):
			cut(i, i)
		case i > start+1 && small(c) && capital(s[i-1]) && capital(s[i-2]) && i+1 < len(s) && small(s[i+1]):
			cut(i-1, i-1)
		}
	}
	cut(len(s), len(s))
	return parts
}

// decimal says that s is digits with dots between them.
func decimal(s string) bool {
	for i := 0; i < len(s); i++ {
		if !digit(s[i]) && s[i] != '.' {
			return false
		}
	}
	return s != ""
}
