package document

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"decouple.dev/decouple/prose"
)

// plain parses the blocks of a plain text as ranges of it.
type plain struct {
	d      *Document
	lines  []line
	at     int
	base   int            // indent of the running text
	levels map[string]int // of underlines, in order of appearance
	list   int
	lists  int
	mark   int // indent of the open list's marks
}

var (
	underline  = regexp.MustCompile(`^(?:={3,}|-{3,}|~{3,}|\^{3,}|\*{3,}|\+{3,}|#{3,}|"{3,}|_{3,}|\.{4,})$`)
	numbered   = regexp.MustCompile(`^(\d{1,2}(?:\.\d{1,2})*)\.?[ \t]+\p{Lu}[^\n]{1,70}$`)
	plainMark  = regexp.MustCompile(`^(?:[-*+•]|o|\(?\d{1,3}[.)]|\(?[a-zA-Z][)])[ \t]+`)
	leaders    = regexp.MustCompile(`(?:[.:·][ \t]?){4,}[ \t]*\w{1,5}$`)
	contentsOf = regexp.MustCompile(`(?i)^(?:table of )?contents$`)
)

// readPlain finds the blocks of d.Text.
func readPlain(d *Document) {
	p := &plain{d: d, lines: splitLines(d.Text), levels: map[string]int{}}
	p.base = p.commonIndent()
	for p.at < len(p.lines) {
		p.next()
	}
	for _, s := range d.Sections {
		if s.Level > 0 && s.Start < 400 {
			d.Title = s.Path[0]
			break
		}
	}
}

// commonIndent is the indent that most lines of text which begin a paragraph have.
func (p *plain) commonIndent() int {
	count := map[int]int{}
	best := 0
	for i, l := range p.lines {
		if l.empty() || i > 0 && !p.lines[i-1].empty() || i > 5000 {
			continue
		}
		count[l.indent]++
		if n := count[l.indent]; n > count[best] || n == count[best] && l.indent < best {
			best = l.indent
		}
	}
	return best
}

// next reads the block that begins at the current line.
func (p *plain) next() {
	l := p.lines[p.at]
	if l.empty() {
		p.at++
		return
	}
	if p.list > 0 && l.indent <= p.mark && !plainMark.MatchString(l.body) {
		p.list = 0
	}
	switch {
	case underline.MatchString(l.body):
		if !p.overline() {
			p.at++
		}
	case p.heading(l):
		p.list = 0
	case plainMark.MatchString(l.body):
		p.item(l)
	default:
		p.paragraph(l)
	}
}

// overline steps over a line of marks above a heading that has the same below.
func (p *plain) overline() bool {
	if p.at+2 >= len(p.lines) || p.lines[p.at+2].body != p.lines[p.at].body || p.lines[p.at+1].empty() {
		return false
	}
	p.at++
	if !p.heading(p.lines[p.at]) {
		p.at--
		return false
	}
	p.list = 0
	return true
}

// heading reads a heading that begins at l, if one does.
func (p *plain) heading(l line) bool {
	if len(l.body) > 80 || strings.HasSuffix(l.body, ".") || underline.MatchString(l.body) || !hasLetter(l.body) {
		return false
	}
	before := p.at == 0 || p.lines[p.at-1].empty() || underline.MatchString(p.lines[p.at-1].body)
	var under line
	if p.at+1 < len(p.lines) {
		under = p.lines[p.at+1]
	}
	switch {
	case before && underline.MatchString(under.body) && len(under.body)*5 >= len(l.body)*3 && len(under.body) <= len(l.body)*2+6:
		mark := under.body[:1]
		if p.levels[mark] == 0 {
			p.levels[mark] = len(p.levels) + 1
		}
		p.d.heading(p.levels[mark], l.body, l.bodyStart(), under.bodyEnd())
		p.at += 2
		return true
	case before && under.empty() && numbered.MatchString(l.body) && !leaders.MatchString(l.body) && !prose.Open(l.body):
		number := numbered.FindStringSubmatch(l.body)[1]
		if p.siblingFollows(number) {
			return false // an item of a list
		}
		p.d.heading(len(p.levels)+1+strings.Count(number, "."), l.body, l.bodyStart(), l.bodyEnd())
	case before && l.indent <= p.base && capitals(l.body) && (under.empty() || under.indent > l.indent):
		p.d.heading(len(p.levels)+1, l.body, l.bodyStart(), l.bodyEnd())
	default:
		return false
	}
	p.at++
	return true
}

// siblingFollows says that the next text after the current line has a number of the same depth: then both are items of a list.
func (p *plain) siblingFollows(number string) bool {
	for i := p.at + 1; i < len(p.lines); i++ {
		if p.lines[i].empty() {
			continue
		}
		next := numbered.FindStringSubmatch(p.lines[i].body)
		return next != nil && strings.Count(next[1], ".") == strings.Count(number, ".")
	}
	return false
}

// capitals says that a line is a title in capital letters.
func capitals(s string) bool {
	letters := 0
	for _, r := range s {
		switch {
		case unicode.IsLower(r):
			return false
		case unicode.IsLetter(r):
			letters++
		case strings.ContainsRune("{}[]<>=;|$*+_\\@#%^~", r):
			return false
		}
	}
	return letters >= 3
}

func hasLetter(s string) bool { return strings.IndexFunc(s, unicode.IsLetter) >= 0 }

// item reads a list item: its line and those that are indented further.
func (p *plain) item(l line) {
	if p.list == 0 {
		p.lists++
		p.list = p.lists
		p.mark = l.indent
	}
	p.mark = min(p.mark, l.indent)
	mark := plainMark.FindString(l.body)
	last := p.at
	for i := p.at + 1; i < len(p.lines); i++ {
		n := p.lines[i]
		if n.empty() || n.indent < l.indent || n.indent == l.indent && l.indent > p.base || plainMark.MatchString(n.body) && !within(n.body) {
			break
		}
		last = i
	}
	b := Block{Kind: Item, Start: l.bodyStart(), End: p.lines[last].bodyEnd(), List: p.list, First: true, Mark: len(mark)}
	b.Nav = leaders.MatchString(p.d.block(b)) || onlyLinks(p.d.Text[b.Start+b.Mark:b.End])
	p.d.add(b)
	p.at = last + 1
}

// within says that what looks like a list mark may as well be a word of a sentence.
func within(s string) bool { return strings.HasPrefix(s, "o ") || strings.HasPrefix(s, "a)") }

// paragraph reads the lines up to the next empty one, as prose or as code.
func (p *plain) paragraph(l line) {
	last, least := p.at, l.indent
	for i := p.at + 1; i < len(p.lines); i++ {
		n := p.lines[i]
		if n.empty() || underline.MatchString(n.body) || n.indent <= l.indent+1 && p.itemAt(i) {
			break
		}
		least = min(least, n.indent)
		last = i
	}
	b := Block{Kind: Paragraph, Start: l.bodyStart(), End: p.lines[last].bodyEnd(), List: p.list}
	text := p.d.block(b)
	if p.list > 0 {
		b.Kind = Item
	}
	if least >= p.base+2 && prose.Code(text) || least >= p.base+4 && !reads(text) {
		b.Kind, b.Start = Code, l.start
	}
	b.Nav = leaders.MatchString(text) || onlyLinks(text)
	p.d.add(b)
	p.at = last + 1
}

// itemAt says that a list begins at line i: its mark is not a hyphen that a broken line begins with by chance.
func (p *plain) itemAt(i int) bool {
	body := p.lines[i].body
	return plainMark.MatchString(body) && (body[0] == '-' || body[0] == '*' || strings.HasPrefix(body, "•") || body[0] == '+' || body[0] == '(' || strings.HasPrefix(body, "1"))
}

// reads says that an indented paragraph is prose all the same: it begins as a sentence and ends as one.
func reads(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return unicode.IsUpper(r) && prose.Complete(s) && !prose.Code(s) && len(strings.Fields(s)) >= 6
}
