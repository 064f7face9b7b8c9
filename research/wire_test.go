package research_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/journal/sqlite"
	"decouple.dev/decouple/knowledge"
	"decouple.dev/decouple/research"
)

// reply is what the scripted server answers to one request: text, tool calls, or a failure.
type reply struct {
	text  string
	calls []wireCall
	fail  int // an HTTP status
}

type wireCall struct{ name, args string }

// scripted is an OpenAI-compatible server. A script says what an agent answers, from its question and the tool results it has so far.
type scripted struct {
	agents map[string]func(question string, results []string) reply // by the first word of the agent's prompt
}

type wireMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

func (s scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Messages []wireMessage `json:"messages"`
		Stream   bool          `json:"stream"`
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || !req.Stream || len(req.Messages) < 2 {
		http.Error(w, `{"error":{"message":"not a request for a stream"}}`, http.StatusBadRequest)
		return
	}
	var task decouple.Task
	var results []string
	for _, m := range req.Messages {
		switch m.Role {
		case "user":
			if task.Question == "" {
				_ = json.Unmarshal([]byte(m.Content), &task)
			}
		case "tool":
			results = append(results, m.Content)
		}
	}
	agent, _, _ := strings.Cut(req.Messages[0].Content, " ")
	s.write(w, s.agents[agent](task.Question, results))
}

// write streams a reply; arguments of calls come in two pieces, as real servers cut them.
func (s scripted) write(w http.ResponseWriter, a reply) {
	if a.fail != 0 {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.fail)
		fmt.Fprint(w, `{"error":{"message":"the scripted server fails here","type":"server_error"}}`)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	chunk := func(delta, finish string) {
		fmt.Fprintf(w, `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"scripted","choices":[{"index":0,"delta":%s,"finish_reason":%s}]}`+"\n\n", delta, finish)
	}
	quoted := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			panic(err)
		}
		return string(b)
	}
	chunk(`{"role":"assistant","content":""}`, "null")
	for i := 0; i < len(a.text); i += 40 {
		chunk(`{"content":`+quoted(a.text[i:min(i+40, len(a.text))])+`}`, "null")
	}
	for i, c := range a.calls {
		half := len(c.args) / 2
		chunk(fmt.Sprintf(`{"tool_calls":[{"index":%d,"id":"call_%d","type":"function","function":{"name":%s,"arguments":%s}}]}`, i, i, quoted(c.name), quoted(c.args[:half])), "null")
		chunk(fmt.Sprintf(`{"tool_calls":[{"index":%d,"function":{"arguments":%s}}]}`, i, quoted(c.args[half:])), "null")
	}
	finish := `"stop"`
	if len(a.calls) > 0 {
		finish = `"tool_calls"`
	}
	chunk(`{}`, finish)
	fmt.Fprint(w, `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"scripted","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120}}`+"\n\n"+"data: [DONE]\n\n")
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const (
	whole  = "How is the pump run?"
	start  = "When does the pump start?"
	stop   = "What does a stop of the pump do?"
	broken = "How is the filter of the pump cleaned?"
	lying  = "How is the pressure of the pump watched and lowered?"

	startText = "The pump starts when the valve is open and the tank holds at least 40 litres."
	stopText  = "A stop does not empty the tank."
)

// lies are findings of which none may stand, each with a part of why.
func lies(pump, garden decouple.NoteID) map[string]decouple.FindingArgs {
	one := func(claim string, note decouple.NoteID, text string) decouple.FindingArgs {
		return decouple.FindingArgs{Claim: claim, Quotes: []decouple.QuoteArg{{Note: note, Text: text}}}
	}
	return map[string]decouple.FindingArgs{
		"altered":                        one("The pressure never exceeds 7 bar.", pump, "The pressure never exceeds 7 bar."),
		"stitched":                       one("The pressure of the pump is lowered by itself.", pump, "There are three ways to lower the pressure and then stops by itself."),
		"misattributed":                  one("The pump needs twice as much water.", pump, "The beds along the wall dry out first and need twice as much water as the others."),
		"irrelevant":                     one("The pressure is lowered by a bypass.", garden, "Tomatoes are watered in the morning."),
		"the number 20 is not":           one("A sensor reads the pressure 20 times a second.", pump, "A sensor reads it 10 times a second and writes it to PUMP_LOG."),
		"negate":                         one("The pressure exceeds 6 bar.", pump, "The pressure never exceeds 6 bar."),
		`"motor.SetBrake" is not`:        one("The pressure is lowered with motor.SetBrake.", pump, "- slow the motor with `motor.SetSpeed`,"),
		"quote the whole sentence":       one("The pump is started while the filter is out.", pump, "be started while the filter is out"),
		"the quotations speak of someth": one("The pressure falls in March.", garden, "Roses are cut in March."),
	}
}

// story is the script of the test below.
func story(t *testing.T, pump, garden decouple.NoteID) scripted {
	spawn := func(q string) wireCall {
		return wireCall{"agents_spawn", jsonOf(t, decouple.SpawnArgs{Agent: research.Researcher, Task: decouple.Task{Question: q}})}
	}
	add := func(f decouple.FindingArgs) wireCall { return wireCall{"findings_add", jsonOf(t, f)} }
	find := func(text string) wireCall {
		return add(decouple.FindingArgs{Claim: text, Quotes: []decouple.QuoteArg{{Note: pump, Text: text}}})
	}
	researcher := func(question string, results []string) reply {
		switch n := len(results); {
		case question == start && n == 0:
			return reply{calls: []wireCall{find(strings.Replace(startText, "valve", "hatch", 1))}}
		case question == start && n == 1 && strings.Contains(results[0], startText): // the refusal shows the real sentence
			return reply{calls: []wireCall{find(startText)}}
		case question == stop && n == 0:
			return reply{calls: []wireCall{find(stopText)}}
		case question == stop || question == broken:
			return reply{fail: http.StatusBadRequest}
		case question == lying && n == 0:
			var calls []wireCall
			for _, f := range lies(pump, garden) {
				calls = append(calls, add(f))
			}
			return reply{calls: calls}
		}
		return reply{text: "Done."}
	}
	return scripted{agents: map[string]func(string, []string) reply{
		"lead": func(_ string, results []string) reply {
			if len(results) == 0 {
				return reply{calls: []wireCall{spawn(start), spawn(broken), spawn(stop), spawn(lying)}}
			}
			return reply{text: "All have reported.\nNot found: who painted the pump"}
		},
		"researcher": researcher,
		"writer": func(_ string, results []string) reply {
			if len(results) == 0 {
				return reply{calls: []wireCall{{"findings_list", "{}"}}}
			}
			return reply{text: startText[:len(startText)-1] + " [1]. The pump starts when the tank holds at least 400 litres [1]. " + stopText[:len(stopText)-1] + " [2]. A stop empties the tank [2]. " +
				"Call `pump.Halt` to open the valve [1]. The pump is reliable. It was built in a hurry [9]."}
		},
	}}
}

// notesOf makes notes of the documents in testdata, and names them.
func notesOf(t *testing.T) (*sqlite.Store, *knowledge.Library, knowledge.Summary, func(name string) decouple.NoteID) {
	t.Helper()
	ctx := context.Background()
	dir := t.TempDir()
	store, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	library := knowledge.NewLibrary(knowledge.Config{Source: store, Writer: store, Index: filepath.Join(dir, "index.db")})
	t.Cleanup(func() { _ = library.Close() })
	base, err := library.Of(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	docs, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	added, err := base.Add(ctx, knowledge.Request{Paths: []string{filepath.Join(docs, "pump.md"), filepath.Join(docs, "garden.md")}, Actor: decouple.Actor{Kind: decouple.ActorPerson, ID: "tester"}})
	if err != nil {
		t.Fatal(err)
	}
	return store, library, added, func(name string) decouple.NoteID {
		t.Helper()
		n, err := base.Get(ctx, filepath.Join(docs, name))
		if err != nil {
			t.Fatal(err)
		}
		return n.ID
	}
}

// A run that may read one document cannot quote another one, even if it knows its name.
func TestQuoteOutsideTheSources(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	store, src, added, id := notesOf(t)
	base, err := src.Of(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	pump, err := base.Get(ctx, string(id("pump.md")))
	if err != nil {
		t.Fatal(err)
	}
	may := decouple.Sources{Paths: []string{pump.Path}, AsOf: added.Position}
	for note, want := range map[decouple.NoteID]decouple.Kind{pump.ID: "", id("garden.md"): decouple.NotFound} {
		_, textErr := src.Text(ctx, may, note)
		_, _, locateErr := src.Locate(ctx, may, note, "is", 0)
		if decouple.KindOf(textErr) != want || decouple.KindOf(locateErr) != want {
			t.Errorf("note %s: errors %v and %v, want the kind %q", note, textErr, locateErr, want)
		}
	}
	if _, err := research.NewCollector(store, src).Report(ctx, decouple.LocalTenant, "rnone"); decouple.KindOf(err) != decouple.NotFound {
		t.Errorf("the report of an unknown run: error %v, want not found", err)
	}
}

// run researches a question of the documents in testdata with the models of a server, and gives the report.
func run(t *testing.T, script func(pump, garden decouple.NoteID) scripted) research.Report {
	t.Helper()
	ctx := context.Background()
	store, src, added, id := notesOf(t)
	server := httptest.NewServer(script(id("pump.md"), id("garden.md")))
	t.Cleanup(server.Close)
	cat := &catalog.Catalog{Endpoints: map[catalog.EndpointID]catalog.Endpoint{"scripted": {ID: "scripted", Provider: "compatible", Account: "scripted", Name: "scripted", Format: "openai.chat", URL: server.URL + "/v1"}}}
	g, err := gateway.New(gateway.Config{Catalog: cat})
	if err != nil {
		t.Fatal(err)
	}
	model := gateway.Agents{Gateway: g, Model: "scripted"}
	collector := research.NewCollector(store, src)
	version := func(n string) decouple.VersionHash { return decouple.VersionHash(strings.Repeat(n, 64)) }
	searching := []string{decouple.ToolFindingsAdd}
	e, err := engine.New(engine.Config{Store: store, Model: model, Tools: []decouple.Tool{research.NewAdd(src, collector), research.NewList(collector)}, Agents: []decouple.Agent{
		{Name: research.Lead, Version: version("1"), Prompt: "lead the search", Tools: searching, Agents: []decouple.AgentName{research.Researcher}, Writer: research.Writer,
			Envelope: decouple.Envelope{Tokens: 400_000, Agents: 20, Depth: 2, Children: 8, WriteUp: 20}},
		{Name: research.Researcher, Version: version("2"), Prompt: "researcher at work", Tools: searching},
		{Name: research.Writer, Version: version("3"), Prompt: "writer of the answer", Tools: []string{decouple.ToolFindingsList}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	root, err := e.Start(ctx, engine.Start{Agent: research.Lead, Task: decouple.Task{Question: whole}, Sources: decouple.Sources{AsOf: added.Position}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Drive(ctx, decouple.LocalTenant, root); err != nil {
		t.Fatal(err)
	}
	report, err := collector.Report(ctx, decouple.LocalTenant, root)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// A server that lies in every way the check knows must not get one lie into the report, and one failing agent must not lose what others found.
func TestLyingServer(t *testing.T) {
	t.Parallel()
	var pump, garden decouple.NoteID
	r := run(t, func(p, g decouple.NoteID) scripted {
		pump, garden = p, g
		return story(t, p, g)
	})
	want := startText[:len(startText)-1] + " [1]. " + stopText[:len(stopText)-1] + " [2]."
	if r.Answer != want {
		t.Errorf("answer\n%s\nwant\n%s", r.Answer, want)
	}
	var claims []string
	for _, f := range r.Findings {
		claims = append(claims, f.Claim)
	}
	if diff := cmp.Diff([]string{startText, stopText}, claims); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	dropped := func(text, why string) bool {
		return slices.ContainsFunc(r.Dropped, func(d research.Dropped) bool {
			return strings.Contains(d.Text, text) && strings.Contains(d.Why, why)
		})
	}
	for why, lie := range lies(pump, garden) {
		if !dropped(lie.Claim, why) && !dropped(lie.Quotes[0].Text, why) {
			t.Errorf("%q is not listed as removed because of %q:\n%s", lie.Claim, why, jsonOf(t, r.Dropped))
		}
	}
	for text, why := range map[string]string{"400 litres": "the number 400", "A stop empties": "negate", "pump.Halt": `"pump.Halt"`, "reliable": "cites no finding", "in a hurry": "does not exist"} {
		if !dropped(text, why) {
			t.Errorf("the sentence with %q is not listed as removed because of %q", text, why)
		}
	}
	for question, why := range map[string]string{broken: "failed", stop: "what it had found until then is in the report", lying: "did not pass", "who painted the pump": "reports"} {
		if !slices.ContainsFunc(r.Gaps, func(g research.Gap) bool { return g.Question == question && strings.Contains(g.Why, why) }) {
			t.Errorf("%q is not a gap because of %q: %+v", question, why, r.Gaps)
		}
	}
	if r.Run.Agents != 6 || r.Run.TokensIn == 0 || len(r.Sources) != 1 {
		t.Errorf("totals %+v, sources %+v", r.Run, r.Sources)
	}
}

// A writer whose every sentence is wrong costs the answer its style, not its truth.
func TestLyingWriter(t *testing.T) {
	t.Parallel()
	r := run(t, func(p, g decouple.NoteID) scripted {
		s := story(t, p, g)
		s.agents["writer"] = func(string, []string) reply { return reply{text: "The pump is red [1]. It hums [2]. All is well."} }
		return s
	})
	want := "- " + startText[:len(startText)-1] + " [1].\n- " + stopText[:len(stopText)-1] + " [2]."
	if r.Answer != want || len(r.Dropped) == 0 {
		t.Errorf("answer\n%s\nwant\n%s", r.Answer, want)
	}
}

// A server that fails from the first request on leaves a report that says so.
func TestDeadServer(t *testing.T) {
	t.Parallel()
	r := run(t, func(decouple.NoteID, decouple.NoteID) scripted {
		dead := func(string, []string) reply { return reply{fail: http.StatusBadRequest} }
		return scripted{agents: map[string]func(string, []string) reply{"lead": dead, "researcher": dead, "writer": dead}}
	})
	if r.Answer != research.NotFound || len(r.Findings) != 0 || len(r.Gaps) == 0 || !strings.Contains(r.Gaps[0].Why, "failed") {
		t.Errorf("got %+v", r)
	}
}
