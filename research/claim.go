package research

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"decouple.dev/decouple/prose"
)

// evidence is what a statement is held against.
type evidence struct {
	quotes []string // the quotations it rests on
	known  string   // the question and the titles: a proper name in them need not stand in the quotations
}

// fault says what in a statement, which is a claim or a sentence of an answer, its quotations do not carry; it is empty if they carry it. It looks at
// numbers with their units and bounds, identifiers, proper names, words between quotation marks, negations, and at whether both speak of the same
// thing. It does not prove that the statement follows.
func (e evidence) fault(statement string) string {
	all := strings.Join(e.quotes, "\n\n")
	for _, test := range []func(statement, all string) string{numberFault, identifierFault, e.nameFault, quotedFault, polarityFault, relevanceFault} {
		if why := test(statement, all); why != "" {
			return why
		}
	}
	return ""
}

// quantity is a number with what stands around it.
type quantity struct {
	number string
	bound  string // least or most, empty if neither
	unit   string
}

const numeral = `one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|billion`

var quantities = regexp.MustCompile(`(?i)(?:\b(exactly|only|precisely|at least|no less than|no fewer than|more than|over|above|a minimum of|` +
	`at most|no more than|up to|less than|fewer than|under|below|a maximum of)\s+)?` +
	`\b(\d[\d,]*(?:\.\d+)*|` + numeral + `)[\s-]?` +
	`(%|(?:percent|nanoseconds?|ns|microseconds?|milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|hours?|h|` +
	`days?|weeks?|months?|years?|bits?|bytes?|kb|kib|mb|mib|gb|gib|tb|tib)\b)?`)

var (
	bounds = map[string]string{"at least": "least", "no less than": "least", "no fewer than": "least", "more than": "least", "over": "least",
		"above": "least", "a minimum of": "least",
		"at most": "most", "no more than": "most", "up to": "most", "less than": "most", "fewer than": "most", "under": "most", "below": "most", "a maximum of": "most"}
	units = map[string]string{"percent": "%", "nanosecond": "ns", "microsecond": "us", "millisecond": "ms", "second": "s", "sec": "s", "minute": "min", "hour": "h",
		"kib": "kb", "mib": "mb", "gib": "gb", "tib": "tb"}
	numerals = map[string]string{"one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10", "eleven": "11",
		"twelve": "12", "twenty": "20", "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90", "hundred": "100",
		"thousand": "1000", "million": "1000000", "billion": "1000000000"}
)

// quantitiesIn lists the numbers of a text. The word "one" counts only where something makes a number of it: a bound, "exactly" or a unit.
func quantitiesIn(s string) []quantity {
	var found []quantity
	for _, m := range quantities.FindAllStringSubmatch(s, -1) {
		word, number, unit := strings.ToLower(m[1]), strings.ToLower(m[2]), strings.ToLower(m[3])
		if number == "one" && word == "" && unit == "" {
			continue
		}
		q := quantity{number: strings.ReplaceAll(number, ",", ""), bound: bounds[word], unit: unit}
		if n, ok := numerals[number]; ok {
			q.number = n
		}
		if len(unit) > 2 {
			q.unit = strings.TrimSuffix(unit, "s")
		}
		if u, ok := units[q.unit]; ok {
			q.unit = u
		}
		found = append(found, q)
	}
	return found
}

// numberFault names a number that the quotations do not hold, or hold with another unit or the opposite bound.
func numberFault(statement, all string) string {
	there := quantitiesIn(all)
	numbers := prose.Numbers(all)
	for _, q := range there {
		numbers = append(numbers, q.number)
	}
	if oneMentioned.MatchString(all) {
		numbers = append(numbers, "1")
	}
	wanted := quantitiesIn(statement)
	for _, n := range prose.Numbers(statement) {
		wanted = append(wanted, quantity{number: n})
	}
	for _, q := range wanted {
		if !slices.Contains(numbers, q.number) {
			return fmt.Sprintf("the number %s is not in the quotations", q.number)
		}
		if other := differs(q, there, func(q quantity) string { return q.unit }); other != "" {
			return fmt.Sprintf("the quotations say %s %s, not %s %s", q.number, other, q.number, q.unit)
		}
		if other := differs(q, there, func(q quantity) string { return q.bound }); other != "" {
			return fmt.Sprintf("the quotations say at %s %s, not at %s", other, q.number, q.bound)
		}
	}
	return ""
}

var oneMentioned = regexp.MustCompile(`(?i)\b(one|single|once|an?)\b`)

// differs gives what the quotations have in the place of q's unit or bound, where they name one for the same number and never q's.
func differs(q quantity, there []quantity, of func(quantity) string) string {
	other := ""
	for _, t := range there {
		switch {
		case t.number != q.number || of(t) == "":
		case of(t) == of(q):
			return ""
		default:
			other = of(t)
		}
	}
	if of(q) == "" {
		return ""
	}
	return other
}

// identifierFault names an identifier or a piece of code between backquotes that does not stand in the quotations.
func identifierFault(statement, all string) string {
	names := namesIn(all)
	for _, id := range prose.Identifiers(statement) {
		if !abbreviation[strings.ToLower(id)] && !names.has(id) {
			return fmt.Sprintf("%q is not in the quotations", id)
		}
	}
	for _, span := range codeSpan.FindAllStringSubmatch(statement, -1) {
		for _, word := range strings.Fields(span[1]) {
			if !names.has(word) && !strings.Contains(all, word) {
				return fmt.Sprintf("the code %q is not in the quotations", word)
			}
		}
	}
	return ""
}

var (
	codeSpan     = regexp.MustCompile("`([^`]+)`")
	abbreviation = map[string]bool{"e.g": true, "i.e": true, "a.k.a": true, "u.s": true, "and/or": true}
	nameRun      = regexp.MustCompile(`[\pL\pN_][\pL\pN_./:@$+-]*`)
)

// names are the identifiers and words of a text, with the stretches that lie between their joiners.
type names map[string]bool

// namesIn collects them: "sync.Mutex.Lock" gives sync.Mutex, Mutex.Lock and each part too; "package-lock.json" does not give package.
func namesIn(s string) names {
	set := names{}
	for _, run := range nameRun.FindAllString(s, -1) {
		parts := strings.FieldsFunc(strings.TrimRight(run, "./:-@$+"), joins)
		for i := range parts {
			whole := ""
			for j := i; j < len(parts) && j < i+8; j++ {
				if whole != "" {
					whole += "."
				}
				whole += parts[j]
				set[whole] = true
				set[strings.ToLower(whole)+" "] = true // for acronyms
			}
		}
	}
	return set
}

func joins(r rune) bool { return strings.ContainsRune("./:@$+", r) }

// has says that an identifier occurs, whole or, if it is dotted, in all its parts ("sync.Once" where the text speaks of the type Once in the package sync).
// Capitals count, but not in an acronym.
func (n names) has(id string) bool {
	id = strings.NewReplacer("'s", "", "’s", "").Replace(id)
	parts := strings.FieldsFunc(strings.TrimLeft(strings.TrimRight(id, "./:-@$+()"), "-$@"), joins)
	if whole := strings.Join(parts, "."); n[whole] {
		return true
	}
	for _, p := range parts {
		if !n[p] && !(acronym(p) && n[strings.ToLower(strings.TrimSuffix(p, "s"))+" "]) {
			return false
		}
	}
	return len(parts) > 0
}

// acronym says that a word is capitals alone, but for a plural s.
func acronym(s string) bool {
	s = strings.TrimSuffix(s, "s")
	for _, r := range s {
		if !unicode.IsUpper(r) {
			return false
		}
	}
	return s != ""
}

// nameFault names a word with a capital inside a sentence, a proper name, that neither the quotations nor what is known has.
func (e evidence) nameFault(statement, all string) string {
	there, names := prose.Set(all+"\n\n"+e.known), namesIn(all)
	for _, span := range prose.Sentences(statement) {
		for i, w := range word.FindAllString(span.Of(statement), -1) {
			first, _ := utf8.DecodeRuneInString(w)
			if i == 0 || !unicode.IsUpper(first) || len(w) < 2 || names.has(w) {
				continue
			}
			for _, term := range prose.Terms(w) {
				if !there[term] {
					return fmt.Sprintf("the name %q is not in the quotations", w)
				}
			}
		}
	}
	return ""
}

var word = regexp.MustCompile(`[\pL\pN_][\pL\pN_.-]*[\pL\pN_]|[\pL\pN_]`)

// quotedFault names words between quotation marks that do not stand so in the quotations.
func quotedFault(statement, all string) string {
	plain := fold(all).text
	for _, m := range quoted.FindAllStringSubmatch(statement, -1) {
		inner := strings.TrimRight(fold(m[1]+m[2]).text, " .,;:!?")
		if inner != "" && !strings.Contains(plain, strings.TrimLeft(inner, " ")) {
			return fmt.Sprintf("the words %q are not in the quotations", m[1]+m[2])
		}
	}
	return ""
}

var quoted = regexp.MustCompile(`"([^"]+)"|“([^”]+)”`)

// relevanceFault says that the quotations speak of something else: half of a statement's telling terms must occur in them, and of two both.
func relevanceFault(statement, all string) string {
	terms := telling(statement)
	if len(terms) == 0 {
		return ""
	}
	there := prose.Set(all)
	shared := 0
	for _, t := range terms {
		if there[t] || cognate(t, there) {
			shared++
		}
	}
	if shared*2 < len(terms) || len(terms) == 2 && shared < 2 {
		return "the quotations speak of something else"
	}
	return ""
}

// cognate says that a term differs from one that is there in no more than its last three letters, as "lower" does from "low".
func cognate(term string, there map[string]bool) bool {
	for t := range there {
		short, long := min(len(t), len(term)), max(len(t), len(term))
		if short >= 3 && long-short <= 3 && t[:short] == term[:short] {
			return true
		}
	}
	return false
}

// telling are the terms, numbers left out, that say what a text is about; if there are none, all its terms.
func telling(s string) []string {
	all := prose.Unique(s)
	strong := slices.DeleteFunc(slices.Clone(all), func(t string) bool { return prose.Weak(t) || unicode.IsDigit(rune(t[0])) || numerals[t] != "" })
	if len(strong) == 0 {
		return all
	}
	return strong
}

// related says that one of the terms is in a text, or that there are none.
func related(terms []string, text string) bool {
	there := prose.Set(text)
	return len(terms) == 0 || slices.ContainsFunc(terms, func(t string) bool { return there[t] })
}
