package knowledge

import (
	"encoding/binary"
	"encoding/json"
	"hash/fnv"
	"path"
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/knowledge/document"
	"decouple.dev/decouple/prose"
)

// passageSize is about how many bytes of text a passage holds.
const passageSize = 4 << 10

// entry is a document as the index stores it.
type entry struct {
	media    string
	title    string
	textSize int
	sections []document.Section
	blocks   []byte // start and end of each block as differences, unsigned varints
	passages []passage
	problem  string
}

// passage is a stretch of a document; the passages of a document are the whole of its text.
type passage struct {
	start, end int
	text       string
	head, body string // terms, separated by spaces
	card       []byte // see card
}

// card is what ranking needs to know of a passage, so that its text need not be read.
type card struct {
	sections []cardSection
	units    []cardUnit
}

// cardSection is a section that has units in the passage.
type cardSection struct {
	path  []string
	terms []uint32 // hashes of the terms of the innermost heading, of the whole path and of the note's title
	named int      // how many of them are the innermost heading's
}

// cardUnit is a unit in the passage.
type cardUnit struct {
	kind       string
	leans      bool // on what stands before it
	start, end int  // in the document's text
	section    int  // in the card
	terms      []uint32
}

// prepare makes the entry of a document.
func prepare(d *document.Document) *entry {
	e := &entry{media: string(d.Media), title: d.Title, textSize: len(d.Text), sections: d.Sections, blocks: encodeBlocks(d.Blocks)}
	title := prose.Terms(d.Title)
	heads := make([][]string, len(d.Sections))
	for i, s := range d.Sections {
		heads[i] = prose.Terms(strings.Join(s.Path, " / "))
	}
	unit, section := 0, 0
	for _, cut := range cuts(d) {
		p := passage{start: cut[0], end: cut[1], text: d.Text[cut[0]:cut[1]]}
		var head []string
		head = append(head, title...)
		for section < len(heads) && d.Sections[section].End <= p.start {
			section++
		}
		for i := section; i < len(heads) && d.Sections[i].Start < p.end; i++ {
			head = append(head, heads[i]...)
		}
		first := unit
		for unit < len(d.Units) && d.Units[unit].Start < p.end {
			unit++
		}
		p.head = strings.Join(head, " ")
		p.body = strings.Join(prose.Terms(p.text), " ")
		p.card = encodeCard(makeCard(d, d.Units[first:unit], title, heads))
		e.passages = append(e.passages, p)
	}
	return e
}

// cuts divides the text into passages: at the beginning of a section if there is one in good place, never inside a unit.
func cuts(d *document.Document) [][2]int {
	var out [][2]int
	start := 0
	cut := func(at int) {
		if at > start {
			out = append(out, [2]int{start, at})
			start = at
		}
	}
	covered, unit := 0, 0 // where the units that began before the block end
	for _, b := range d.Blocks {
		for unit < len(d.Units) && d.Units[unit].Start < b.Start {
			covered = max(covered, d.Units[unit].End)
			unit++
		}
		if covered > b.Start {
			continue
		}
		size := b.Start - start
		if b.Kind == document.Heading && size >= passageSize/4 || size >= passageSize || b.End-start > passageSize*3/2 && size > passageSize/4 {
			cut(b.Start)
		}
	}
	cut(len(d.Text))
	return out
}

// makeCard describes the units of a passage.
func makeCard(d *document.Document, units []document.Unit, title []string, heads [][]string) card {
	var c card
	place := map[int]int{}
	for _, u := range units {
		at, ok := place[u.Section]
		if !ok {
			at = len(c.sections)
			place[u.Section] = at
			c.sections = append(c.sections, newCardSection(d.Sections[u.Section].Path, heads[u.Section], title))
		}
		text := d.Text[u.Start:u.End]
		c.units = append(c.units, cardUnit{u.Kind, prose.Leans(text) || prose.MidSentence(text), u.Start, u.End, at, hashes(prose.Terms(text))})
	}
	return c
}

// newCardSection describes a section by its path, the terms of it and those of the note's title.
func newCardSection(path, head, title []string) cardSection {
	var named []string
	if len(path) > 0 {
		named = prose.Unique(path[len(path)-1])
	}
	terms := append(append(append([]string(nil), named...), head...), title...)
	return cardSection{path, hashes(terms), len(named)}
}

// hashTerm is the number that stands for a term in a card.
func hashTerm(t string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(t))
	return h.Sum32()
}

func hashes(terms []string) []uint32 {
	out := make([]uint32, len(terms))
	for i, t := range terms {
		out[i] = hashTerm(t)
	}
	return out
}

// unitKinds are the kinds of unit by their number in a card.
var unitKinds = [...]string{"paragraph", "list", "code", "cell"}

// encodeCard writes a card: varints, strings with their length before them, hashes in four bytes.
func encodeCard(c card) []byte {
	var b []byte
	number := func(n int) { b = binary.AppendUvarint(b, uint64(n)) }
	terms := func(ts []uint32) {
		number(len(ts))
		for _, t := range ts {
			b = binary.LittleEndian.AppendUint32(b, t)
		}
	}
	number(len(c.sections))
	for _, s := range c.sections {
		number(len(s.path))
		for _, p := range s.path {
			number(len(p))
			b = append(b, p...)
		}
		number(s.named)
		terms(s.terms)
	}
	number(len(c.units))
	for _, u := range c.units {
		kind := 0
		for i, k := range unitKinds {
			if k == u.kind {
				kind = i
			}
		}
		if u.leans {
			kind |= 8
		}
		number(kind)
		number(u.start)
		number(u.end - u.start)
		number(u.section)
		terms(u.terms)
	}
	return b
}

// cardReader reads what encodeCard wrote.
type cardReader struct {
	b   []byte
	bad bool
}

func (r *cardReader) number() int {
	n, size := binary.Uvarint(r.b)
	if size <= 0 || n > 1<<40 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return int(n)
}

// count reads how many things of at least a size follow.
func (r *cardReader) count(size int) int {
	n := r.number()
	if n > len(r.b)/size {
		r.bad, r.b = true, nil
		return 0
	}
	return n
}

func (r *cardReader) text() string {
	n := r.count(1)
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *cardReader) terms() []uint32 {
	n := r.count(4)
	ts := make([]uint32, n)
	for i := range ts {
		ts[i] = binary.LittleEndian.Uint32(r.b[4*i:])
	}
	r.b = r.b[4*n:]
	return ts
}

// decodeCard reads a card. Errors are Internal: the index is damaged.
func decodeCard(b []byte) (card, error) {
	r := &cardReader{b: b}
	var c card
	c.sections = make([]cardSection, r.count(3))
	for i := range c.sections {
		s := &c.sections[i]
		s.path = make([]string, r.count(1))
		for j := range s.path {
			s.path[j] = r.text()
		}
		s.named = r.number()
		s.terms = r.terms()
		r.bad = r.bad || s.named > len(s.terms)
	}
	c.units = make([]cardUnit, r.count(5))
	for i := range c.units {
		u := &c.units[i]
		kind := r.number()
		u.kind, u.leans = unitKinds[kind&3], kind&8 != 0
		u.start = r.number()
		u.end = u.start + r.number()
		u.section = r.number()
		u.terms = r.terms()
		r.bad = r.bad || u.section >= len(c.sections)
	}
	if r.bad {
		return card{}, decouple.Errorf(decouple.Internal, "the index of notes is damaged; delete it and it will be made anew")
	}
	return c, nil
}

// encodeBlocks writes where blocks begin and end.
func encodeBlocks(blocks []document.Block) []byte {
	var b []byte
	at := 0
	for _, x := range blocks {
		b = binary.AppendUvarint(b, uint64(x.Start-at))
		b = binary.AppendUvarint(b, uint64(x.End-x.Start))
		at = x.End
	}
	return b
}

// widen moves start and end outwards to where the blocks they stand in begin and end.
func widen(blocks []byte, start, end int) (int, int) {
	r := &cardReader{b: blocks}
	first, last := start, end
	for at := 0; len(r.b) > 0; {
		from := at + r.number()
		at = from + r.number()
		if from < start && start < at {
			first = from
		}
		if from < end && end < at {
			last = at
		}
	}
	return first, last
}

// scope lists the tokens by which a note is found: its id, its path and every folder above it.
func scope(id decouple.NoteID, p string) string {
	tokens := []string{string(id), pathToken(p)}
	for path.IsAbs(p) && p != "/" {
		p = path.Dir(p)
		tokens = append(tokens, pathToken(p))
	}
	return strings.Join(tokens, " ")
}

// pathToken is the token that stands for a path.
func pathToken(p string) string { return "d" + digest(p, 16) }

// storedSection is a section as the index stores it.
type storedSection struct {
	Path  []string `json:"p"`
	Level int      `json:"l"`
	Start int      `json:"s"`
	End   int      `json:"e"`
	Units int      `json:"u"`
}

// encodeSections writes the sections of a document with how many units each has.
func encodeSections(sections []document.Section, passages []passage) (string, error) {
	stored := make([]storedSection, len(sections))
	for i, s := range sections {
		stored[i] = storedSection{Path: s.Path, Level: s.Level, Start: s.Start, End: s.End}
	}
	at := 0
	for _, p := range passages {
		c, err := decodeCard(p.card)
		if err != nil {
			return "", err
		}
		for _, u := range c.units {
			for at+1 < len(stored) && stored[at].End <= u.start {
				at++
			}
			stored[at].Units++
		}
	}
	data, err := json.Marshal(stored)
	return string(data), err
}
