package prose

import "strings"

// Numbers lists the numbers in s: digits as written, without commas between thousands, and the words from "two" to "twelve" as digits.
func Numbers(s string) []string {
	var found []string
	for i := 0; i < len(s); {
		if !digit(s[i]) || i > 0 && letter(s, i-1) > 0 && !digit(s[i-1]) {
			i++
			continue
		}
		start := i
		for i < len(s) && (digit(s[i]) || (s[i] == '.' || s[i] == ',') && i+1 < len(s) && digit(s[i+1])) {
			i++
		}
		found = append(found, strings.ReplaceAll(s[start:i], ",", ""))
	}
	each(s, func(t token) {
		if n, ok := numeral[lower(t.text)]; ok {
			found = append(found, n)
		}
	})
	return found
}

var numeral = table("zero=0 two=2 three=3 four=4 five=5 six=6 seven=7 eight=8 nine=9 ten=10 eleven=11 twelve=12")

// Negations lists the words in s that turn its meaning round, each in one form: every "n't" and "cannot" is "not".
func Negations(s string) []string {
	var found []string
	each(s, func(t token) {
		w := lower(t.text)
		switch {
		case w == "cannot" || strings.HasSuffix(w, "n't"):
			found = append(found, "not")
		case negation[w]:
			found = append(found, w)
		}
	})
	return found
}

var negation = set("not no never none nothing nobody nowhere neither nor without unless except hardly unable")

// Identifiers lists the names of code in s as written: dotted names, options, names with capitals or digits or underscores inside, and paths.
func Identifiers(s string) []string {
	var found []string
	each(s, func(t token) {
		if t.identifier() && !decimal(t.text) || strings.Contains(t.text, "/") {
			found = append(found, t.text)
		}
	})
	return found
}
