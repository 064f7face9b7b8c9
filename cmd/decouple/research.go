package main

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/knowledge"
	"decouple.dev/decouple/research"
)

// maxQuestion bounds a question, in bytes.
const maxQuestion = 8 << 10

// researchFlags are the flags of research.
type researchFlags struct {
	docs   []string
	output output
	depth  limitFlag
	tokens limitFlag
	usd    moneyFlag
	time   timeFlag
	model  modelFlags
	agents string
}

func newResearch(a *app) *cobra.Command {
	f := researchFlags{tokens: limitFlag{min: 1}}
	c := &cobra.Command{
		Use: `research "QUESTION"`, Short: "Research a question in your documents and write a report with quotations",
		Long: `Splits the question, sends agents to read the documents, and writes a report in which every quotation is
found, letter for letter, in its source. The report goes to standard output, what happens on the way to
standard error. --docs adds the folders and files named to the notes, where they stay, and limits this run to
them; without it all notes are sources. Ctrl-C parks the run and prints the command that goes on with it.` + modelHelp,
		Example: `  decouple research "How does a Go program make a write in one goroutine visible to another?" --docs "$(go env GOROOT)/doc"
  decouple research "Who may sign a contract?" --docs ~/handbook --docs ~/policies.pdf --out report.md
  decouple research "What changed in backups?" --model-url http://127.0.0.1:11434/v1 --model NAME --json`,
		Args: exactly("a question between quotation marks"),
		RunE: func(c *cobra.Command, args []string) error { return a.research(c.Context(), args[0], f) },
	}
	c.Flags().StringArrayVar(&f.docs, "docs", nil, "`PATH` of a folder or file to read; the run reads these and no others; may be given again")
	c.Flags().Var(&f.depth, "depth", "how deep agents may send agents: with an `N` of 0 they send none (default: as the agent lead says)")
	c.Flags().Var(&f.usd, "usd", "most that the run may cost, in `USD`")
	c.Flags().Var(&f.tokens, "tokens", "most tokens that the run may use, such as 200k")
	c.Flags().Var(&f.time, "time", "most time that the run may take: a `TIME` such as 90s or 5m")
	c.Flags().StringVar(&f.agents, "agents", "", "`DIR` of agent files that go before the built-in ones")
	f.model.add(c.Flags())
	f.output.add(c.Flags())
	return c
}

func (f researchFlags) envelope() decouple.Envelope {
	e := decouple.Envelope{USD: f.usd.money, Tokens: f.tokens.n, Time: f.time.d, Depth: int(f.depth.n)}
	if f.depth.set && f.depth.n == 0 {
		e.Agents = 2 // the lead and the writer; a depth of 0 would be no limit
	}
	return e
}

// research starts a run and drives it to its report.
func (a *app) research(ctx context.Context, question string, f researchFlags) error {
	question = strings.TrimSpace(question)
	switch {
	case question == "":
		return decouple.Errorf(decouple.Invalid, "the question is empty: put one between quotation marks")
	case !utf8.ValidString(question):
		return decouple.Errorf(decouple.Invalid, "the question is not UTF-8")
	case len(question) > maxQuestion:
		return decouple.Errorf(decouple.Invalid, "the question has %d bytes and may have %d: put long texts in a file and name it with --docs", len(question), maxQuestion)
	case f.usd.set && f.usd.money == 0:
		return decouple.Errorf(decouple.Invalid, "--usd 0 leaves nothing to work with: give a larger amount, or take --model builtin, which costs nothing")
	}
	if err := f.output.check(); err != nil {
		return err
	}
	paths, err := existing("--docs", f.docs)
	if err != nil {
		return err
	}
	there, err := a.serving(ctx)
	if err != nil {
		return err
	}
	if there != nil {
		return errors.Join(a.researchThere(ctx, there, engine.Start{Agent: research.Lead, Task: decouple.Task{Question: question}, Envelope: f.envelope()}, paths, f), there.Close())
	}
	m, err := a.choose(f.model, decouple.Price{})
	if err != nil {
		return err
	}
	dir, err := a.dir()
	if err != nil {
		return err
	}
	a.say("%s", m.Describe())
	v := newView(a.err)
	o, err := a.own(ctx, dir, plan{doing: "decouple research", model: m, agents: f.agents, watch: v.watch})
	if err != nil {
		return err
	}
	defer func() { _ = o.close() }() // what is acknowledged is kept, whatever closing says
	src, err := a.sources(ctx, o.notes, o.store.Head, paths)
	if err != nil {
		return err
	}
	id, err := o.engine.Start(ctx, engine.Start{
		Agent: research.Lead, Task: decouple.Task{Question: question}, Sources: src, Envelope: f.envelope(),
	})
	if err != nil {
		return err
	}
	return a.drive(ctx, o, v, driven{id: id, output: f.output, again: append(f.model.again(), agentsAgain(f.agents)...)})
}

// researchThere has a server do it.
func (a *app) researchThere(ctx context.Context, there *api.Client, st engine.Start, paths []string, f researchFlags) error {
	if len(f.model.again()) > 0 || f.agents != "" {
		return decouple.Errorf(decouple.Invalid, "the server has its own model and agents: give --model, --model-url and --agents to `decouple serve`, and deploy agents with `decouple agents put`")
	}
	var err error
	if st.Sources, err = a.sources(ctx, there, there.Head, paths); err != nil {
		return err
	}
	st.Key, st.By = rand.Text(), decouple.Actor{Kind: decouple.ActorPerson, ID: person()}
	id, err := there.Start(ctx, st)
	if err != nil {
		return err
	}
	return a.follow(ctx, there, driven{id: id, output: f.output})
}

// agentsAgain is how --agents is given once more.
func agentsAgain(folder string) []string {
	if folder == "" {
		return nil
	}
	return []string{"--agents", folder}
}

// absolute makes paths absolute.
func absolute(paths []string) ([]string, error) {
	var out []string
	for _, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil || p == "" {
			return nil, decouple.Errorf(decouple.Invalid, "%q is no path: name a folder or a file", p)
		}
		out = append(out, abs)
	}
	return out, nil
}

// existing makes paths absolute; one that is not there is NotFound.
func existing(flag string, paths []string) ([]string, error) {
	out, err := absolute(paths)
	for _, p := range out {
		_, serr := os.Stat(p)
		switch {
		case errors.Is(serr, os.ErrNotExist):
			return nil, decouple.Errorf(decouple.NotFound, "%s: there is no file or folder %s", flag, p)
		case serr != nil:
			return nil, decouple.Errorf(decouple.Denied, "%s: %w", flag, serr)
		}
	}
	return out, err
}

// sources adds the documents given and says what the run may read. Nothing to read is an error that says what to do.
func (a *app) sources(ctx context.Context, n notes, head func(context.Context) (decouple.Position, error), paths []string) (decouple.Sources, error) {
	src := decouple.Sources{Paths: paths}
	if len(paths) > 0 {
		sum, err := n.Add(ctx, knowledge.Request{Paths: paths, Actor: me, Progress: a.progress()})
		a.err.draw(nil)
		if err != nil {
			return src, interruptedAdd(ctx, err)
		}
		a.sayAdded(sum, 10)
		src.AsOf = sum.Position
	} else {
		at, err := head(ctx)
		if err != nil {
			return src, err
		}
		src.AsOf = at
	}
	list, err := n.List(ctx, src)
	switch {
	case err != nil:
		return src, err
	case len(list) == 0 && len(paths) > 0:
		return src, decouple.Errorf(decouple.NotFound, "nothing under %s can be read as a document: name text, Markdown, HTML or PDF files with --docs", strings.Join(paths, ", "))
	case len(list) == 0:
		return src, decouple.Errorf(decouple.Invalid, "there are no notes to read yet: name documents with --docs PATH, or add them with `decouple notes add PATH`")
	}
	return src, nil
}
