package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/knowledge"
	"decouple.dev/decouple/research"
)

// evalFlags are the flags of eval research.
type evalFlags struct {
	set, corpus string
	asJSON      bool
	model       modelFlags
	agents      string
}

func newEval(a *app) *cobra.Command {
	f := evalFlags{}
	c := &cobra.Command{
		Use: "research", Short: "Ask questions whose answers are known, and judge the reports", Args: noArgs,
		Long: `Asks questions about documents that are on this machine (Go's and npm's), and judges every report: is the first
quotation from the right section, do the first three answer, was the question split where it should be, did it abstain where the
sources do not answer, and is every quotation found in its file. One set of the questions, heldout, was never used to
improve anything. It works in a temporary folder; your notes are not touched.`,
		Example: "  decouple eval research\n  decouple eval research --set heldout --json",
		RunE:    func(c *cobra.Command, _ []string) error { return a.eval(c.Context(), f) },
	}
	c.Flags().StringVar(&f.set, "set", "all", "which set of questions: dev, heldout or all")
	c.Flags().StringVar(&f.corpus, "corpus", "", "only the questions about one body of documents: `NAME`")
	c.Flags().BoolVar(&f.asJSON, "json", false, "write one JSON object")
	c.Flags().StringVar(&f.agents, "agents", "", "`DIR` of agent files that go before the built-in ones")
	f.model.add(c.Flags())
	return group("eval", "Measure how good the reports are", c)
}

// chosen are the questions that the flags leave.
func (f evalFlags) chosen() ([]research.Question, error) {
	all, err := research.Questions()
	if err != nil {
		return nil, err
	}
	var corpora []string
	for _, q := range all {
		if !slices.Contains(corpora, q.Corpus) {
			corpora = append(corpora, q.Corpus)
		}
	}
	switch {
	case !slices.Contains([]string{"dev", "heldout", "all"}, f.set):
		return nil, decouple.Errorf(decouple.Invalid, "--set is dev, heldout or all, not %q", f.set)
	case f.corpus != "" && !slices.Contains(corpora, f.corpus):
		return nil, decouple.Errorf(decouple.Invalid, "--corpus is one of %s, not %q", strings.Join(corpora, ", "), f.corpus)
	}
	return slices.DeleteFunc(all, func(q research.Question) bool {
		return f.set != "all" && q.Half != f.set || f.corpus != "" && q.Corpus != f.corpus
	}), nil
}

func (a *app) eval(ctx context.Context, f evalFlags) (err error) {
	questions, err := f.chosen()
	if err != nil {
		return err
	}
	m, err := a.choose(f.model, decouple.Price{})
	if err != nil {
		return err
	}
	a.say("%s", m.Describe())
	dir, err := os.MkdirTemp("", "decouple-eval-*")
	if err != nil {
		return decouple.Errorf(decouple.Unavailable, "no temporary folder can be made: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o, err := a.own(ctx, dir, plan{doing: "decouple eval", model: m, agents: f.agents})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	asked := 0
	ev, err := research.Evaluate(ctx, questions, &examinee{a: a, o: o, at: map[string]decouple.Position{}}, func(s research.Score) {
		asked++
		a.err.draw([]string{clip(count(asked, "question")+" asked, last: "+printable(s.Question), 78)})
	})
	a.err.draw(nil)
	if err != nil {
		return err
	}
	if f.asJSON {
		text, err := ev.JSON()
		return errors.Join(err, a.print(string(text)))
	}
	return a.print(ev.Table())
}

// examinee answers the evaluation's questions with the same owner that research has.
type examinee struct {
	a  *app
	o  *owner
	at map[string]decouple.Position // of each corpus whose documents are added
}

// Ask researches a question in a corpus.
func (x *examinee) Ask(ctx context.Context, c research.Corpus, question string) (research.Report, error) {
	if _, ok := x.at[c.Name]; !ok {
		sum, err := x.o.notes.Add(ctx, knowledge.Request{Paths: c.Paths, Actor: me, Progress: x.a.progress()})
		x.a.err.draw(nil)
		if err != nil {
			return research.Report{}, err
		}
		x.at[c.Name] = sum.Position
	}
	paths, err := absolute(c.Paths)
	if err != nil {
		return research.Report{}, err
	}
	id, err := x.o.engine.Start(ctx, engine.Start{
		Agent: research.Lead, Task: decouple.Task{Question: question}, Sources: decouple.Sources{Paths: paths, AsOf: x.at[c.Name]},
	})
	if err != nil {
		return research.Report{}, err
	}
	if _, err := x.o.engine.Drive(ctx, decouple.LocalTenant, id); err != nil {
		return research.Report{}, err
	}
	r, err := x.o.reports.Report(ctx, decouple.LocalTenant, id)
	if err != nil {
		return r, err
	}
	if r.Cause.Kind != decouple.CauseDone {
		err = endError(r.Cause, len(r.Findings), id)
	}
	return r, err
}

// Outline gives the headings of a document.
func (x *examinee) Outline(ctx context.Context, _ research.Corpus, path string) (decouple.Outline, error) {
	n, err := x.o.notes.Get(ctx, filepath.Clean(path))
	if err != nil {
		return decouple.Outline{}, err
	}
	return x.o.notes.Outline(ctx, decouple.Sources{}, decouple.OutlineArgs{Note: n.ID})
}

// Text gives the quotable text of a document.
func (x *examinee) Text(ctx context.Context, _ research.Corpus, path string) (string, error) {
	return x.o.notes.Text(ctx, filepath.Clean(path))
}
