package document

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"decouple.dev/decouple/prose"
)

// Sizes of units, in bytes.
const (
	shortParagraph = 480  // is one unit
	groupSize      = 420  // of sentences taken together
	longUnit       = 1500 // no unit is longer, but for a single sentence or item
	longSentence   = 3000 // what is longer is not a sentence
)

// segmenter cuts blocks into units.
type segmenter struct {
	d     *Document
	units []Unit
	at    int // block to look at
}

// segment finds the units of a document.
func segment(d *Document) []Unit {
	s := &segmenter{d: d}
	for s.at < len(d.Blocks) {
		s.next()
	}
	slices.SortFunc(s.units, func(a, b Unit) int { return cmp.Or(a.Start-b.Start, a.End-b.End) })
	return slices.CompactFunc(s.units, func(a, b Unit) bool { return a.Start == b.Start && a.End == b.End })
}

// next cuts the block at hand and those that belong to it.
func (s *segmenter) next() {
	b := s.d.Blocks[s.at]
	switch {
	case s.isContents(b):
		s.at++
	case b.List > 0:
		s.listing(-1)
	case b.Kind == Paragraph && !b.Nav:
		s.paragraph(b)
	case b.Kind == Cell:
		s.row(b)
		s.at++
	default:
		s.at++
	}
}

// isContents says that a block stands under a heading such as "Contents".
func (s *segmenter) isContents(b Block) bool {
	path := s.d.Sections[b.Section].Path
	return len(path) > 0 && contentsOf.MatchString(path[len(path)-1])
}

// follower is the block after the one at hand, if it stands under the same heading.
func (s *segmenter) follower() (Block, bool) {
	if s.at+1 >= len(s.d.Blocks) {
		return Block{}, false
	}
	b, n := s.d.Blocks[s.at], s.d.Blocks[s.at+1]
	return n, n.Section == b.Section && n.Kind != Heading
}

// paragraph cuts a paragraph, with the list, code or table that it introduces.
func (s *segmenter) paragraph(b Block) {
	sentences := s.sentences(b.Start, b.End)
	n, ok := s.follower()
	announces := prose.Open(s.d.block(b)) || ok && (n.Kind == Code || n.List > 0) && !prose.Complete(s.d.block(b))
	if !ok || len(sentences) == 0 {
		s.at++
		if !announces {
			s.prose(sentences, b.Section)
		}
		return
	}
	last := sentences[len(sentences)-1]
	intro := s.introduction(sentences)
	switch {
	case n.List > 0:
		s.at++
		if announces {
			s.prose(sentences[:s.before(sentences, intro)], b.Section)
		} else {
			s.prose(sentences, b.Section)
		}
		if !announces && b.End-b.Start > shortParagraph {
			intro = last.Start
		}
		if words(s.d.Text[intro:b.End]) < 3 {
			intro = -1
		}
		s.listing(intro)
	case n.Kind == Code:
		s.at++
		if announces {
			s.prose(sentences[:s.before(sentences, intro)], b.Section)
		} else {
			s.prose(sentences, b.Section)
			intro = last.Start
		}
		s.code(intro)
	case announces && n.Kind == Cell:
		s.at++
		s.prose(sentences[:s.before(sentences, intro)], b.Section)
		s.table(intro)
	case announces && n.Kind == Paragraph && !n.Nav && n.End-intro <= longUnit && !prose.Open(s.d.block(n)):
		s.at += 2
		s.prose(sentences[:s.before(sentences, intro)], b.Section)
		s.emit("paragraph", intro, n.End, b.Section)
	case announces:
		s.at++
		s.prose(sentences[:len(sentences)-1], b.Section)
	default:
		s.at++
		s.prose(sentences, b.Section)
	}
}

// sentences finds the sentences of a stretch as spans of the whole text.
func (s *segmenter) sentences(start, end int) []prose.Span {
	spans := prose.Sentences(s.d.Text[start:end])
	for i := range spans {
		spans[i].Start += start
		spans[i].End += start
	}
	return spans
}

// introduction is where what introduces the following block begins: the last sentence, and those before it that it leans on.
func (s *segmenter) introduction(sentences []prose.Span) int {
	i := len(sentences) - 1
	for i > 0 && prose.Leans(sentences[i].Of(s.d.Text)) && len(sentences)-i < 3 {
		i--
	}
	return sentences[i].Start
}

// before counts the sentences that end before an offset.
func (s *segmenter) before(sentences []prose.Span, offset int) int {
	n := 0
	for n < len(sentences) && sentences[n].Start < offset {
		n++
	}
	return n
}

// prose cuts sentences of one paragraph into groups of one to three.
func (s *segmenter) prose(sentences []prose.Span, section int) {
	if len(sentences) == 0 {
		return
	}
	first, last := sentences[0].Start, sentences[len(sentences)-1].End
	if len(sentences) <= 3 && last-first <= shortParagraph {
		s.emit("paragraph", first, last, section)
		return
	}
	for _, g := range group(s.d.Text, sentences) {
		s.emit("paragraph", sentences[g[0]].Start, sentences[g[1]-1].End, section)
	}
}

// group cuts sentences into runs of one to three so that few runs begin with a sentence that leans on the one before and most are of a good size.
// It gives the runs as pairs of indices, the second excluded.
func group(text string, sentences []prose.Span) [][2]int {
	n := len(sentences)
	cost := make([]int, n+1)
	from := make([]int, n+1)
	for end := 1; end <= n; end++ {
		cost[end] = 1 << 50
		for start := end - 1; start >= 0 && end-start <= 3; start-- {
			size := sentences[end-1].End - sentences[start].Start
			c := cost[start] + abs(size-groupSize)/4
			if size > longUnit && end-start > 1 {
				c += 1 << 20
			}
			if start > 0 && prose.Leans(sentences[start].Of(text)) {
				c += 1000
			}
			if c < cost[end] {
				cost[end], from[end] = c, start
			}
		}
	}
	var groups [][2]int
	for end := n; end > 0; end = from[end] {
		groups = append(groups, [2]int{from[end], end})
	}
	slices.Reverse(groups)
	return groups
}

func abs(n int) int { return max(n, -n) }

// code makes a unit of the code at hand with the sentence that introduces it and what goes on from it in small letters.
func (s *segmenter) code(intro int) {
	b := s.d.Blocks[s.at]
	end := b.End
	if end-intro > longUnit {
		end = s.lineBefore(b.Start, intro+longUnit)
	} else if n, ok := s.follower(); ok && n.Kind == Paragraph && n.List == 0 && prose.MidSentence(s.d.block(n)) && n.End-intro <= longUnit && !prose.Open(s.d.block(n)) {
		s.at++
		end = n.End
	}
	s.at++
	if end > b.Start {
		s.emit("code", intro, end, b.Section)
	}
}

// lineBefore is the end of the last whole line in [start, limit), or start if there is none.
func (s *segmenter) lineBefore(start, limit int) int {
	if limit <= start {
		return start
	}
	if i := strings.LastIndexByte(s.d.Text[start:min(limit, len(s.d.Text))], '\n'); i > 0 {
		return start + len(strings.TrimRight(s.d.Text[start:start+i], " \t\r\n"))
	}
	return start
}

// listing cuts the list at hand; intro is where its introduction begins, -1 if it has none.
func (s *segmenter) listing(intro int) {
	first := s.at
	number, section := s.d.Blocks[first].List, s.d.Blocks[first].Section
	for s.at < len(s.d.Blocks) && s.d.Blocks[s.at].List == number && s.d.Blocks[s.at].Section == section {
		s.at++
	}
	blocks := s.d.Blocks[first:s.at]
	items := s.items(blocks)
	if s.links(blocks) || s.boilerplate(items) {
		return
	}
	if hasTerms(blocks) {
		for _, it := range items {
			s.emit("list", it.Start, it.End, section)
		}
		return
	}
	if last := items[len(items)-1]; intro < 0 && last.End-items[0].Start > longUnit {
		s.runs(items, section)
		return
	}
	s.wholeList(items, intro, section)
	for _, it := range items {
		s.item(it, section)
	}
}

// wholeList makes a unit of a list with its introduction, or of as many of its items as there is room for.
func (s *segmenter) wholeList(items []Block, intro, section int) {
	start := items[0].Start
	if intro >= 0 {
		start = intro
	}
	end := start
	for _, it := range items {
		if it.End-start > longUnit && end > start {
			break
		}
		end = it.End
	}
	if end-start <= 2*longUnit && (len(items) > 1 || intro >= 0) && !prose.Open(s.d.Text[start:end]) {
		s.emit("list", start, end, section)
	}
}

// runs cuts a long list that nothing introduces into runs of items.
func (s *segmenter) runs(items []Block, section int) {
	start, end := items[0].Start, items[0].Start
	for _, it := range items {
		if it.End-start > shortParagraph && end > start {
			s.emit("list", start, end, section)
			start = it.Start
		}
		end = it.End
	}
	s.emit("list", start, end, section)
}

// items joins the blocks of a list to its items: the terms of a definition with what defines them, a paragraph and code with the mark they stand under.
func (s *segmenter) items(blocks []Block) []Block {
	items := []Block{blocks[0]}
	for i, b := range blocks[1:] {
		last := &items[len(items)-1]
		if !b.First || blocks[i].Term && b.Term {
			last.End = b.End
			last.Nav = last.Nav && b.Nav
			continue
		}
		items = append(items, b)
	}
	return items
}

// item makes a unit of an item that says something by itself.
func (s *segmenter) item(b Block, section int) {
	start := b.Start + b.Mark
	if b.Kind != Item || b.End-start < 60 || b.Nav {
		return
	}
	if b.End-start <= longUnit {
		if text := s.d.Text[start:b.End]; prose.Complete(text) && !prose.MidSentence(text) {
			s.emit("paragraph", start, b.End, section)
		}
		return
	}
	s.prose(s.sentences(start, b.End), section)
}

// links says that most items of a list are links and little else: a table of contents or navigation.
func (s *segmenter) links(blocks []Block) bool {
	links := 0
	for _, b := range blocks {
		if b.Nav {
			links++
		}
	}
	return links*3 >= len(blocks)*2
}

func hasTerms(blocks []Block) bool {
	return slices.ContainsFunc(blocks, func(b Block) bool { return b.Term })
}

var label = regexp.MustCompile(`(?i)^[*_` + "`" + `]*(?:defaults?|type|types|deprecated|required|optional|values?|alias|aliases|since|version|added in|history)[*_` + "`" + `]*:`)

// boilerplate says that a list is the particulars of an option: its default, its type.
func (s *segmenter) boilerplate(items []Block) bool {
	labels := 0
	for _, it := range items {
		if label.MatchString(s.d.Text[it.Start+it.Mark : it.End]) {
			labels++
		}
	}
	return labels*2 > len(items) || labels >= 2
}

// row makes a unit of a table's row that says something by itself.
func (s *segmenter) row(b Block) {
	if text := s.d.block(b); !b.Head && words(text) >= 5 && strings.ContainsAny(text, "\t|") {
		s.emit("cell", b.Start, b.End, b.Section)
	}
}

// table makes a unit of the table at hand with its introduction, if it is short, and of its rows.
func (s *segmenter) table(intro int) {
	end, section := intro, s.d.Blocks[s.at].Section
	whole := true
	for ; s.at < len(s.d.Blocks); s.at++ {
		b := s.d.Blocks[s.at]
		if b.Kind != Cell || b.Section != section {
			break
		}
		s.row(b)
		if whole = whole && b.End-intro <= longUnit; whole {
			end = b.End
		}
	}
	if end > intro {
		s.emit("cell", intro, end, section)
	}
}

// emit adds a unit, unless it says nothing by itself.
func (s *segmenter) emit(kind string, start, end, section int) {
	text := s.d.Text[start:end]
	if end-start > 2*longSentence || kind != "code" && kind != "list" && prose.Open(text) || words(text) < 4 {
		return
	}
	if kind == "paragraph" && (end-start > longSentence || !says(text)) || prose.Open(text) && kind == "list" {
		return
	}
	s.units = append(s.units, Unit{Kind: kind, Start: start, End: end, Section: section})
	if kind == "paragraph" && prose.Leans(text) {
		s.joinBefore(end, section)
	}
}

// joinBefore adds a unit of the last two, if they are paragraphs of one section with nothing between them: the second leans on the first.
func (s *segmenter) joinBefore(end, section int) {
	if len(s.units) < 2 {
		return
	}
	first, second := s.units[len(s.units)-2], s.units[len(s.units)-1]
	if first.Section != section || first.Kind != "paragraph" || end-first.Start > longUnit*2/3 || first.End > second.Start ||
		strings.TrimSpace(s.d.Text[first.End:second.Start]) != "" || strings.Count(s.d.Text[first.End:second.Start], "\n") > 3 {
		return
	}
	s.units = append(s.units[:len(s.units)-1], Unit{Kind: "paragraph", Start: first.Start, End: end, Section: section}, second)
}

// says that a paragraph is prose: sentences rather than code, options, a fragment or decoration.
func says(text string) bool {
	if prose.Code(text) || prose.OptionList(text) {
		return false
	}
	letters, lower := 0, false
	for _, r := range text {
		if unicode.IsLetter(r) || unicode.IsSpace(r) {
			letters++
		}
		lower = lower || unicode.IsLower(r)
	}
	if letters*10 < utf8.RuneCountInString(text)*6 || !lower {
		return false
	}
	return prose.Complete(text) || words(text) >= 8
}

// words counts the words with a letter in them.
func words(s string) int {
	n := 0
	for _, f := range strings.Fields(s) {
		if hasLetter(f) {
			n++
		}
	}
	return n
}
