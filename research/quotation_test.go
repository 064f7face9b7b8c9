package research

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"decouple.dev/decouple"
)

func TestQuote(t *testing.T) {
	t.Parallel()
	const pump, garden = decouple.NoteID("pump.md"), decouple.NoteID("garden.md")
	tests := []struct {
		name string
		note decouple.NoteID
		text string
		why  string // a part of the refusal; empty: accepted
		get  string // what is quoted, if it is not text
	}{
		{"verbatim", pump, "The pressure never exceeds 6 bar.", "", ""},
		{"line break written as a space", pump, "It must not be started while the filter is out, because sand would reach the wheel.", "",
			"It must not be started while the filter is out,\nbecause sand would reach the wheel."},
		{"marks left out", pump, "Call pump.Start to start it.", "", "Call `pump.Start` to start it."},
		{"typographic quotes", garden, "A rose that is cut later flowers later, but it does flower.", "", ""},
		{"short", pump, "the tank", "too short", ""},
		{"long", pump, strings.Repeat("The pressure never exceeds 6 bar. ", 300), "too long", ""},
		{"unknown note", "attic.md", "The roof leaks in three places.", "there is no note", ""},
		{"unknown note, known words", "attic.md", "Roses are cut in March.", `stand in note "garden.md"`, ""},
		{"altered", pump, "The pressure never exceeds 9 bar.", "altered: not letter for letter in the note; the nearest sentence there is \"The pressure never exceeds 6 bar.\"", ""},
		{"altered within", pump, "The motor is slowed after the valve closes, so that no wave runs back into the main.", "altered", ""},
		{"stitched", pump, "The pump starts when the valve is open and then stops by itself.", "stitched", ""},
		{"stitched with an ellipsis", pump, "The pressure never exceeds 6 bar ... the pump goes on for 2 minutes", "stitched", ""},
		{"stitched backwards", pump, "A stop does not empty the tank. The pressure never exceeds 6 bar.", "stitched", ""},
		{"misattributed", pump, "Roses are cut in March.", `misattributed: these words stand in note "garden.md"`, ""},
		{"made up", pump, "Elephants drink from the reservoir at noon.", "not in the note", ""},
		{"negation cut off", pump, "be started while the filter is out", "quote the whole sentence", ""},
		{"cut inside a word", pump, "art takes 3 seconds.", "inside a word", ""},
	}
	lib := library{src: shelfOf(t)}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			q, why, err := lib.quote(context.Background(), decouple.QuoteArg{Note: test.note, Text: test.text})
			if err != nil {
				t.Fatal(err)
			}
			if (why == "") != (test.why == "") || !strings.Contains(why, test.why) {
				t.Fatalf("refusal %q, want one with %q", why, test.why)
			}
			want := test.text
			if test.get != "" {
				want = test.get
			}
			if why == "" && q.Text != want {
				t.Errorf("quoted %q, want %q", q.Text, want)
			}
		})
	}
}

// taskOf is what every run was asked.
type taskOf decouple.Task

func (t taskOf) Task(context.Context, decouple.Run) (decouple.Task, error) {
	return decouple.Task(t), nil
}

func TestAdd(t *testing.T) {
	t.Parallel()
	tool := NewAdd(shelfOf(t), taskOf{Question: "When does the pump start and stop?"})
	tests := []struct {
		name, args string
		accepted   int
		refused    []string // a part of each reason
	}{
		{"one holds", `{"claim":"The pump starts when the valve is open.","quotes":[{"note":"pump.md","text":"The pump starts when the valve is open and the tank holds at least 40 litres."}]}`, 1, nil},
		{"one of two holds", `{"claim":"The pump starts when the valve is open.","quotes":[
			{"note":"pump.md","text":"The pump starts when the valve is open and the tank holds at least 40 litres."},
			{"note":"pump.md","text":"The pump starts when the valve is shut and the tank holds at least 40 litres."}]}`, 1, []string{"altered"}},
		{"the claim goes too far", `{"claim":"The pump starts within 5 seconds.","quotes":[{"note":"pump.md","text":"A start takes 3 seconds."}]}`, 0, []string{"the number 5"}},
		{"irrelevant quotation", `{"claim":"The pump starts when the valve is open.","quotes":[{"note":"garden.md","text":"Roses are cut in March."}]}`, 0, []string{"irrelevant"}},
		{"irrelevant finding", `{"claim":"Roses are cut in March.","quotes":[{"note":"garden.md","text":"Roses are cut in March."}]}`, 0, []string{"irrelevant"}},
		{"no claim", `{"quotes":[{"note":"pump.md","text":"A start takes 3 seconds."}]}`, 0, []string{"needs a claim"}},
		{"no quotation", `{"claim":"The pump starts."}`, 0, []string{"1 to 8 quotations"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			out, err := tool.Do(context.Background(), decouple.Invocation{Args: json.RawMessage(test.args)})
			if err != nil {
				t.Fatal(err)
			}
			var got decouple.FindingResult
			if err := json.Unmarshal([]byte(out.Text), &got); err != nil {
				t.Fatalf("%v in %s", err, out.Text)
			}
			if got.Accepted != test.accepted || len(got.Refused) != len(test.refused) || out.Error != (test.accepted == 0) {
				t.Fatalf("got %s (error %v)", out.Text, out.Error)
			}
			for i, why := range test.refused {
				if !strings.Contains(got.Refused[i].Why, why) {
					t.Errorf("refused because %q, want %q", got.Refused[i].Why, why)
				}
			}
		})
	}
	out, err := tool.Do(context.Background(), decouple.Invocation{Args: json.RawMessage(`{"claim":7}`)})
	if err != nil || !out.Error || !strings.Contains(out.Text, `"quotes"`) {
		t.Errorf("wrong arguments: got %+v, %v", out, err)
	}
}

func FuzzAdd(f *testing.F) {
	f.Add(`{"claim":"The pump starts.","quotes":[{"note":"n","text":"The pump starts when the valve is open.","start":3}]}`)
	f.Add(`{"claim":"a","quotes":[{"note":"n","text":"\u0000 \ufffd […] ...","start":-1}]}`)
	f.Add(`"not an object"`)
	src := shelf{"n": "# T\n\nThe pump starts when the valve is open. It does *not* “stop”.\n", "m": "Roses are cut in March."}
	f.Fuzz(func(t *testing.T, args string) {
		inv := decouple.Invocation{Args: json.RawMessage(args)}
		out, err := NewAdd(src, taskOf{Question: "When does the pump start?"}).Do(context.Background(), inv)
		if err != nil {
			t.Fatal(err)
		}
		var got decouple.FindingResult
		if !out.Error && (json.Unmarshal([]byte(out.Text), &got) != nil || got.Accepted == 0) {
			t.Fatalf("neither an error nor accepted: %s", out.Text)
		}
	})
}

func FuzzFold(f *testing.F) {
	f.Add("a  “b”\n*c* – `d`", "c - d")
	f.Add("é\u00a0ü", "ü")
	f.Fuzz(func(t *testing.T, source, text string) {
		wanted := fold(text).text
		start, end, ok := fold(source).find(wanted, 0)
		if !ok {
			return
		}
		if start < 0 || end > len(source) || start >= end {
			t.Fatalf("found [%d:%d] in %d bytes", start, end, len(source))
		}
		if got := fold(source[start:end]).text; strings.TrimSpace(got) != strings.TrimSpace(wanted) {
			t.Fatalf("the stretch %q folds to %q, want %q", source[start:end], got, wanted)
		}
	})
}
