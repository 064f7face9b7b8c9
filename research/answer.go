package research

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"decouple.dev/decouple"
	"decouple.dev/decouple/prose"
)

// NotFound is the answer when the sources do not answer.
const NotFound = "Not found in the sources."

// Dropped is something that the check removed.
type Dropped struct {
	Text string         `json:"text"`
	Why  string         `json:"why"`
	Run  decouple.RunID `json:"run"`
}

// passage is a piece of a written answer: a paragraph, an item of a list, a quotation, a heading or a block of code.
type passage struct {
	kind      passageKind
	mark      string // of an item, with its indentation; of a heading, the number signs
	sentences []sentence
}

type passageKind int

const (
	paragraph passageKind = iota
	item
	quotation
	heading
	code
)

// sentence is what is checked: a text without citation marks, and the findings it cites.
type sentence struct {
	text  string
	cites []int
}

// split cuts a written answer, which is Markdown, into its passages and sentences.
func split(answer string) []passage {
	var passages []passage
	var open *passage // takes further lines
	lines := strings.Split(strings.ReplaceAll(answer, "\r\n", "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if fence := fenced(line); fence != "" {
			body, next := fencedBody(lines, i+1, fence)
			passages, open, i = append(passages, passage{kind: code, sentences: []sentence{{text: body}}}), nil, next
			continue
		}
		p, rest := begin(lines[i], line)
		switch {
		case line == "" || ruler.MatchString(line):
			open = nil
		case p.kind == paragraph && open != nil && open.kind != heading || p.kind == quotation && open != nil && open.kind == quotation:
			open.sentences[0].text += "\n" + rest
		default:
			p.sentences = []sentence{{text: rest}}
			passages = append(passages, p)
			open = &passages[len(passages)-1]
		}
	}
	for i, p := range passages {
		switch p.kind {
		case code:
		case quotation: // one unit, with its mark at the end
			text, cites := takeMarks(strings.Join(strings.Fields(p.sentences[0].text), " "))
			passages[i].sentences = []sentence{{text, cites}}
		default:
			passages[i].sentences = cut(p.sentences[0].text)
		}
	}
	return passages
}

var (
	listMark    = regexp.MustCompile(`^\s*(?:[-*+•]|\d{1,3}[.)])\s+`)
	headingMark = regexp.MustCompile(`^#{1,6}\s+`)
	ruler       = regexp.MustCompile(`^[-*_|: ]{3,}$`)
)

// begin says what a line begins and gives the line without its mark. A row of a table is an item.
func begin(raw, line string) (passage, string) {
	switch {
	case headingMark.MatchString(line):
		mark := headingMark.FindString(line)
		return passage{kind: heading, mark: mark}, line[len(mark):]
	case listMark.MatchString(raw):
		mark := listMark.FindString(raw)
		return passage{kind: item, mark: mark}, strings.TrimSpace(raw[len(mark):])
	case strings.HasPrefix(line, ">"):
		return passage{kind: quotation}, strings.TrimSpace(strings.TrimLeft(line, "> "))
	case strings.HasPrefix(line, "|"):
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		return passage{kind: item, mark: "- "}, strings.Join(cells, ", ")
	}
	return passage{}, line
}

// fenced gives the fence that a line opens a block of code with.
func fenced(line string) string {
	for _, fence := range []string{"```", "~~~"} {
		if strings.HasPrefix(line, fence) {
			return fence
		}
	}
	return ""
}

// fencedBody gives the lines up to the closing fence, and where that stands.
func fencedBody(lines []string, from int, fence string) (string, int) {
	for i := from; i < len(lines); i++ {
		if strings.HasPrefix(strings.TrimSpace(lines[i]), fence) {
			return strings.Join(lines[from:i], "\n"), i
		}
	}
	return strings.Join(lines[from:], "\n"), len(lines)
}

var (
	mark = regexp.MustCompile(`\[#?\d{1,4}(?:\s*(?:,|;|-|–|and|&)\s*#?\d{1,4})*\]`)
	// stray are marks after a sentence's end, which belong to the sentence before them.
	stray  = regexp.MustCompile(`([.!?]["”')*]*)((?:\s*` + mark.String() + `)+)`)
	number = regexp.MustCompile(`\d{1,4}|[-–]`)
)

// cut cuts running text into sentences and takes their marks out.
func cut(text string) []sentence {
	text = stray.ReplaceAllString(text, "$2$1")
	var sentences []sentence
	for _, span := range prose.Sentences(text) {
		s := sentence{text: strings.Join(strings.Fields(span.Of(text)), " ")}
		s.text, s.cites = takeMarks(s.text)
		if s.text != "" || len(s.cites) > 0 {
			sentences = append(sentences, s)
		}
	}
	return sentences
}

// takeMarks gives a sentence without its marks, and the numbers in them. What looks like a mark inside backquotes is code, and so is what stands right after a
// letter, such as a[1], if the sentence has marks that stand by themselves.
func takeMarks(s string) (string, []int) {
	found := marksIn(s)
	byThemselves := slices.ContainsFunc(found, func(m place) bool { return !m.attached })
	var b strings.Builder
	var cites []int
	last := 0
	for _, m := range found {
		if m.attached && byThemselves {
			continue
		}
		b.WriteString(s[last:m.start])
		last = m.end
		cites = append(cites, numbersIn(s[m.start:m.end])...)
	}
	b.WriteString(s[last:])
	slices.Sort(cites)
	return strings.TrimSpace(spaceBefore.ReplaceAllString(b.String(), "$1")), slices.Compact(cites)
}

// place is where a mark stands.
type place struct {
	start, end int
	attached   bool // to a letter before it, or to a mark that is
}

// marksIn finds the marks outside backquotes.
func marksIn(s string) []place {
	var found []place
	from := 0
	for i, part := range strings.Split(s, "`") {
		if i%2 == 0 {
			for _, m := range mark.FindAllStringIndex(part, -1) {
				p := place{start: from + m[0], end: from + m[1]}
				before, _ := utf8.DecodeLastRuneInString(s[:p.start])
				p.attached = wordRune(before) || before == ')'
				if n := len(found); n > 0 && found[n-1].end == p.start {
					p.attached = found[n-1].attached
				}
				found = append(found, p)
			}
		}
		from += len(part) + 1
	}
	return found
}

var spaceBefore = regexp.MustCompile(`\s+([.,;:!?)]|\s|$)`)

// numbersIn reads a mark such as [1], [2, 5] or [3-6].
func numbersIn(mark string) []int {
	var cites []int
	upTo := false
	for _, w := range number.FindAllString(mark, -1) {
		n, err := strconv.Atoi(w)
		if err != nil {
			upTo = len(cites) > 0
			continue
		}
		if upTo {
			for k := cites[len(cites)-1] + 1; k < n && k-cites[0] < 50; k++ {
				cites = append(cites, k)
			}
		}
		cites, upTo = append(cites, n), false
	}
	return cites
}

// checked is a written answer of which only what holds is left.
type checked struct {
	passages []passage
	dropped  []Dropped
}

// check holds every sentence of an answer against the findings it cites, by the numbers they had when it was written.
func check(answer, question string, numbered map[int]decouple.Finding) checked {
	var out checked
	for _, p := range split(answer) {
		kept := p
		kept.sentences = nil
		for _, s := range p.sentences {
			s, why := judge(p.kind, s, question, numbered)
			if why != "" {
				out.dropped = append(out.dropped, Dropped{Text: s.text, Why: why})
				continue
			}
			kept.sentences = append(kept.sentences, s)
		}
		if len(kept.sentences) > 0 || p.kind == heading {
			out.passages = append(out.passages, kept)
		}
	}
	out.passages = withoutEmptyHeadings(out.passages)
	return out
}

// judge says why a sentence may not stand, and gives it with those of its citations that exist.
func judge(kind passageKind, s sentence, question string, numbered map[int]decouple.Finding) (sentence, string) {
	switch kind {
	case heading:
		s.cites = nil
		return s, headingFault(s, question, numbered)
	case code:
		return citing(s, numbered)
	}
	if len(s.cites) == 0 {
		return s, "it cites no finding"
	}
	if len(prose.Words(s.text)) == 0 {
		return s, "it says nothing"
	}
	var quotes []decouple.Quote
	known := slices.DeleteFunc(slices.Clone(s.cites), func(n int) bool { return len(numbered[n].Quotes) == 0 })
	if len(known) == 0 {
		return s, "it cites a finding that does not exist"
	}
	s.cites = known
	for _, n := range known {
		quotes = append(quotes, numbered[n].Quotes...)
	}
	e := evidenceOf(quotes, question)
	for _, n := range known {
		e.known += "\n" + numbered[n].Asked
	}
	if kind == quotation && !anyHolds(quotes, s.text) {
		return s, "it is set as a quotation and does not stand in what it cites"
	}
	return s, e.fault(s.text)
}

// headingFault refuses a heading that says more than the question and the findings do.
func headingFault(s sentence, question string, numbered map[int]decouple.Finding) string {
	there := prose.Set(question)
	for _, f := range numbered {
		for t := range prose.Set(f.Claim + "\n" + f.Asked) {
			there[t] = true
		}
	}
	for _, t := range prose.Terms(s.text) {
		if !there[t] {
			return "a heading that says more than the question and the findings"
		}
	}
	return ""
}

// citing finds the findings that a block of code is quoted from.
func citing(s sentence, numbered map[int]decouple.Finding) (sentence, string) {
	s.cites = nil
	for n, f := range numbered {
		if strings.TrimSpace(s.text) != "" && anyHolds(f.Quotes, s.text) {
			s.cites = append(s.cites, n)
		}
	}
	slices.Sort(s.cites)
	if len(s.cites) == 0 {
		return s, "code that stands in no finding"
	}
	return s, ""
}

// anyHolds says that one of the quotations holds a text, letter for letter but for white space and marks.
func anyHolds(quotes []decouple.Quote, text string) bool {
	wanted := strings.Trim(fold(text).text, `" `)
	return wanted != "" && slices.ContainsFunc(quotes, func(q decouple.Quote) bool { return strings.Contains(fold(q.Text).text, wanted) })
}

// withoutEmptyHeadings drops headings that nothing follows before the next one, and those of which nothing is left.
func withoutEmptyHeadings(passages []passage) []passage {
	var kept []passage
	for i, p := range passages {
		if p.kind == heading && (len(p.sentences) == 0 || i+1 == len(passages) || passages[i+1].kind == heading) {
			continue
		}
		kept = append(kept, p)
	}
	return kept
}

// says that something is left beside headings.
func (c checked) says() bool {
	return slices.ContainsFunc(c.passages, func(p passage) bool { return p.kind != heading })
}

// render writes the answer with the numbers that findings have in the report.
func (c checked) render(numbers map[int]int) string {
	var b strings.Builder
	for i, p := range c.passages {
		if i > 0 {
			b.WriteString("\n")
			if p.kind != item || c.passages[i-1].kind != item {
				b.WriteString("\n")
			}
		}
		if p.kind == code {
			b.WriteString("```\n" + p.sentences[0].text + "\n```" + marks(p.sentences[0].cites, numbers))
			continue
		}
		if p.kind == quotation {
			b.WriteString("> ")
		}
		b.WriteString(p.mark)
		for j, s := range p.sentences {
			if j > 0 {
				b.WriteString(" ")
			}
			b.WriteString(withMarks(s.text, marks(s.cites, numbers)))
		}
	}
	return b.String()
}

// marks writes citations as the report numbers them.
func marks(cites []int, numbers map[int]int) string {
	var to []int
	for _, n := range cites {
		to = append(to, numbers[n])
	}
	slices.Sort(to)
	s := ""
	for _, n := range slices.Compact(to) {
		s += "[" + strconv.Itoa(n) + "]"
	}
	return s
}

// withMarks puts marks before the full stop.
func withMarks(text, marks string) string {
	if marks == "" {
		return text
	}
	body := strings.TrimRight(text, ".!?")
	end := text[len(body):]
	if end == "" {
		end = "."
	}
	return body + " " + marks + end
}
