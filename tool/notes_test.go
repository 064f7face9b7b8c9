package tool_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal/sqlite"
	"decouple.dev/decouple/knowledge"
	"decouple.dev/decouple/tool"
)

// tools gives the tools of a base that knows one document, by name.
func tools(t *testing.T, text string) map[string]decouple.Tool {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	base, err := knowledge.Open(t.Context(), knowledge.Config{Source: store, Writer: store, Index: filepath.Join(t.TempDir(), "notes.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = base.Close() })
	p := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := base.Add(t.Context(), knowledge.Request{Paths: []string{p}}); err != nil {
		t.Fatal(err)
	}
	all := map[string]decouple.Tool{}
	for _, x := range tool.Notes(base) {
		all[x.Spec().Name] = x
	}
	return all
}

// do calls a tool.
func do(t *testing.T, x decouple.Tool, args string) decouple.Outcome {
	t.Helper()
	out, err := x.Do(t.Context(), decouple.Invocation{Args: json.RawMessage(args)})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSearchOutlineRead(t *testing.T) {
	t.Parallel()
	all := tools(t, "# Trees\n\nOaks live for several hundred years & more.\n\n## Leaves\n\nOak leaves fall late in autumn.\n")
	out := do(t, all[decouple.ToolSearch], `{"query":"how long do oaks live","limit":1}`)
	var found decouple.SearchResult
	if err := json.Unmarshal([]byte(out.Text), &found); err != nil || out.Error || len(found.Units) != 1 || len(out.Found) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	u := found.Units[0]
	if !strings.HasPrefix(u.Text, "Oaks live") || strings.Contains(out.Text, `\u0026`) {
		t.Errorf("%s", out.Text)
	}
	out = do(t, all[decouple.ToolOutline], `{"note":"`+string(u.Note)+`"}`)
	var o decouple.Outline
	if err := json.Unmarshal([]byte(out.Text), &o); err != nil || len(o.Sections) != 2 || o.Sections[1].Path[1] != "Leaves" {
		t.Errorf("%+v, %v", out, err)
	}
	out = do(t, all[decouple.ToolRead], `{"note":"`+string(u.Note)+`","start":9}`)
	var r decouple.ReadResult
	if err := json.Unmarshal([]byte(out.Text), &r); err != nil || !strings.Contains(r.Text, "autumn") || len(r.Units) != 2 {
		t.Errorf("%+v, %v", out, err)
	}
	if again := do(t, all[decouple.ToolSearch], `{"query":"how long do oaks live","limit":1}`); again.Found[0] != place(u) {
		t.Errorf("the same unit is named %q", again.Found)
	}
}

// place is the name of a unit.
func place(u decouple.Unit) string {
	n, _ := json.Marshal([]int{u.Start, u.End})
	return string(u.Note) + ":" + strings.NewReplacer("[", "", ",", "-", "]", "").Replace(string(n))
}

func TestWrongArgumentsAreAnsweredWithWhatIsRight(t *testing.T) {
	t.Parallel()
	all := tools(t, "Nothing much is said in this document.\n")
	tests := []struct{ tool, args, say string }{
		{decouple.ToolSearch, `{}`, "the query is missing"},
		{decouple.ToolSearch, `{"q":"x"}`, `there is no field "q"`},
		{decouple.ToolSearch, `{"query":7}`, "the field query cannot be a JSON number"},
		{decouple.ToolSearch, `{"query":"x","limit":-1}`, "the limit is not between"},
		{decouple.ToolSearch, `"query"`, "not a JSON object"},
		{decouple.ToolSearch, `{"Query":"x"}`, `there is no field "Query"`},
		{decouple.ToolRead, `{"note":"a","ſtart":5}`, "there is no field"},
		{decouple.ToolSearch, `{"query":"x"} {}`, "something after"},
		{decouple.ToolSearch, `{"query":`, "not valid JSON"},
		{decouple.ToolOutline, ``, "the note is missing"},
		{decouple.ToolOutline, `{"note":"n000000000000"}`, "there is no note"},
		{decouple.ToolRead, `{"note":"n000000000000","start":5,"end":2}`, "no stretch"},
		{decouple.ToolRead, `{"note":"n000000000000","start":5}`, "there is no note"},
	}
	for _, tt := range tests {
		if out := do(t, all[tt.tool], tt.args); !out.Error || !strings.Contains(out.Text, tt.say) {
			t.Errorf("%s %s: %+v", tt.tool, tt.args, out)
		}
	}
}

func TestSpecs(t *testing.T) {
	t.Parallel()
	for name, x := range tools(t, "Nothing much is said in this document.\n") {
		s := x.Spec()
		var schema struct {
			Type       string                     `json:"type"`
			Additional *bool                      `json:"additionalProperties"`
			Required   []string                   `json:"required"`
			Properties map[string]json.RawMessage `json:"properties"`
		}
		if err := json.Unmarshal(s.Params, &schema); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if schema.Type != "object" || schema.Additional == nil || *schema.Additional || s.Effect != decouple.EffectNone || s.Description == "" {
			t.Errorf("%s: %+v", name, s)
		}
		for _, r := range schema.Required {
			if schema.Properties[r] == nil {
				t.Errorf("%s requires %s and does not describe it", name, r)
			}
		}
	}
}

func TestLongAnswersAreCut(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 400 {
		b.WriteString("# Heading number " + strings.Repeat("x", i%30) + "\n\n## A further heading of quite some length to fill the outline\n\nThe penguin " + strings.Repeat("word"+string(rune('a'+i%26)), i+1) + " walks on the ice " + strings.Repeat("and on ", i%90) + "again.\n\n")
	}
	all := tools(t, b.String())
	out := do(t, all[decouple.ToolSearch], `{"query":"penguin on the ice","limit":50}`)
	if len(out.Text) > maxAnswer || len(out.Found) == 0 {
		t.Errorf("a search gave %d bytes and %d units", len(out.Text), len(out.Found))
	}
	note, _, _ := strings.Cut(out.Found[0], ":")
	if out := do(t, all[decouple.ToolOutline], `{"note":"`+note+`"}`); len(out.Text) > maxAnswer {
		t.Errorf("an outline has %d bytes", len(out.Text))
	}
}

// maxAnswer is the most that an answer may have, in bytes, with what is around the text.
const maxAnswer = 48 << 10

func FuzzArguments(f *testing.F) {
	f.Add(`{"query":"x","limit":3}`)
	f.Add(`{"note":"n000000000000","start":1}`)
	f.Add(`[[`)
	f.Fuzz(func(t *testing.T, args string) {
		for _, x := range tool.Notes(nil) {
			func() {
				defer func() {
					if p := recover(); p != nil && !json.Valid([]byte(args)) {
						t.Fatalf("invalid JSON was accepted: %q", args)
					}
				}()
				_, _ = x.Do(t.Context(), decouple.Invocation{Args: json.RawMessage(args)})
			}()
		}
	})
}
