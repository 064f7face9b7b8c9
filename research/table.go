package research

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// Table writes the evaluation for people: a row for each question, then the sums of each half.
func (e Evaluation) Table() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "question\tsection\tanswer\tparts\tsplit\tabstained\tcitations\tagents\tms\tasked")
	for _, s := range e.Scores {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d/%d\t%d\t%d\t%s\n", s.ID, markWord(s.Section), markWord(s.Answer), markWord(s.Parts), markWord(s.Split), markWord(s.Abstained),
			s.True, s.Quotes, s.Agents, s.WallMS, shorten(oneLine(s.Question+" "+s.Error), 90))
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "sum\tsection\tanswer\tparts\tsplit\tabstained\tcitations\tquestions\tms")
	for _, s := range e.Sums {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\n", s.Half, percent(s.Section), percent(s.Answer), percent(s.Parts), percent(s.Split), percent(s.Abstained),
			percent(s.Citations), s.Questions, s.WallMS)
	}
	_ = w.Flush() // to memory
	for _, s := range e.Skipped {
		fmt.Fprintf(&b, "skipped: %s: %s\n", s.Corpus, s.Why)
	}
	return b.String()
}

// JSON is the evaluation as --json prints it.
func (e Evaluation) JSON() ([]byte, error) { return encode(e, "  ") }

func percent(t Tally) string { return fmt.Sprintf("%.0f%% (%d/%d)", t.Percent(), t.Right, t.Of) }

// markWord is a mark in a table: yes, no, or a dash where it does not count.
func markWord(m *bool) string {
	switch {
	case m == nil:
		return "-"
	case *m:
		return "yes"
	}
	return "NO"
}
