package whatif_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/risk/whatif"
)

var now = time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)

// world is a catalog of one model at three places, of which the last has no price, and an open one.
func world(t testing.TB) *catalog.Catalog {
	t.Helper()
	cat, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	price := func(in decouple.Money) []catalog.Price {
		return []catalog.Price{{Tiers: []catalog.Tier{{In: in * decouple.USD, Cached: in * decouple.USD / 10, Out: 2 * in * decouple.USD}}}}
	}
	end := func(id, vendor, cloud, region string) catalog.Endpoint {
		return catalog.Endpoint{ID: catalog.EndpointID(id), Provider: vendor, Account: id, Cloud: cloud, Region: region, Model: "gpt-x", Name: "gpt-x", Format: "openai.chat", URL: "https://" + vendor + ".invalid"}
	}
	cat, err = cat.WithEndpoints([]catalog.Endpoint{end("azure/eu", "azure", "azure", "swedencentral"), end("azure/us", "azure", "azure", "eastus2"), end("aws/us", "bedrock", "aws", "us-east-2"), end("aws/dear", "bedrock", "aws", "us-west-2")})
	if err != nil {
		t.Fatal(err)
	}
	cat.Models["gpt-x"] = catalog.Model{ID: "gpt-x", Lab: "openai", Context: 100_000}
	cat.Prices["azure/eu"], cat.Prices["azure/us"], cat.Prices["aws/us"], cat.Prices["aws/dear"] = price(4), price(3), price(2), price(9)
	return cat
}

func policy(t testing.TB, at placement.Moment, texts ...string) *placement.Policy {
	t.Helper()
	var b placement.Book
	for i, text := range texts {
		c, err := placement.Parse(fmt.Sprintf("f%d.yaml", i), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		b.Contracts = append(b.Contracts, c)
	}
	p, err := placement.Compile(b, at)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const house = `id: house
confidence: signed
clauses:
  - {id: eu-only, kind: residency, text: Personal data stays in the EU., binds: {label: personal}, in: [{geo: eu}]}
  - {id: mostly-azure, kind: share, text: Most is with Azure., share: {at_least: 60 %, of: spend, by: vendor, with: [azure], each: month}}
  - {id: minimum, kind: min_commit, text: We buy a lot., binds: {vendor: azure}, amount: 1_000, valid: {from: 2026-06-01, to: 2026-07-01}}
`

const quarrel = `id: quarrel
confidence: signed
clauses:
  - id: training
    kind: exclusive_host
    text: Training is at one cloud, or at two.
    classes: [training]
    binds: {lab: openai}
    host: [moon]
    readings:
      - {reads: deny, by: one, text: At one., confidence: reported}
      - {reads: allow, by: the other, text: At two., confidence: reported}
`

func names(a whatif.Answer) []string {
	var out []string
	for _, e := range a.Endpoints {
		out = append(out, e.Name+" "+string(e.Verdict))
	}
	return out
}

func TestExplain(t *testing.T) {
	t.Parallel()
	cat, m := world(t), placement.Moment{AsOf: now, Known: now}
	p := policy(t, m, house)
	a, err := whatif.Explain(cat, p, whatif.Question{Model: "gpt-x", Class: "batch", Labels: []string{"personal"}, When: m})
	if err != nil || a.Verdict != placement.Allow || a.Chosen != "azure/eu" || len(a.Clauses) == 0 || len(a.Needs) != 0 {
		t.Fatalf("%+v %v", a, err)
	}
	want := []string{"azure/eu allow", "aws/dear deny", "aws/us deny", "azure/us deny"}
	if d := cmp.Diff(want, names(a)); d != "" {
		t.Error(d)
	}
	if a.Endpoints[0].Score <= 0 || a.Endpoints[1].Score != 0 || !slices.Contains(a.Endpoints[1].Clauses, "house/eu-only") || !strings.Contains(a.Endpoints[1].Why, "house/eu-only") {
		t.Errorf("%+v", a.Endpoints)
	}
	a, err = whatif.Explain(cat, p, whatif.Question{Model: "gpt-x", At: "aws", When: m})
	if d := cmp.Diff([]string{"aws/us allow", "aws/dear allow"}, names(a)); d != "" || err != nil || a.Chosen != "aws/us" {
		t.Errorf("%s %v %+v", d, err, a)
	}
	a, err = whatif.Explain(cat, p, whatif.Question{Model: "gpt-x", At: "moon", Labels: []string{"personal"}, When: m})
	if err != nil || a.Verdict != placement.Deny || a.Chosen != "" || len(a.Endpoints) != 1 || !strings.HasPrefix(a.Endpoints[0].Why, "supposed") {
		t.Errorf("%+v %v", a, err)
	}
	if _, err := whatif.Explain(cat, p, whatif.Question{Model: "gpt-none", When: m}); decouple.KindOf(err) != decouple.NotFound {
		t.Error(err)
	}
}

// TestEverywhere asks about models that nobody has an account for.
func TestEverywhere(t *testing.T) {
	t.Parallel()
	cat, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	cat, err = whatif.Everywhere(cat)
	if err != nil {
		t.Fatal(err)
	}
	m := placement.Moment{AsOf: now, Known: now}
	for _, model := range []string{"gpt-5.4", "sonnet-4.6", "gpt-oss-120b"} {
		a, err := whatif.Explain(cat, policy(t, m), whatif.Question{Model: model, When: m})
		if err != nil || len(a.Endpoints) < 3 || a.Verdict != placement.Allow || a.Chosen == "" {
			t.Errorf("%s: %d places, %+v", model, len(a.Endpoints), err)
		}
	}
}

// made is a recorded call that used a million tokens and wrote none.
func made(endpoint, agent, class string, at time.Time, labels ...string) ledger.Recorded {
	prices := map[string]decouple.Money{"azure/eu": 4, "azure/us": 3, "aws/us": 2, "aws/dear": 9}
	u := decouple.Usage{TokensIn: 1_000_000, Cost: prices[endpoint] * decouple.USD}
	return ledger.Recorded{ID: "c", Tenant: "acme", Team: "search", Agent: decouple.AgentName(agent), Asked: "gpt-x", Class: class, Labels: labels, Endpoint: endpoint, Model: "gpt-x", Usage: u, At: at, Outcome: ledger.OK,
		Lines: []ledger.Line{{Endpoint: endpoint, Model: "gpt-x", Usage: u}}}
}

// TestReplay moves calls to the cheapest place that is allowed, denies what has none, holds what waits, and counts to the nano-dollar.
func TestReplay(t *testing.T) {
	t.Parallel()
	cat, m := world(t), placement.Moment{AsOf: now, Known: now}
	draft := house + `  - {id: no-azure, kind: forbid, text: Nothing goes to Azure., binds: {vendor: azure, class: batch}}
  - {id: no-one, kind: forbid, text: The intern asks nobody., binds: {agent: intern}}
  - id: quarrel
    kind: exclusive_host
    text: Training is at one cloud, or at two.
    classes: [training]
    binds: {lab: openai, agent: trainer}
    host: [moon]
    readings:
      - {reads: deny, by: one, text: At one., confidence: reported}
      - {reads: allow, by: the other, text: At two., confidence: reported}
`
	r := whatif.NewReplay(cat, policy(t, m, house), policy(t, m, draft))
	for range 3 {
		r.Add(made("azure/us", "lead", "batch", now))                // 3 dollars: to aws/us for 2
		r.Add(made("azure/eu", "lead", "other", now))                // stays at 4
		r.Add(made("azure/eu", "lead", "batch", now, "personal"))    // nowhere: the EU is Azure
		r.Add(made("aws/us", "intern", "other", now))                // nowhere
		r.Add(made("azure/us", "trainer", "training", now))          // on hold
		r.Add(made("aws/us", "lead", "other", now, "personal"))      // not allowed before either: to azure/eu
		r.Add(ledger.Recorded{ID: "cached", Outcome: ledger.Cached}) // nobody was asked
	}
	got := r.Result()
	if got.Calls != 18 || got.Stay != 3 || got.Move != 6 || got.Denied != 6 || got.Held != 3 || got.Already != 3 || got.Gain != 0 {
		t.Errorf("%+v", got)
	}
	if got.Was.Nano != 3*(3+4+4+2+3+2)*decouple.USD || got.Would.Nano != 3*(4+2+4)*decouple.USD || got.Was.USD != "54.00" {
		t.Errorf("was %s, would be %s", got.Was.Nano, got.Would.Nano)
	}
	var rows []string
	for _, m := range got.Agents {
		rows = append(rows, fmt.Sprintf("%s %s %s>%s %s %d %s", m.Agent, m.Class, m.From, m.To, m.Effect, m.Calls, strings.Join(m.Clauses, ",")))
	}
	want := []string{
		"intern other aws/us> deny 3 house/no-one", "lead batch azure/eu> deny 3 house/no-azure,house/eu-only", "lead batch azure/us>aws/us allow 3 house/no-azure", "lead other aws/us>azure/eu allow 3 house/eu-only",
		"trainer training azure/us> hold 3 house/quarrel",
	}
	for i := range rows {
		if i >= len(want) || !strings.HasPrefix(rows[i], strings.Join(strings.Fields(want[i])[:5], " ")) {
			t.Errorf("row %d: %s", i, rows[i])
		}
	}
	if len(rows) != len(want) {
		t.Errorf("%d rows", len(rows))
	}
	if len(got.Shares) != 1 || got.Shares[0].Was != "77.7777 %" || got.Shares[0].Stands != "80 %" || got.Shares[0].Broke {
		t.Errorf("%+v", got.Shares)
	}
	if len(got.Clauses) < 4 {
		t.Errorf("%+v", got.Clauses)
	}
}

// TestReplayBreaksShares moves what kept a promise.
func TestReplayBreaksShares(t *testing.T) {
	t.Parallel()
	cat, m := world(t), placement.Moment{AsOf: now, Known: now}
	r := whatif.NewReplay(cat, policy(t, m, house), policy(t, m, house+"  - {id: no-azure, kind: forbid, text: No., binds: {vendor: azure, class: batch}}\n"))
	r.Add(made("azure/us", "lead", "batch", now))
	r.Add(made("aws/us", "lead", "other", now))
	if got := r.Result(); len(got.Shares) != 1 || !got.Shares[0].Broke || got.Shares[0].Was != "60 %" || got.Shares[0].Stands != "0 %" || got.Shares[0].Lack != int64(6*decouple.USD) {
		t.Errorf("%+v", got.Shares)
	}
}

// TestReplayOfItself changes nothing where the draft says what holds.
func TestReplayOfItself(t *testing.T) {
	t.Parallel()
	cat, m := world(t), placement.Moment{AsOf: now, Known: now}
	r := whatif.NewReplay(cat, policy(t, m, house), policy(t, m, house))
	for _, e := range []string{"azure/eu", "azure/us", "aws/us", "gone/nowhere"} {
		r.Add(made(e, "lead", "batch", now))
	}
	if got := r.Result(); got.Calls != 4 || got.Stay != 4 || len(got.Agents) != 0 || got.Was != got.Would {
		t.Errorf("%+v", got)
	}
}

// TestStanding counts shares in their month and commitments in their term.
func TestStanding(t *testing.T) {
	t.Parallel()
	cat, m := world(t), placement.Moment{AsOf: now, Known: now}
	p := policy(t, m, house)
	tally := whatif.NewTally(cat)
	tally.Add(made("azure/us", "lead", "batch", now))                   // 3
	tally.Add(made("azure/us", "lead", "batch", now.AddDate(0, 0, -3))) // 3
	tally.Add(made("aws/us", "lead", "", now))                          // 2
	tally.Add(made("aws/dear", "lead", "batch", now.AddDate(0, -1, 0))) // of May
	two := made("aws/us", "lead", "batch", now)                         // an attempt at Azure that was billed, too
	two.Lines = append([]ledger.Line{{Endpoint: "azure/eu", Model: "gpt-x", Usage: decouple.Usage{TokensIn: 10, Cost: decouple.USD}}}, two.Lines...)
	tally.Add(two)
	s := tally.Shares(p)
	if len(s) != 1 || s[0].Kept != true || s[0].Used != int64(7*decouple.USD) || s[0].Total != int64(11*decouple.USD) || s[0].Stands != "63.6363 %" {
		t.Errorf("%+v", s)
	}
	c := tally.Commitments(p, now)
	if len(c) != 1 || c[0].Spent != 7*decouple.USD || c[0].Left != 993*decouple.USD || c[0].Days != 15 || c[0].Of != 30 || c[0].Linear != 14*decouple.USD {
		t.Errorf("%+v", c)
	}
	before := policy(t, placement.Moment{AsOf: now.AddDate(0, 0, -1), Known: now}, house)
	if s := tally.Shares(before); len(s) != 1 || s[0].Total != int64(3*decouple.USD) {
		t.Errorf("a day before: %+v", s)
	}
	parts := tally.Parts(placement.Span{From: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)})
	var calls int64
	for _, p := range parts {
		if p.By == "vendor" {
			calls += p.Calls
		}
		if p.By == "vendor" && p.Name == "azure" && (p.OfSpend != 636 || p.Calls != 2) {
			t.Errorf("%+v", p)
		}
		if p.By == "class" && p.Name == "stateless_api" && p.Calls != 1 {
			t.Errorf("%+v", p)
		}
	}
	if calls != 4 {
		t.Errorf("%d calls in %+v", calls, parts)
	}
}

// TestPast judges a call as of when it was made, and shows where it went though nothing is there any more.
func TestPast(t *testing.T) {
	t.Parallel()
	cat := world(t)
	then := placement.Moment{AsOf: now, Known: now}
	a, err := whatif.Past(cat, policy(t, then, house), made("azure/eu", "lead", "batch", now, "personal"))
	if err != nil || a.Chosen != "azure/eu" || a.Verdict != placement.Allow || !a.AsOf.Equal(now) || len(a.Endpoints) != 4 {
		t.Errorf("%+v %v", a, err)
	}
	held := made("azure/us", "trainer", "training", now)
	for want, signed := range map[placement.Verdict][]string{placement.Disputed: nil, placement.Allow: {"quarrel/training"}} {
		held.Signed = signed
		if a, err := whatif.Past(cat, policy(t, then, quarrel), held); err != nil || a.Verdict != want {
			t.Errorf("signed off %v: %+v %v", signed, a, err)
		}
	}
	gone := made("gone/nowhere", "lead", "batch", now, "personal")
	gone.Asked = "an-alias-that-is-gone"
	a, err = whatif.Past(cat, policy(t, then, house), gone)
	i := slices.IndexFunc(a.Endpoints, func(e whatif.Endpoint) bool { return e.Name == "gone/nowhere" })
	if err != nil || a.Chosen != "gone/nowhere" || len(a.Endpoints) != 5 || i < 0 || a.Endpoints[i].Verdict != placement.Deny {
		t.Errorf("%+v %v", a, err)
	}
}

// BenchmarkReplay decides calls of a thousand agents again.
func BenchmarkReplay(b *testing.B) {
	cat, m := world(b), placement.Moment{AsOf: now, Known: now}
	r := whatif.NewReplay(cat, policy(b, m, house), policy(b, m, house+"  - {id: no-azure, kind: forbid, text: No., binds: {vendor: azure, class: batch}}\n"))
	var calls []ledger.Recorded
	for i := range 4000 {
		calls = append(calls, made([]string{"azure/eu", "azure/us", "aws/us"}[i%3], fmt.Sprint("agent", i%1000), "batch", now.AddDate(0, 0, -i%30)))
	}
	i := 0
	for b.Loop() {
		r.Add(calls[i%len(calls)])
		i++
	}
}
