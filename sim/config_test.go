package sim

import (
	"os"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/meter"
)

func TestTheExampleIsRead(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../examples/clouds.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := ReadSetup("clouds.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Clouds) != 3 || len(s.Faults) != 2 || s.Seed != 7 || s.Answers.Mode != ByScript || s.Clouds[0].Limits.Tokens != 500_000 || s.Faults[1].For != 30*time.Second {
		t.Errorf("it says %+v", s)
	}
}

func TestWhatIsWrongIsNamedWithItsLine(t *testing.T) {
	t.Parallel()
	cloud := func(more string) string {
		return "clouds:\n  - name: a\n    vendor: openai\n    regions: [x]\n    models:\n      - {id: m}\n" + more
	}
	for _, tt := range []struct{ name, file, want string }{
		{"empty", "", "f: "},
		{"not yaml", "clouds: [", "f:1: "},
		{"no clouds", "seed: 1\n", "f:1: clouds: there must be at least one"},
		{"unknown key", cloud("    speed: 3\n"), `f:7: there is no key "speed" here`},
		{"unknown key in a fault", cloud("faults:\n  - {kind: storm, what: 1}\n"), `f:8: there is no key "what" here`},
		{"no such vendor", strings.Replace(cloud(""), "openai", "opnai", 1), `f:2: cloud "a": there is no vendor "opnai"`},
		{"a word for a number", cloud("    rate: fast\n"), `f:7: "fast" is not what belongs here`},
		{"a word for a count", cloud("    queue: long\n"), `f:7: "long" is not a count such as 500 or 30k`},
		{"a negative count", cloud("    queue: -1\n"), `f:7: "-1" is not a count`},
		{"a price of words", strings.Replace(cloud(""), "{id: m}", "{id: m, price: {in: cheap, out: 1}}", 1), `f:6: "cheap" is not an amount of dollars`},
		{"prices that go down", strings.Replace(cloud(""), "{id: m}", "{id: m, price: {in: 1, out: 1, tiers: [{above: 5, in: 1, out: 1}, {above: 5, in: 1, out: 1}]}}", 1), `f:6: model "m": the tiers`},
		{"a factor", strings.Replace(cloud(""), "{id: m}", "{id: m, price: {in: 1, out: 1, uplift: {x: 1.00001}}}", 1), `f:6: "1.00001" is not a factor`},
		{"twice the same name", cloud("  - name: a\n    vendor: groq\n    regions: [x]\n    models: [{id: m}]\n"), `f:7: there are two clouds of the name "a"`},
		{"fault of a cloud that is not there", cloud("faults:\n  - kind: storm\n    cloud: b\n"), `f:8: a fault names the cloud "b"`},
		{"fault of no kind", cloud("faults:\n  - kind: rain\n"), `f:8: there is no fault of kind "rain"`},
		{"fault that ends before it begins", cloud("faults:\n  - {kind: storm, from: 2m, to: 1m}\n"), `f:8: a fault of kind storm must have from before to`},
		{"speed", "speed: 0\n" + cloud(""), `f:1: speed is a number above 0`},
		{"mode of answers", cloud("answers:\n  mode: guess\n"), `f:8: answers come by builtin, script, echo or length, not by "guess"`},
		{"an expression", cloud("answers:\n  script:\n    - {match: \"(\", text: a}\n"), `f:9: match is not a regular expression`},
		{"a script without words", cloud("answers:\n  script:\n    - {match: a}\n"), `f:9: an answer of a script needs text or calls`},
		{"a port", cloud("    port: 70000\n"), `f:7: a port is a number`},
		{"control characters", "\"clo\\u001b[31muds\": 1\n", `f:1: there is no key "clo[31muds" here`},
	} {
		_, err := ReadSetup("f", []byte(tt.file))
		if decouple.KindOf(err) != decouple.Invalid || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, not %s", tt.name, err, tt.want)
		}
	}
}

// TestPricesAreTheCatalogs holds the ten clouds' prices against those that the catalog ships, by the bill of package meter: two arithmetics, two lists, one amount.
func TestPricesAreTheCatalogs(t *testing.T) {
	t.Parallel()
	shipped, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	setup := defaults(t)
	setup.Start = epoch
	w, err := New(setup.Config)
	if err != nil {
		t.Fatal(err)
	}
	provider := map[Vendor]string{OpenAI: "openai", Azure: "azure", Mantle: "bedrock", Bedrock: "bedrock", Anthropic: "anthropic", Vertex: "vertex", Cerebras: "cerebras", Groq: "groq"}
	compared := 0
	for _, c := range setup.Clouds {
		for _, m := range c.Models {
			ep := catalog.Endpoint{Provider: provider[c.Vendor], Model: m.ID, Name: m.Name, Region: c.Regions[0]}
			price, known := shipped.PriceOf(ep, epoch)
			if !known || c.Name == "aws-fast" || c.Name == "selfhost" { // prices of the simulation's own
				continue
			}
			for _, class := range []string{"", "flex", "priority", "batch"} {
				if _, both := price.Class[class]; class != "" && (!both || m.Embeds) {
					continue
				}
				call := Call{Cloud: c.Name, Model: m.Name, Account: class, In: 8_007, Out: 333, Tier: class, Embed: m.Embeds, Stream: true}
				call.Prefixes = []Prefix{{Hash: 1, Tokens: 4096, Keep: time.Hour}, {Hash: 2, Tokens: 6000, Keep: 5 * time.Minute}}
				for range 2 { // the second time it is cached
					p := w.Ask(call, epoch)
					l, ok := w.Done(p, false, epoch)
					if !ok {
						t.Errorf("%s, %s: refused: %s", c.Name, m.Name, p.Body())
						continue
					}
					if want := meter.Cost(price, p.Region, class, p.Usage); l.Amount != want {
						t.Errorf("%s, %s, %q: the invoice says %d, the meter %d: %+v", c.Name, m.Name, class, l.Amount, want, p.Usage)
					}
					compared++
				}
			}
		}
	}
	if compared < 30 {
		t.Errorf("only %d bills were compared", compared)
	}
}

func FuzzReadSetup(f *testing.F) {
	f.Add(string(DefaultClouds))
	f.Add("clouds: [{name: a, vendor: openai, regions: [x], ttft: {p50: 1s, p95: 3s}, rate: 5, concurrent: 2, queue: 1, limits: {rpm: 5, tpm: 10, admit_max: true}, models: [{id: m, price: {in: 1, out: 2}}]}]\nfaults: [{kind: stall, for: 1s, after: 2}]\n")
	f.Add("clouds: [{name: a, vendor: azure, regions: [x], limits: {ptu: 5, ptu_tpm: 100}, cache: {kind: auto, keep: 5m}, models: [{id: m, prices: [{in: 1, out: 2}, {from: 2026-01-01, in: 3, out: 4}]}]}]\nanswers: {mode: length, tokens: 5}\n")
	f.Fuzz(func(t *testing.T, file string) {
		s, err := ReadSetup("f", []byte(file))
		if err != nil {
			if decouple.KindOf(err) != decouple.Invalid || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("%q", err)
			}
			return
		}
		if s.Start.IsZero() {
			s.Start = epoch
		}
		for _, c := range s.Clouds {
			if c.Concurrent > 10_000 {
				return
			}
		}
		w, err := New(s.Config)
		if err != nil {
			if decouple.KindOf(err) == decouple.Conflict { // names of faults are compared by the world
				return
			}
			t.Fatalf("it is read, and then refused: %v", err)
		}
		for _, c := range s.Clouds {
			for i := range 5 {
				p := w.Ask(Call{Cloud: c.Name, Model: c.Models[0].Name, In: int64(i) * 1000, Out: int64(i) * 7, Stream: true, Prefixes: []Prefix{{1, int64(i) * 900, time.Hour}}}, s.Start)
				_, _, _ = p.Headers(), p.Body(), p.ID()
				if l, ok := w.Done(p, i%2 == 0, s.Start.Add(time.Duration(i)*time.Second)); ok && l.Amount < 0 {
					t.Errorf("an amount below nothing: %+v", l)
				}
			}
		}
	})
}

func FuzzReadFault(f *testing.F) {
	f.Add(`{"kind": "storm", "cloud": "openai", "retry_after": "3s"}`)
	f.Add(`[{"kind": "stall", "for": "1s", "share": 0.5}]`)
	f.Fuzz(func(t *testing.T, body string) {
		list, err := ReadFault([]byte(body))
		if err != nil && decouple.KindOf(err) != decouple.Invalid {
			t.Errorf("%v", err)
		}
		w := made(t, simple())
		for _, x := range list {
			if _, err := w.AddFault(x); err == nil {
				p := w.Ask(call(10, 5), epoch)
				w.Done(p, false, epoch.Add(min(p.Ends(), time.Hour)))
			}
		}
	})
}
