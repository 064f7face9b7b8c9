package document

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
	"unicode/utf8"
)

// check fails the test unless what was read keeps its promises.
func check(t *testing.T, d *Document) {
	t.Helper()
	if !utf8.ValidString(d.Text) {
		t.Fatalf("the text is not valid UTF-8")
	}
	at := 0
	for i, b := range d.Blocks {
		if b.Start < at || b.End <= b.Start || b.End > len(d.Text) || b.Start+b.Mark > b.End || b.Section < 0 || b.Section >= len(d.Sections) {
			t.Fatalf("block %d is out of place: %+v after %d in %d bytes", i, b, at, len(d.Text))
		}
		if !utf8.ValidString(d.block(b)) {
			t.Fatalf("block %d cuts a character", i)
		}
		at = b.End
	}
	at = 0
	for i, s := range d.Sections {
		if s.Start < at || s.End < s.Start || s.End > len(d.Text) || (s.Level == 0) != (len(s.Path) == 0) {
			t.Fatalf("section %d is out of place: %+v", i, s)
		}
		at = s.End
	}
	if at != len(d.Text) {
		t.Fatalf("the sections end at %d of %d", at, len(d.Text))
	}
	for i, u := range d.Units {
		if i > 0 && (u.Start < d.Units[i-1].Start || u.Start == d.Units[i-1].Start && u.End <= d.Units[i-1].End) {
			t.Fatalf("unit %d is out of order", i)
		}
		s := d.Sections[u.Section]
		if u.Start < s.Start || u.End > s.End || u.Start >= u.End {
			t.Fatalf("unit %d is out of its section: %+v in %+v", i, u, s)
		}
		if text := d.Text[u.Start:u.End]; strings.TrimSpace(text) != text || !utf8.ValidString(text) {
			t.Fatalf("unit %d is not cut at words: %q", i, text)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{
		"<h1>A</h1><p>One two three four five six seven eight.<ul><li>a<li>b<ul><li>c</ul></ul><pre>\n x\n</pre>so on.<table><tr><td>1<td>2</table>",
		"<dl><dt>a<dd>b b b b<dt>c</dl><br><br>&amp;&#0;<nav>x</nav><table><tr><td><ul><li>x</table><a href=x>y</a>",
		"---\ntitle: T\n---\n# H #\n\npara:\n\n- a\n  - b\n\n    code\n\n```go\nx\n```\n\n| a | b |\n|---|---|\n| c | d e f g |\n\nSet\n===\n> quote\n<!-- c\n-->\n",
		"TITLE\n=====\n\n1. Intro\n\n  some text\n  more.\n\n    code = x;\n\n * item\n   more\n * item 2\n\nSee also: .... 12\n",
		"a\r\n\r\n* b\r\n\r\n\tc\r\n", "\xef\xbb\xbf# x\n", "1) a\n\n2) b", "~~~\n", "- \n- \n", strings.Repeat("A long introduction to the code ", 60) + "is:\n\n    code\n", ">\n> a\n\n>", "***\n===\n***\n", "o a)\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		for _, m := range []Media{HTML, Markdown, Plain} {
			d, err := Read(m, "x", s)
			if err != nil {
				continue
			}
			check(t, d)
		}
	})
}

func FuzzDecode(f *testing.F) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte("some text\n"))
	_ = w.Close()
	f.Add("a.txt.gz", b.Bytes())
	f.Add("a.gz", b.Bytes()[:12])
	f.Add("a.md", []byte("# x"))
	f.Add("a", []byte("\xff\xfe\x00"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		media, text, err := Decode(name, data)
		if err != nil {
			return
		}
		if media != PDF && !utf8.ValidString(text) {
			t.Fatalf("%s gave invalid UTF-8", name)
		}
		if text == "" {
			t.Fatalf("%s gave no text and no error", name)
		}
	})
}

func FuzzReadPDF(f *testing.F) {
	f.Add(smallPDF("Hello from a page."))
	f.Add([]byte("%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<</Root 1 0 R>>\nstartxref\n9\n%%EOF"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text, err := ReadPDF(bytes.NewReader(data), int64(len(data)))
		if err == nil && (!utf8.ValidString(text) || strings.TrimSpace(text) == "") {
			t.Fatalf("a PDF gave %q and no error", text)
		}
	})
}
