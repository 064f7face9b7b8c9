package research

import (
	"fmt"
	"strings"

	"decouple.dev/decouple/prose"
)

// diagnose says what is wrong with a text that does not stand in its source: joined from several places, altered, or not there at all.
func diagnose(source, text string) string {
	near := nearest(source, text)
	switch {
	case stitched(fold(source).text, fold(text).text):
		return "stitched: joined from several places; hand in each place as a quotation of its own, with nothing left out" + near
	case near != "":
		return "altered: not letter for letter in the note" + near
	}
	return "these words are not in the note"
}

// minPiece is how many words in a row must stand in the source to count as taken from there.
const minPiece = 3

// maxSlip is how many words, on either side, a copying error may add, drop or change between two pieces.
const maxSlip = 4

// stitched says that most of a text stands in the source in pieces that are not neighbours there. Both are folded.
func stitched(source, text string) bool {
	words := strings.Fields(text)
	pieces, covered, apart := 0, 0, false
	last, lastWord := 0, 0 // where the piece before ended, in the source and in the text
	for i := 0; i < len(words); {
		at, n := piece(source, words[i:], last)
		if n < minPiece {
			i++
			continue
		}
		if pieces > 0 {
			gap := len(strings.Fields(source[min(last, at):max(last, at)]))
			apart = apart || at < last || gap > maxSlip || i-lastWord > maxSlip
		}
		pieces++
		covered += n
		last, lastWord = at+len(strings.Join(words[i:i+n], " ")), i+n
		i += n
	}
	return pieces > 1 && apart && covered*10 >= len(words)*7
}

// piece finds the longest beginning of words that stands in the source, after an offset if it can, and says where and how many words it has.
func piece(source string, words []string, after int) (at, n int) {
	low, high := 0, len(words)
	for low < high {
		mid := (low + high + 1) / 2
		if strings.Contains(source, strings.Join(words[:mid], " ")) {
			low = mid
		} else {
			high = mid - 1
		}
	}
	if low == 0 {
		return 0, 0
	}
	run := strings.Join(words[:low], " ")
	if i := strings.Index(source[after:], run); i >= 0 {
		return after + i, low
	}
	return strings.Index(source, run), low
}

// nearest words the sentence of the source that shares most words with a text, if it shares half of them.
func nearest(source, text string) string {
	wanted := map[string]bool{}
	for _, w := range prose.Words(text) {
		wanted[w] = true
	}
	best, found := 0.0, ""
	for _, span := range prose.Sentences(source) {
		sentence := span.Of(source)
		words := map[string]bool{}
		shared := 0
		for _, w := range prose.Words(sentence) {
			if wanted[w] && !words[w] {
				shared++
			}
			words[w] = true
		}
		if score := 2 * float64(shared) / float64(len(words)+len(wanted)); score > best {
			best, found = score, sentence
		}
	}
	if best < 0.5 {
		return ""
	}
	return fmt.Sprintf("; the nearest sentence there is %q", shorten(found, 600))
}

// shorten cuts a text at a word's end so that it has at most n bytes and an ellipsis.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	cut := strings.LastIndexByte(s[:n], ' ')
	if cut <= 0 {
		cut = n
		for cut > 0 && s[cut]&0xC0 == 0x80 {
			cut--
		}
	}
	return s[:cut] + " ..."
}
