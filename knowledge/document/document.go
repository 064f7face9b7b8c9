package document

import (
	"path"
	"strings"

	"decouple.dev/decouple"
)

// Version numbers what this package makes of the same bytes.
const Version = 1

// Media is the type of a document, named as in MIME.
type Media string

// The media that can be read.
const (
	HTML     Media = "text/html"
	Markdown Media = "text/markdown"
	Plain    Media = "text/plain"
	PDF      Media = "application/pdf"
)

// Kind is what a block is.
type Kind string

// The kinds of block.
const (
	Heading   Kind = "heading"
	Paragraph Kind = "paragraph"
	Item      Kind = "item" // of a list
	Code      Kind = "code"
	Cell      Kind = "cell" // a row of a table
)

// Document is what was read from the bytes of a file. All offsets are bytes in Text.
type Document struct {
	Media    Media
	Title    string
	Text     string
	Sections []Section // in order; the first is what stands before any heading
	Blocks   []Block   // in order, not overlapping
	Units    []Unit    // by start, then end; they may overlap
}

// Section is what stands under one heading, up to the next heading of any level.
type Section struct {
	Path  []string // headings from the outermost to this one
	Level int      // 1 is outermost; 0 is before any heading
	Start int
	End   int
}

// Block is a typed stretch of text.
type Block struct {
	Kind    Kind
	Start   int
	End     int
	Section int  // index in Sections
	List    int  // number of the list it stands in, from 1; 0 is none
	Mark    int  // bytes at Start that are the list mark
	First   bool // begins an item
	Term    bool // the term of a definition
	Head    bool // a row of column titles
	Nav     bool // links and little else
}

// Unit is a stretch of text that can stand as a quotation. Its kind is paragraph, list, code or cell.
type Unit struct {
	Kind    string
	Start   int
	End     int
	Section int
}

// Read makes a document of the decoded text of a file. The name is what the title falls back to. Errors are Invalid and say why it cannot be read.
func Read(media Media, name, text string) (*Document, error) {
	d := &Document{Media: media, Text: text}
	switch media {
	case HTML:
		if err := readHTML(d, text); err != nil {
			return nil, err
		}
	case Markdown:
		readMarkdown(d)
	case Plain, PDF:
		readPlain(d)
	default:
		return nil, decouple.Errorf(decouple.Invalid, "cannot read %s as %s: the media are HTML, Markdown, plain text and PDF", name, media)
	}
	d.closeSections()
	if d.Title == "" {
		d.Title = path.Base(strings.ReplaceAll(name, "\\", "/"))
	}
	d.Units = segment(d)
	return d, nil
}

// Block gives the text of a block.
func (d *Document) block(b Block) string { return d.Text[b.Start:b.End] }

// heading opens a section under the heading that stands at [start, end) and adds the heading's block.
func (d *Document) heading(level int, title string, start, end int) {
	d.open()
	parent := d.Sections[len(d.Sections)-1]
	keep := len(parent.Path)
	for i := len(d.Sections) - 1; i >= 0 && keep > 0; i-- {
		s := d.Sections[i]
		if s.Level < level {
			keep = len(s.Path)
			break
		}
		keep = min(keep, len(s.Path)-1)
	}
	path := append(append([]string(nil), parent.Path[:max(keep, 0)]...), title)
	d.Sections = append(d.Sections, Section{Path: path, Level: level, Start: start})
	d.Blocks = append(d.Blocks, Block{Kind: Heading, Start: start, End: end, Section: len(d.Sections) - 1})
}

// add appends a block to the current section.
func (d *Document) add(b Block) {
	d.open()
	b.Section = len(d.Sections) - 1
	d.Blocks = append(d.Blocks, b)
}

// open makes sure that there is a first section.
func (d *Document) open() {
	if len(d.Sections) == 0 {
		d.Sections = append(d.Sections, Section{})
	}
}

// closeSections sets the end of every section.
func (d *Document) closeSections() {
	d.open()
	for i := range d.Sections {
		end := len(d.Text)
		if i+1 < len(d.Sections) {
			end = d.Sections[i+1].Start
		}
		d.Sections[i].End = end
	}
}
