package document

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"decouple.dev/decouple"
	"github.com/google/go-cmp/cmp"
)

// read makes a document or fails the test.
func read(t *testing.T, m Media, s string) *Document {
	t.Helper()
	d, err := Read(m, "folder/name", s)
	if err != nil {
		t.Fatal(err)
	}
	check(t, d)
	return d
}

// describe lists the blocks of a document, one a line.
func describe(d *Document) string {
	var b strings.Builder
	for _, x := range d.Blocks {
		fmt.Fprintf(&b, "%s %s: %q", strings.Join(d.Sections[x.Section].Path, "/"), x.Kind, d.block(x))
		for flag, on := range map[string]bool{" nav": x.Nav} {
			if on {
				b.WriteString(flag)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// unitTexts lists the texts of a document's units.
func unitTexts(d *Document) []string {
	var texts []string
	for _, u := range d.Units {
		texts = append(texts, d.Text[u.Start:u.End])
	}
	return texts
}

func TestHTMLVisibleText(t *testing.T) {
	t.Parallel()
	d := read(t, HTML, `<!doctype html><html><head><title>The  Title</title><style>p{}</style></head><body>
<nav><ul><li><a href=/>Home</a></ul></nav><script>var x</script>
<h1>Top &amp; more</h1><p>First   line
of <b>bold</b>text&nbsp;here.<br>Next line.</p><div hidden>secret</div><p style="display: none">secret</p>
<ul><li>One</li><li>Two<ul><li>Inner</li></ul></li></ul>
<pre>
a  := 1
	if a &lt; 2 {
</pre>
<table><tr><th>Name<th>Value</tr><tr><td>depth</td><td>how <i>deep</i></td></tr></table><h3>Under</h3>End</body></html>`)
	want := "Top & more\n\nFirst line of boldtext\u00a0here.\nNext line.\n\nOne\nTwo\nInner\n\na  := 1\n\tif a < 2 {\n\nName\tValue\ndepth\thow deep\n\nUnder\n\nEnd\n"
	if diff := cmp.Diff(want, d.Text); diff != "" {
		t.Error(diff)
	}
	if d.Title != "The Title" {
		t.Errorf("title %q", d.Title)
	}
	wantBlocks := `Top & more heading: "Top & more"
Top & more paragraph: "First line of boldtext\u00a0here.\nNext line."
Top & more item: "One"
Top & more item: "Two"
Top & more item: "Inner"
Top & more code: "a  := 1\n\tif a < 2 {"
Top & more cell: "Name\tValue"
Top & more cell: "depth\thow deep"
Top & more/Under heading: "Under"
Top & more/Under paragraph: "End"
`
	if diff := cmp.Diff(wantBlocks, describe(d)); diff != "" {
		t.Error(diff)
	}
}

func TestHTMLTitleOfGoDocuments(t *testing.T) {
	t.Parallel()
	d := read(t, HTML, "<!--{\n\t\"Title\": \"The Go Memory Model\"\n}-->\n<h2>Introduction</h2><p>x</p>")
	if d.Title != "The Go Memory Model" {
		t.Errorf("title %q", d.Title)
	}
}

func TestMarkdownBlocks(t *testing.T) {
	t.Parallel()
	src := "---\ntitle: \"npm-ci\"\nsection: 1\n---\n\n### Synopsis\n\n```bash\nnpm ci\n```\n\n<!-- generated -->\n\nSetext *head*\n---\n\nA paragraph\nof two lines.\n\n" +
		"* one\n  goes on\n* two\n\n  ```\n  x\n  ```\n\n    - deep\n\n1. [a](b)\n2. [c](d)\n\n    indented\n\n| k | v |\n|---|---|\n| a | b |\n\n> quoted\n> text\n"
	d := read(t, Markdown, src)
	want := `Synopsis heading: "### Synopsis"
Synopsis code: "` + "```bash\\nnpm ci\\n```" + `"
Setext *head* heading: "Setext *head*\n---"
Setext *head* paragraph: "A paragraph\nof two lines."
Setext *head* item: "* one\n  goes on"
Setext *head* item: "* two"
Setext *head* code: "  ` + "```\\n  x\\n  ```" + `"
Setext *head* item: "- deep"
Setext *head* item: "1. [a](b)" nav
Setext *head* item: "2. [c](d)" nav
Setext *head* item: "indented"
Setext *head* cell: "| k | v |"
Setext *head* cell: "| a | b |"
Setext *head* paragraph: "quoted\n> text"
`
	if diff := cmp.Diff(want, describe(d)); diff != "" {
		t.Error(diff)
	}
	if d.Title != "npm-ci" || d.Text != src {
		t.Errorf("title %q, text changed: %v", d.Title, d.Text != src)
	}
}

func TestPlainBlocks(t *testing.T) {
	t.Parallel()
	d := read(t, Plain, "The Program\n===========\n\nIt does things. To build it:\n\n    make CC=gcc all\n\nNotes\n-----\n\n * first item\n   of two lines\n * second\n\nKNOWN BUGS\n\nNone are known at this time.\n")
	want := `The Program heading: "The Program\n==========="
The Program paragraph: "It does things. To build it:"
The Program code: "    make CC=gcc all"
The Program/Notes heading: "Notes\n-----"
The Program/Notes item: "* first item\n   of two lines"
The Program/Notes item: "* second"
The Program/Notes/KNOWN BUGS heading: "KNOWN BUGS"
The Program/Notes/KNOWN BUGS paragraph: "None are known at this time."
`
	if diff := cmp.Diff(want, describe(d)); diff != "" {
		t.Error(diff)
	}
	if d.Title != "The Program" {
		t.Errorf("title %q", d.Title)
	}
}

func TestUnits(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, src string
		want      []string
	}{
		{"a list comes with its introduction", "# H\n\nThe steps of a build are:\n\n- fetch it\n- build it\n", []string{"The steps of a build are:\n\n- fetch it\n- build it"}},
		{"an introduction that leans takes what it leans on along", "Caches keep old results around. They are cleared in two cases:\n\n- on demand\n- on upgrade\n",
			[]string{"Caches keep old results around. They are cleared in two cases:\n\n- on demand\n- on upgrade"}},
		{"code comes with its sentence", "To see the whole list of them, run:\n\n```\nls -l\n```\n", []string{"To see the whole list of them, run:\n\n```\nls -l\n```"}},
		{"bare code, headings and contents are nothing", "# Title of it all\n\n```\nls -l\n```\n\n## Contents\n\n- [One thing here](#one)\n- [Two things here](#two)\n", nil},
		{"the particulars of an option are nothing", "### `depth`\n\n* Default: `Infinity` if `--all` is set\n* Type: null or Number\n\nThe depth to go to when recursing packages for `npm ls`.\n",
			[]string{"The depth to go to when recursing packages for `npm ls`."}},
		{"a paragraph that leans also comes with the one before", "The cache holds all packages that were fetched.\n\nIt is never cleared by the program itself.\n",
			[]string{"The cache holds all packages that were fetched.",
				"The cache holds all packages that were fetched.\n\nIt is never cleared by the program itself.", "It is never cleared by the program itself."}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, unitTexts(read(t, Markdown, tt.src))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLongParagraphIsCutAtSentencesThatStandAlone(t *testing.T) {
	t.Parallel()
	s := strings.Repeat("The scheduler moves goroutines between threads when one of them blocks in a system call for long. It does so within twenty microseconds of the beginning of the call. ", 6)
	d := read(t, Plain, s)
	if len(d.Units) < 3 {
		t.Fatalf("%d units", len(d.Units))
	}
	for _, u := range d.Units {
		if text := d.Text[u.Start:u.End]; strings.HasPrefix(text, "It") || strings.Count(text, ".") > 3 {
			t.Errorf("unit %q", text)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, data string
		kind       decouple.Kind
		say        string
	}{
		{"empty", " \n", decouple.Invalid, "empty"},
		{"utf16", "\xff\xfea\x00", decouple.Invalid, "UTF-16"},
		{"latin1", "caf\xe9", decouple.Invalid, "not valid UTF-8"},
		{"binary", "a\x00b", decouple.Invalid, "NUL"},
		{"broken.gz", "\x1f\x8b\x08", decouple.Invalid, "broken gzip"},
		{"large", strings.Repeat("x", MaxSize+1), decouple.TooLarge, "larger than 64 MB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := Decode(tt.name, []byte(tt.data))
			if decouple.KindOf(err) != tt.kind || !strings.Contains(fmt.Sprint(err), tt.say) {
				t.Errorf("%v", err)
			}
		})
	}
}

// smallPDF is a PDF of one page with one line of text.
func smallPDF(text string) []byte {
	var b bytes.Buffer
	var at []int
	object := func(s string) {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", len(at), s)
	}
	b.WriteString("%PDF-1.4\n")
	object("<</Type/Catalog/Pages 2 0 R>>")
	object("<</Type/Pages/Kids[3 0 R]/Count 1>>")
	object("<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>")
	stream := "BT /F1 12 Tf 20 200 Td (" + text + ") Tj ET"
	object(fmt.Sprintf("<</Length %d>>\nstream\n%s\nendstream", len(stream), stream))
	object("<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>")
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(at)+1)
	for _, p := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", p)
	}
	fmt.Fprintf(&b, "trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(at)+1, xref)
	return b.Bytes()
}

func TestReadPDF(t *testing.T) {
	t.Parallel()
	data := smallPDF("Hello from a page.")
	text, err := ReadPDF(bytes.NewReader(data), int64(len(data)))
	if err != nil || strings.TrimSpace(text) != "Hello from a page." {
		t.Errorf("%q, %v", text, err)
	}
	_, err = ReadPDF(bytes.NewReader(data[:200]), 200)
	if decouple.KindOf(err) != decouple.Invalid {
		t.Errorf("a cut PDF gave %v", err)
	}
}
