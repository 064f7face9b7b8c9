package prose

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Leans says that a text leans at its beginning on something before it: on a pronoun ("this", "it", "they"), on a word that goes on from
// another sentence ("however", "then", "also") or on a phrase such as "in this case".
func Leans(s string) bool {
	words := opening(s, 4)
	if len(words) == 0 {
		return false
	}
	if leaning[words[0]] {
		return true
	}
	line, _, _ := strings.Cut(s, "\n")
	for i, w := range words[1:] {
		if pointing[w] && !strings.Contains(line, ":") || i == 0 && (w == "it" || w == "they") {
			return true
		}
	}
	text := strings.Join(words, " ") + " "
	for _, p := range leaningPhrases {
		if strings.HasPrefix(text, p+" ") {
			return true
		}
	}
	return false
}

// OfItself says that a text begins with "this" and the name of the document, or of the thing that a heading names: "This command installs".
// It leans, but on nothing that stands before it in the text if it is the first under its heading.
func OfItself(s string) bool {
	words := opening(s, 2)
	return len(words) == 2 && words[0] == "this" && itself[words[1]]
}

var itself = set(`command document page section chapter guide article manual file package module program tool library option setting field property
	function method type statement flag variable directive parameter table appendix tutorial note`)

// leaning are the first words that lean.
var leaning = set(`this that these those it its it's they they're them their such then thus hence therefore however also otherwise instead furthermore
	moreover additionally similarly likewise consequently accordingly nevertheless nonetheless meanwhile but and or so yet he she his her afterwards
	afterward subsequently again conversely alternatively finally secondly thirdly next lastly else another both neither here too rather thereby thereafter that's
	which whose whereas besides still equivalently others`)

// pointing words lean wherever they stand among the first ones, unless a colon says that what they point at follows.
var pointing = set("this these those")

// leaningPhrases are beginnings that lean although their first word does not.
var leaningPhrases = []string{
	"in this", "in these", "in those", "for this", "for these", "with this", "with these", "by this", "at this", "from this", "after this", "before this",
	"in that", "in such", "in either case", "in both cases", "in addition", "in contrast", "in other words", "in particular", "in turn", "in the same way", "in the previous", "in the above",
	"in the example", "for example", "for instance", "for that", "for such", "as a result", "as above", "as such", "as before", "as noted", "as mentioned", "as shown", "on the other", "on the contrary",
	"with that", "with it", "by that", "by doing", "to do so", "to do that", "at that", "after that", "before that", "from that", "from there", "some of them", "all of them", "any of them", "none of them", "most of them",
	"one of them", "both of them", "if that", "if so", "if not", "when that", "the former", "the latter", "the above", "the preceding", "the previous", "the same", "the second", "the third", "the other", "the others",
	"the first one", "the result is", "note also", "note that it", "note that they", "second", "third", "not only that", "even so", "even then", "even though it", "even if it", "that is", "only then", "doing so", "see above", "without it",
}

// opening lists the first n words of a text in lower case, marks and list bullets left out.
func opening(s string, n int) []string {
	s = strings.TrimSpace(s)
	s = s[Bullet(s):]
	var words []string
	each(s, func(t token) {
		if len(words) < n {
			words = append(words, lower(t.text))
		}
	})
	return words
}

// MidSentence says that a text begins inside a sentence: with a small letter that does not begin an identifier, or with a mark that closes or
// separates.
func MidSentence(s string) bool {
	s = strings.TrimSpace(s)
	s = s[Bullet(s):]
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return false
	}
	if strings.ContainsRune(",;:.)]}!?%=&|<>/\\", r) {
		return !strings.HasPrefix(s, "./") && !strings.HasPrefix(s, "/") && !dotted(s)
	}
	return unicode.IsLower(r) && !named(s)
}

// dotted says that s begins with the name of a hidden file, such as .npmrc.
func dotted(s string) bool { return len(s) > 1 && s[0] == '.' && letter(s, 1) > 0 }

// Open says that a text ends in a colon, a comma, a dash or "e.g.", so that what it announces is missing.
func Open(s string) bool {
	s = strings.TrimRightFunc(s, unicode.IsSpace)
	s = strings.TrimRight(s, "`*_")
	for _, end := range [...]string{":", ",", ";", "—", "–", "(", "[", " and", " or", " e.g.", " i.e.", " such as", " for example"} {
		if strings.HasSuffix(s, end) {
			return true
		}
	}
	return false
}

// Complete says that a text ends where a sentence ends.
func Complete(s string) bool {
	if Open(s) {
		return false
	}
	s = strings.TrimRightFunc(s, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("\"')]”’»`*_", r) })
	return strings.HasSuffix(s, ".") || strings.HasSuffix(s, "!") || strings.HasSuffix(s, "?") || strings.HasSuffix(s, "…")
}

// Code says that a text is lines of code and no prose: too few of its marks are words, or no line of it reads as a sentence.
func Code(s string) bool {
	words, stops, letters, marks := 0, 0, 0, 0
	each(s, func(t token) {
		words++
		if stop[lower(t.text)] && t.text != "for" && t.text != "if" && t.text != "else" {
			stops++
		}
	})
	for _, r := range s {
		switch {
		case unicode.IsLetter(r):
			letters++
		case strings.ContainsRune("{}[]()=<>;&|$*+/\\@#%^~_", r):
			marks++
		}
	}
	switch {
	case words == 0:
		return true
	case Complete(s) && stops*8 >= words && marks*4 <= letters:
		return false
	case marks*6 > letters, stops == 0 && marks*10 > letters:
		return true
	}
	return !Complete(s) && stops*8 < words && (marks > 0 || words < 5)
}

// OptionList says that a text is an enumeration of options or a synopsis rather than something said: at least a third of its words, or of its lines' beginnings,
// are options or placeholders in brackets.
func OptionList(s string) bool {
	lines, starts := 0, 0
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		lines++
		line = strings.TrimLeft(line[Bullet(line):], "`*[")
		if len(line) > 1 && line[0] == '-' && (line[1] == '-' || letter(line, 1) > 0) {
			starts++
		}
	}
	words, options := 0, 0
	each(s, func(t token) {
		words++
		if strings.HasPrefix(t.text, "-") || t.start > 0 && (s[t.start-1] == '<' || s[t.start-1] == '[') {
			options++
		}
	})
	return lines >= 2 && starts*3 > lines || words > 1 && options*3 >= words
}
