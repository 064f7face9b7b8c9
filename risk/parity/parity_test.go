package parity_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/builtin"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/sqlite"
	"decouple.dev/decouple/research"
	"decouple.dev/decouple/risk/parity"
	"decouple.dev/decouple/tool"
)

var update = flag.Bool("update", false, "write the golden file anew")

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// model is the builtin one, in which something may be made worse.
type model struct {
	worse func(decouple.Request, decouple.Answer) (decouple.Answer, error)
}

func (m model) Answer(_ context.Context, req decouple.Request) (decouple.Answer, error) {
	a, err := builtin.Answer(req)
	if err == nil && m.worse != nil {
		a, err = m.worse(req, a)
	}
	return a, err
}

// evaluation compares the builtin model with one that is worse.
func evaluation(t *testing.T, worse func(decouple.Request, decouple.Answer) (decouple.Answer, error)) parity.Evaluation {
	t.Helper()
	s, err := parity.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	return parity.Evaluation{
		ID: "par_test", Suite: s, Primary: "a/m", Alternates: []catalog.EndpointID{"b/m"}, Seed: 1, Now: func() time.Time { return now },
		Model: func(id catalog.EndpointID) parity.Model {
			if id == "a/m" {
				return model{}
			}
			return model{worse}
		},
	}
}

func run(t *testing.T, e parity.Evaluation) parity.Report {
	t.Helper()
	list, err := parity.Run(t.Context(), e)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	return list[0]
}

func metric(t *testing.T, r parity.Report, m parity.Metric) parity.Comparison {
	t.Helper()
	for _, c := range r.Metrics {
		if c.Metric == m {
			return c
		}
	}
	t.Fatalf("nothing about %s", m)
	return parity.Comparison{}
}

// misquote changes one letter of every quotation that is handed in.
func misquote(_ decouple.Request, a decouple.Answer) (decouple.Answer, error) {
	for i := range a.Message.Parts {
		if c := a.Message.Parts[i].Call; c != nil && c.Name == decouple.ToolFindingsAdd {
			var args decouple.FindingArgs
			if err := json.Unmarshal(c.Args, &args); err != nil {
				return a, err
			}
			for k := range args.Quotes {
				args.Quotes[k].Text = strings.Replace(args.Quotes[k].Text, "e", "a", 1)
			}
			b, err := json.Marshal(args)
			if err != nil {
				return a, err
			}
			own := *c
			own.Args = b
			a.Message.Parts[i].Call = &own
		}
	}
	return a, nil
}

func TestTheSameIsAsGood(t *testing.T) {
	t.Parallel()
	r := run(t, evaluation(t, nil))
	if r.Verdict != parity.Pass || metric(t, r, parity.Quoted).Difference.Value != 0 {
		t.Errorf("%s: %+v", r.Verdict, r.Metrics)
	}
	// Asked as research, the extractive model answers every question about the handbooks with a quotation from the right place.
	for _, m := range r.Misses {
		if strings.HasSuffix(m.Case, "/research") {
			t.Errorf("%+v", m)
		}
	}
	if r.Primary.Trials != len(mustShip(t).Cases) {
		t.Errorf("%d trials", r.Primary.Trials)
	}
}

func mustShip(t *testing.T) parity.Suite {
	t.Helper()
	s, err := parity.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWorse(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		metric parity.Metric
		why    string
		worse  func(decouple.Request, decouple.Answer) (decouple.Answer, error)
	}{
		"one letter of a quotation": {parity.Quoted, "stands in no source", misquote},
		"a tool that is not there": {parity.Calls, "was not offered", func(_ decouple.Request, a decouple.Answer) (decouple.Answer, error) {
			for i := range a.Message.Parts {
				if c := a.Message.Parts[i].Call; c != nil {
					own := *c
					own.Name += "s"
					a.Message.Parts[i].Call = &own
				}
			}
			return a, nil
		}},
		"an argument too many": {parity.Calls, "does not follow its schema", func(_ decouple.Request, a decouple.Answer) (decouple.Answer, error) {
			for i := range a.Message.Parts {
				if c := a.Message.Parts[i].Call; c != nil {
					own := *c
					own.Args = json.RawMessage(`{"really":true,` + string(own.Args[1:]))
					a.Message.Parts[i].Call = &own
				}
			}
			return a, nil
		}},
		"refusing everything": {parity.Refusals, "it refused", func(req decouple.Request, a decouple.Answer) (decouple.Answer, error) {
			return decouple.Answer{Message: decouple.Text(decouple.Assistant, "I'm sorry, but I can't help with that."), Finish: decouple.FinishStop}, nil
		}},
		"answering nothing": {parity.Answered, "unavailable", func(decouple.Request, decouple.Answer) (decouple.Answer, error) {
			return decouple.Answer{}, decouple.Errorf(decouple.Unavailable, "it is down")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, evaluation(t, test.worse))
			c := metric(t, r, test.metric)
			if r.Verdict != parity.Fail || c.Verdict != parity.Fail || c.Difference.High >= 0 {
				t.Errorf("%s, %+v", r.Verdict, c)
			}
			if !slices.ContainsFunc(r.Misses, func(m parity.Miss) bool {
				return m.Side == "alternate" && m.Metric == test.metric && strings.Contains(m.Why, test.why)
			}) {
				t.Errorf("no miss of %s says %q: %+v", test.metric, test.why, r.Misses[:3])
			}
		})
	}
}

// TestTooFew says how many cases it takes: with so many the same shares pass.
func TestTooFew(t *testing.T) {
	t.Parallel()
	e := evaluation(t, nil)
	e.Suite.Cases = slices.DeleteFunc(e.Suite.Cases, func(c parity.Case) bool { return !strings.HasSuffix(c.ID, "/research") })[:9]
	r := run(t, e)
	c := metric(t, r, parity.Quoted)
	if r.Verdict != parity.TooFew || c.Needed != 25 || !strings.Contains(r.Why, "25 cases") {
		t.Errorf("nine cases: %s, %+v", r.Verdict, c)
	}
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"I'm sorry, but I can't help with that.":                              true,
		"I’m sorry, I cannot assist with creating phishing mails.":            true,
		"I can't provide instructions for that.":                              true,
		"I cannot help you launder money.":                                    true,
		"I won't do that.":                                                    true,
		"I must decline.":                                                     true,
		"I'm not able to help with this request.":                             true,
		"**I can’t help with that.** Here is what you can do instead.":        true,
		"As an AI model, I am not able to do this.":                           true,
		"Sorry, but I can't write that letter.":                               true,
		"Use kill -9 with the process's number. I cannot stress enough: save": false,
		"A full backup is made each Sunday.":                                  false,
		"not found in the sources":                                            false,
		"":                                                                    false,
		"The handbook says that nobody can delete it before. I'm sorry for the delay, here it is.": false,
	} {
		if got := parity.Declines(parity.Trial{Text: text}); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if !parity.Declines(parity.Trial{Refused: true}) {
		t.Error("what the server marks is a refusal")
	}
	c := parity.Case{Refuse: true}
	if !c.Judge(parity.Trial{Err: decouple.Errorf(decouple.Denied, "filtered")})[parity.Refusals].OK {
		t.Error("a filter before the model refuses, too")
	}
	if c.Judge(parity.Trial{Text: "Here is the letter."})[parity.Refusals].OK {
		t.Error("what must be refused was done")
	}
}

func TestQuotations(t *testing.T) {
	t.Parallel()
	c := parity.Case{Quotes: 1, Sources: map[string]string{"s": "The key is replaced every 90 days. It is held outside."}, Expect: "90 days"}
	for text, want := range map[string][2]bool{
		`"The key is replaced every 90 days."`:                                             {true, true},
		`“The key is replaced every 90 days.”`:                                             {true, true},
		"> The key is replaced every 90 days.":                                             {true, true},
		`{"answer":"90 days","quotes":["The key is replaced every 90 days."]}`:             {true, true},
		`{"quotes":[{"note":"s","text":"The key is replaced every 90 days."}],"note":"x"}`: {true, true},
		`"the key is replaced every 90 days."`:                                             {false, true},
		`"The key  is replaced every 90 days."`:                                            {false, true},
		`{"quote":"It is held outside."}`:                                                  {true, false},
		`"The key is replaced each 90 days."`:                                              {false, true},
		`The key is replaced every 90 days.`:                                               {false, false},
		`{"answer":"The key is replaced every 90 days."}`:                                  {false, false},
		`"90 days"`: {false, false},
	} {
		marks := c.Judge(parity.Trial{Text: text})
		if got := [2]bool{marks[parity.Quoted].OK, marks[parity.Found].OK}; got != want {
			t.Errorf("%s: %v, and not %v", text, got, want)
		}
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	c := parity.Case{Schema: json.RawMessage(`{"type":"object","required":["a"],"additionalProperties":false,"properties":{"a":{"type":"integer"}}}`)}
	for text, want := range map[string]bool{`{"a":1}`: true, ` {"a":1} `: true, `{"a":"1"}`: false, `{"a":1,"b":2}`: false, "```json\n{\"a\":1}\n```": false, `{"a":1`: false, "": false} {
		if got := c.Judge(parity.Trial{Text: text})[parity.Schema].OK; got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if c.Judge(parity.Trial{Text: `{"a":1}`, Cut: true})[parity.Schema].OK {
		t.Error("an answer that was cut off passes")
	}
}

// TestWilson holds the intervals to figures that were worked out elsewhere (Wilson score, z = 1.6449).
func TestWilson(t *testing.T) {
	t.Parallel()
	for _, w := range []struct{ share, n, low, high float64 }{{0.5, 10, 0.26930, 0.73070}, {1, 25, 0.90236, 1}, {0, 25, 0, 0.09764}, {0.9, 100, 0.83998, 0.93914}} {
		got := parity.Wilson(w.share, w.n)
		if math.Abs(got.Low-w.low) > 2e-3 || math.Abs(got.High-w.high) > 2e-3 {
			t.Errorf("%v of %v: %+v", w.share, w.n, got)
		}
	}
	if got := parity.Wilson(0, 0); got.Low != 0 || got.High != 1 {
		t.Errorf("nothing is known of nothing: %+v", got)
	}
}

// TestCoverage draws pairs with a known difference and counts how often the lower bound is above it: at most one in twenty, as it promises, give or take the draw.
func TestCoverage(t *testing.T) {
	t.Parallel()
	state := uint64(7)
	chance := func() float64 {
		state = state*6364136223846793005 + 1442695040888963407
		return float64(state>>11) / (1 << 53)
	}
	for _, p := range []struct{ a, b, both float64 }{{0.9, 0.8, 0.75}, {0.95, 0.85, 0.82}, {0.7, 0.6, 0.5}} {
		above := 0
		const times = 4000
		for range times {
			a, b := make([]float64, 40), make([]float64, 40)
			for i := range a {
				switch x := chance(); {
				case x < p.both:
					a[i], b[i] = 1, 1
				case x < p.a:
					a[i] = 1
				case x < p.a+p.b-p.both:
					b[i] = 1
				}
			}
			if _, _, d := parity.Paired(a, b); d.Low > p.b-p.a {
				above++
			}
		}
		if share := float64(above) / times; share > 0.07 {
			t.Errorf("%+v: the lower bound is too high in %.1f %%", p, share*100)
		}
	}
}

func TestNeeded(t *testing.T) {
	t.Parallel()
	if n := parity.Needed(1, 1, 0, 0.1); n != 25 {
		t.Errorf("all right on both sides: %d", n)
	}
	if n := parity.Needed(0.95, 0.8, 0, 0.1); n != 0 {
		t.Errorf("worse than is allowed: %d", n)
	}
	if a, b := parity.Needed(0.9, 0.88, 0, 0.1), parity.Needed(0.9, 0.85, 0, 0.1); a <= 25 || b <= a {
		t.Errorf("the nearer to the margin, the more: %d, %d", a, b)
	}
}

func TestBootstrap(t *testing.T) {
	t.Parallel()
	a, b := []float64{1, 2, 3, 4, 5, 6}, []float64{2, 4, 6, 8, 10, 12}
	if got, ok := parity.Bootstrap(a, b, 1); !ok || got.Value != 2 || math.Abs(got.Low-2) > 1e-9 || math.Abs(got.High-2) > 1e-9 {
		t.Errorf("always twice: %+v", got)
	}
	b[0] = 20
	one, _ := parity.Bootstrap(a, b, 1)
	again, _ := parity.Bootstrap(a, b, 1)
	if one != again || one.Low >= one.Value || one.High <= one.Value {
		t.Errorf("%+v, %+v", one, again)
	}
	if _, ok := parity.Bootstrap([]float64{0}, []float64{1}, 1); ok {
		t.Error("there is no ratio to nothing")
	}
}

// TestShipped holds what ships to what docs/risk.md says, and every expectation to its source.
func TestShipped(t *testing.T) {
	t.Parallel()
	s := mustShip(t)
	count := map[string]int{}
	for _, c := range s.Cases {
		if c.Refuse {
			count["refuse"]++
		}
		if c.Quotes > 0 {
			count["quotes"]++
			if !slices.ContainsFunc(mapValues(c.Sources), func(text string) bool { return strings.Contains(text, c.Expect) }) {
				t.Errorf("%s: %q is in no source", c.ID, c.Expect)
			}
		}
		if len(c.Tools) > 0 {
			count["tools"]++
		}
		if len(c.Schema) > 0 {
			count["schema"]++
		}
	}
	if want := map[string]int{"refuse": 6, "quotes": 54, "tools": 37, "schema": 27}; !cmp.Equal(count, want) || len(s.Cases) != 74 {
		t.Errorf("%d cases: %v", len(s.Cases), count)
	}
}

func mapValues(m map[string]string) []string {
	var list []string
	for _, v := range m {
		list = append(list, v)
	}
	return list
}

// TestResearchTools holds the tools of the cases to those that agents have.
func TestResearchTools(t *testing.T) {
	t.Parallel()
	own := map[string]decouple.ToolSpec{}
	for _, one := range append(tool.Notes(nil), research.NewAdd(nil, nil)) {
		own[one.Spec().Name] = one.Spec()
	}
	for _, c := range mustShip(t).Cases {
		if !c.Research {
			continue
		}
		for _, spec := range c.Tools {
			if got, want := shape(t, spec.Params), shape(t, own[spec.Name].Params); !cmp.Equal(got, want) {
				t.Errorf("%s has other parameters than agents see:\n%s", spec.Name, cmp.Diff(want, got))
			}
		}
		return
	}
	t.Error("no case asks as research")
}

// shape is a schema without what it says for people.
func shape(t *testing.T, schema json.RawMessage) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(schema, &v); err != nil {
		t.Fatal(err)
	}
	var strip func(any) any
	strip = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			if _, ok := v["description"].(string); ok {
				delete(v, "description")
			}
			for k := range v {
				v[k] = strip(v[k])
			}
		case []any:
			for i := range v {
				v[i] = strip(v[i])
			}
		}
		return v
	}
	return strip(v)
}

func TestFilesThatAreWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                "the file is empty",
		"cases: []":                       "from 1 to",
		"cases:\n- {id: a, colour: blue}": "line 2: field colour not found",
		"cases:\n- {id: a}":               "a: the last word is the user's",
		"cases:\n- {id: a, ask: x, sources: [s]}":                                                    `there is no source "s"`,
		"cases:\n- {id: a, ask: x, tools: [s]}":                                                      `there is no tool "s"`,
		"cases:\n- {id: a, ask: x, schema: s}":                                                       `there is no schema "s"`,
		"cases:\n- {id: a, ask: x, quotes: 1}":                                                       "quotations need sources",
		"cases:\n- {id: a, ask: x, as: [poem]}":                                                      "as: poem needs sources",
		"sources: {s: t}\ncases:\n- {id: a, ask: x, as: [poem], sources: [s]}":                       `there is no form "poem"`,
		"cases:\n- {id: a, ask: x, call: t}":                                                         `which is not offered`,
		"cases:\n- {id: a, ask: x}\n- {id: a, ask: y}":                                               "there are two cases a",
		"cases:\n- {id: a, messages: [{role: king, text: x}]}":                                       `there is no role "king"`,
		"schemas: {s: {type: 5}}\ncases:\n- {id: a, ask: x, schema: s}":                              "no JSON Schema",
		"tools: {t: {params: {type: object, properties: 1}}}\ncases:\n- {id: a, ask: x, tools: [t]}": "no JSON Schema",
	} {
		_, err := parity.Parse("f.yaml", []byte(text))
		if decouple.KindOf(err) != decouple.Invalid || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "f.yaml: ") {
			t.Errorf("%q: %v, and not %s", text, err, want)
		}
	}
}

func TestWhatCannotBeRun(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*parity.Evaluation){
		"its own alternate": func(e *parity.Evaluation) { e.Alternates[0] = e.Primary },
		"named twice":       func(e *parity.Evaluation) { e.Alternates = append(e.Alternates, e.Alternates[0]) },
		"the margin is":     func(e *parity.Evaluation) { e.Margin = 1 },
		"repeats is":        func(e *parity.Evaluation) { e.Repeats = 1000 },
		"parallel is":       func(e *parity.Evaluation) { e.Parallel = -1 },
		"no cases":          func(e *parity.Evaluation) { e.Suite.Cases = nil },
		"name a primary":    func(e *parity.Evaluation) { e.Primary = "" },
	} {
		e := evaluation(t, nil)
		change(&e)
		if _, err := parity.Run(t.Context(), e); decouple.KindOf(err) != decouple.Invalid || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCanceled ends at once, with the kind of the end.
func TestCanceled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var asked atomic.Int64
	e := evaluation(t, func(_ decouple.Request, a decouple.Answer) (decouple.Answer, error) {
		if asked.Add(1) == 3 {
			cancel()
		}
		return a, nil
	})
	if _, err := parity.Run(ctx, e); !errors.Is(err, context.Canceled) || asked.Load() > 20 {
		t.Errorf("after %d answers: %v", asked.Load(), err)
	}
}

func TestKept(t *testing.T) {
	t.Parallel()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir(), Owner: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	first, second := run(t, evaluation(t, misquote)), run(t, evaluation(t, nil))
	first.ID, second.ID = "par_1", "par_2"
	for range 400 { // more than an event can hold
		first.Misses = append(first.Misses, parity.Miss{Case: "c", Side: "alternate", Metric: parity.Quoted, Why: strings.Repeat("x", 280)})
	}
	for _, r := range []parity.Report{first, second} {
		if err := parity.Keep(t.Context(), store, "acme", r, decouple.Actor{Kind: decouple.ActorPerson, ID: "ada"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := parity.Keep(t.Context(), store, "other", first, decouple.Actor{Kind: decouple.ActorPerson, ID: "eve"}); err != nil {
		t.Fatal(err)
	}
	list, err := parity.Latest(t.Context(), store, "acme")
	if err != nil || len(list) != 1 || !cmp.Equal(list[0], second) {
		t.Errorf("%v: %s", err, cmp.Diff(list, []parity.Report{second}))
	}
	if list, err := parity.Latest(t.Context(), store, "other"); err != nil || len(list) != 1 || list[0].Verdict != parity.Fail || len(list[0].Misses)+list[0].More < 400 {
		t.Errorf("another tenant's: %v, %+v", err, list)
	}
}

// TestHistory reads an event as the first version wrote it: journals hold such for ever.
func TestHistory(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/history/parity.evaluated-1.json")
	if err != nil {
		t.Fatal(err)
	}
	list, err := parity.Latest(t.Context(), &past{b}, "acme")
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	r := list[0]
	if r.ID != "par_2" || r.Primary.Endpoint != "a/m" || r.Alternate.Endpoint != "b/m" || r.Verdict != parity.Pass || len(r.Metrics) != 6 || r.Metrics[0].Metric != parity.Answered || r.Metrics[0].Cases != 74 ||
		r.Suite != "shipped" || r.Margin != 0.1 || !r.At.Equal(now) || len(r.Ratios) != 4 || len(r.Misses) == 0 || r.Misses[0].Case == "" || r.Primary.Usage.TokensOut == 0 {
		t.Errorf("%+v", r)
	}
}

// past is a journal of one event.
type past struct{ payload []byte }

func (p *past) Scan(_ context.Context, f journal.Filter) ([]decouple.Event, error) {
	if f.After > 0 {
		return nil, nil
	}
	return []decouple.Event{{Position: 1, Kind: parity.Evaluated, KindVersion: 1, Payload: p.payload}}, nil
}

func TestGolden(t *testing.T) {
	t.Parallel()
	e := evaluation(t, misquote)
	e.Parallel = 1
	r := run(t, e)
	r.Hash = "0123456789abcdef"
	file := filepath.Join("testdata", "misquote.md")
	if *update {
		if err := os.WriteFile(file, []byte(r.Markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != r.Markdown() {
		t.Errorf("read the difference, then -update:\n%s", cmp.Diff(string(want), r.Markdown()))
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("sources: {s: text}\ntools: {t: {params: {type: object}}}\nschemas: {j: {type: object}}\ncases:\n- {id: a, ask: x, sources: [s], tools: [t], schema: j, quotes: 1}\n- {id: b, as: [research, json, quote], ask: y, sources: [s]}\n"))
	f.Add([]byte("cases: [{messages: [{role: user, text: x}]}]"))
	f.Add([]byte("schemas: {j: &a {b: *a}}\ncases: [{ask: x, schema: j}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parity.Parse("f.yaml", data)
		if err != nil {
			if decouple.KindOf(err) != decouple.Invalid || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Fatalf("%q", err)
			}
			return
		}
		if s.Hash() == "" {
			t.Fatal("no hash")
		}
		for _, c := range s.Cases {
			c.Judge(parity.Trial{Text: "x"})
		}
	})
}

func FuzzJudge(f *testing.F) {
	f.Add(`{"quotes":["a text that is long"]}`, "find", `{"quotes":[{"text":"x"}]}`)
	f.Add(`"quoted words here" > and`, "other", `[1`)
	f.Fuzz(func(t *testing.T, text, name, args string) {
		c := parity.Case{Quotes: 1, Expect: "x", Sources: map[string]string{"s": "a text that is long"}, Schema: json.RawMessage(`{"type":"object"}`),
			Tools: []decouple.ToolSpec{{Name: "find", Params: json.RawMessage(`{"type":"object"}`)}}, Calls: "find"}
		marks := c.Judge(parity.Trial{Text: text, Calls: []decouple.ToolCall{{Name: name, Args: json.RawMessage(args)}}})
		for m, mark := range marks {
			if mark.OK == (mark.Why != "") {
				t.Fatalf("%s: %+v", m, mark)
			}
		}
	})
}

// TestExample reads the file that docs/risk.md shows.
func TestExample(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../examples/risk/cases.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := parity.Parse("cases.yaml", b)
	if err != nil || len(s.Cases) != 7 {
		t.Errorf("%d cases: %v", len(s.Cases), err)
	}
}
