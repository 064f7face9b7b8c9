package research

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"strings"

	"decouple.dev/decouple"
)

//go:embed eval/*.json
var questionFiles embed.FS

// Question is a question of the evaluation with what is expected of its report; eval/README.md says what each field means.
type Question struct {
	ID       string   `json:"id"`
	Half     string   `json:"-"` // dev or heldout, after its file
	Corpus   string   `json:"corpus"`
	Question string   `json:"question"`
	Section  []string `json:"section"`
	Source   string   `json:"source"`
	Answer   string   `json:"answer"`
	Answers  []string `json:"answers"`
	Split    *bool    `json:"split"`
	Abstain  bool     `json:"abstain"`
}

// Questions are all questions of the evaluation: the half that may be tuned on, then the one that counts.
func Questions() ([]Question, error) {
	files, err := questionFiles.ReadDir("eval")
	if err != nil {
		return nil, decouple.Errorf(decouple.Internal, "read the questions of the evaluation: %w", err)
	}
	var all []Question
	for _, f := range files {
		text, err := questionFiles.ReadFile(path.Join("eval", f.Name()))
		if err != nil {
			return nil, decouple.Errorf(decouple.Internal, "read the questions of the evaluation: %w", err)
		}
		half, err := parseQuestions(strings.TrimSuffix(f.Name(), ".json"), text)
		if err != nil {
			return nil, err
		}
		all = append(all, half...)
	}
	return all, nil
}

// parseQuestions reads one file of questions and checks their patterns.
func parseQuestions(half string, text []byte) ([]Question, error) {
	var file struct {
		Questions []Question `json:"questions"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, decouple.Errorf(decouple.Invalid, "read the questions %s: %w", half, err)
	}
	for i := range file.Questions {
		q := &file.Questions[i]
		q.Half = half
		if q.ID == "" || q.Corpus == "" || q.Question == "" {
			return nil, decouple.Errorf(decouple.Invalid, "question %d of %s (%q) needs an id, a corpus and a question", i+1, half, q.ID)
		}
		for _, pattern := range append(append([]string{q.Source, q.Answer}, q.Section...), q.Answers...) {
			if _, err := regexp.Compile(pattern); err != nil {
				return nil, decouple.Errorf(decouple.Invalid, "question %s of %s: %w", q.ID, half, err)
			}
		}
	}
	return file.Questions, nil
}

// Examinee is what the evaluation examines.
type Examinee interface {
	// Ask researches a question with the corpus as the only source. Paths in the report are absolute.
	Ask(ctx context.Context, c Corpus, question string) (Report, error)
	// Outline gives the headings of a document of the corpus, and Text its quotable text.
	Outline(ctx context.Context, c Corpus, path string) (decouple.Outline, error)
	Text(ctx context.Context, c Corpus, path string) (string, error)
}

// Evaluation is what came of all questions.
type Evaluation struct {
	Scores  []Score   `json:"questions"`
	Sums    []Sum     `json:"sums"` // one for each half
	Skipped []Skipped `json:"skipped,omitempty"`
}

// Evaluate asks every question whose corpus this machine has and judges the reports. done, if not nil, is told of each as it comes. A question whose run
// fails counts as answered wrongly.
func Evaluate(ctx context.Context, questions []Question, e Examinee, done func(Score)) (Evaluation, error) {
	corpora, skipped := Corpora(ctx)
	return evaluate(ctx, questions, corpora, Evaluation{Skipped: skipped, Scores: []Score{}}, examiner{e, done})
}

type examiner struct {
	Examinee
	done func(Score)
}

func evaluate(ctx context.Context, questions []Question, corpora []Corpus, ev Evaluation, x examiner) (Evaluation, error) {
	for _, q := range questions {
		i := slices.IndexFunc(corpora, func(c Corpus) bool { return c.Name == q.Corpus })
		if i < 0 {
			continue
		}
		report, err := x.Ask(ctx, corpora[i], q.Question)
		if ctx.Err() != nil {
			return ev, decouple.Errorf(decouple.Canceled, "the evaluation was stopped at question %s: %w", q.ID, ctx.Err())
		}
		s := x.score(ctx, corpora[i], q, report)
		if err != nil {
			s = failed(q, err)
		}
		ev.Scores = append(ev.Scores, s)
		if x.done != nil {
			x.done(s)
		}
	}
	ev.Sums = sums(ev.Scores)
	return ev, nil
}

// Tally counts how many of those that count were right.
type Tally struct {
	Right int `json:"right"`
	Of    int `json:"of"`
}

// Percent is the share of the right ones; of none it is 100.
func (t Tally) Percent() float64 {
	if t.Of == 0 {
		return 100
	}
	return 100 * float64(t.Right) / float64(t.Of)
}

func (t *Tally) count(mark *bool) {
	if mark == nil {
		return
	}
	t.Of++
	if *mark {
		t.Right++
	}
}

// Sum is the result of one half of the questions.
type Sum struct {
	Half      string `json:"half"`
	Questions int    `json:"questions"`
	Section   Tally  `json:"section"`
	Answer    Tally  `json:"answer"`
	Parts     Tally  `json:"parts"`
	Split     Tally  `json:"split"`
	Abstained Tally  `json:"abstained"`
	Citations Tally  `json:"citations"`
	WallMS    int64  `json:"wall_ms"`
}

// sums adds up each half.
func sums(scores []Score) []Sum {
	byHalf := map[string]*Sum{}
	for _, s := range scores {
		sum := byHalf[s.Half]
		if sum == nil {
			sum = &Sum{Half: s.Half}
			byHalf[s.Half] = sum
		}
		sum.Questions++
		sum.Section.count(s.Section)
		sum.Answer.count(s.Answer)
		sum.Parts.count(s.Parts)
		sum.Split.count(s.Split)
		sum.Abstained.count(s.Abstained)
		sum.Citations.Right += s.True
		sum.Citations.Of += s.Quotes
		sum.WallMS += s.WallMS
	}
	out := make([]Sum, 0, len(byHalf))
	for _, sum := range byHalf {
		out = append(out, *sum)
	}
	slices.SortFunc(out, func(a, b Sum) int { return cmp.Compare(a.Half, b.Half) })
	return out
}
