package exposure_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/risk/exposure"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// fleet is a catalog with accounts at five sellers.
func fleet(t *testing.T) *catalog.Catalog {
	t.Helper()
	cat, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	var eps []catalog.Endpoint
	for _, g := range []catalog.Grant{
		{Provider: "azure", URL: "https://acme.openai.azure.com", Regions: []string{"swedencentral", "uksouth"}, Models: map[catalog.ModelID]string{"gpt-5.4": "prod"}},
		{Provider: "openai", Models: map[catalog.ModelID]string{"gpt-5.4": "", "gpt-5.4-mini": ""}},
		{Provider: "anthropic", Models: map[catalog.ModelID]string{"sonnet-4.6": ""}},
		{Provider: "bedrock", Regions: []string{"eu-central-1"}, Models: map[catalog.ModelID]string{"sonnet-4.6": ""}},
		{Provider: "cerebras"},
	} {
		eps = append(eps, cat.Offer(g)...)
	}
	if cat, err = cat.WithEndpoints(eps); err != nil {
		t.Fatal(err)
	}
	return cat
}

func input(t *testing.T) exposure.Input {
	t.Helper()
	cat := fleet(t)
	facts, err := exposure.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	usd := func(n int64) decouple.Money { return decouple.Money(n) * decouple.USD }
	place := func(ep catalog.Endpoint) placement.Place {
		return gateway.PlaceOf(cat, ep)
	}
	return exposure.Input{
		Catalog: cat, Place: place, Facts: facts, Now: now, Since: now.AddDate(0, 0, -30),
		Flows: []exposure.Flow{
			{Class: "stateless_api", Agent: "support", Asked: "gpt-5.4", Model: "gpt-5.4", Endpoint: "azure/swedencentral/gpt-5.4", Calls: 6000, Tokens: 9_000_000, Spend: usd(600)},
			{Class: "stateless_api", Agent: "support", Asked: "gpt-5.4", Model: "gpt-5.4", Endpoint: "openai/us/gpt-5.4", Calls: 1000, Tokens: 1_500_000, Spend: usd(100)},
			{Agent: "claims", Asked: "sonnet-4.6", Model: "sonnet-4.6", Endpoint: "anthropic/global/sonnet-4.6", Calls: 2000, Tokens: 4_000_000, Spend: usd(250)},
			{Team: "labs", Asked: "openai/gpt-5.4-mini", Model: "gpt-5.4-mini", Endpoint: "openai/us/gpt-5.4-mini", Calls: 500, Tokens: 400_000, Spend: usd(2)},
			{Key: "k1", Asked: "gpt-oss-120b", Model: "gpt-oss-120b", Endpoint: "cerebras/gpt-oss-120b", Calls: 500, Tokens: 900_000, Spend: usd(1)},
		},
	}
}

// drilled adds what drills and parity evaluations have found.
func drilled(in exposure.Input) exposure.Input {
	node := func(s string) exposure.Node {
		n, _ := exposure.ParseNode(s)
		return n
	}
	in.Drills = []exposure.Drill{
		{ID: "drill-azure-7", Mode: "shadow", At: now.AddDate(0, 0, -20), Removed: []exposure.Node{node("seller:azure")}, Calls: 5000, Failed: 100},
		{ID: "drill-anthropic-1", Mode: "live", At: now.AddDate(0, -6, 0), Removed: []exposure.Node{node("seller:anthropic")}, Calls: 900, Failed: 0},
	}
	in.Parity = []exposure.Parity{
		{Primary: "azure/swedencentral/gpt-5.4", Alternate: "openai/us/gpt-5.4", Pass: true, At: now.AddDate(0, 0, -10)},
		{Primary: "anthropic/global/sonnet-4.6", Alternate: "bedrock/eu-central-1/sonnet-4.6", Pass: true, At: now.AddDate(-1, 0, 0)},
	}
	return in
}

func TestGolden(t *testing.T) {
	t.Parallel()
	empty := input(t)
	empty.Flows = nil
	for name, in := range map[string]exposure.Input{"recorded": drilled(input(t)), "catalog": empty} {
		r := exposure.Assess(in)
		for ext, text := range map[string]string{".md": r.Markdown(), ".html": r.HTML()} {
			file := filepath.Join("testdata", name+ext)
			if *update {
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(want) != text {
				t.Errorf("%s: read the difference, then -update:\n%s", file, cmp.Diff(string(want), text))
			}
			for _, bad := range []string{"<script", "http://", "src="} {
				if ext == ".html" && strings.Contains(strings.ReplaceAll(text, "http://www.w3.org/2000/svg", ""), bad) {
					t.Errorf("%s holds %q: a report reaches for nothing", file, bad)
				}
			}
		}
	}
}

func vendor(t *testing.T, r exposure.Report, name string) exposure.Grade {
	t.Helper()
	for _, g := range r.Vendors {
		if g.Name == name {
			return g
		}
	}
	t.Fatalf("no grade for %s", name)
	return exposure.Grade{}
}

func point(g exposure.Grade, rule string) int {
	for _, p := range g.Why {
		if p.Rule == rule {
			return p.Got
		}
	}
	return -1
}

func removal(t *testing.T, r exposure.Report, node string) exposure.Removal {
	t.Helper()
	for _, n := range r.Removals {
		if n.Node.String() == node {
			return n
		}
	}
	t.Fatalf("%s is not among the removals", node)
	return exposure.Removal{}
}

// TestShared is what the room is for: two vendors with one ancestor are one when it goes.
func TestShared(t *testing.T) {
	t.Parallel()
	r := exposure.Assess(input(t))
	// Azure's own customers move to OpenAI's endpoint, and OpenAI's to Azure's: neither loss alone costs support anything.
	for _, one := range []string{"seller:azure", "cloud:azure"} {
		if got := removal(t, r, one); got.Lost != 0 || got.Exposed != 0.6 {
			t.Errorf("without %s: %+v", one, got)
		}
	}
	if got := removal(t, r, "seller:openai"); got.Lost != 0.05 { // gpt-5.4-mini is nowhere else
		t.Errorf("without OpenAI's own endpoint: %+v", got)
	}
	// The lab is behind both.
	if got := removal(t, r, "lab:openai"); got.Lost != 0.75 || got.Basis != exposure.Computed {
		t.Errorf("without the lab: %+v", got)
	}
	// Cloudflare is in front of two vendors, which the bill does not say.
	if got := removal(t, r, "cdn:cloudflare"); math.Abs(got.Exposed-0.35) > 1e-9 || got.Lost != 0.05 {
		t.Errorf("without the network in front: %+v", got)
	}
	want := exposure.SinglePoint{Node: exposure.Node{Kind: exposure.OfLab, Name: "openai"}, Workload: "class stateless_api", Level: exposure.Critical, Basis: exposure.Computed}
	if !slices.Contains(r.Singles, want) {
		t.Errorf("the lab is a single point of support: %+v", r.Singles)
	}
}

func TestGrades(t *testing.T) {
	t.Parallel()
	bare, full := exposure.Assess(input(t)), exposure.Assess(drilled(input(t)))
	for _, rule := range []string{"parity", "drill"} {
		if was, is := point(vendor(t, bare, "azure"), rule), point(vendor(t, full, "azure"), rule); was != 0 || is <= was {
			t.Errorf("%s: a vendor without one has %d points, with one %d", rule, was, is)
		}
	}
	if r := removal(t, full, "seller:azure"); r.Basis != exposure.Measured || r.Lost != 0.02 || r.Computed != 0 {
		t.Errorf("a drill's measurement goes before the computation: %+v", r)
	}
	touched := drilled(input(t))
	touched.Drills[0].Touched = true
	if r := removal(t, exposure.Assess(touched), "seller:azure"); math.Abs(r.Lost-0.6*0.02) > 1e-9 {
		t.Errorf("a drill of the calls that hung on it: %+v", r)
	}
	// A drill of six months ago is overdue, and a parity evaluation of a year ago counts no more.
	g := vendor(t, full, "anthropic")
	if point(g, "drill") != 8 || point(g, "parity") != 0 {
		t.Errorf("anthropic: %+v", g)
	}
	fresh := drilled(input(t))
	fresh.Drills[1].At, fresh.Parity[1].At = now.AddDate(0, 0, -1), now.AddDate(0, 0, -1)
	if again := vendor(t, exposure.Assess(fresh), "anthropic"); point(again, "drill") != 20 || point(again, "parity") != 15 || again.Points <= g.Points {
		t.Errorf("anthropic, rehearsed: %+v", again)
	}
	for _, k := range exposure.Assess(fresh).Workloads {
		if k.Name == "agent claims" && (k.Grade.Points < 60 || k.Grade.Mark != "D" || !strings.Contains(k.Grade.Cap, "without lab:anthropic the critical workload agent claims")) {
			t.Errorf("a critical workload that one lab is behind: %+v", k.Grade)
		}
	}
	fresh.Drills[1].Mode = exposure.Simulated
	simulated := exposure.Assess(fresh)
	if again := vendor(t, simulated, "anthropic"); point(again, "drill") != 10 || removal(t, simulated, "seller:anthropic").Basis != exposure.Computed {
		t.Errorf("a drill in simulated clouds measures no loss of this customer: %+v", again)
	}
	fresh.Drills = append(fresh.Drills, exposure.Drill{ID: "own", Mode: "shadow", At: now.AddDate(0, 0, -9), Removed: fresh.Drills[1].Removed, Calls: 10})
	if again := vendor(t, exposure.Assess(fresh), "anthropic"); point(again, "drill") != 20 {
		t.Errorf("one with the customer's own calls goes before a newer one without: %+v", again)
	}
	fresh.Drills = fresh.Drills[:2]
	fresh.Drills[1].Duplicated = 1
	if broke := vendor(t, exposure.Assess(fresh), "anthropic"); broke.Mark < "E" || broke.Cap == "" || point(broke, "drill") != 0 {
		t.Errorf("a drill that did an effect twice: %+v", broke)
	}
	sum := 0
	for _, rule := range exposure.Rules() {
		sum += rule.Points
	}
	if sum != 100 {
		t.Errorf("the rules sum to %d", sum)
	}
	for _, all := range [][]exposure.Grade{bare.Reasons(), full.Reasons()} {
		for _, g := range all {
			sum := 0
			for _, p := range g.Why {
				sum += p.Got
				if p.Why == "" || p.Got < 0 || p.Got > p.Of {
					t.Errorf("%s: %+v", g.Name, p)
				}
			}
			if sum != g.Points || g.Cap == "" && g.Mark != exposure.MarkOf(sum) {
				t.Errorf("%s has %d points and reasons for %d", g.Name, g.Points, sum)
			}
		}
	}
}

// only permits what it names.
type only []string

func (o only) Judge(_ *placement.Need, p *placement.Place) placement.Ruling {
	switch {
	case slices.Contains(o, p.Cloud):
		return placement.Ruling{Verdict: placement.Allow, Effect: placement.Go}
	case p.Cloud == "":
		return placement.Ruling{Verdict: placement.Disputed, Effect: placement.Hold}
	}
	return placement.Ruling{Verdict: placement.Deny, Effect: placement.Stop}
}

func TestContractsLimitAlternates(t *testing.T) {
	t.Parallel()
	in := input(t)
	in.Judge = only{"azure"}
	r := exposure.Assess(in)
	if got := removal(t, r, "seller:azure"); got.Lost != 0.6 {
		t.Errorf("nobody but Azure may answer: %+v", got)
	}
	if !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "need a sign-off") }) {
		t.Errorf("alternates on hold are not told of: %q", r.Notes)
	}
}

func TestCriticality(t *testing.T) {
	t.Parallel()
	in := input(t)
	own, err := in.Facts.Over("own.yaml", []byte("criticality:\n- {team: labs, level: critical}\n- {class: stateless_api, level: low}\n"))
	if err != nil {
		t.Fatal(err)
	}
	level := func(r exposure.Report, name string) exposure.Level {
		for _, w := range r.Workloads {
			if w.Name == name {
				return w.Level
			}
		}
		return ""
	}
	before := exposure.Assess(in)
	in.Facts = own
	after := exposure.Assess(in)
	if level(before, "class stateless_api") != exposure.Critical || level(before, "agent claims") != exposure.Critical || level(before, "team labs") != exposure.Low {
		t.Errorf("by spend: %+v", before.Workloads)
	}
	if level(after, "class stateless_api") != exposure.Low || level(after, "team labs") != exposure.Critical {
		t.Errorf("by the file: %+v", after.Workloads)
	}
}

func TestEmpty(t *testing.T) {
	t.Parallel()
	in := input(t)
	in.Flows = nil
	r := exposure.Assess(in)
	if r.Basis != exposure.Assumed || !strings.HasPrefix(r.Notes[0], "No call was recorded") || len(r.Vendors) == 0 {
		t.Errorf("an empty ledger: %q, %q", r.Basis, r.Notes)
	}
	in.Judge = only{"azure"}
	for _, n := range exposure.Assess(in).Removals {
		if n.Node.Kind == exposure.OfSeller && n.Node.Name != "azure" {
			t.Errorf("nothing would go to %s, which the contracts deny", n.Node)
		}
	}
	in.Catalog = &catalog.Catalog{}
	if r := exposure.Assess(in); !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.HasPrefix(n, "No vendor can be called") }) {
		t.Errorf("nothing at all: %q", r.Notes)
	} else if text := r.Markdown(); strings.Contains(text, "every workload has a permitted alternate") || !strings.Contains(text, "no workload is known") {
		t.Errorf("nothing at all is called safe: %s", text)
	}
}

func TestDrillThatNoCallMet(t *testing.T) {
	t.Parallel()
	in := input(t)
	gone, err := exposure.ParseNode("seller:azure")
	if err != nil {
		t.Fatal(err)
	}
	met := exposure.Drill{ID: "met", Mode: "live", At: now.AddDate(0, 0, -9), Removed: []exposure.Node{gone}, Calls: 10, Failed: 5}
	none := exposure.Drill{ID: "none", Mode: "live", At: now.AddDate(0, 0, -1), Removed: []exposure.Node{gone}}
	for _, test := range []struct {
		drills []exposure.Drill
		got    int
	}{{[]exposure.Drill{none}, 0}, {[]exposure.Drill{met, none}, 10}} {
		in.Drills = test.drills
		for _, g := range exposure.Assess(in).Vendors {
			for _, p := range g.Why {
				if g.Name == "azure" && p.Rule == "drill" && p.Got != test.got {
					t.Errorf("%d points instead of %d: %s", p.Got, test.got, p.Why)
				}
			}
		}
	}
}

func TestForgottenEndpoint(t *testing.T) {
	t.Parallel()
	in := input(t)
	in.Flows = append(in.Flows, exposure.Flow{Agent: "old", Asked: "gpt-9", Model: "gpt-9", Endpoint: "azure/moon/gpt-9", Calls: 10}, exposure.Flow{Agent: "older", Calls: 1})
	r := exposure.Assess(in)
	if !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "azure/moon/gpt-9, unknown") }) {
		t.Errorf("notes: %q", r.Notes)
	}
	for _, d := range r.Dimensions {
		sum := 0.0
		for _, m := range d.Members {
			sum += m.Shares[exposure.ByCalls]
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Errorf("%s: shares sum to %v", d.Kind, sum)
		}
	}
}

func TestHHI(t *testing.T) {
	t.Parallel()
	for n := 1; n < 20; n++ {
		even := make([]float64, n)
		for i := range even {
			even[i] = 7
		}
		if h := exposure.HHI(even); math.Abs(h-1/float64(n)) > 1e-12 || math.Abs(exposure.Effective(h)-float64(n)) > 1e-9 {
			t.Errorf("%d alike: %v", n, h)
		}
	}
	dice := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		parts := make([]float64, 1+dice.IntN(30))
		some := 0
		for i := range parts {
			parts[i] = dice.Float64() * float64(dice.IntN(1000))
			if parts[i] > 0 {
				some++
			}
		}
		h := exposure.HHI(parts)
		if some == 0 && h != 0 || some > 0 && (h > 1 || h < 1/float64(some)-1e-9) {
			t.Fatalf("%v: %v", parts, h)
		}
		// Joining two holders never makes it less concentrated.
		if len(parts) > 1 {
			joined := append([]float64{parts[0] + parts[1]}, parts[2:]...)
			if j := exposure.HHI(joined); j < h-1e-12 {
				t.Fatalf("joined %v is less concentrated: %v, %v", parts, j, h)
			}
		}
	}
	if exposure.HHI(nil) != 0 || exposure.Effective(0) != 0 {
		t.Error("nothing is not concentrated")
	}
}

// randomEdges makes a graph with cycles.
func randomEdges(dice *rand.Rand) ([]exposure.Edge, []exposure.Node) {
	var nodes []exposure.Node
	for i := range 12 {
		nodes = append(nodes, exposure.Node{Kind: exposure.OfCloud, Name: fmt.Sprint(i)})
	}
	var edges []exposure.Edge
	for range 5 + dice.IntN(30) {
		strength := exposure.Hard
		if dice.IntN(2) == 0 {
			strength = exposure.Partial
		}
		edges = append(edges, exposure.Edge{From: nodes[dice.IntN(12)], To: nodes[dice.IntN(12)], Strength: strength})
	}
	return edges, nodes
}

func TestClosure(t *testing.T) {
	t.Parallel()
	dice := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		edges, nodes := randomEdges(dice)
		g := exposure.NewGraph(edges, now)
		of := map[exposure.Node]exposure.Strength{nodes[0]: exposure.Hard}
		once := g.Closure(of)
		if twice := g.Closure(once); !cmp.Equal(once, twice) {
			t.Fatalf("closing twice is not closing once:\n%s", cmp.Diff(once, twice))
		}
		// A further edge takes nothing away.
		more := exposure.NewGraph(append(edges, exposure.Edge{From: nodes[dice.IntN(12)], To: nodes[dice.IntN(12)], Strength: exposure.Hard}), now).Closure(of)
		for n, s := range once {
			if more[n] == "" || s == exposure.Hard && more[n] != exposure.Hard {
				t.Fatalf("%s was %s and is %q with one edge more", n, s, more[n])
			}
		}
	}
}

func TestDatedEdges(t *testing.T) {
	t.Parallel()
	a, b := exposure.Node{Kind: exposure.OfSeller, Name: "a"}, exposure.Node{Kind: exposure.OfCloud, Name: "b"}
	e := exposure.Edge{From: a, To: b, Strength: exposure.Hard, Since: now.AddDate(0, 0, -1), Until: now.AddDate(0, 0, 1)}
	for at, want := range map[time.Time]int{now.AddDate(0, 0, -2): 1, now: 2, now.AddDate(0, 0, 1): 1} {
		if got := exposure.NewGraph([]exposure.Edge{e}, at).Closure(map[exposure.Node]exposure.Strength{a: exposure.Hard}); len(got) != want {
			t.Errorf("on %s: %v", at, got)
		}
	}
}

// TestMoreGoneIsNeverBetter takes random sets away, and one node more.
func TestMoreGoneIsNeverBetter(t *testing.T) {
	t.Parallel()
	in := input(t)
	r := exposure.Assess(in)
	var nodes []exposure.Node
	for _, n := range r.Removals {
		nodes = append(nodes, n.Node)
	}
	dice := rand.New(rand.NewPCG(5, 6))
	for range 150 {
		var some []exposure.Node
		for range 1 + dice.IntN(4) {
			some = append(some, nodes[dice.IntN(len(nodes))])
		}
		less, more := exposure.Without(in, some...), exposure.Without(in, append(some, nodes[dice.IntN(len(nodes))])...)
		if more.Lost < less.Lost-1e-12 || more.Lost+more.AtRisk < less.Lost+less.AtRisk-1e-12 || more.Exposed < less.Exposed-1e-12 {
			t.Fatalf("without %v: %+v; with one node more gone: %+v", some, less, more)
		}
		if less.Lost < 0 || less.Lost > 1 || less.LostWeight > 1+1e-9 {
			t.Fatalf("%+v", less)
		}
	}
}

func TestFactsThatAreWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"edges:\n- {from: a, to: b}":                                         `f.yaml:2: "a" is no node`,
		"edges:\n- {from: planet:a, to: cloud:b}":                            `there is no kind "planet"`,
		"edges:\n- {from: cloud:b, to: cloud:b, source: x}":                  "cannot hang on itself",
		"edges:\n- {from: cloud:a, to: cloud:b, strength: hard}":             "needs its source",
		"edges:\n- {from: cloud:a, to: cloud:b, strength: loose, source: x}": "strength is hard or partial",
		"edges:\n- {from: cloud:a, to: cloud:b, strength: hard, source: x}":  "confidence is signed",
		"edges:\n\n- {from: cloud:a, to: cloud:b, since: tomorrow}":          "f.yaml:3: \"tomorrow\" is no date",
		"edges:\n- {from: cloud:a, colour: blue}":                            `there is no key "colour"`,
		"edges:\n- {from: cloud:a, from: cloud:b}":                           "there twice",
		"edges: {}": "here belongs a list",
		"criticality:\n- {class: a, agent: b, level: low}": "name one of class",
		"criticality:\n- {class: a, level: vital}":         "level is critical",
		"drill_due: soon": "no number of days",
		"- a":             "keys and values",
		"edges: [":        "f.yaml: line 1",
		"edges:\n- {from: cloud:a, to: cloud:b, strength: hard, confidence: signed, source: x, since: 2026-02-01, until: 2026-01-01}": "ends before it begins",
	} {
		_, err := exposure.Facts{}.Over("f.yaml", []byte(text))
		if decouple.KindOf(err) != decouple.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, and not %s", text, err, want)
		}
	}
}

func TestFactsOver(t *testing.T) {
	t.Parallel()
	in := input(t)
	own, err := in.Facts.Over("own.yaml", []byte(`
edges:
- {from: seller:openai, to: cdn:cloudflare, absent: true, source: our own look at the headers}
- {from: account:azure, to: identity:okta, strength: hard, confidence: signed, source: our own set-up}
drill_due: 30d
`))
	if err != nil {
		t.Fatal(err)
	}
	in.Facts = own
	r := exposure.Assess(in)
	if got := removal(t, r, "cdn:cloudflare"); got.Exposed != 0.2 {
		t.Errorf("an edge that was taken away: %+v", got)
	}
	if got := removal(t, r, "identity:okta"); got.Exposed != 0.6 || own.DrillDue != 30*24*time.Hour {
		t.Errorf("an edge of the customer's own: %+v", got)
	}
}

// TestEmbeddedFacts demands of every fact that ships what a reader can check.
func TestEmbeddedFacts(t *testing.T) {
	t.Parallel()
	f, err := exposure.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range f.Edges {
		if e.Known.IsZero() || e.Confidence != placement.Announced && e.Confidence != placement.Reported {
			t.Errorf("%s to %s: every fact has the day of its check, and is announced or reported", e.From, e.To)
		}
	}
}

func FuzzFacts(f *testing.F) {
	f.Add([]byte("edges:\n- {from: cloud:a, to: cloud:b, strength: hard, confidence: signed, source: x}\ncriticality:\n- {class: a, level: low}\ndrill_due: 9d\n"))
	f.Add([]byte("edges: &a\n- *a\n"))
	f.Add([]byte("? [a]\n: b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		facts, err := exposure.Facts{}.Over("f.yaml", data)
		if err != nil {
			if decouple.KindOf(err) != decouple.Invalid {
				t.Fatal(err)
			}
			return
		}
		for _, e := range facts.Edges {
			for _, n := range []exposure.Node{e.From, e.To} {
				if again, err := exposure.ParseNode(n.String()); err != nil || again != n {
					t.Fatalf("%q is read as %v: %v", n, again, err)
				}
			}
		}
		exposure.NewGraph(facts.Edges, now)
	})
}

// TestExample reads the file that docs/risk.md shows.
func TestExample(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../examples/risk/facts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	in := input(t)
	if in.Facts, err = in.Facts.Over("facts.yaml", b); err != nil {
		t.Fatal(err)
	}
	if r := exposure.Assess(in); removal(t, r, "identity:okta").Touched != 0.6 {
		t.Errorf("%+v", removal(t, r, "identity:okta"))
	}
}

// TestHostileNames are of callers: whatever they are called, a report holds it as text.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	in := input(t)
	for i, name := range []string{`<script>alert(1)</script>`, `a|b`, `"><img src=x onerror=alert(1)>`, "a\nb", `[x](javascript:1)`} {
		in.Flows = append(in.Flows, exposure.Flow{Agent: name, Team: name, Asked: name, Model: name, Endpoint: catalog.EndpointID(name + "/" + name), Calls: int64(100_000 + i), Spend: 1000 * decouple.USD})
	}
	r := exposure.Assess(in)
	page := r.HTML()
	for _, bad := range []string{"<script", "<img", "onerror=alert(1)>"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for line := range strings.SplitSeq(r.Markdown(), "\n") {
		if strings.Contains(line, "<script") || strings.Contains(strings.ReplaceAll(line, `\[`, ""), "[x](") || strings.HasPrefix(line, "b ") || strings.Contains(line, "agent a|b") {
			t.Errorf("Markdown: %s", line)
		}
	}
	if b, err := json.Marshal(r); err != nil || json.Unmarshal(b, &exposure.Report{}) != nil {
		t.Errorf("the report is no JSON that can be read back: %v", err)
	}
}
