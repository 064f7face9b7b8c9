package engine

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the scenarios print into their files")

// TestScenarios plays text files of "command, ----, expected". After each command stands what Next says then. The commands are:
//
//	run AGENT [writer=W] [agents=A,B] [child] [tokens=N] [tools=N] [agents_max=N] [depth=N] [children=N] [steps=N] [writeup=N] [deadline=SECONDS] [usd=N]
//	answer [say:TEXT] [TOOL:ARG]... [spawn:AGENT:QUESTION]... [used=N] [finish=length]   the model answers
//	result CALL TEXT [found:X]                                         a tool or refusal comes back
//	spawned CALL RUN [grant tokens] / joined RUN CAUSE TEXT [used=N]   a child begins, ends
//	held [CALL] [hold=SECONDS]                                         contracts hold the next model call, or a tool call
//	sign CALL yes|no|late                                              a person decides, or nobody does
//	lifted CALL                                                        nothing holds it any more
//	lost N / canceled WHO / at SECONDS / do                            do performs what Next said: refusals are applied, children spawned
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(b))
			if *update {
				if err := os.WriteFile(f, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if d := cmp.Diff(string(b), got); d != "" {
				t.Error(d)
			}
		})
	}
}

// play runs a file and gives it back with what came out.
func play(t *testing.T, text string) string {
	var out strings.Builder
	p := &player{t: t}
	for i, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		command, _, _ := strings.Cut(block, "\n----")
		if i > 0 {
			out.WriteString("\n")
		}
		for _, line := range strings.Split(command, "\n") {
			if !strings.HasPrefix(line, "#") {
				p.do(strings.Fields(line))
			}
		}
		fmt.Fprintf(&out, "%s\n----\n%s\n", command, describe(Next(&p.s)))
	}
	return out.String()
}

type player struct {
	t *testing.T
	s State
}

func (p *player) apply(pl payload) {
	b, err := json.Marshal(pl)
	if err != nil {
		p.t.Fatal(err)
	}
	e := decouple.Event{Kind: pl.kind(), KindVersion: 1, Seq: p.s.Seq + 1, Time: p.s.Now, Payload: b}
	if p.s, err = Apply(p.s, e); err != nil {
		p.t.Fatal(err)
	}
}

func (p *player) do(words []string) {
	num := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			p.t.Fatalf("%v: %v", words, err)
		}
		return n
	}
	opts := map[string]string{}
	var args []string
	for _, w := range words[1:] {
		if k, v, ok := strings.Cut(w, "="); ok {
			opts[k] = v
		} else {
			args = append(args, w)
		}
	}
	used := decouple.Usage{TokensIn: 100}
	if opts["used"] != "" {
		used.TokensIn = num(opts["used"])
	}
	switch words[0] {
	case "run":
		p.begin(args, opts, num)
	case "answer":
		call, _ := Next(&p.s).(CallModel)
		p.apply(answered{Step: p.s.Steps + 1, Message: speech(args), Usage: used, Final: call.Final, Finish: decouple.Finish(opts["finish"])})
	case "result":
		r := result{Call: decouple.CallID(args[0]), Text: args[1]}
		for _, a := range args[2:] {
			r.Found = append(r.Found, strings.TrimPrefix(a, "found:"))
		}
		p.apply(progress{Results: []result{r}})
	case "nothing":
		p.apply(progress{Results: []result{{Call: decouple.CallID(args[0]), Text: "nothing", Found: []string{"old"}}}})
	case "joined":
		j := joined{Child: decouple.RunID(args[0]), Cause: decouple.Cause{Kind: decouple.CauseKind(args[1]), Why: "its reason"}, Answer: args[2], Used: account{Tokens: used.TokensIn}}
		for _, c := range p.s.Children {
			if c.ID == j.Child {
				j.Call = c.Call
			}
		}
		p.apply(progress{Results: []result{{Call: j.Call, Text: endText(j), Child: &j}}})
	case "lost":
		p.apply(lost{Settled: account{Tokens: num(args[0])}})
	case "held":
		h := held{asked: asked{Call: callID(p.s.Steps+1, -1), Rules: []askedRule{{Quorum: 1}}, Hash: "h", At: p.s.Now}, Clauses: []clause{{ID: "ms/stateful"}}, Why: "it is disputed"}
		if len(args) > 0 {
			h.Call = decouple.CallID(args[0])
		} else {
			h.Step = p.s.Steps + 1
		}
		if opts["hold"] != "" {
			h.Expires = p.s.Now.Add(time.Duration(num(opts["hold"])) * time.Second)
		}
		p.apply(h)
	case "sign":
		p.apply(decided{Call: decouple.CallID(args[0]), Hash: "h", Approve: args[1] == "yes", Expired: args[1] == "late", By: decouple.Actor{Kind: decouple.ActorPerson, ID: "ada"}, At: p.s.Now})
	case "lifted":
		p.apply(lifted{Call: decouple.CallID(args[0]), At: p.s.Now})
	case "canceled":
		p.apply(canceled{By: args[0]})
	case "at":
		p.s.Now = time.Unix(num(args[0]), 0)
	case "do":
		p.perform()
	default:
		p.t.Fatalf("unknown command %v", words)
	}
}

func (p *player) begin(args []string, opts map[string]string, num func(string) int64) {
	get := func(k string) int64 {
		if opts[k] == "" {
			return 0
		}
		return num(opts[k])
	}
	c := created{Task: json.RawMessage(`{"question":"q"}`), Price: decouple.Price{Known: true, In: decouple.USD, Out: decouple.USD}}
	c.Run = decouple.Run{ID: "r", Root: "r", Agent: decouple.AgentName(args[0])}
	if len(args) > 1 {
		c.Run.ID, c.Run.Parent = "r.1", "r"
	}
	c.Envelope = decouple.Envelope{
		USD: decouple.Money(get("usd")), Tokens: get("tokens"), ToolCalls: get("tools"), Agents: get("agents_max"), Depth: int(get("depth")),
		Children: int(get("children")), Steps: int(get("steps")), WriteUp: int(get("writeup")),
	}
	if d := get("deadline"); d > 0 {
		c.Run.Deadline, c.Envelope.Time = time.Unix(d, 0), time.Duration(d)*time.Second
	}
	p.s = State{Now: time.Unix(0, 0), Agent: decouple.Agent{Tools: []string{"look", "act"}, Writer: decouple.AgentName(opts["writer"])}}
	for _, a := range strings.Split(opts["agents"], ",") {
		if a != "" {
			p.s.Agent.Agents = append(p.s.Agent.Agents, decouple.AgentName(a))
		}
	}
	p.apply(c)
}

// speech makes a message of words.
func speech(words []string) decouple.Message {
	m := decouple.Message{Role: decouple.Assistant}
	for i, w := range words {
		kind, rest, _ := strings.Cut(w, ":")
		call := &decouple.ToolCall{ID: fmt.Sprint("c", i), Name: kind, Args: json.RawMessage(`{"n":"` + rest + `"}`)}
		switch kind {
		case "say":
			m.Parts = append(m.Parts, decouple.Part{Text: rest})
			continue
		case "spawn":
			to, q, _ := strings.Cut(rest, ":")
			call.Name, call.Args = decouple.ToolSpawn, json.RawMessage(`{"agent":"`+to+`","task":{"question":"`+q+`"}}`)
		}
		m.Parts = append(m.Parts, decouple.Part{Call: call})
	}
	return m
}

// perform does what Next says, as far as it is the engine's own.
func (p *player) perform() {
	switch e := Next(&p.s).(type) {
	case Refuse:
		p.apply(progress{Results: e.results})
	case Spawn:
		var n progress
		for _, c := range e.Children {
			n.Spawned = append(n.Spawned, spawned{Call: c.Call, Child: c.ID, Grant: c.Grant})
		}
		n.Wrap = e.Wrap
		p.apply(n)
	case Finish:
		p.apply(ended{Cause: e.Cause, Answer: e.Answer})
	default:
		p.t.Fatalf("do cannot do %T", e)
	}
}

func describe(e Effect) string {
	switch e := e.(type) {
	case CallModel:
		s := fmt.Sprintf("call the model, step %d, offering %s, at most %d tokens in all and %d of answer", e.Step, strings.Join(e.Offer, " "), e.Need.Tokens, e.MaxTokens)
		if e.NoTools {
			s += ", to finish: " + e.Final
		}
		return s
	case CallTools:
		s := "call"
		for _, c := range e.Calls {
			s += fmt.Sprintf(" %s %s%s", c.ID, c.Name, c.Args)
		}
		return s
	case Expire:
		return "say that nobody has decided on " + string(e.Calls[0].ID)
	case Refuse:
		s := "refuse"
		for _, r := range e.results {
			s += fmt.Sprintf("\n  %s (%s): %s", r.Call, r.Refused, r.Text)
		}
		return s
	case Spawn:
		s := "spawn"
		if e.Wrap != nil {
			s += fmt.Sprintf(" to write up (%s %s)", e.Wrap.Kind, e.Wrap.Why)
		}
		for _, c := range e.Children {
			s += fmt.Sprintf("\n  %s for %s: %s %q with %d tokens, %d agents, %d tools", c.ID, c.Call, c.Agent, c.Label, c.Grant.Tokens, c.Grant.Agents, c.Grant.Tools)
		}
		return s
	case Wait:
		return fmt.Sprintf("wait for %v", e.Children) + waits(e)
	case Finish:
		return fmt.Sprintf("end as %s %q, answer %q, canceling %v", e.Cause.Kind, e.Cause.Why, e.Answer, e.Cancel)
	}
	return "nothing"
}

func waits(w Wait) string {
	s := ""
	for _, p := range w.People {
		s += ", for a person: " + p
	}
	for _, c := range w.Contracts {
		s += ", for " + c
	}
	for _, n := range w.Signals {
		s += ", for the signal " + n
	}
	if !w.Wake.IsZero() {
		s += fmt.Sprintf(", until %d: %s", w.Wake.Unix(), w.Why)
	}
	return s
}
