package knowledge

import (
	"strings"
	"testing"

	"decouple.dev/decouple/knowledge/document"
	"github.com/google/go-cmp/cmp"
)

func TestPassagesAreTheWholeTextAndCutNoUnit(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 300 {
		if i%7 == 0 {
			b.WriteString("# Heading " + strings.Repeat("i", i%5+1) + "\n\n")
		}
		b.WriteString("The paragraph that stands here has " + strings.Repeat("some ", i%60) + "words.\n\nIt leans on it:\n\n- one of them\n- two of them\n\n")
	}
	d, err := document.Read(document.Markdown, "x.md", b.String())
	if err != nil {
		t.Fatal(err)
	}
	e := prepare(d)
	at, units := 0, 0
	for _, p := range e.passages {
		if p.start != at || p.text != d.Text[p.start:p.end] || len(p.text) > 3*passageSize {
			t.Fatalf("a passage from %d to %d after %d", p.start, p.end, at)
		}
		at = p.end
		c, err := decodeCard(p.card)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range c.units {
			want := d.Units[units]
			if u.start != want.Start || u.end != want.End || u.kind != want.Kind || u.end > p.end {
				t.Fatalf("unit %d is %+v, not %+v", units, u, want)
			}
			if diff := cmp.Diff(d.Sections[want.Section].Path, c.sections[u.section].path); diff != "" {
				t.Fatal(diff)
			}
			units++
		}
	}
	if at != len(d.Text) || units != len(d.Units) || len(e.passages) < 5 {
		t.Errorf("%d of %d bytes, %d of %d units, %d passages", at, len(d.Text), units, len(d.Units), len(e.passages))
	}
}

func TestWiden(t *testing.T) {
	t.Parallel()
	blocks := encodeBlocks([]document.Block{{Start: 2, End: 10}, {Start: 12, End: 20}, {Start: 21, End: 30}})
	for _, tt := range [][4]int{{5, 6, 2, 10}, {0, 3, 0, 10}, {10, 12, 10, 12}, {13, 22, 12, 30}, {2, 10, 2, 10}, {11, 40, 11, 40}} {
		if s, e := widen(blocks, tt[0], tt[1]); s != tt[2] || e != tt[3] {
			t.Errorf("%d-%d gave %d-%d", tt[0], tt[1], s, e)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ hint, want int }{{0, 0}, {4, 3}, {5, 6}, {100, 6}, {-3, 0}} {
		if got := nearest("ab ab ab", "ab", tt.hint); got != tt.want {
			t.Errorf("hint %d gave %d", tt.hint, got)
		}
	}
	if nearest("abc", "x", 0) != -1 {
		t.Error("found what is not there")
	}
}

func FuzzCard(f *testing.F) {
	f.Add(encodeCard(card{sections: []cardSection{{[]string{"a", "b"}, []uint32{1, 2}, 1}}, units: []cardUnit{{"list", true, 3, 9, 0, []uint32{7}}}}))
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeCard(data)
		if err != nil {
			return
		}
		again, err := decodeCard(encodeCard(c))
		if diff := cmp.Diff(c, again, cmp.AllowUnexported(card{}, cardSection{}, cardUnit{})); diff != "" || err != nil {
			t.Fatalf("%s %v", diff, err)
		}
	})
}
