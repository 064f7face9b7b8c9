package placement_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"decouple.dev/decouple/placement"
)

const customer = "../examples/contracts/enterprise"

func in(p placement.Place, change func(*placement.Place)) placement.Place {
	change(&p)
	return p
}

var (
	groq  = placement.Place{ID: "groq/gpt-oss-120b", Vendor: "groq", Region: "global", Model: "gpt-oss-120b", Lab: "openai", Open: true}
	local = placement.Place{ID: "builtin", Vendor: "builtin", Model: "builtin", Lab: "decouple"}
	house = placement.Place{ID: "rack/house-7b", Vendor: "compatible", Model: "gpt-oss-20b", Lab: "openai", Open: true}
	web   = placement.Place{ID: "pay.example", Geo: "eu"}
	lab   = placement.Place{ID: "lab-1", Geo: "eu", Labels: []string{"lab"}}
)

func call(class, team string, labels ...string) placement.Need {
	return placement.Need{Action: placement.CallModel, Class: class, Team: team, Labels: labels}
}

func useTool(name, team, agent, args string, labels ...string) placement.Need {
	return placement.Need{Action: placement.UseTool, Class: "stateless_api", Team: team, Agent: agent, Tool: name, Args: json.RawMessage(args), Labels: labels}
}

// cases are of the customer's own contracts: what is asked, and the clause that decides.
var cases = []struct {
	name    string
	need    placement.Need
	place   placement.Place
	verdict placement.Verdict
	effect  placement.Effect
	clause  string
	why     string // a part of the sentence
}{
	{"personal data in Europe", call("stateless_api", "sales", "personal"), azure, placement.Allow, placement.Go, "data/eu-residency", ""},
	{"personal data in America", call("stateless_api", "sales", "personal"), in(azure, func(p *placement.Place) { p.Region, p.Geo = "eastus2", "us" }), placement.Deny, placement.Stop, "data/eu-residency", "European Union"},
	{"personal data nobody knows where", call("stateless_api", "sales", "personal"), in(azure, func(p *placement.Place) { p.Geo = "" }), placement.Deny, placement.Stop, "data/eu-residency", "the geography is not known"},
	{"personal data to a tool's host abroad", useTool("http.request", "sales", "", `{"method":"GET"}`, "personal"), in(web, func(p *placement.Place) { p.Geo = "us" }), placement.Deny, placement.Stop, "data/eu-residency", ""},
	{"a label in capitals", call("stateless_api", "sales", "Personal"), bedrock, placement.Deny, placement.Stop, "data/eu-residency", ""},
	{"nothing said of training", call("stateless_api", "engineering", "confidential"), groq, placement.Deny, placement.Stop, "data/no-training", "training is not known"},
	{"training for a fact of its own", call("stateless_api", "engineering", "confidential"), in(house, func(p *placement.Place) { p.Facts = map[string]string{"training": "yes"} }), placement.Deny, placement.Stop, "data/no-training", ""},
	{"the vendor has promised", call("stateless_api", "engineering", "confidential"), bedrock, placement.Allow, placement.Go, "data/no-training", ""},
	{"the vendor has promised and the place says otherwise", call("stateless_api", "engineering", "confidential"), in(bedrock, func(p *placement.Place) { p.Facts = map[string]string{"training": "yes"} }), placement.Deny, placement.Stop, "data/no-training", ""},
	{"export-controlled abroad", call("stateless_api", "engineering", "export-controlled"), bedrock, placement.Deny, placement.Stop, "data/no-secrets-abroad", ""},
	{"export-controlled nobody knows where", call("stateless_api", "engineering", "export-controlled"), in(azure, func(p *placement.Place) { p.Geo = "" }), placement.Deny, placement.Stop, "data/no-secrets-abroad", "the geography is not known"},
	{"export-controlled in Europe", call("stateless_api", "engineering", "export-controlled"), azure, placement.Allow, placement.Go, "departments/models", ""},
	{"a model of the department", call("stateless_api", "engineering"), bedrock, placement.Allow, placement.Go, "departments/models", ""},
	{"a model of another department", call("stateless_api", "legal"), bedrock, placement.Deny, placement.Stop, "departments/models", ""},
	{"a model for everybody else", call("stateless_api", "sales"), azure, placement.Allow, placement.Go, "departments/models", ""},
	{"a model that is not on everybody's list", call("stateless_api", "sales"), bedrock, placement.Deny, placement.Stop, "departments/models", ""},
	{"nobody knows the department", call("stateless_api", ""), bedrock, placement.Deny, placement.Stop, "departments/models", "the team is not known"},
	{"long work on a model that retires in two months", call("stateful_runtime", "engineering"), in(azure, func(p *placement.Place) { p.Facts = map[string]string{"retires": "2027-01-31"} }), placement.Deny, placement.Stop, "azure-2026/retirement", ""},
	{"long work on a model that retires in half a year", call("stateful_runtime", "engineering"), in(azure, func(p *placement.Place) { p.Facts = map[string]string{"retires": "2027-06-30"} }), placement.Allow, placement.Go, "departments/models", ""},
	{"short work on a model that retires", call("stateless_api", "engineering"), in(azure, func(p *placement.Place) { p.Facts = map[string]string{"retires": "2027-01-31"} }), placement.Allow, placement.Go, "departments/models", ""},
	{"a day of retirement that cannot be read", call("stateful_runtime", "engineering"), in(azure, func(p *placement.Place) { p.Facts = map[string]string{"retires": "soon"} }), placement.Deny, placement.Stop, "azure-2026/retirement", ""},
	{"a sub-processor that was announced long ago", call("stateless_api", "engineering", "confidential"), in(bedrock, func(p *placement.Place) { p.Vendor = "vertex" }), placement.Allow, placement.Go, "azure-2026/subprocessors", ""},
	{"a sub-processor that was not announced", call("stateless_api", "engineering", "confidential"), in(house, func(p *placement.Place) { p.Facts = map[string]string{"training": "no"} }), placement.Deny, placement.Stop, "azure-2026/subprocessors", ""},
	{"a sub-processor below a vendor that was", call("stateless_api", "engineering", "confidential"), in(bedrock, func(p *placement.Place) { p.Facts = map[string]string{"subprocessor": "somebody"} }), placement.Deny, placement.Stop, "azure-2026/subprocessors", ""},
	{"the model in this program", call("stateless_api", "legal", "personal"), local, placement.Allow, placement.Go, "data/eu-residency", ""},
	{"reading by HTTP", useTool("http.request", "sales", "", `{"method":"GET"}`), web, placement.Allow, placement.Go, "", "no clause"},
	{"writing by HTTP", useTool("http.request", "sales", "", `{"method":"POST"}`), web, placement.Deny, placement.Stop, "departments/no-writes", ""},
	{"writing by HTTP, of engineering", useTool("http.request", "engineering", "", `{"method":"POST"}`), web, placement.Allow, placement.Go, "", ""},
	{"a method that cannot be told", useTool("http.request", "sales", "", `{}`), web, placement.Deny, placement.Stop, "departments/no-writes", ""},
	{"a large refund", useTool("payments.refund", "sales", "clerk", `{"amount":501}`), web, placement.Deny, placement.Stop, "departments/refunds", "release by treasury"},
	{"a small refund", useTool("payments.refund", "sales", "clerk", `{"amount":500}`), web, placement.Allow, placement.Go, "", ""},
	{"a large refund by the treasury", useTool("payments.refund", "sales", "treasury-clerk", `{"amount":501}`), web, placement.Allow, placement.Go, "departments/refunds", ""},
	{"a run on personal data in the laboratory", placement.Need{Action: placement.RunAgent, Labels: []string{"personal"}}, lab, placement.Deny, placement.Stop, "departments/site-lab", ""},
	{"a run in the laboratory", placement.Need{Action: placement.RunAgent}, lab, placement.Allow, placement.Go, "", ""},
	{"a batch by Groq", call("batch", "engineering"), groq, placement.Allow, placement.Go, "departments/partner-batch", ""},
	{"other work by Groq", call("stateless_api", "engineering"), groq, placement.Unknown, placement.Hold, "departments/partner-batch", "no clause speaks of the class stateless_api"},
	{"work of no class by Groq", call("", "engineering"), groq, placement.Unknown, placement.Hold, "departments/partner-batch", "class is not said"},
}

func TestCustomer(t *testing.T) {
	t.Parallel()
	p := policy(t, placement.Book{Contracts: read(t, customer)}, at(t, "2026-11-30", ""))
	for _, c := range cases {
		r := p.Judge(&c.need, &c.place)
		if r.Verdict != c.verdict || r.Effect != c.effect || !strings.Contains(r.Why, c.why) {
			t.Errorf("%s: %s, %s, want %s, %s: %s", c.name, r.Verdict, r.Effect, c.verdict, c.effect, r.Why)
		}
		if c.clause != "" && !slices.ContainsFunc(r.Clauses, func(x placement.Cited) bool {
			return x.ID == c.clause && x.Contract != "" && x.Text != "" && x.Confidence == placement.Signed
		}) {
			t.Errorf("%s: decided by %v, and not by %s", c.name, r.Clauses, c.clause)
		}
	}
}

// said is what a person sees of a ruling: the verdict, what lifts it, and the clauses that decided.
func said(r placement.Ruling) string {
	line := string(r.Verdict) + " " + strings.Join(r.Needs, ",")
	for _, c := range r.Clauses {
		line += " " + c.ID + "=" + string(c.Reads)
	}
	return line + "\n"
}

// outcome is everything that contracts say to the cases, as text: what changes when a kind is left out.
func outcome(t *testing.T, without placement.Kind) string {
	return outcomeOf(t, placement.Book{Contracts: read(t, history)}, placement.Book{Contracts: read(t, customer)}, without)
}

func outcomeOf(t *testing.T, past, own placement.Book, without ...placement.Kind) string {
	t.Helper()
	make := func(b placement.Book, m placement.Moment) *placement.Policy {
		p, err := placement.Compile(b, m)
		if len(without) > 0 && without[0] != "" {
			p, err = placement.CompileWithout(b, m, without[0])
		}
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	var b strings.Builder
	for _, c := range golden {
		b.WriteString(said(make(past, at(t, c.asOf, "")).Judge(&placement.Need{Action: placement.CallModel, Class: c.class, Labels: c.labels}, &c.place)))
	}
	p := make(own, at(t, "2026-11-30", ""))
	for _, c := range cases {
		b.WriteString(said(p.Judge(&c.need, &c.place)))
	}
	figures, err := json.Marshal([]any{p.Shares(), p.Commitments(), p.RevShares()})
	if err != nil {
		t.Fatal(err)
	}
	return b.String() + string(figures)
}

// TestEveryKindMatters leaves the clauses of each kind out: that must show in some case, or the cases prove nothing of it.
func TestEveryKindMatters(t *testing.T) {
	t.Parallel()
	all := outcome(t, "")
	for _, k := range placement.Kinds() {
		if outcome(t, k) == all {
			t.Errorf("no case changes when the clauses of the kind %s are ignored", k)
		}
	}
}

// TestEveryClauseMatters takes each clause of the examples out: that must show in some case, too.
func TestEveryClauseMatters(t *testing.T) {
	t.Parallel()
	past, own := read(t, history), read(t, customer)
	all := outcomeOf(t, placement.Book{Contracts: past}, placement.Book{Contracts: own})
	for _, list := range [][]placement.Contract{past, own} {
		for i := range list {
			whole := list[i].Clauses
			for j := range whole {
				list[i].Clauses = slices.Concat(whole[:j], whole[j+1:])
				if outcomeOf(t, placement.Book{Contracts: past}, placement.Book{Contracts: own}) == all {
					t.Errorf("no case changes without %s/%s", list[i].ID, whole[j].ID)
				}
			}
			list[i].Clauses = whole
		}
	}
}
