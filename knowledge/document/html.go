package document

import (
	"encoding/json"
	"strings"

	"decouple.dev/decouple"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// readHTML fills d with the visible text of an HTML document.
func readHTML(d *Document, src string) error {
	root, err := html.Parse(strings.NewReader(strings.TrimPrefix(src, "\ufeff")))
	if err != nil {
		return decouple.Errorf(decouple.Invalid, "the HTML cannot be parsed: %v", err)
	}
	w := &htmlWriter{d: d, layout: layoutTables(root)}
	w.children(root)
	w.close(1)
	d.Text = string(w.text)
	if len(w.text) > 0 {
		d.Text += "\n"
	}
	if d.Title == "" {
		d.Title = w.firstTop
	}
	return nil
}

// htmlWriter walks a tree and writes its visible text.
type htmlWriter struct {
	d      *Document
	text   []byte
	layout map[*html.Node]bool // tables that only arrange blocks

	start  int  // of the open block, -1 if none is open
	opened bool // a block is open
	gap    int  // line ends due before the next block
	space  bool // a space is due before the next word

	pre, link   int // how many such elements we are in
	kind        Kind
	level       int // of the heading we are in
	list, lists int // number of the outermost list we are in; lists so far
	nested      int // lists we are in
	first       bool
	term        bool
	row         rowState
	linked      int    // bytes of the open block that are links
	firstTop    string // text of the first h1
}

// rowState is what a table row that is being written consists of.
type rowState struct {
	open  bool
	cells int
	data  int // cells that are not column titles
}

// hidden are the elements whose content no browser shows as text.
func hidden(n *html.Node) bool {
	switch n.DataAtom {
	case atom.Script, atom.Style, atom.Template, atom.Noscript, atom.Nav, atom.Svg, atom.Math, atom.Iframe, atom.Object, atom.Select, atom.Textarea,
		atom.Button, atom.Video, atom.Audio, atom.Canvas, atom.Datalist, atom.Noframes:
		return true
	}
	for _, a := range n.Attr {
		switch a.Key {
		case "hidden":
			return true
		case "aria-hidden":
			if a.Val == "true" {
				return true
			}
		case "role":
			if a.Val == "navigation" {
				return true
			}
		case "style":
			style := strings.ReplaceAll(strings.ToLower(a.Val), " ", "")
			if strings.Contains(style, "display:none") || strings.Contains(style, "visibility:hidden") {
				return true
			}
		}
	}
	return false
}

func (w *htmlWriter) children(n *html.Node) {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		w.node(c)
	}
}

func (w *htmlWriter) node(n *html.Node) {
	switch n.Type {
	case html.TextNode:
		w.write(n.Data)
	case html.CommentNode:
		w.comment(n.Data)
	case html.ElementNode:
		if n.DataAtom == atom.Head {
			w.head(n)
		} else if !hidden(n) {
			w.element(n)
		}
	}
}

// comment takes a title from the JSON with which Go's documents begin.
func (w *htmlWriter) comment(data string) {
	if w.d.Title != "" || len(w.text) > 0 || !strings.HasPrefix(data, "{") {
		return
	}
	var front struct{ Title string }
	if json.Unmarshal([]byte(data), &front) == nil {
		w.d.Title = oneLine(front.Title)
	}
}

// head takes the title of the document.
func (w *htmlWriter) head(n *html.Node) {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		switch {
		case c.Type == html.CommentNode:
			w.comment(c.Data)
		case c.DataAtom == atom.Title && c.FirstChild != nil && w.d.Title == "":
			w.d.Title = oneLine(c.FirstChild.Data)
		}
	}
}

// element writes an element that is shown.
func (w *htmlWriter) element(n *html.Node) {
	switch n.DataAtom {
	case atom.Br:
		w.lineBreak(n)
	case atom.Hr:
		w.close(2)
	case atom.A:
		w.link++
		w.children(n)
		w.link--
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		w.heading(n)
	case atom.Pre, atom.Listing, atom.Xmp:
		w.preformatted(n)
	case atom.Ul, atom.Ol, atom.Dl, atom.Menu, atom.Dir:
		w.listing(n)
	case atom.Li, atom.Dt, atom.Dd:
		w.item(n)
	case atom.Table:
		w.around(n, 2)
	case atom.Tr:
		w.tableRow(n)
	case atom.Td, atom.Th:
		w.cell(n)
	case atom.P, atom.Blockquote, atom.Figure, atom.Fieldset:
		w.around(n, 2)
	default:
		if block(n.DataAtom) {
			w.around(n, 1)
			return
		}
		w.children(n)
	}
}

// block says that an element begins and ends a line.
func block(a atom.Atom) bool {
	switch a {
	case atom.Html, atom.Body, atom.Div, atom.Section, atom.Article, atom.Main, atom.Header, atom.Footer, atom.Aside, atom.Address, atom.Center, atom.Details,
		atom.Summary, atom.Figcaption, atom.Form, atom.Legend, atom.Hgroup, atom.Caption, atom.Thead, atom.Tbody, atom.Tfoot, atom.Option, atom.Optgroup, atom.Dialog:
		return true
	}
	return false
}

// around writes an element with line ends before and after it; inside a row of a table only a space.
func (w *htmlWriter) around(n *html.Node, gap int) {
	if w.row.open || w.level > 0 {
		w.space = w.opened
		w.children(n)
		w.space = w.opened
		return
	}
	w.close(gap)
	w.children(n)
	w.close(gap)
}

// lineBreak ends a line; a second one in a row ends the block.
func (w *htmlWriter) lineBreak(n *html.Node) {
	if !w.opened || w.row.open || w.level > 0 {
		w.space = w.opened
		return
	}
	if w.pre > 0 {
		w.text = append(w.text, '\n')
		return
	}
	for next := n.NextSibling; next != nil; next = next.NextSibling {
		if next.Type == html.TextNode && strings.TrimSpace(next.Data) == "" {
			continue
		}
		if next.DataAtom == atom.Br {
			w.close(2)
			return
		}
		break
	}
	w.space = false
	w.text = append(w.text, '\n')
}

func (w *htmlWriter) heading(n *html.Node) {
	if w.row.open || w.level > 0 {
		w.around(n, 2)
		return
	}
	w.close(2)
	w.level = int(n.Data[1] - '0')
	w.children(n)
	w.close(2)
	w.level = 0
}

func (w *htmlWriter) preformatted(n *html.Node) {
	if w.row.open || w.level > 0 {
		w.around(n, 2)
		return
	}
	w.close(2)
	kind := w.kind
	w.pre++
	w.kind = Code
	w.children(n)
	w.close(2)
	w.pre--
	w.kind = kind
}

func (w *htmlWriter) listing(n *html.Node) {
	if w.row.open || w.level > 0 {
		w.around(n, 2)
		return
	}
	gap := 1
	if w.nested == 0 {
		gap = 2
	}
	w.close(gap)
	kind := w.kind
	if w.nested == 0 {
		w.lists++
		w.list = w.lists
	}
	w.nested++
	w.kind = Item
	w.children(n)
	w.close(gap)
	w.nested--
	w.kind = kind
	if w.nested == 0 {
		w.list = 0
	}
}

func (w *htmlWriter) item(n *html.Node) {
	if w.row.open || w.level > 0 {
		w.around(n, 1)
		return
	}
	w.close(1)
	w.first, w.term = n.DataAtom != atom.Dd, n.DataAtom == atom.Dt
	w.children(n)
	w.close(1)
	w.first, w.term = false, false
}

func (w *htmlWriter) tableRow(n *html.Node) {
	if table := ancestor(n, atom.Table); w.row.open || w.level > 0 || table == nil || w.layout[table] {
		w.around(n, 1)
		return
	}
	w.close(1)
	w.row = rowState{open: true}
	w.children(n)
	w.close(1)
	w.row = rowState{}
}

func (w *htmlWriter) cell(n *html.Node) {
	if !w.row.open {
		w.around(n, 1)
		return
	}
	if n.DataAtom == atom.Td {
		w.row.data++
	}
	if w.opened {
		w.space = false
		w.text = append(w.text, '\t')
	}
	w.row.cells++
	w.children(n)
	w.space = false
}

// ancestor is the nearest element of a kind around n.
func ancestor(n *html.Node, a atom.Atom) *html.Node {
	for p := n.Parent; p != nil; p = p.Parent {
		if p.DataAtom == a {
			return p
		}
	}
	return nil
}

// write adds text to the open block, or opens one.
func (w *htmlWriter) write(s string) {
	if w.pre > 0 && !w.row.open {
		w.verbatim(s)
		return
	}
	for s != "" {
		i := strings.IndexFunc(s, white)
		if i != 0 {
			if i < 0 {
				i = len(s)
			}
			w.word(s[:i])
			s = s[i:]
			continue
		}
		w.space = w.opened
		s = strings.TrimLeftFunc(s, white)
	}
}

// white is the white space that browsers collapse; a no-break space is not.
func white(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '\f' }

func (w *htmlWriter) word(s string) {
	w.begin()
	before := len(w.text)
	if w.space && len(w.text) > w.start && !white(rune(w.text[len(w.text)-1])) {
		w.text = append(w.text, ' ')
	}
	w.space = false
	w.text = append(w.text, s...)
	if w.link > 0 {
		w.linked += len(w.text) - before
	}
}

// verbatim adds preformatted text; empty lines at the beginning of a block are dropped.
func (w *htmlWriter) verbatim(s string) {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	if !w.opened {
		for {
			line, rest, more := strings.Cut(s, "\n")
			if strings.TrimSpace(line) != "" {
				break
			}
			if !more {
				return
			}
			s = rest
		}
		w.begin()
	}
	w.text = append(w.text, s...)
}

// begin opens a block, if none is open.
func (w *htmlWriter) begin() {
	if w.opened {
		return
	}
	if len(w.text) > 0 {
		w.text = append(w.text, "\n\n"[:max(w.gap, 1)]...)
	}
	w.gap, w.space, w.linked = 0, false, 0
	w.start, w.opened = len(w.text), true
}

// close ends the open block; at least gap line ends come before the next.
func (w *htmlWriter) close(gap int) {
	w.gap = max(w.gap, gap)
	w.space = false
	if !w.opened {
		return
	}
	w.opened = false
	for len(w.text) > w.start && white(rune(w.text[len(w.text)-1])) {
		w.text = w.text[:len(w.text)-1]
	}
	text := string(w.text[w.start:])
	if w.level > 0 {
		if w.level == 1 && w.firstTop == "" {
			w.firstTop = text
		}
		w.d.heading(w.level, text, w.start, len(w.text))
		return
	}
	b := Block{Kind: w.kind, Start: w.start, End: len(w.text), List: w.list, First: w.first, Term: w.term}
	if w.row.open {
		b.Kind, b.Head = Cell, w.row.data == 0
	}
	if b.Kind == "" {
		b.Kind = Paragraph
	}
	share := 5 // tenths of a paragraph; an item may link every word and still belong to a sentence
	if b.Kind == Item {
		share = 9
	}
	b.Nav = w.linked*10 >= len(text)*share && !strings.HasSuffix(text, ".")
	w.first = false
	w.d.add(b)
}

// layoutTables finds the tables that hold lists, headings, code or further tables: they arrange blocks, their rows say nothing.
func layoutTables(root *html.Node) map[*html.Node]bool {
	layout := map[*html.Node]bool{}
	var walk func(n, table *html.Node)
	walk = func(n, table *html.Node) {
		switch n.DataAtom {
		case atom.Ul, atom.Ol, atom.Dl, atom.Pre, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Blockquote:
			if table != nil {
				layout[table] = true
			}
		case atom.Table:
			if table != nil {
				layout[table] = true
			}
			table = n
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c, table)
		}
	}
	walk(root, nil)
	return layout
}

// oneLine collapses all white space.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
