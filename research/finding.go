package research

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"decouple.dev/decouple"
)

// Limits of a finding.
const (
	maxClaimBytes = 1000
	maxQuotes     = 8
)

// weigh checks a finding that an agent hands in for a task: which of its quotations hold, and whether they carry the claim. The finding has no quotations if it is
// refused as a whole.
func (l library) weigh(ctx context.Context, asked decouple.Task, args decouple.FindingArgs) (decouple.Finding, decouple.FindingResult, error) {
	f := decouple.Finding{Claim: strings.Join(strings.Fields(args.Claim), " "), Asked: asked.Question}
	var result decouple.FindingResult
	refuse := func(text, why string) {
		result.Refused = append(result.Refused, decouple.Refusal{Text: text, Why: why})
	}
	switch {
	case f.Claim == "":
		refuse("", "a finding needs a claim: one sentence that answers the question")
		return f, result, nil
	case len(f.Claim) > maxClaimBytes:
		refuse(shorten(f.Claim, 200), fmt.Sprintf("a claim has at most %d bytes: hand in one finding for each thing that you claim", maxClaimBytes))
		return f, result, nil
	case len(args.Quotes) == 0 || len(args.Quotes) > maxQuotes:
		refuse(f.Claim, fmt.Sprintf("a finding needs 1 to %d quotations", maxQuotes))
		return f, result, nil
	}
	about, err := l.about(ctx, asked)
	if err != nil {
		return f, result, err
	}
	var quotes []decouple.Quote
	for _, arg := range args.Quotes {
		q, why, err := l.quote(ctx, arg)
		if err != nil {
			return f, result, err
		}
		if why == "" && !(related(telling(f.Claim), q.Text) && related(about, q.Text+"\n"+f.Claim)) {
			why = "irrelevant: it shares no telling word with the claim and the question"
		}
		if why != "" {
			refuse(arg.Text, why)
			continue
		}
		quotes = append(quotes, q)
	}
	if len(quotes) == 0 {
		return f, result, nil
	}
	if why := evidenceOf(quotes, asked.Question).fault(f.Claim); why != "" {
		refuse(f.Claim, fmt.Sprintf("the claim goes beyond its quotations: %s; %d of its quotations were found: "+
			"hand it in again with a claim that they carry, or with the quotation that carries it", why, len(quotes)))
		return f, result, nil
	}
	f.Quotes = quotes
	result.Accepted = len(quotes)
	return f, result, nil
}

// commonFloor is from how many passages on a term that most of them hold does not tell what a question is about.
const commonFloor = 20

// about are the terms that say what was asked: those that the sources do not hold nearly everywhere, or all if fewer than two are left.
func (l library) about(ctx context.Context, asked decouple.Task) ([]string, error) {
	all := telling(strings.Join([]string{asked.Question, strings.Join(asked.Theme, " "), strings.Join(asked.Section, " ")}, "\n"))
	found, err := l.src.Search(ctx, l.may, decouple.SearchArgs{Query: strings.Join(all, " "), Limit: 1})
	if err != nil || found.Passages < commonFloor {
		return all, err
	}
	rare := slices.DeleteFunc(slices.Clone(all), func(term string) bool {
		return slices.ContainsFunc(found.Terms, func(t decouple.Term) bool { return t.Term == term && 2*t.Passages > found.Passages })
	})
	if len(rare) < 2 {
		return all, nil
	}
	return rare, nil
}

// evidenceOf is what a statement that rests on quotations is held against.
func evidenceOf(quotes []decouple.Quote, question string) evidence {
	e := evidence{known: question}
	for _, q := range quotes {
		e.quotes = append(e.quotes, q.Text)
		e.known += "\n" + q.Source
	}
	return e
}

// Tasks says what a run was asked.
type Tasks interface {
	Task(ctx context.Context, run decouple.Run) (decouple.Task, error)
}

// addTool is findings.add.
type addTool struct {
	src   Sources
	tasks Tasks
}

// NewAdd makes the tool findings.add, by which an agent hands in a claim with its quotations and learns at once what holds.
func NewAdd(src Sources, tasks Tasks) decouple.Tool { return addTool{src, tasks} }

// Spec describes findings.add.
func (t addTool) Spec() decouple.ToolSpec {
	return decouple.ToolSpec{
		Name: decouple.ToolFindingsAdd,
		Description: "Hand in one finding: a claim, which is one plain sentence that answers the question, and the quotations that carry it, copied letter for letter from a note. " +
			"Each quotation is looked up at once; the result says how many were accepted, what was refused and why. Nothing is accepted if the claim says more than its quotations: " +
			"its numbers, negations and names of code must stand in them.",
		Params: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["claim","quotes"],"properties":{` +
			`"claim":{"type":"string","description":"one sentence"},` +
			`"quotes":{"type":"array","minItems":1,"maxItems":8,"items":{"type":"object","additionalProperties":false,"required":["note","text"],"properties":{` +
			`"note":{"type":"string","description":"the note's id, as in the results of notes.search and notes.read"},` +
			`"text":{"type":"string","description":"whole sentences, a whole list with its introduction, or whole code, letter for letter"},` +
			`"start":{"type":"integer","description":"where it begins in the note, in bytes, as the tool's result says"}}}}}}`),
		Effect: decouple.EffectNone,
	}
}

// Do checks one finding.
func (t addTool) Do(ctx context.Context, inv decouple.Invocation) (decouple.Outcome, error) {
	args, err := parseFinding(inv.Args)
	if err != nil {
		return decouple.Outcome{Text: err.Error(), Error: true}, nil
	}
	asked, err := t.tasks.Task(ctx, inv.Run)
	if err != nil {
		return decouple.Outcome{}, err
	}
	_, result, err := library{t.src, inv.Run.Sources}.weigh(ctx, asked, args)
	if err != nil {
		return decouple.Outcome{}, err
	}
	text, err := encode(result, "")
	if err != nil {
		return decouple.Outcome{}, err
	}
	return decouple.Outcome{Text: strings.TrimSpace(string(text)), Error: result.Accepted == 0}, nil
}

// parseFinding reads the arguments of findings.add.
func parseFinding(args json.RawMessage) (decouple.FindingArgs, error) {
	var f decouple.FindingArgs
	if err := json.Unmarshal(args, &f); err != nil {
		return f, decouple.Errorf(decouple.Invalid, `the arguments of %s are {"claim": "...", "quotes": [{"note": "...", "text": "...", "start": 0}]}: %w`, decouple.ToolFindingsAdd, err)
	}
	return f, nil
}

// Found gives what a run tree has found so far.
type Found interface {
	Found(ctx context.Context, run decouple.Run) (decouple.FindingsResult, error)
}

// listTool is findings.list.
type listTool struct{ found Found }

// NewList makes the tool findings.list, which gives the writer all findings of the tree that hold, numbered in spawn order.
func NewList(found Found) decouple.Tool { return listTool{found} }

// Spec describes findings.list.
func (t listTool) Spec() decouple.ToolSpec {
	return decouple.ToolSpec{
		Name:        decouple.ToolFindingsList,
		Description: "List the question and everything that was found for it and has been checked: numbered claims, each with its quotations. Cite them by number, for example [2].",
		Params:      json.RawMessage(`{"type":"object","additionalProperties":false,"properties":{}}`),
		Effect:      decouple.EffectNone,
	}
}

// Do lists the findings.
func (t listTool) Do(ctx context.Context, inv decouple.Invocation) (decouple.Outcome, error) {
	found, err := t.found.Found(ctx, inv.Run)
	if err != nil {
		return decouple.Outcome{}, err
	}
	text, err := encode(found, "")
	if err != nil {
		return decouple.Outcome{}, err
	}
	return decouple.Outcome{Text: strings.TrimSpace(string(text))}, nil
}
