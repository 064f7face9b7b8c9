package tool

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"decouple.dev/decouple"
)

// maxText bounds the text in one answer, in bytes.
const maxText = 24 << 10

// Base is what the tools of notes ask; knowledge answers.
type Base interface {
	Search(ctx context.Context, src decouple.Sources, args decouple.SearchArgs) (decouple.SearchResult, error)
	Outline(ctx context.Context, src decouple.Sources, args decouple.OutlineArgs) (decouple.Outline, error)
	Read(ctx context.Context, src decouple.Sources, args decouple.ReadArgs) (decouple.ReadResult, error)
}

// Notes gives the tools that read notes: notes.search, notes.outline and notes.read.
func Notes(b Base) []decouple.Tool { return []decouple.Tool{search{b}, outline{b}, read{b}} }

type search struct{ base Base }

var searchParams = json.RawMessage(`{"type":"object","additionalProperties":false,"required":["query"],"properties":{` +
	`"query":{"type":"string","minLength":1,"description":"What to look for, as a question or as words."},` +
	`"theme":{"type":"array","items":{"type":"string"},"description":"Further words that count less than the query's own."},` +
	`"section":{"type":"array","items":{"type":"string"},"description":"A heading path; what stands under it is preferred."},` +
	`"sources":{"type":"array","items":{"type":"string"},"description":"Names of notes to look in; without it, all that may be read."},` +
	`"limit":{"type":"integer","minimum":1,"maximum":50,"description":"How many units to give, 12 by default."}}}`)

// Spec says what notes.search is.
func (t search) Spec() decouple.ToolSpec {
	return decouple.ToolSpec{Name: decouple.ToolSearch, Effect: decouple.EffectNone, Params: searchParams,
		Description: "Searches the notes and documents and gives the stretches of text that answer best, each with its note, heading path and place, and how many passages hold each word of the query. A word that no passage holds is not in the sources."}
}

// Do searches.
func (t search) Do(ctx context.Context, inv decouple.Invocation) (decouple.Outcome, error) {
	var args decouple.SearchArgs
	why := decode(inv.Args, &args)
	switch {
	case why != "":
	case strings.TrimSpace(args.Query) == "":
		why = "the query is missing"
	case args.Limit < 0 || args.Limit > 50:
		why = "the limit is not between 1 and 50"
	}
	if why != "" {
		return refuse(t.Spec(), why, `{"query": "words", "theme": ["words"], "section": ["heading"], "sources": ["note"], "limit": 12}, where all but query may be left out`), nil
	}
	result, err := t.base.Search(ctx, inv.Run.Sources, args)
	if err != nil {
		return mendable(t.Spec(), err)
	}
	result.Units = fit(result.Units, maxText)
	return answer(result, names(result.Units))
}

// fit keeps the first units whose texts have room in limit bytes, the first in any case.
func fit(units []decouple.Unit, limit int) []decouple.Unit {
	for i, u := range units {
		if limit -= len(u.Text); limit < 0 && i > 0 {
			return units[:i]
		}
	}
	return units
}

// names of the units: what a run has seen.
func names(units []decouple.Unit) []string {
	found := make([]string, len(units))
	for i, u := range units {
		found[i] = place(u.Note, u.Start, u.End)
	}
	return found
}

func place(note decouple.NoteID, start, end int) string {
	return string(note) + ":" + strconv.Itoa(start) + "-" + strconv.Itoa(end)
}

type outline struct{ base Base }

var outlineParams = json.RawMessage(`{"type":"object","additionalProperties":false,"required":["note"],"properties":{` +
	`"note":{"type":"string","minLength":1,"description":"The note's name, as notes.search gives it."}}}`)

// Spec says what notes.outline is.
func (t outline) Spec() decouple.ToolSpec {
	return decouple.ToolSpec{Name: decouple.ToolOutline, Effect: decouple.EffectNone, Params: outlineParams,
		Description: "Gives the headings of a note in order, with where each begins and ends and how much can be quoted under it."}
}

// Do gives an outline.
func (t outline) Do(ctx context.Context, inv decouple.Invocation) (decouple.Outcome, error) {
	var args decouple.OutlineArgs
	why := decode(inv.Args, &args)
	if why == "" && args.Note == "" {
		why = "the note is missing"
	}
	if why != "" {
		return refuse(t.Spec(), why, `{"note": "name of a note"}`), nil
	}
	result, err := t.base.Outline(ctx, inv.Run.Sources, args)
	if err != nil {
		return mendable(t.Spec(), err)
	}
	return answer(shorten(result), []string{"outline of " + string(args.Note)})
}

// shorten leaves out the innermost headings of an outline until it fits.
func shorten(o decouple.Outline) decouple.Outline {
	for depth := deepest(o.Sections); depth > 1 && size(o.Sections) > maxText; depth-- {
		var kept []decouple.Section
		for _, s := range o.Sections {
			if len(s.Path) < depth {
				kept = append(kept, s)
			} else if n := len(kept); n > 0 {
				kept[n-1].Units += s.Units
			}
		}
		o.Sections = kept
	}
	for size(o.Sections) > maxText {
		o.Sections = o.Sections[:len(o.Sections)/2]
	}
	return o
}

func deepest(sections []decouple.Section) int {
	n := 0
	for _, s := range sections {
		n = max(n, len(s.Path))
	}
	return n
}

// size is about how long sections are as JSON.
func size(sections []decouple.Section) int {
	n := 0
	for _, s := range sections {
		n += 60
		for _, p := range s.Path {
			n += len(p) + 3
		}
	}
	return n
}

type read struct{ base Base }

var readParams = json.RawMessage(`{"type":"object","additionalProperties":false,"required":["note","start"],"properties":{` +
	`"note":{"type":"string","minLength":1,"description":"The note's name, as notes.search gives it."},` +
	`"start":{"type":"integer","minimum":0,"description":"Where to begin, in bytes of the note's text."},` +
	`"end":{"type":"integer","minimum":0,"description":"Where to end; without it, 4,096 bytes are read. At most 8,192 are."}}}`)

// Spec says what notes.read is.
func (t read) Spec() decouple.ToolSpec {
	return decouple.ToolSpec{Name: decouple.ToolRead, Effect: decouple.EffectNone, Params: readParams,
		Description: "Reads a stretch of a note's text, widened to whole paragraphs, with the units in it that can be quoted."}
}

// Do reads.
func (t read) Do(ctx context.Context, inv decouple.Invocation) (decouple.Outcome, error) {
	var args decouple.ReadArgs
	why := decode(inv.Args, &args)
	switch {
	case why != "":
	case args.Note == "":
		why = "the note is missing"
	case args.Start < 0 || args.End != 0 && args.End <= args.Start:
		why = "start and end are no stretch"
	}
	if why != "" {
		return refuse(t.Spec(), why, `{"note": "name of a note", "start": 0, "end": 4096}, where end may be left out`), nil
	}
	result, err := t.base.Read(ctx, inv.Run.Sources, args)
	if err != nil {
		return mendable(t.Spec(), err)
	}
	result.Units = fit(result.Units, maxText-len(result.Text))
	return answer(result, []string{place(result.Note, result.Start, result.End)})
}
