package fleet_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/risk/fleet"
)

// TestDefaultPlan wants the plan that ships to be read, to be the example, and to have the runs that it is scaled to.
func TestDefaultPlan(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile("../../examples/fleet.yaml")
	if err != nil || string(example) != string(fleet.DefaultPlan) {
		t.Errorf("examples/fleet.yaml is not risk/fleet/default.yaml: copy it there (%v)", err)
	}
	p, err := fleet.Read("default.yaml", fleet.DefaultPlan)
	if err != nil {
		t.Fatal(err)
	}
	if n := p.Expected(); n < 9999 || n > 10_001 {
		t.Errorf("it has %f runs", n)
	}
	p.Scale(500, false)
	if n := p.Expected(); n != 500 || p.Span != time.Hour {
		t.Errorf("scaled, it has %f runs in %s", n, p.Span)
	}
	r := run(t, p)
	for _, w := range r.Workloads {
		if w.Runs == 0 || w.OK < w.Calls*98/100 {
			t.Errorf("%s: %d runs; of %d calls %d were answered: %v", w.Name, w.Runs, w.Calls, w.OK, w.Failed)
		}
	}
	p.Scale(1000, true)
	if n := p.Expected(); n != 1000 || p.Span != 2*time.Hour {
		t.Errorf("widened, it has %f runs in %s", n, p.Span)
	}
}

// TestDocumentedPlan wants the plan of docs/simulate.md to be one that is read and can be played.
func TestDocumentedPlan(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/simulate.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "## The plan\n")
	var text strings.Builder
	for line := range strings.Lines(rest) {
		if code, ok := strings.CutPrefix(line, "    "); ok {
			text.WriteString(code)
		} else if text.Len() > 0 {
			break
		}
	}
	p, err := fleet.Read("docs/simulate.md", []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Workloads) != 1 || len(p.Faults) != 1 || len(p.Without) != 1 || p.Clouds[1].Name != "azure" || p.Workloads[0].Grow.B != 4000 || !p.Workloads[0].Begun {
		t.Errorf("it is read as %+v", p)
	}
	p.Scale(20, false)
	cat, err := p.Models()
	if err != nil || !slices.Contains(cat.Endpoints["azure/eastus2/gpt-5.4"].Labels, "training=none") {
		t.Errorf("its catalog has the labels %v (%v)", cat.Endpoints["azure/eastus2/gpt-5.4"].Labels, err)
	}
	if w := run(t, p).Workloads[0]; w.Runs != 20 || w.OK == 0 {
		t.Errorf("%d runs, %d calls answered", w.Runs, w.OK)
	}
}

// TestReadFaults wants what is wrong with a plan to be named with its line.
func TestReadFaults(t *testing.T) {
	t.Parallel()
	const head = "start: 2026-03-09\nspan: 1h\n"
	for text, want := range map[string]string{
		"":                          "p.yaml: the file is empty",
		"span: 1h\n":                "p.yaml:1: start is missing",
		head:                        "p.yaml:1: a plan needs at least one workload",
		head + "workload: []\n":     `p.yaml:3: there is no key "workload" here`,
		head + "clouds: [openia]\n": `p.yaml:3: no cloud of the name "openia" ships: there are openai, azure`,
		head + "clouds:\n- openai\n- {name: x, vendor: nobody, regions: [a]}\n":                                                         "p.yaml:5: in this cloud:",
		head + "quotas: {openia: 2}\n":                                                                                                  `p.yaml:3: quotas: "openia" is no cloud of the plan`,
		head + "workloads:\n- {name: a, model: m, arrive: {rate: 5/w}}\n":                                                               `p.yaml:4: "5/w" is not a rate such as`,
		head + "workloads:\n- {name: a, model: m, arrive: {rate: 5}, in: x}\n":                                                          "p.yaml:4: this is a number such as 800",
		head + "workloads:\n- {name: a, model: m, arrive: {rate: 5}}\n- {name: b, model: m, arrive: {rate: 5}, in: {from: 5, to: 1}}\n": `p.yaml:5: workload "b": in lies between`,
		head + "workloads:\n- {name: a, model: m, arrive: {rate: 5, pattern: never}}\n":                                                 `p.yaml:4: workload "a": runs come poisson`,
		head + "workloads:\n- {name: a, model: m, arrive: {rate: 5}}\n- {name: a, model: m, arrive: {rate: 5}}\n":                       "there are two workloads of the name",
		head + "faults:\n- {kind: outage, cloud: azure}\n- {kidn: outage}\n":                                                            "p.yaml:5: fault:1: there is no key",
		head + "catalog: {aliases: {x: {strategi: a}}}\n":                                                                               "strategi",
		head + "contracts: [{at: 5m}]\n":                                                                                                "contracts: a change has a time",
	} {
		_, err := fleet.Read("p.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || decouple.KindOf(err) != decouple.Invalid {
			t.Errorf("%s\ngave: %v\nwant: %s", text, err, want)
		}
	}
}

// FuzzPlan wants no file to break the reader, and every plan that is read to be one that can be played or refused.
func FuzzPlan(f *testing.F) {
	f.Add(string(fleet.DefaultPlan))
	f.Add("start: 2026-03-09\nspan: 1m\nclouds: [groq]\nquotas: {groq: 0.5}\nworkloads: [{name: a, model: gpt-oss-120b, arrive: {rate: 5/s, pattern: burst}, calls: {mean: 3}, tools: {from: 1s, to: 2s}}]\nfaults: [{kind: outage, from: 10s, to: 20s}]\ncontracts: [{at: 5s, without: [a/b]}]\n")
	f.Add("start: 2026-03-09\nworkloads: [{name: a, runs: 3, model: m, arrive: {rate: 1k}}]\nclouds: [{name: x, vendor: compatible, regions: [a], models: [{id: m, price: {in: 1, out: 2}}]}]")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := fleet.Read("plan.yaml", []byte(text))
		if err != nil {
			if decouple.KindOf(err) != decouple.Invalid || !strings.HasPrefix(err.Error(), "plan.yaml") {
				t.Errorf("the error is %s: %v", decouple.KindOf(err), err)
			}
			return
		}
		if n := p.Expected(); !(n > 0) {
			t.Errorf("a plan of %f runs", n)
		}
		p.Scale(3, false)
		var n int64
		for _, w := range p.Workloads {
			n += w.Runs
		}
		if n < 3 || n > 3+int64(len(p.Workloads)) {
			t.Errorf("scaled to 3 runs it has %d", n)
		}
	})
}
