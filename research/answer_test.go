package research

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
)

func TestCut(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want []sentence
	}{
		{"The pump starts [1]. It stops [2][3].", []sentence{{"The pump starts.", []int{1}}, {"It stops.", []int{2, 3}}}},
		{"The pump starts. [1] It stops.[2]", []sentence{{"The pump starts.", []int{1}}, {"It stops.", []int{2}}}},
		{"One [1, 3-5] two [2] three.", []sentence{{"One two three.", []int{1, 2, 3, 4, 5}}}},
		{"Use `a[1]` here [2].", []sentence{{"Use `a[1]` here.", []int{2}}}},
		{"It sets a[1] and b[i] [2].", []sentence{{"It sets a[1] and b[i].", []int{2}}}},
		{"The pump starts[1][2].", []sentence{{"The pump starts.", []int{1, 2}}}},
		{"No mark at all", []sentence{{"No mark at all", nil}}},
		{"He said \"stop.\" [1] Then he went [#2].", []sentence{{`He said "stop."`, []int{1}}, {"Then he went.", []int{2}}}},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, cut(test.text), cmp.AllowUnexported(sentence{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.text, diff)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	finding := func(text string) decouple.Finding {
		return decouple.Finding{Claim: text, Quotes: []decouple.Quote{{Text: text, Source: "The pump"}}}
	}
	numbered := map[int]decouple.Finding{
		1: finding("The pump starts when the valve is open and the tank holds at least 40 litres."),
		2: finding("It must not be started while the filter is out."),
		4: finding("Call `pump.Start` to start it:\n\n    pump.Start()\n    wait()"),
	}
	answer := `# Starting the pump

The pump starts when the valve is open [1]. It is a fine machine. The tank must hold at least 60 litres [1]. The pump must be started while the filter is out [2].

- It must not be started while the filter is out [2].
- It starts by itself every morning [3].
- Call pump.Start to start it. [4]
- Call pump.Stop to start it [4][7].

> The pump starts when the valve is open and the tank holds [1]

> The pump starts whenever the tank is full [1]

| part | rule |
|---|---|
| valve | the valve is open [1] |

` + "```go\npump.Start()\nwait()\n```\n\n```\npump.Stop()\n```" + `

## The valve

All is open.

## Why elephants drink

In short, "the tank holds at least 40 litres" [1]. In short, "the tank is full at 40 litres" [1].
`
	want := `# Starting the pump

The pump starts when the valve is open [1].

- It must not be started while the filter is out [2].
- Call pump.Start to start it [3].

> The pump starts when the valve is open and the tank holds [1].

- valve, the valve is open [1].

` + "```\npump.Start()\nwait()\n```[3]" + `

In short, "the tank holds at least 40 litres" [1].`
	c := check(answer, "How is the pump started?", numbered)
	if diff := cmp.Diff(want, c.render(map[int]int{1: 1, 2: 2, 4: 3})); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	dropped := map[string]string{
		"All is open.":                                      "cites no finding",
		"It is a fine machine.":                             "cites no finding",
		"The tank must hold at least 60 litres.":            "the number 60",
		"The pump must be started while the filter is out.": "negate",
		"It starts by itself every morning.":                "does not exist",
		"Call pump.Stop to start it.":                       "pump.Stop",
		"The pump starts whenever the tank is full":         "does not stand in what it cites",
		"part, rule":          "cites no finding",
		"pump.Stop()":         "stands in no finding",
		"Why elephants drink": "heading that says more",
		`In short, "the tank is full at 40 litres".`: "the words",
	}
	for text, why := range dropped {
		if !slices.ContainsFunc(c.dropped, func(d Dropped) bool { return d.Text == text && strings.Contains(d.Why, why) }) {
			t.Errorf("%q is not dropped because of %q", text, why)
		}
	}
	if len(c.dropped) != len(dropped) {
		t.Errorf("%d dropped, want %d: %+v", len(c.dropped), len(dropped), c.dropped)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("# T\n\nThe pump starts [1]. It stops [2, 3-9].\n\n- a [1]\n> b [1]\n```\nc\n```")
	f.Add("```\n[1]")
	f.Add("[1][2]. [3] `[4]")
	f.Add("|a|\n|-|\n|b [1]|")
	numbered := map[int]decouple.Finding{1: {Claim: "The pump starts.", Quotes: []decouple.Quote{{Text: "The pump starts when the valve is open."}}}}
	f.Fuzz(func(t *testing.T, answer string) {
		c := check(answer, "When does the pump start?", numbered)
		for _, p := range c.passages {
			for _, s := range p.sentences {
				if p.kind != heading && !slices.Equal(s.cites, []int{1}) {
					t.Fatalf("%q is kept and cites %v", s.text, s.cites)
				}
			}
		}
		c.render(map[int]int{1: 1})
	})
}
