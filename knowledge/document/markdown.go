package document

import (
	"regexp"
	"strings"
)

// markdown parses the blocks of a Markdown text as ranges of it.
type markdown struct {
	d     *Document
	lines []line
	at    int // index of the line to look at
	list  int // number of the open list, 0 if none
	lists int
	// indents of the open items' content, outermost first
	items []int
	blank bool // the line before was empty
}

// line is a line of a text without its end.
type line struct {
	start, end int
	indent     int // columns, a tab goes to the next multiple of four
	text       string
	body       string // text without the white space around it
}

func (l line) empty() bool { return l.body == "" }

// bodyStart is the offset of the first byte that is not white space.
func (l line) bodyStart() int { return l.start + strings.Index(l.text, l.body) }

// bodyEnd is the offset behind the last byte that is not white space.
func (l line) bodyEnd() int { return l.bodyStart() + len(l.body) }

// splitLines finds the lines of a text.
func splitLines(s string) []line {
	var lines []line
	for start := 0; start < len(s); {
		end, next := len(s), len(s)
		if i := strings.IndexByte(s[start:], '\n'); i >= 0 {
			end, next = start+i, start+i+1
		}
		l := line{start: start, end: end, text: s[start:end]}
		l.body = strings.Trim(l.text, " \t\r\f\v\ufeff")
	indent:
		for i := 0; i < len(l.text); i++ {
			switch l.text[i] {
			case ' ':
				l.indent++
			case '\t':
				l.indent += 4 - l.indent%4
			default:
				break indent
			}
		}
		lines = append(lines, l)
		start = next
	}
	return lines
}

var (
	atxHeading  = regexp.MustCompile(`^(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?$`)
	setextLine  = regexp.MustCompile(`^(=+|-+)$`)
	themeBreak  = regexp.MustCompile(`^(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$`)
	listMark    = regexp.MustCompile(`^(?:[-*+]|\d{1,9}[.)])(?:[ \t]+|$)`)
	tableRule   = regexp.MustCompile(`^\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?$`)
	referenceTo = regexp.MustCompile(`^\[[^\]]+\]:[ \t]*\S`)
	onlyTags    = regexp.MustCompile(`^(?:<[^>]*>[ \t]*)+$`)
	link        = regexp.MustCompile(`!?\[(?:[^\[\]]|!?\[[^\[\]]*\](?:\([^)]*\))?)*\](?:\([^)]*\)|\[[^\]]*\])|<https?:[^>]*>|https?://\S+`)
	linkText    = regexp.MustCompile(`!?\[([^\[\]]*)\](?:\([^)]*\)|\[[^\]]*\])`)
	headingTail = regexp.MustCompile(`[ \t]*\{#[^}]*\}$|<a [^>]*>|</a>`)
	frontTitle  = regexp.MustCompile(`(?m)^title:[ \t]*(.+?)[ \t\r]*$`)
)

// readMarkdown finds the blocks of d.Text.
func readMarkdown(d *Document) {
	m := &markdown{d: d, lines: splitLines(d.Text)}
	m.frontMatter()
	for m.at < len(m.lines) {
		m.next()
	}
	if d.Title == "" {
		d.Title = firstHeading(d)
	}
}

// firstHeading is the heading that is the document's title: the one that it begins with, or the only one of the outermost level.
func firstHeading(d *Document) string {
	best, count := -1, 0
	for i, s := range d.Sections {
		switch {
		case s.Level == 0:
		case best < 0 || s.Level < d.Sections[best].Level:
			best, count = i, 1
		case s.Level == d.Sections[best].Level:
			count++
		}
	}
	if best < 0 || count > 1 && d.Blocks[0].Kind != Heading {
		return ""
	}
	if count > 1 {
		best = d.Blocks[0].Section
	}
	return d.Sections[best].Path[len(d.Sections[best].Path)-1]
}

// frontMatter skips the YAML that a file may begin with, but for the title.
func (m *markdown) frontMatter() {
	if len(m.lines) == 0 || m.lines[0].body != "---" {
		return
	}
	for i := 1; i < len(m.lines) && i < 200; i++ {
		if m.lines[i].body != "---" && m.lines[i].body != "..." {
			continue
		}
		if t := frontTitle.FindStringSubmatch(m.d.Text[:m.lines[i].start]); t != nil {
			m.d.Title = strings.Trim(t[1], `"'`)
		}
		m.at = i + 1
		return
	}
}

// next reads the block that begins at the current line.
func (m *markdown) next() {
	l := m.lines[m.at]
	if l.empty() {
		m.blank = true
		m.at++
		return
	}
	m.leaveItems(l)
	inside := l.indent - m.inner()
	switch {
	case strings.HasPrefix(l.body, "```") || strings.HasPrefix(l.body, "~~~"):
		m.fence()
	case inside >= 4 && m.blank:
		m.indented()
	case strings.HasPrefix(l.body, "<!--"):
		m.comment()
	case inside < 4 && m.heading(l):
	case themeBreak.MatchString(l.body):
		m.endList()
		m.at++
	case listMark.MatchString(l.body):
		m.item(l)
	case m.isTable():
		m.table()
	case referenceTo.MatchString(l.body) || onlyTags.MatchString(l.body):
		m.at++
	default:
		m.paragraph(l.bodyStart(), false, 0)
	}
	m.blank = false
}

// inner is the indent of the innermost open item's content.
func (m *markdown) inner() int {
	if len(m.items) == 0 {
		return 0
	}
	return m.items[len(m.items)-1]
}

// leaveItems closes the items that a line with this indent is not in.
func (m *markdown) leaveItems(l line) {
	for len(m.items) > 0 && l.indent < m.inner() {
		m.items = m.items[:len(m.items)-1]
	}
	if len(m.items) == 0 && !(m.list > 0 && listMark.MatchString(l.body) && !themeBreak.MatchString(l.body)) {
		m.endList()
	}
}

func (m *markdown) endList() { m.list, m.items = 0, nil }

// fence reads fenced code, the fences included.
func (m *markdown) fence() {
	first := m.lines[m.at]
	mark := first.body[:len(first.body)-len(strings.TrimLeft(first.body, first.body[:1]))]
	end := m.at + 1
	for end < len(m.lines) && !(strings.HasPrefix(m.lines[end].body, mark) && strings.Trim(m.lines[end].body, mark[:1]) == "") {
		end++
	}
	end = min(end, len(m.lines)-1)
	m.code(m.at, end)
	m.at = end + 1
}

// code adds lines as a code block.
func (m *markdown) code(first, last int) {
	m.d.add(Block{Kind: Code, Start: m.lines[first].start, End: m.lines[last].bodyEnd(), List: m.list})
}

// indented reads code that is indented by four columns.
func (m *markdown) indented() {
	base, last := m.inner()+4, m.at
	i := m.at
	for ; i < len(m.lines); i++ {
		if m.lines[i].empty() {
			continue
		}
		if m.lines[i].indent < base {
			break
		}
		last = i
	}
	m.code(m.at, last)
	m.at = last + 1
}

// comment skips an HTML comment.
func (m *markdown) comment() {
	for m.at < len(m.lines) {
		done := strings.Contains(m.lines[m.at].body, "-->")
		m.at++
		if done {
			return
		}
	}
}

// heading reads a heading that begins at l, if one does.
func (m *markdown) heading(l line) bool {
	if h := atxHeading.FindStringSubmatch(l.body); h != nil {
		m.at++
		m.endList()
		if title := plainText(h[2]); title != "" {
			m.d.heading(len(h[1]), title, l.bodyStart(), l.bodyEnd())
		}
		return true
	}
	if m.at+1 >= len(m.lines) || len(m.items) > 0 || listMark.MatchString(l.body) || l.body[0] == '>' || l.body[0] == '|' {
		return false
	}
	under := m.lines[m.at+1]
	if under.indent > 3 || !setextLine.MatchString(under.body) || len(under.body) < 2 {
		return false
	}
	level := 1
	if under.body[0] == '-' {
		level = 2
	}
	m.d.heading(level, plainText(l.body), l.bodyStart(), under.bodyEnd())
	m.at += 2
	return true
}

// plainText is a heading without its marks.
func plainText(s string) string {
	s = headingTail.ReplaceAllString(s, "")
	s = linkText.ReplaceAllString(s, "$1")
	return oneLine(strings.NewReplacer("`", "", "**", "", "__", "", "\\", "").Replace(s))
}

// item reads a list mark and the paragraph after it.
func (m *markdown) item(l line) {
	if m.list == 0 {
		m.lists++
		m.list = m.lists
	}
	mark := listMark.FindString(l.body)
	width := len(mark)
	if width > 5 {
		width = 2 // code after the mark
	}
	m.items = append(m.items, l.indent+width)
	if mark == l.body {
		m.at++
		return
	}
	m.paragraph(l.bodyStart(), true, len(mark))
}

// paragraph reads lines up to one that begins something else. It starts at an offset in the current line; mark is the length of a list mark there.
func (m *markdown) paragraph(start int, first bool, mark int) {
	last := m.at
	for i := m.at + 1; i < len(m.lines) && !m.interrupts(m.lines[i]); i++ {
		last = i
	}
	b := Block{Kind: Paragraph, Start: start, End: m.lines[last].bodyEnd(), List: m.list, First: first, Mark: mark}
	if m.list > 0 {
		b.Kind = Item
	}
	text := m.d.Text[b.Start+mark : b.End]
	if quoted := strings.TrimLeft(text, "> \t"); b.Kind == Paragraph && quoted != "" {
		b.Start = b.End - len(quoted)
	}
	b.Nav = onlyLinks(text)
	m.at = last + 1
	if strings.Trim(text, "> \t\r\n") != "" {
		m.d.add(b)
	}
}

// interrupts says that a line cannot go on with a paragraph.
func (m *markdown) interrupts(l line) bool {
	switch {
	case l.empty(), strings.HasPrefix(l.body, "```"), strings.HasPrefix(l.body, "~~~"), strings.HasPrefix(l.body, "<!--"):
		return true
	case atxHeading.MatchString(l.body), themeBreak.MatchString(l.body), onlyTags.MatchString(l.body):
		return true
	case l.body == ">":
		return true
	}
	return listMark.MatchString(l.body) && (l.body[0] < '0' || l.body[0] > '9' || m.list > 0 || strings.HasPrefix(l.body, "1"))
}

// isTable says that the current line is the head of a table.
func (m *markdown) isTable() bool {
	if m.at+1 >= len(m.lines) || !strings.Contains(m.lines[m.at].body, "|") {
		return false
	}
	rule := m.lines[m.at+1].body
	return strings.Contains(rule, "|") && tableRule.MatchString(rule)
}

// table reads the rows of a table; the rule under the head belongs to no block.
func (m *markdown) table() {
	for i := 0; m.at < len(m.lines) && strings.Contains(m.lines[m.at].body, "|"); i++ {
		l := m.lines[m.at]
		if i != 1 {
			m.d.add(Block{Kind: Cell, Start: l.bodyStart(), End: l.bodyEnd(), Head: i == 0, List: m.list})
		}
		m.at++
	}
}

// onlyLinks says that a text is links, images and addresses and little else.
func onlyLinks(s string) bool {
	found := link.FindAllStringIndex(s, -1)
	if found == nil {
		return false
	}
	rest := len(s)
	for _, f := range found {
		rest -= f[1] - f[0]
	}
	return rest*5 < len(s) && !strings.HasSuffix(strings.TrimSpace(s), ".")
}
