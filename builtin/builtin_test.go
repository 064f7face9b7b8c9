package builtin_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/builtin"
)

func tools(names ...string) []decouple.ToolSpec {
	var specs []decouple.ToolSpec
	for _, n := range names {
		specs = append(specs, decouple.ToolSpec{Name: n, Description: "does it", Params: json.RawMessage(`{"type":"object"}`)})
	}
	return specs
}

func answer(t *testing.T, req decouple.Request) decouple.Answer {
	t.Helper()
	a, err := builtin.Answer(req)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// exchange is a call by the model and its result.
func exchange(id, tool, args, result string, failed bool) []decouple.Message {
	return []decouple.Message{
		{Role: decouple.Assistant, Parts: []decouple.Part{{Call: &decouple.ToolCall{ID: id, Name: tool, Args: json.RawMessage(args)}}}},
		{Role: decouple.ToolRole, Parts: []decouple.Part{{Result: &decouple.ToolResult{ID: id, Name: tool, Text: result, Error: failed}}}},
	}
}

func TestNobodyHasSpoken(t *testing.T) {
	t.Parallel()
	_, err := builtin.Answer(decouple.Request{Messages: []decouple.Message{decouple.Text(decouple.System, "Be brief.")}})
	if decouple.KindOf(err) != decouple.Invalid {
		t.Errorf("got %v", err)
	}
}

func TestPlainQuestionIsATask(t *testing.T) {
	t.Parallel()
	for _, question := range []string{"How do locks work?", `{"question":"How do locks work?"}`} {
		a := answer(t, decouple.Request{Messages: []decouple.Message{decouple.Text(decouple.User, question)}, Tools: tools(decouple.ToolSearch)})
		calls := a.Message.Calls()
		if len(calls) != 1 || calls[0].Name != decouple.ToolSearch || !strings.Contains(string(calls[0].Args), `"query":"How do locks work?"`) || calls[0].ID == "" {
			t.Errorf("%s: got %+v", question, calls)
		}
		if a.Finish != decouple.FinishTools || a.Model != builtin.Name {
			t.Errorf("got %+v", a)
		}
	}
}

func TestWithoutToolsItSaysSo(t *testing.T) {
	t.Parallel()
	var streamed string
	req := decouple.Request{Messages: []decouple.Message{decouple.Text(decouple.User, "Hello")}, Tokens: func(s string) { streamed += s }}
	a := answer(t, req)
	if !strings.Contains(a.Message.Text(), builtin.NotFound) || a.Finish != decouple.FinishStop || streamed != a.Message.Text() {
		t.Errorf("got %+v, streamed %q", a, streamed)
	}
}

func TestNoToolsAnswersAtOnce(t *testing.T) {
	t.Parallel()
	found := exchange("c1", decouple.ToolFindingsAdd, `{"claim":"Locks block.","quotes":[]}`, `{"accepted":1}`, false)
	spawned := exchange("c2", decouple.ToolSpawn, `{}`, `done`, false)
	bad := append(exchange("c3", decouple.ToolFindingsAdd, `3`, `{"accepted":1}`, false), exchange("c4", decouple.ToolFindingsAdd, `{}`, `{"accepted":0}`, false)...)
	for _, c := range []struct {
		name     string
		messages []decouple.Message
		want     string
	}{
		{"nothing", nil, builtin.NotFound},
		{"found", found, "Found: Locks block."},
		{"spawned", spawned, "Asked 1 sub-agents; what they found stands in their findings."},
		{"refused", bad, builtin.NotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			req := decouple.Request{NoTools: true, Tools: tools(decouple.ToolSearch), Messages: append([]decouple.Message{decouple.Text(decouple.User, "How do locks work?")}, c.messages...)}
			if got := answer(t, req).Message.Text(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestMaxTokens(t *testing.T) {
	t.Parallel()
	req := decouple.Request{Messages: []decouple.Message{decouple.Text(decouple.User, "Hello")}, MaxTokens: 5}
	a := answer(t, req)
	if a.Finish != decouple.FinishLength || a.Usage.TokensOut > 5 || a.Message.Text() == "" {
		t.Errorf("got %+v", a)
	}
	req = decouple.Request{Messages: []decouple.Message{decouple.Text(decouple.User, "How do locks work?")}, Tools: tools(decouple.ToolSearch), MaxTokens: 2}
	if a := answer(t, req); a.Finish != decouple.FinishLength || len(a.Message.Calls()) != 0 || a.Message.Text() != "" {
		t.Errorf("a call that does not fit must not be made: %+v", a)
	}
	if got := answer(t, decouple.Request{Messages: []decouple.Message{decouple.Text(decouple.User, "Grüße")}, NoTools: true, MaxTokens: 1}).Message.Text(); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestUsageIsEstimated(t *testing.T) {
	t.Parallel()
	messages := append([]decouple.Message{decouple.Text(decouple.User, "How do locks work?")}, exchange("c1", decouple.ToolSearch, `{"query":"x"}`, `{}`, false)...)
	a := answer(t, decouple.Request{Messages: messages, Tools: tools(decouple.ToolSearch), NoTools: true})
	in := decouple.EstimateTokens("How do locks work?") + decouple.EstimateTokens(decouple.ToolSearch+`{"query":"x"}`) + decouple.EstimateTokens("{}") +
		decouple.EstimateTokens(decouple.ToolSearch+"does it"+`{"type":"object"}`)
	want := decouple.Usage{TokensIn: in, TokensOut: decouple.EstimateTokens(a.Message.Text()), Estimated: true}
	if d := cmp.Diff(want, a.Usage); d != "" {
		t.Error(d)
	}
}

func TestReencodedArgumentsAreRecognised(t *testing.T) {
	t.Parallel()
	req := decouple.Request{Messages: []decouple.Message{decouple.Text(decouple.User, "How do locks work?")}, Tools: tools(decouple.ToolSearch, decouple.ToolFindingsAdd)}
	args := string(answer(t, req).Message.Calls()[0].Args)
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(args), &members); err != nil {
		t.Fatal(err)
	}
	other := ` { "limit": ` + string(members["limit"]) + `, "query": ` + string(members["query"]) + ` } `
	req.Messages = append(req.Messages, exchange("c1", decouple.ToolSearch, other, `{"passages":3,"units":[]}`, false)...)
	if got := answer(t, req).Message.Text(); got != builtin.NotFound {
		t.Errorf("the search was asked for again: %q", got)
	}
}

func TestCallWithoutResult(t *testing.T) {
	t.Parallel()
	req := decouple.Request{Messages: []decouple.Message{decouple.Text(decouple.User, "How do locks work?")}, Tools: tools(decouple.ToolSearch)}
	req.Messages = append(req.Messages, answer(t, req).Message)
	if got := answer(t, req).Message.Text(); got != "Not found: How do locks work? (the search failed: no result)" {
		t.Errorf("got %q", got)
	}
}

func TestWriter(t *testing.T) {
	t.Parallel()
	f := func(n int, claim, asked string) decouple.Finding {
		return decouple.Finding{Number: n, Claim: claim, Asked: asked}
	}
	for _, c := range []struct {
		name     string
		findings []decouple.Finding
		want     string
	}{
		{"none", nil, "Not found in the sources."},
		{"one question", []decouple.Finding{f(1, "Locks block.", "a"), f(2, "Do they? They do", "a"), f(3, "Locks block.", "a"), f(4, "Fourth.", "a")}, "Locks block [1]. Do they [2]? They do [2]."},
		{"several", []decouple.Finding{f(1, "Locks block.", "a"), f(2, "Channels send.", "b"), f(3, "Channels close.", "b")}, "- Locks block [1].\n- Channels send [2]."},
		{"the rule and not the remark", []decouple.Finding{f(1, "There are two locks in all.", "a"), f(2, "A lock is synchronized before the next one.", "a"), f(3, "A send is synchronized before a receive.", "b"),
			f(4, "A call of Once is synchronized before it returns.", "c")}, "- A lock is synchronized before the next one [2].\n- A send is synchronized before a receive [3].\n- A call of Once is synchronized before it returns [4]."},
		{"empty claim", []decouple.Finding{f(1, "", "a")}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			req := decouple.Request{Messages: []decouple.Message{decouple.Text(decouple.User, `{"question":"q"}`)}, Tools: tools(decouple.ToolFindingsList)}
			first := answer(t, req)
			if calls := first.Message.Calls(); len(calls) != 1 || calls[0].Name != decouple.ToolFindingsList || string(calls[0].Args) != "{}" {
				t.Fatalf("got %+v", calls)
			}
			req.Messages = append(req.Messages, exchange("call_1", decouple.ToolFindingsList, `{}`, text(decouple.FindingsResult{Question: "q", Findings: c.findings}), false)...)
			if got := answer(t, req).Message.Text(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	req := decouple.Request{Messages: append([]decouple.Message{decouple.Text(decouple.User, `{"question":"q"}`)}, exchange("c", decouple.ToolFindingsList, `{}`, "the store is closed", true)...), Tools: tools(decouple.ToolFindingsList)}
	if got := answer(t, req).Message.Text(); got != "The findings could not be read: the store is closed" {
		t.Errorf("got %q", got)
	}
}

// FuzzAnswer feeds any text as task, as arguments and as results of every tool: whatever comes, there is an answer, and each call in it has JSON arguments.
func FuzzAnswer(f *testing.F) {
	unit := `{"note":"n","title":"t","path":"p.md","section":["A","B"],"kind":"paragraph","start":3,"end":30,"text":"Locks block the goroutine until they are free.","score":1}`
	f.Add(`{"question":"How do locks block, and which kinds are there?"}`, `{"passages":2,"terms":[{"term":"lock","passages":1}],"units":[`+unit+`]}`,
		`{"note":"n","sections":[{"path":["A"],"start":0,"end":90},{"path":["A","B"],"start":3,"end":40},{"path":["A","C"],"start":40,"end":90}]}`,
		`{"note":"n","start":0,"end":60,"text":"A. Locks block the goroutine until they are free.","units":[`+unit+`]}`, `{"accepted":1}`)
	f.Add(`{"question":"q","section":["A","B"],"sources":["n"],"theme":["x"]}`, `{"passages":-5,"units":[{"start":-9,"text":":"}]}`, `{"sections":[{"path":[],"start":9,"end":-9}]}`, `{"start":-4,"text":"x"}`, `3`)
	f.Fuzz(func(t *testing.T, task, search, outline, read, added string) {
		req := decouple.Request{Messages: []decouple.Message{decouple.Text(decouple.User, task)},
			Tools: tools(decouple.ToolSearch, decouple.ToolOutline, decouple.ToolRead, decouple.ToolFindingsAdd, decouple.ToolSpawn, "unknown")}
		results := map[string]string{decouple.ToolSearch: search, decouple.ToolOutline: outline, decouple.ToolRead: read, decouple.ToolFindingsAdd: added, decouple.ToolSpawn: search}
		for range 8 {
			a := answer(t, req)
			req.Messages = append(req.Messages, a.Message)
			for _, c := range a.Message.Calls() {
				if !json.Valid(c.Args) {
					t.Fatalf("%s is not JSON", c.Args)
				}
				req.Messages = append(req.Messages, decouple.Message{Role: decouple.ToolRole, Parts: []decouple.Part{{Result: &decouple.ToolResult{ID: c.ID, Name: c.Name, Text: results[c.Name], Error: len(added)%5 == 4}}}})
			}
			if a.Finish != decouple.FinishTools {
				break
			}
		}
		req.NoTools = true
		answer(t, req)
		req.NoTools, req.Tools = false, tools(decouple.ToolFindingsList)
		req.Messages = append(req.Messages, exchange("list", decouple.ToolFindingsList, added, search, false)...)
		answer(t, req)
	})
}
