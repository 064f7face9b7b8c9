package builtin

import (
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"

	"decouple.dev/decouple"
	"decouple.dev/decouple/prose"
)

// form says what shape of answer a question asks for.
type form int

const (
	open    form = iota // the headings around the answer decide
	narrow              // one fact
	several             // several things, if no single place holds them
	broad               // several things, one by one
)

// question is what is asked, with what each of its terms weighs.
type question struct {
	text     string
	terms    []string // in order, so that sums come out the same every time
	weight   map[string]float64
	total    float64
	missing  float64 // share of the weight in terms that the sources never say
	form     form
	passages int                   // searched
	year     bool                  // asks for a year
	number   bool                  // asks for an amount
	figure   bool                  // likes one in the answer
	named    bool                  // asks which name of code it is
	reason   bool                  // asks why
	where    bool                  // asks for a place
	related  map[string][]relation // by term
	kin      map[string]bool       // all related terms
	names    map[string]bool       // terms of the rare names of code and proper names in it
	part     bool                  // is one heading's part of a larger question
	// measure is the terms that only say what sort of amount is asked for: the "long" of "how long".
	measure map[string]bool
}

// relation is a term that may say what one of the question does, and what it weighs then.
type relation struct {
	term   string
	weight float64
}

// What a term weighs, relative to its rarity.
const (
	ofFraming = 0.2  // "mean", and the "long" of "how long"
	ofPlain   = 0.6  // everyday words
	ofUnsaid  = 0.2  // those of them that the sources never say
	ofName    = 1.5  // names of code and proper names
	ofForeign = 4    // those of them that the sources never say
	ofPart    = 0.4  // the "package" of "package.json"
	ofRelated = 0.85 // a related term instead

	mostOfOne  = 0.3 // of all, that one term weighs,
	mostToRest = 0.7 // or relative to the others together
)

// ask weighs the terms of a task by how rare they are in the sources: a term's weight falls with the share of the passages that hold it, and what
// the sources never say weighs as much as what they say once.
func ask(task decouple.Task, found []decouple.SearchResult) question {
	q := question{text: task.Question, weight: map[string]float64{}, measure: map[string]bool{}}
	q.read(strings.ToLower(task.Question))
	rarity, names := rarities(found), namesIn(task.Question)
	missing := absent(names, found)
	q.names = maps.Clone(names)
	maps.DeleteFunc(q.names, func(t string, _ bool) bool { return rarity(t) < math.Log(5) })
	unsaid, parts := unsaid(found), partsOfNames(task.Question)
	add := func(text string, factor float64) {
		for _, t := range prose.Terms(text) {
			w := rarity(t) * factor
			switch {
			case prose.Weak(t) || q.measure[t]:
				w *= ofFraming
			case missing[t]:
				w *= ofForeign
			case parts[t]:
				w *= ofPart
			case names[t]:
				w *= ofName
			case prose.Plain(t) && unsaid[t]:
				w *= ofUnsaid
			case prose.Plain(t):
				w *= ofPlain
			}
			q.weight[t] = max(q.weight[t], w)
		}
	}
	if n := len(task.Section); n > 0 {
		q.part = true
		add(task.Section[n-1], 1)
		for i, t := range task.Theme {
			add(t, 0.9*math.Pow(0.85, float64(i)))
		}
		add(rephrase(task.Question), 0.4)
	} else {
		add(rephrase(task.Question), 1)
		add(strings.Join(task.Theme, " "), 0.5)
	}
	q.terms = slices.Sorted(maps.Keys(q.weight))
	q.temper(names)
	q.relate(rarity, unsaid)
	for _, t := range q.terms {
		if unsaid[t] && q.related[t] == nil {
			q.missing += q.weight[t] / max(q.total, 1e-9)
		}
	}
	for _, r := range found {
		q.passages = max(q.passages, r.Passages)
	}
	return q
}

// temper keeps any one term, unless it is a name, from outweighing all others together, and sums up the weights.
func (q *question) temper(names map[string]bool) {
	sum := 0.0
	for _, t := range q.terms {
		sum += q.weight[t]
	}
	for _, t := range q.terms {
		if !names[t] {
			q.weight[t] = min(q.weight[t], max(mostOfOne*sum, mostToRest*(sum-q.weight[t])))
		}
		q.total += q.weight[t]
	}
}

// relate finds what else may say what the terms of the question do. Names and the words that questions are put with have no such terms.
func (q *question) relate(rarity func(string) float64, unsaid map[string]bool) {
	q.related, q.kin = map[string][]relation{}, map[string]bool{}
	for _, t := range q.terms {
		if prose.Weak(t) || q.measure[t] || q.names[t] {
			continue
		}
		for _, r := range prose.Related(t) {
			if !unsaid[r] {
				q.related[t] = append(q.related[t], relation{r, ofRelated * min(q.weight[t], rarity(r))})
				q.kin[r] = true
			}
		}
	}
}

// namesIn is the terms of the names of code and the proper names in a question.
func namesIn(text string) map[string]bool {
	names := map[string]bool{}
	for _, n := range prose.Numbers(text) {
		if len(n) > 1 {
			names[n] = true
		}
	}
	for _, id := range append(prose.Identifiers(text), capitalised(text)...) {
		if terms := prose.Terms(id); terms != nil {
			names[terms[0]] = true
		}
	}
	return names
}

// partsOfNames is the terms that a question says only within names of code.
func partsOfNames(text string) map[string]bool {
	parts, rest := map[string]bool{}, text
	for _, id := range prose.Identifiers(text) {
		for _, t := range prose.Terms(id)[min(1, len(prose.Terms(id))):] {
			parts[t] = true
		}
		rest = strings.ReplaceAll(rest, id, " ")
	}
	for _, t := range prose.Terms(rest) {
		delete(parts, t)
	}
	return parts
}

// absent is those of the names that the sources never say: a question about them is foreign.
func absent(names map[string]bool, found []decouple.SearchResult) map[string]bool {
	missing := maps.Clone(names)
	for _, r := range found {
		for _, t := range r.Terms {
			if t.Passages > 0 {
				delete(missing, t.Term)
			}
		}
	}
	return missing
}

// capitalised lists the words with a capital letter that do not begin a sentence: proper names.
func capitalised(text string) []string {
	var names []string
	for _, p := range prose.Sentences(text) {
		for i, w := range strings.Fields(p.Of(text)) {
			if i > 0 && unicode.IsUpper([]rune(w)[0]) {
				names = append(names, w)
			}
		}
	}
	return names
}

// rephrase puts verbs of everyday speech that are made of two words as one.
func rephrase(text string) string {
	words := strings.Fields(text)
	for i, w := range words {
		for _, p := range phrasal {
			if !p.verb[strings.ToLower(strings.Trim(w, "?,.;:"))] {
				continue
			}
			for j := i + 1; j < min(i+1+p.reach, len(words)); j++ {
				if strings.ToLower(strings.Trim(words[j], "?,.;:")) == p.particle {
					words[i], words = p.means, slices.Delete(words, j, j+1)
					break
				}
			}
		}
	}
	return strings.Join(words, " ")
}

// phrase is a verb with its particle, at most reach words after it, and a word that means the same.
type phrase struct {
	verb     map[string]bool
	particle string
	reach    int
	means    string
}

var phrasal = []phrase{
	{words("turn turns turned turning"), "into", 9, "convert"}, {words("make makes made making"), "into", 6, "convert"},
	{words("turn turns turned turning switch switches switched switching"), "off", 4, "disable"},
	{words("turn turns turned turning switch switches switched switching"), "on", 2, "enable"},
	{words("get gets got getting"), "rid", 1, "remove"}, {words("take takes took taken taking"), "off", 5, "remove"},
	{words("take takes took taken taking"), "out", 4, "remove"}, {words("take takes took taken taking"), "away", 4, "remove"},
	{words("look looks looked looking"), "at", 1, "see"}, {words("give gives gave given giving"), "up", 1, "fail"},
	{words("set sets setting"), "up", 3, "configure"}, {words("make makes made making"), "sure", 1, "ensure"},
	{words("begin begins start starts"), "with", 1, "start"}, {words("carry carries carried carrying"), "out", 2, "run"},
	{words("put puts putting"), "into", 5, "add"}, {words("go goes went"), "wrong", 1, "fail"}, {words("work works"), "out", 1, "compute"},
	{words("keep keeps kept keeping stop stops stopped"), "from", 6, "prevent"}, {words("throw throws threw thrown"), "away", 4, "discard"},
	{words("out"), "date", 2, "outdated"}, {words("set sets setting"), "aside", 4, "reserve"}, {words("look looks looked looking"), "after", 1, "manage"},
	{words("weigh weighs weighed weighing"), "up", 3, "consider"}, {words("for"), "good", 1, "permanently"}, {words("find finds found finding"), "out", 4, "determine"},
	{words("look looks looked looking"), "up", 4, "find"}, {words("leave leaves left leaving"), "behind", 5, "write"}, {words("shut shuts shutting"), "down", 3, "stop"},
	{words("point points pointed pointing"), "to", 1, "refer"}, {words("hold holds held holding"), "back", 3, "delay"}, {words("put puts putting"), "together", 4, "assemble"},
	{words("split splits splitting break breaks breaking"), "up", 4, "divide"}, {words("add adds adding"), "up", 3, "sum"}, {words("end ends ended ending"), "up", 1, "result"},
	{words("write writes wrote written"), "down", 4, "record"}, {words("hand hands handed handing"), "over", 4, "pass"}, {words("run runs ran running"), "out", 1, "exhaust"},
	{words("leave leaves left leaving"), "out", 5, "omit"}, {words("get gets got getting"), "back", 4, "restore"}, {words("bring brings brought"), "back", 4, "restore"},
}

// rarities gives the inverse document frequency of a term, by what searches have said.
func rarities(found []decouple.SearchResult) func(string) float64 {
	passages, holds := 1, map[string]int{}
	for _, r := range found {
		passages = max(passages, r.Passages)
		for _, t := range r.Terms {
			holds[t.Term] = max(t.Passages, 1)
		}
	}
	n := float64(passages)
	return func(t string) float64 {
		df := n / 10
		if h, ok := holds[t]; ok {
			df = float64(h)
		}
		return math.Log(1 + n/max(df, 1))
	}
}

// unsaid is the terms of a search that no passage holds.
func unsaid(found []decouple.SearchResult) map[string]bool {
	terms := map[string]bool{}
	for _, r := range found {
		for _, t := range r.Terms {
			terms[t.Term] = t.Passages == 0
		}
	}
	return terms
}

// telling counts the terms of a set that weigh something in the question.
func (q question) telling(set map[string]bool) int {
	n := 0
	for _, t := range q.terms {
		if q.held(t, set) > 0.05*q.total {
			n++
		}
	}
	return n
}

// cover is the share of the question's weight that a set of terms holds, from 0 to 1.
func (q question) cover(terms map[string]bool) float64 {
	if q.total == 0 {
		return 0
	}
	sum := 0.0
	for _, t := range q.terms {
		sum += q.held(t, terms)
	}
	return sum / q.total
}

// held is what a set of terms holds of one term's weight.
func (q question) held(t string, terms map[string]bool) float64 {
	if terms[t] {
		return q.weight[t]
	}
	w := 0.0
	for _, r := range q.related[t] {
		if terms[r.term] {
			w = max(w, r.weight)
		}
	}
	return w
}

// read finds the form of a question by the words it is put with.
func (q *question) read(text string) {
	words := prose.Words(text)
	padded := " " + strings.Join(words, " ") + " "
	has := func(phrases ...string) bool {
		for _, p := range phrases {
			if strings.Contains(padded, " "+p+" ") {
				return true
			}
		}
		return false
	}
	q.number = has("how many", "how much", "how long", "how big", "how large", "how small", "how soon", "how old", "how often", "how fast", "how far",
		"how high", "how low", "how deep", "how wide", "at most", "at least", "what size", "what number", "what percentage", "what version", "what is the limit", "what year")
	q.figure = q.number || has("default")
	q.year = has("what year", "which year")
	q.where = has("where", "which folder", "what folder", "which directory", "what directory")
	q.reason = has("why", "reason", "what for", "purpose")
	for i, w := range words {
		if w == "how" && i+1 < len(words) && q.number {
			q.measure[prose.Fold(words[i+1])] = true
		}
		if (w == "which" || w == "what") && i+1 < len(words) {
			q.named = q.named || codeNoun[prose.Fold(words[i+1])] || i+2 < len(words) && codeNoun[prose.Fold(words[i+2])]
		}
	}
	switch {
	case len(words) == 0:
	case has("each of", "does each", "do each", "all the", "options are", "which are", "compare"), inParts(words):
		q.form = broad
	case enumerates(text):
		q.form = broad
	case q.number, has("who", "whose", "where", "when", "what is", "what's", "what happens", "what sequence", "what order", "what do i", "what can i", "what should i", "what must i", "how do i", "how can i", "how could i", "how should i", "how would i", "can i", "may i", "should i"):
		q.form = narrow
	case has("what are"):
		q.form = broad
	case pluralHead(words):
		q.form = several
	case verbFirst[words[0]], has("which"):
		q.form = narrow
	}
}

// inParts says that a question asks at once for things of which there are several by nature: "what kinds of", "which are the rules".
func inParts(words []string) bool {
	asks := slices.IndexFunc(words, func(w string) bool { return w == "what" || w == "which" })
	return asks >= 0 && asks < 3 && slices.ContainsFunc(words[asks:min(asks+4, len(words))], func(w string) bool { return parts[w] })
}

// enumerates says that a question lists three or more things, or asks two questions: "A, B and C".
func enumerates(text string) bool {
	if _, list, ok := strings.Cut(text, ": "); ok && strings.Count(list, ", ") >= 2 {
		return true
	}
	before, _, ok := strings.Cut(text, " and ")
	if !ok {
		return false
	}
	before = strings.TrimSuffix(before, ",")
	i := strings.LastIndexByte(before, ',')
	return i >= 0 && len(strings.Fields(before[i:])) <= 4 && !strings.HasPrefix(strings.TrimSpace(text), "if ") && strings.Count(before, ",") >= 1
}

// pluralHead says that "which" or "what" is followed by the name of several things: "what stages does". A word after which an object begins is a verb.
func pluralHead(words []string) bool {
	for i, w := range words {
		if (w != "which" && w != "what") || i > 2 {
			continue
		}
		for j := i + 1; j < min(i+4, len(words)); j++ {
			head := words[j]
			if auxiliary[head] || codeNoun[prose.Fold(head)] && !strings.HasSuffix(head, "s") {
				break
			}
			if len(head) > 3 && strings.HasSuffix(head, "s") && !strings.HasSuffix(head, "ss") && prose.Fold(head) != head {
				return j+1 == len(words) || !object[words[j+1]]
			}
		}
	}
	return false
}

func words(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

var (
	auxiliary = words("is are was were do does did can could may might must shall should will would has have had")
	object    = words("the a an my your our its his her their this that these those off on in out up to from into at it them me us you whether if")
	parts     = words("kinds forms ways stages steps phases rules types sorts differences methods categories parts")
	verbFirst = words("is are was were do does did can could may might must shall should will would has have had")
	codeNoun  = prose.Set("variable setting option flag register file command function method field key property package directive parameter argument keyword type constant")
)
