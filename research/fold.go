package research

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// folded is a text in which what a model easily changes in copying is evened out: white space to one space, typographic quotes and
// dashes to plain ones, and the marks ` and * of Markdown left out. at[i] is where byte i of text stood in the original.
type folded struct {
	text string
	at   []int
	from string // the original
}

// fold evens out a text.
func fold(s string) folded {
	var b strings.Builder
	b.Grow(len(s))
	at := make([]int, 0, len(s)+1)
	space := true // leave out leading space
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		put := plain(r, n, s[i:])
		if unicode.IsSpace(r) {
			put = " "
			if space {
				put = ""
			}
			space = true
		} else if put != "" {
			space = false
		}
		for range len(put) {
			at = append(at, i)
		}
		b.WriteString(put)
		i += n
	}
	text := strings.TrimRight(b.String(), " ")
	return folded{text, append(at[:len(text):len(text)], len(s)), s}
}

// plain is what a rune becomes.
func plain(r rune, n int, s string) string {
	switch r {
	case '`', '*', '\u00ad', '\u200b', '\ufeff':
		return ""
	case '‘', '’', '‛':
		return "'"
	case '“', '”', '„':
		return `"`
	case '‐', '‑', '–', '—', '−':
		return "-"
	}
	return s[:n]
}

// find gives the stretch of the original in which a folded text stands, the occurrence nearest to the hint.
func (f folded) find(text string, hint int) (start, end int, ok bool) {
	if text == "" || !utf8.ValidString(text) {
		return 0, 0, false
	}
	for from := 0; ; {
		i := strings.Index(f.text[from:], text)
		if i < 0 {
			return start, end, ok
		}
		i += from
		s, e := f.at[i], f.after(i+len(text))
		if !ok || distance(s, hint) < distance(start, hint) {
			start, end, ok = s, e, true
		}
		from = i + 1
	}
}

// after is where the rune of the original ends that the byte before i stands for.
func (f folded) after(i int) int {
	last := f.at[i-1]
	_, n := utf8.DecodeRuneInString(f.from[last:])
	return last + n
}

func distance(a, b int) int { return max(a-b, b-a) }
