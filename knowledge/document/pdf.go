package document

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"decouple.dev/decouple"
	"github.com/ledongthuc/pdf"
)

// ReadPDF gives the text of a PDF, line by line as it stands on the pages, with an empty line between paragraphs and pages. It needs as much memory and time as
// the file makes it need, and a file may make it need a lot: run it where both are limited. Errors are Invalid.
func ReadPDF(r io.ReaderAt, size int64) (text string, err error) {
	defer func() {
		if p := recover(); p != nil {
			text, err = "", decouple.Errorf(decouple.Invalid, "broken PDF: %v", p)
		}
	}()
	doc, err := pdf.NewReader(r, size)
	if err != nil {
		return "", decouple.Errorf(decouple.Invalid, "broken PDF: %v", err)
	}
	var b strings.Builder
	for i := 1; i <= doc.NumPage(); i++ {
		p := doc.Page(i)
		if p.V.IsNull() {
			continue
		}
		writePage(&b, withoutMarks(p, p.Content().Text))
		if b.Len() > MaxSize {
			return "", decouple.Errorf(decouple.TooLarge, "its text is larger than %d MB", MaxSize>>20)
		}
	}
	out := strings.Map(readable, strings.ToValidUTF8(b.String(), "\ufffd"))
	if len(strings.Fields(out)) == 0 {
		return "", decouple.Errorf(decouple.Invalid, "the PDF holds no text (%s); it may be scanned pages", pages(doc.NumPage()))
	}
	return out, nil
}

// withoutMarks drops the line ends that the library puts behind every array of glyphs: it shows them in the font at hand, in which they may look like anything.
func withoutMarks(p pdf.Page, glyphs []pdf.Text) []pdf.Text {
	marks := map[string]string{}
	for _, name := range p.Fonts() {
		font := p.Font(name)
		base := font.BaseFont()
		if i := strings.Index(base, "+"); i >= 0 {
			base = base[i+1:]
		}
		if e := font.Encoder(); e != nil {
			marks[base] = e.Decode("\n")
		}
	}
	return slices.DeleteFunc(glyphs, func(g pdf.Text) bool { return g.S == "\n" || g.S == marks[g.Font] })
}

func pages(n int) string {
	if n == 1 {
		return "1 page"
	}
	return fmt.Sprintf("%d pages", n)
}

// readable drops control characters and spells ligatures out.
func readable(r rune) rune {
	if r < ' ' && r != '\n' {
		return -1
	}
	return r
}

var ligatures = strings.NewReplacer("\ufb00", "ff", "\ufb01", "fi", "\ufb02", "fl", "\ufb03", "ffi", "\ufb04", "ffl", "\u00a0", " ")

// glyphLine is the glyphs of one line of a page.
type glyphLine struct {
	y      float64
	size   float64
	glyphs []pdf.Text
}

// writePage writes the glyphs of a page as lines of text.
func writePage(b *strings.Builder, glyphs []pdf.Text) {
	lines := glyphLines(glyphs)
	gap := usualGap(lines)
	for i, l := range lines {
		if i > 0 {
			if d := lines[i-1].y - l.y; d > gap*1.35 || d < 0 || math.Abs(l.size-lines[i-1].size) > 1 {
				b.WriteByte('\n')
			}
		}
		b.WriteString(ligatures.Replace(lineText(l)))
		b.WriteByte('\n')
	}
	if len(lines) > 0 {
		b.WriteByte('\n')
	}
}

// glyphLines groups glyphs that follow each other at the same height.
func glyphLines(glyphs []pdf.Text) []glyphLine {
	var lines []glyphLine
	for _, g := range glyphs {
		n := len(lines) - 1
		if n < 0 || math.Abs(lines[n].y-g.Y) > max(lines[n].size, g.FontSize, 1)*0.4 {
			if strings.TrimSpace(g.S) == "" {
				continue
			}
			lines = append(lines, glyphLine{y: g.Y, size: g.FontSize})
			n++
		}
		lines[n].glyphs = append(lines[n].glyphs, g)
	}
	return lines
}

// usualGap is the median distance of lines.
func usualGap(lines []glyphLine) float64 {
	var gaps []float64
	for i := 1; i < len(lines); i++ {
		if d := lines[i-1].y - lines[i].y; d > 0 {
			gaps = append(gaps, d)
		}
	}
	if len(gaps) == 0 {
		return 0
	}
	slices.SortFunc(gaps, cmp.Compare[float64])
	return gaps[len(gaps)/2]
}

// lineText joins glyphs, with a space where they stand apart.
func lineText(l glyphLine) string {
	var b strings.Builder
	for i, g := range l.glyphs {
		if i > 0 {
			before := l.glyphs[i-1]
			apart := g.X - (before.X + before.W)
			if apart > max(g.FontSize, 1)*0.2 && !strings.HasSuffix(before.S, " ") && !strings.HasPrefix(g.S, " ") {
				b.WriteByte(' ')
			}
		}
		b.WriteString(g.S)
	}
	line := strings.TrimSpace(b.String())
	if rest, ok := strings.CutPrefix(line, "\ufffd"); ok && strings.HasPrefix(rest, " ") {
		return "•" + rest // a bullet of a font without names
	}
	return line
}
