package placement_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple/placement"
)

// words are few, so that clauses, needs and places meet often.
var words = map[string][]string{
	"vendor": {"azure", "bedrock", "groq"}, "cloud": {"azure", "aws", "gcp"}, "geo": {"eu", "us"}, "region": {"eu-west-1", "us-east-2"}, "model": {"gpt-5.4", "gpt-5.5", "opus-5"}, "lab": {"openai", "anthropic"},
	"label": {"personal", "secret"}, "team": {"legal", "sales"}, "agent": {"clerk", "lead"}, "class": {"stateless_api", "stateful_runtime", "batch"}, "mark": {"gold"}, "endpoint": {"one", "two"},
	"hardware": {"tpu", "gpu"}, "key": {"k1", "k2"}, "tool": {"http.request", "payments.refund"},
}

type dice struct{ *rand.Rand }

func (d dice) of(list []string) string { return list[d.IntN(len(list))] }
func (d dice) maybe(n int) bool        { return d.IntN(n) == 0 }

// some is a list of words as YAML spells it, at times with a star.
func (d dice) some(key string) string {
	list := []string{d.of(words[key])}
	if d.maybe(2) {
		list = append(list, d.of(words[key]))
	}
	if d.maybe(4) && key != "label" && key != "mark" && key != "class" {
		w := d.of(words[key])
		list = append(list, fmt.Sprintf("%q", w[:d.IntN(len(w))]+"*"))
	}
	return "[" + strings.Join(list, ", ") + "]"
}

func (d dice) match(keys ...string) string {
	var parts []string
	for _, k := range keys {
		if d.maybe(2) {
			parts = append(parts, k+": "+d.some(k))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, keys[0]+": "+d.some(keys[0]))
	}
	if d.maybe(6) {
		parts = append(parts, "fact: {training: ["+d.of([]string{"yes", "no"})+"]}")
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (d dice) span() string {
	if d.maybe(2) {
		return ""
	}
	from := 1 + d.IntN(6)
	return fmt.Sprintf("    valid: {from: 2026-0%d-01, to: 2026-%02d-01}\n    known: {from: 2026-0%d-01}\n", from, from+1+d.IntN(6), 1+d.IntN(6))
}

var wheres = []string{"geo", "cloud", "region", "vendor", "model", "mark", "endpoint", "hardware"}

// clause is a random clause of a kind as text.
func (d dice) clause(n int, k placement.Kind) string {
	s := fmt.Sprintf("  - id: c%d\n    kind: %s\n    text: Words of c%d.\n%s", n, k, n, d.span())
	whom := d.match("label", "team", "agent", "key", "lab", "vendor", "model")
	if d.maybe(2) && k != placement.AllowList {
		s += "    classes: " + d.some("class") + "\n"
	}
	switch k {
	case placement.ExclusiveHost, placement.FirstShip, placement.ROFR, placement.ExclusiveDistribution, placement.Licence, placement.PrimaryHost:
		whom = d.match("lab", "model", "team", "label")
		if !strings.Contains(whom, "lab:") && !strings.Contains(whom, "model") {
			whom = "{lab: openai}"
		}
		s += "    host: [" + d.of(words["cloud"]) + "]\n"
		if d.maybe(3) && k != placement.PrimaryHost {
			s += "    readings:\n      - {reads: deny, by: a, text: No., confidence: reported}\n      - {reads: allow, by: b, text: Yes., confidence: announced}\n"
		}
	case placement.Residency:
		s += "    in: [" + d.match(wheres...) + ", " + d.match(wheres...) + "]\n"
	case placement.RetirementNotice:
		s += "    days: 60\n"
	case placement.AllowList:
		s += "    models: {legal: " + d.some("model") + ", \"*\": " + d.some("model") + "}\n"
		whom = "{team: [legal, sales]}"
	case placement.SubprocessorNotice:
		s += "    days: 30\n    accepted: [" + d.of(words["vendor"]) + ", {name: " + d.of(words["vendor"]) + ", on: 2026-05-01}]\n"
	case placement.Permit, placement.Forbid:
		if d.maybe(2) {
			s += "    at: " + d.match(wheres...) + "\n"
		}
		if d.maybe(4) {
			whom = "{tool: " + d.some("tool") + "}"
			s += "    when: amount > 5\n"
		}
		if d.maybe(4) && k == placement.Forbid {
			s += "    confidence: reported\n    disputed_below: announced\n"
		}
	}
	if d.maybe(4) {
		s += "    except: [{team: legal, label: secret}]\n"
	}
	return s + "    binds: " + whom + "\n"
}

// deciders are the kinds that have a say in a verdict.
func deciders() []placement.Kind {
	return slices.DeleteFunc(placement.Kinds(), func(k placement.Kind) bool {
		return k == placement.ShareOf || k == placement.MinCommit || k == placement.Royalty
	})
}

func (d dice) contract(t testing.TB, id string, kinds []placement.Kind, n int) placement.Contract {
	var b strings.Builder
	fmt.Fprintf(&b, "id: %s\nconfidence: signed\nclauses:\n", id)
	for i := range n {
		b.WriteString(d.clause(i, kinds[d.IntN(len(kinds))]))
	}
	c, err := placement.Parse(id+".yaml", []byte(b.String()))
	if err != nil && !strings.Contains(err.Error(), "contradicts itself") {
		t.Fatalf("%v\n%s", err, b.String())
	}
	return c
}

func (d dice) opt(key string) string {
	if d.maybe(4) {
		return ""
	}
	return d.of(words[key])
}

func (d dice) need() placement.Need {
	n := placement.Need{Action: placement.CallModel, Class: d.opt("class"), Team: d.opt("team"), Agent: d.opt("agent"), Key: d.opt("key")}
	for _, l := range words["label"] {
		if d.maybe(2) {
			n.Labels = append(n.Labels, l)
		}
	}
	switch d.IntN(5) {
	case 0:
		n.Action, n.Tool, n.Args = placement.UseTool, d.of(words["tool"]), []byte(d.of([]string{`{"amount":3}`, `{"amount":7}`, `{}`}))
	case 1:
		n.Action = placement.RunAgent
	}
	return n
}

func (d dice) place() placement.Place {
	p := placement.Place{ID: d.opt("endpoint"), Vendor: d.opt("vendor"), Cloud: d.opt("cloud"), Region: d.opt("region"), Geo: d.opt("geo"), Hardware: d.opt("hardware"), Model: d.opt("model"), Lab: d.opt("lab"), Open: d.maybe(5)}
	if d.maybe(2) {
		p.Labels = []string{"gold"}
	}
	if d.maybe(2) {
		p.Facts = map[string]string{"training": d.of([]string{"yes", "no"}), "retires": d.of([]string{"2026-08-01", "2027-08-01"})}
	}
	return p
}

// beside changes one thing of a need or a place.
func (d dice) beside(n placement.Need, p placement.Place) (placement.Need, placement.Place) {
	n2, p2 := d.need(), d.place()
	p.Facts = maps.Clone(p.Facts)
	switch d.IntN(17) {
	case 0:
		n.Class = n2.Class
	case 1:
		n.Labels = n2.Labels
	case 2:
		n.Team = n2.Team
	case 3:
		n.Agent = n2.Agent
	case 4:
		n.Key = n2.Key
	case 5:
		n.Action, n.Tool, n.Args = n2.Action, n2.Tool, n2.Args
	case 6:
		n.Signed = []string{d.of([]string{"a", "b", "c"}) + "/c" + d.of([]string{"0", "1", "2", "3"})}
	case 7:
		p.Vendor = p2.Vendor
	case 8:
		p.Cloud = p2.Cloud
	case 9:
		p.Region = p2.Region
	case 10:
		p.Geo = p2.Geo
	case 11:
		p.Hardware = p2.Hardware
	case 12:
		p.Model = p2.Model
	case 13:
		p.Lab = p2.Lab
	case 14:
		p.ID, p.Labels = p2.ID, p2.Labels
	case 15:
		p.Facts = p2.Facts
	case 16:
		p.Open = !p.Open
	}
	return n, p
}

// more orders verdicts by how much they allow.
var more = map[placement.Verdict]int{placement.Deny: 0, placement.Disputed: 1, placement.Unknown: 2, placement.Allow: 3}

// TestProperties asks random books about random needs: the memo, the index and the order of files change nothing, and a further denial never allows more.
func TestProperties(t *testing.T) {
	t.Parallel()
	seen := map[placement.Verdict]int{}
	denying := []placement.Kind{placement.Forbid, placement.Residency, placement.NoTraining, placement.RetirementNotice, placement.AllowList, placement.SubprocessorNotice}
	for seed := range uint64(150) {
		d := dice{rand.New(rand.NewPCG(seed, 5))}
		list := []placement.Contract{d.contract(t, "a", deciders(), 6), d.contract(t, "b", deciders(), 6), d.contract(t, "c", deciders(), 3)}
		moment := at(t, "2026-06-15", "2026-07-01")
		p := policy(t, placement.Book{Contracts: list}, moment)
		shuffled := slices.Clone(list)
		slices.Reverse(shuffled)
		q := policy(t, placement.Book{Contracts: shuffled}, moment)
		stricter := policy(t, placement.Book{Contracts: append(slices.Clone(list), d.contract(t, "d", denying, 1))}, moment)
		for range 60 {
			n, place := d.need(), d.place()
			r := p.Judge(&n, &place)
			seen[r.Verdict]++
			if again := p.Judge(&n, &place); !reflect.DeepEqual(r, again) {
				t.Fatalf("seed %d: remembered %+v, and judged %+v", seed, again, r)
			}
			if plain := p.JudgePlainly(&n, &place); !reflect.DeepEqual(r, plain) {
				t.Fatalf("seed %d: with the index %+v, without %+v, of %+v at %+v", seed, r, plain, n, place)
			}
			n2, place2 := d.beside(n, place)
			if r2, plain := p.Judge(&n2, &place2), p.JudgePlainly(&n2, &place2); !reflect.DeepEqual(r2, plain) {
				t.Fatalf("seed %d: beside it %+v, and without the memo %+v, of %+v at %+v", seed, r2, plain, n2, place2)
			}
			if other := q.Judge(&n, &place); !reflect.DeepEqual(r, other) {
				t.Fatalf("seed %d: in one order of files %+v, in another %+v", seed, r, other)
			}
			if s := stricter.Judge(&n, &place); more[s.Verdict] > more[r.Verdict] {
				t.Fatalf("seed %d: with one denial more %+v, without %+v, of %+v at %+v", seed, s, r, n, place)
			}
		}
	}
	for v := range more {
		if seen[v] < 100 {
			t.Errorf("of the verdict %s there were %d: the books are too tame", v, seen[v])
		}
	}
}

// TestCovers: where a policy says that it is also that of a later moment, one that is compiled for that moment says the same.
func TestCovers(t *testing.T) {
	t.Parallel()
	covered, not := 0, 0
	for seed := range uint64(200) {
		d := dice{rand.New(rand.NewPCG(seed, 6))}
		list := []placement.Contract{d.contract(t, "a", deciders(), 3), d.contract(t, "b", deciders(), 2)}
		list[1].Entered = date(t, "2026-06-20")
		from := placement.Moment{AsOf: date(t, "2026-01-01").AddDate(0, 0, d.IntN(365)), Known: date(t, "2026-01-01").AddDate(0, 0, d.IntN(365))}
		p := policy(t, placement.Book{Contracts: list}, from)
		for range 5 {
			to := placement.Moment{AsOf: from.AsOf.AddDate(0, 0, d.IntN(60)-5), Known: from.Known.AddDate(0, 0, d.IntN(60)-5)}
			if d.maybe(3) {
				to = placement.Moment{AsOf: from.AsOf.Add(time.Duration(d.IntN(1440)) * time.Minute), Known: from.Known}
			}
			if !p.Covers(to) {
				not++
				continue
			}
			covered++
			q := policy(t, placement.Book{Contracts: list}, to)
			for range 20 {
				n, place := d.need(), d.place()
				if r, s := p.Judge(&n, &place), q.Judge(&n, &place); !reflect.DeepEqual(r, s) {
					t.Fatalf("seed %d: the policy of %v covers %v, and says %+v instead of %+v", seed, from, to, r, s)
				}
			}
		}
	}
	if covered < 50 || not < 50 {
		t.Errorf("%d covered, %d not: the moments are too tame", covered, not)
	}
}
