package research

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"decouple.dev/decouple"
)

// Score is what came of one question. A nil mark does not count for this question.
type Score struct {
	ID        string   `json:"id"`
	Half      string   `json:"half"`
	Corpus    string   `json:"corpus"`
	Question  string   `json:"question"`
	Section   *bool    `json:"section"`   // the first quotation is from the expected place
	Answer    *bool    `json:"answer"`    // one of the first three quotations answers
	Parts     *bool    `json:"parts"`     // two of the expected parts are quoted
	Split     *bool    `json:"split"`     // it was divided, or not, as it should be
	Abstained *bool    `json:"abstained"` // the sources do not answer, and nothing was found
	Quotes    int      `json:"quotes"`
	True      int      `json:"true"` // quotations that a second look at the files finds where the report says
	False     []string `json:"false,omitempty"`
	Agents    int      `json:"agents"`
	WallMS    int64    `json:"wall_ms"`
	Place     string   `json:"place,omitempty"` // of the first quotation
	Error     string   `json:"error,omitempty"`
}

// firstQuotes is among how many quotations the answer must be.
const firstQuotes = 3

// score judges a report.
func (x examiner) score(ctx context.Context, c Corpus, q Question, r Report) Score {
	s := Score{ID: q.ID, Half: q.Half, Corpus: q.Corpus, Question: q.Question, Agents: r.Run.Agents, WallMS: r.Run.WallMS}
	var quotes []Quote
	for _, f := range r.Findings {
		quotes = append(quotes, f.Quotes...)
	}
	for _, quote := range quotes {
		s.Quotes++
		if err := x.verify(ctx, c, quote); err != nil {
			s.False = append(s.False, err.Error())
		} else {
			s.True++
		}
	}
	if q.Split != nil {
		s.Split = asMark((spawned(r) > 0) == *q.Split)
	}
	if q.Abstain {
		s.Abstained = asMark(len(r.Findings) == 0)
		return s
	}
	section, answer := false, false
	if len(quotes) > 0 {
		place := x.place(ctx, c, quotes[0])
		s.Place = strings.Join(place, " / ")
		section = matches(q.Source, below(c, quotes[0].Path)) && anyMatches(q.Section, place)
	}
	for _, quote := range quotes[:min(len(quotes), firstQuotes)] {
		answer = answer || matches(q.Answer, quote.Text)
	}
	s.Section, s.Answer = &section, &answer
	if len(q.Answers) > 0 {
		s.Parts = asMark(partsIn(q.Answers, quotes) >= 2)
	}
	return s
}

func asMark(right bool) *bool { return &right }

// failed is the score of a question whose run gave no report.
func failed(q Question, err error) Score {
	s := Score{ID: q.ID, Half: q.Half, Corpus: q.Corpus, Question: q.Question, Error: err.Error()}
	if q.Split != nil {
		s.Split = asMark(false)
	}
	if q.Abstain {
		s.Abstained = asMark(false)
		return s
	}
	s.Section, s.Answer = asMark(false), asMark(false)
	if len(q.Answers) > 0 {
		s.Parts = asMark(false)
	}
	return s
}

// spawned counts the agents that a question was divided among.
func spawned(r Report) int {
	n := 0
	for i, a := range r.Agents {
		if i > 0 && a.Name != Writer {
			n++
		}
	}
	return n
}

// partsIn counts the patterns that some quotation matches.
func partsIn(patterns []string, quotes []Quote) int {
	n := 0
	for _, p := range patterns {
		for _, q := range quotes {
			if matches(p, q.Text) {
				n++
				break
			}
		}
	}
	return n
}

// place is where a quotation stands: the segments of its path, its title and the headings above it.
func (x examiner) place(ctx context.Context, c Corpus, q Quote) []string {
	place := append(strings.Split(below(c, q.Path), "/"), q.Source)
	outline, err := x.Outline(ctx, c, q.Path)
	if err != nil {
		return append(place, "no outline: "+err.Error())
	}
	var headings []string
	for _, s := range outline.Sections {
		if s.Start <= q.Start && q.Start < s.End {
			headings = s.Path
		}
	}
	for _, h := range headings {
		place = append(place, strings.NewReplacer("`", "", "*", "").Replace(h))
	}
	return place
}

// below is a path as told from the corpus's folder, with slashes.
func below(c Corpus, path string) string { return filepath.ToSlash(relative(c.Root, path)) }

// matches says that a checked pattern matches; an empty one matches nothing.
func matches(pattern, s string) bool {
	return pattern != "" && regexp.MustCompile(pattern).MatchString(s)
}

func anyMatches(patterns, elements []string) bool {
	for _, p := range patterns {
		for _, e := range elements {
			if matches("(?i)"+p, e) {
				return true
			}
		}
	}
	return false
}

// verify looks a quotation up again, without the code that accepted it: the file's bytes must have the hash, the quotable text must hold the words at the offsets and
// line, and the file itself must hold them: Markdown and text byte for byte, HTML in its text nodes but for white space.
func (x examiner) verify(ctx context.Context, c Corpus, q Quote) error {
	wrong := func(format string, args ...any) error {
		return decouple.Errorf(decouple.Invalid, "%q in %s: %s", shorten(q.Text, 80), q.Path, fmt.Sprintf(format, args...))
	}
	file, err := os.ReadFile(q.Path)
	if err != nil {
		return wrong("%v", err)
	}
	if sum := sha256.Sum256(file); hex.EncodeToString(sum[:]) != q.SHA256 {
		return wrong("the file has another SHA-256")
	}
	text, err := x.Text(ctx, c, q.Path)
	switch {
	case err != nil:
		return wrong("%v", err)
	case q.Start < 0 || q.Start >= q.End || q.End > len(text) || text[q.Start:q.End] != q.Text:
		return wrong("not at bytes %d to %d of the quotable text", q.Start, q.End)
	case 1+strings.Count(text[:q.Start], "\n") != q.Line:
		return wrong("not at line %d of the quotable text", q.Line)
	}
	switch strings.ToLower(filepath.Ext(q.Path)) {
	case ".html", ".htm":
		if !strings.Contains(withoutSpace(visible(string(file))), withoutSpace(q.Text)) {
			return wrong("not in the text of the file")
		}
	case ".md", ".txt":
		if !strings.Contains(string(file), q.Text) {
			return wrong("not in the bytes of the file")
		}
	}
	return nil
}

// visible joins the text nodes of an HTML file, without those of scripts and styles.
func visible(file string) string {
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(file))
	hidden := false
	for {
		switch z.Next() {
		case html.ErrorToken:
			return b.String()
		case html.TextToken:
			if !hidden {
				b.WriteString(z.Token().Data)
			}
		case html.StartTagToken:
			name := z.Token().DataAtom
			hidden = name == atom.Script || name == atom.Style
		case html.EndTagToken:
			hidden = false
		}
	}
}

func withoutSpace(s string) string { return strings.Join(strings.Fields(s), "") }
