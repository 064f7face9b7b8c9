package research

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"decouple.dev/decouple"
	"decouple.dev/decouple/prose"
)

// Sources is what the check asks of the notes; the room knowledge answers. Everything is limited to what a run may read.
type Sources interface {
	// Locate finds a text, letter for letter, in the quotable text of a note, the occurrence nearest to the hint where there are several.
	// false is that the note does not hold it; an unknown note is NotFound.
	Locate(ctx context.Context, may decouple.Sources, note decouple.NoteID, text string, hint int) (decouple.Quote, bool, error)
	// Text is the whole quotable text of a note.
	Text(ctx context.Context, may decouple.Sources, note decouple.NoteID) (string, error)
	// Search ranks quotable units of all notes.
	Search(ctx context.Context, may decouple.Sources, args decouple.SearchArgs) (decouple.SearchResult, error)
}

// Limits of a quotation.
const (
	minQuoteWords = 3
	maxQuoteBytes = 6000
)

// library is the sources as one run may read them.
type library struct {
	src Sources
	may decouple.Sources
}

// quote looks a quotation up. It gives the quotation as it stands in the source, or why it is refused, in words that help to mend it.
func (l library) quote(ctx context.Context, arg decouple.QuoteArg) (q decouple.Quote, why string, err error) {
	text := strings.TrimSpace(arg.Text)
	switch {
	case len(prose.Words(text)) < minQuoteWords:
		return q, fmt.Sprintf("too short: a quotation has at least %d words", minQuoteWords), nil
	case len(text) > maxQuoteBytes:
		return q, fmt.Sprintf("too long: a quotation has at most %d bytes; quote the sentences that carry the claim", maxQuoteBytes), nil
	}
	source, err := l.src.Text(ctx, l.may, arg.Note)
	if decouple.KindOf(err) == decouple.NotFound || decouple.KindOf(err) == decouple.Invalid {
		why, err := l.elsewhere(ctx, arg.Note, text)
		if why == "" {
			why = fmt.Sprintf("there is no note %q among the sources; give the note as a tool's result names it", arg.Note)
		}
		return q, why, err
	}
	if err != nil {
		return q, "", err
	}
	q, found, err := l.locate(ctx, arg.Note, source, decouple.QuoteArg{Text: text, Start: arg.Start})
	if err != nil {
		return q, "", err
	}
	if found {
		return q, cutOff(source, q.Start, q.End), nil
	}
	why, err = l.elsewhere(ctx, arg.Note, text)
	if why == "" {
		why = diagnose(source, text)
	}
	return q, why, err
}

// locate finds the text as it is or, where only white space, quotes, dashes or Markdown's marks differ, the stretch of the source that it means.
func (l library) locate(ctx context.Context, note decouple.NoteID, source string, arg decouple.QuoteArg) (decouple.Quote, bool, error) {
	q, found, err := l.src.Locate(ctx, l.may, note, arg.Text, arg.Start)
	if err != nil || found {
		return q, found, err
	}
	start, end, ok := fold(source).find(fold(arg.Text).text, arg.Start)
	if !ok {
		return q, false, nil
	}
	return l.src.Locate(ctx, l.may, note, source[start:end], start)
}

// elsewhere says in which other note the words stand, if they do.
func (l library) elsewhere(ctx context.Context, note decouple.NoteID, text string) (string, error) {
	result, err := l.src.Search(ctx, l.may, decouple.SearchArgs{Query: text, Limit: 12})
	if err != nil {
		return "", err
	}
	tried := map[decouple.NoteID]bool{note: true}
	for _, u := range result.Units {
		if tried[u.Note] {
			continue
		}
		tried[u.Note] = true
		source, err := l.src.Text(ctx, l.may, u.Note)
		if err != nil {
			return "", err
		}
		if _, _, ok := fold(source).find(fold(text).text, 0); ok {
			return fmt.Sprintf("misattributed: these words stand in note %q (%s), not in %q", u.Note, u.Path, note), nil
		}
	}
	return "", nil
}

// cutOff says that a quotation is cut so that its sentence's meaning may be lost: inside a word, or with a negation or a condition left out.
func cutOff(source string, start, end int) string {
	if inWord(source, start) || inWord(source, end) {
		return "cut inside a word; quote whole words"
	}
	lo, hi := sentenceAround(source, start, end)
	before, after := source[lo:start], source[end:hi]
	if turning.MatchString(before) || turning.MatchString(after) {
		return fmt.Sprintf("cut: what is left out changes the meaning; quote the whole sentence: %q", source[lo:hi])
	}
	return ""
}

// turning are words that turn a sentence round when they are left out.
var turning = regexp.MustCompile(`(?i)\b(?:not|never|no|none|nor|neither|cannot|unless|except|without|\w+n['’]t)\b`)

// inWord says that an offset lies between two letters or digits.
func inWord(s string, i int) bool {
	before, _ := utf8.DecodeLastRuneInString(s[:i])
	after, _ := utf8.DecodeRuneInString(s[i:])
	return wordRune(before) && wordRune(after)
}

func wordRune(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// around is how far a sentence is looked for on each side of a quotation.
const around = 1000

// sentenceAround widens a stretch to the sentences that it begins and ends in.
func sentenceAround(source string, start, end int) (lo, hi int) {
	lo, hi = start, end
	from, to := max(0, start-around), min(len(source), end+around)
	if i := strings.LastIndex(source[from:start], "\n\n"); i >= 0 {
		from += i + 2
	}
	if i := strings.Index(source[end:to], "\n\n"); i >= 0 {
		to = end + i
	}
	for _, span := range prose.Sentences(source[from:to]) {
		s, e := from+span.Start, from+span.End
		if s < start && start < e {
			lo = s
		}
		if s < end && end < e {
			hi = e
		}
	}
	return lo, hi
}
