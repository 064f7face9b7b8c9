package builtin

import (
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/prose"
)

// Sizes, in bytes, of what is quoted.
const (
	paragraph = 700  // a unit up to here is quoted whole
	longest   = 1400 // and nothing is longer
	around    = 1500 // is read before and after a unit that cannot stand alone
)

// stretch is a part of a note's quotable text.
type stretch struct {
	note  decouple.NoteID
	start int
	text  string
}

func (s stretch) end() int { return s.start + len(s.text) }

// cut is the part of s from i to j.
func (s stretch) cut(i, j int) stretch { return stretch{s.note, s.start + i, s.text[i:j]} }

// reader is what has been read of the notes.
type reader []decouple.ReadResult

// quotable is the best part of a unit that can stand alone as a quotation, widened if need be to what stands before or after it. It is false where none can.
func (r reader) quotable(u decouple.Unit, q question) (stretch, bool) {
	s := stretch{u.Note, u.Start, u.Text}
	if u.Kind == "heading" || prose.OptionList(u.Text) || u.Kind == "cell" && prose.Code(u.Text) {
		return stretch{}, false
	}
	if u.Kind == "code" && prose.Code(u.Text) {
		w, ok := window(s, q)
		return w, ok && said(w.text)
	}
	if u.Kind == "list" && prose.Bullet(s.text) > 0 && !prose.Complete(s.text) {
		return stretch{}, false // labels without an introduction
	}
	if prose.Open(s.text) {
		whole, ok := r.forward(s, u)
		if !ok {
			w, ok := window(s, q)
			return w, ok && said(w.text)
		}
		s = whole
	}
	if begins(s.text) && len(s.text) <= paragraph {
		return s, said(s.text)
	}
	if begins(s.text) && u.Kind == "list" && len(s.text) <= longest {
		return s, said(s.text)
	}
	whole := q.cover(prose.Set(s.text))
	w, ok := window(s, q)
	if ok && q.cover(prose.Set(w.text)) >= 0.7*whole {
		return w, said(w.text)
	}
	if b, widened := r.backward(s, u); widened && len(b.text) <= longest {
		return b, said(b.text)
	}
	if prose.OfItself(s.text) && r.first(u) && len(s.text) <= paragraph {
		return s, said(s.text)
	}
	return w, ok && said(w.text)
}

// begins says that a text begins as a quotation may.
func begins(s string) bool { return !prose.MidSentence(s) && !prose.Leans(s) && !refers(s) }

// refers says that a sentence only points elsewhere: "See the manual".
func refers(s string) bool {
	for _, p := range [...]string{"See ", "Refer to ", "For more ", "For further ", "For details", "Read more "} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// said says that a text says something: five words or more, and not code alone.
func said(s string) bool { return len(prose.Words(s)) >= 5 && !prose.Code(s) && !prose.Open(s) }

// window is the run of one to three sentences of s that covers the question best, begins well and is not open. A list item is a sentence without its mark.
func window(s stretch, q question) (stretch, bool) {
	spans := prose.Sentences(s.text)
	var best stretch
	top, found := 0.0, false
	for i := range spans {
		from := spans[i].Start + prose.Bullet(spans[i].Of(s.text))
		if from >= spans[i].End || !begins(s.text[from:spans[i].End]) {
			continue
		}
		for j := i; j < min(i+3, len(spans)); j++ {
			w := s.cut(from, spans[j].End)
			if j > i && prose.Bullet(spans[j].Of(s.text)) > 0 || len(w.text) > paragraph && j > i {
				break
			}
			if !said(w.text) {
				continue
			}
			if v := q.cover(prose.Set(w.text)) - 0.02*float64(j-i); !found || v > top {
				best, top, found = w, v, true
			}
		}
	}
	return best, found
}

// covering finds what has been read that holds a unit.
func (r reader) covering(u decouple.Unit) (decouple.ReadResult, bool) {
	for _, read := range r {
		if read.Note == u.Note && read.Start <= u.Start && u.Start+len(u.Text) <= read.Start+len(read.Text) {
			return read, true
		}
	}
	return decouple.ReadResult{}, false
}

// backward widens s to the one or two paragraphs before it under the same heading, until it begins well.
func (r reader) backward(s stretch, u decouple.Unit) (stretch, bool) {
	read, ok := r.covering(u)
	if !ok {
		return s, false
	}
	end := s.end()
	for range 2 {
		prev, ok := neighbour(read, u, s.start, false)
		if !ok || prev.Kind != "paragraph" || prose.Bullet(prev.Text) > 0 {
			return s, false
		}
		s = stretch{s.note, prev.Start, read.Text[prev.Start-read.Start : end-read.Start]}
		if begins(s.text) {
			return s, true
		}
	}
	return s, false
}

// first says that a unit is known to be the first prose under its heading.
func (r reader) first(u decouple.Unit) bool {
	read, ok := r.covering(u)
	if !ok || len(u.Section) == 0 && read.Start > 0 {
		return false
	}
	for _, n := range read.Units {
		if samePath(n.Section, u.Section) && n.Start < u.Start && n.Kind != "code" {
			return false
		}
	}
	before := read.Text[:u.Start-read.Start]
	return read.Start == 0 || strings.Contains(before, last(u.Section))
}

// forward widens s, which ends in a colon, to the list or code that follows it.
func (r reader) forward(s stretch, u decouple.Unit) (stretch, bool) {
	read, ok := r.covering(u)
	if !ok {
		return s, false
	}
	for range 8 {
		next, ok := neighbour(read, u, s.end(), true)
		if !ok || next.Start+len(next.Text)-s.start > longest {
			break
		}
		if next.Kind != "list" && !prose.Open(s.text) {
			break
		}
		s.text = read.Text[s.start-read.Start : next.Start+len(next.Text)-read.Start]
	}
	return s, !prose.Open(s.text)
}

// neighbour is the unit of u's section that begins at or after an offset, or the one that ends at or before it, if nothing but space and marks is between.
func neighbour(read decouple.ReadResult, u decouple.Unit, at int, after bool) (decouple.Unit, bool) {
	var best decouple.Unit
	found := false
	for _, n := range read.Units {
		end := n.Start + len(n.Text)
		if !samePath(n.Section, u.Section) || n.Start < read.Start || end > read.Start+len(read.Text) || n.Text == "" {
			continue
		}
		if after && n.Start >= at && (!found || n.Start < best.Start) || !after && end <= at && (!found || end > best.Start+len(best.Text)) {
			best, found = n, true
		}
	}
	if !found {
		return best, false
	}
	gap := at - (best.Start + len(best.Text))
	if after {
		gap = best.Start - at
	}
	return best, gap <= 40
}

func samePath(a, b []string) bool { return len(a) == len(b) && under(a, b) }

// under says that a path is at or below another.
func under(path, top []string) bool {
	if len(path) < len(top) {
		return false
	}
	for i, h := range top {
		if path[i] != h {
			return false
		}
	}
	return true
}
