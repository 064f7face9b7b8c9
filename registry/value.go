package registry

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"decouple.dev/decouple"
)

// nameForm is how an agent may be called.
var nameForm = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

const maxName = 64

// topKeys are the keys of an agent file, in the order in which they are written.
func topKeys() []key {
	return []key{
		{"name", func(p *parsed, place string, v *yaml.Node) { p.agent.Name = p.name(place, v) }},
		{"owner", text(func(a *decouple.Agent) *string { return &a.Owner })},
		{"description", text(func(a *decouple.Agent) *string { return &a.Description })},
		{"class", text(func(a *decouple.Agent) *string { return &a.Class })},
		{"model", text(func(a *decouple.Agent) *string { return &a.Model })},
		{"tools", func(p *parsed, place string, v *yaml.Node) {
			p.list(place, v, func(item *yaml.Node) {
				p.agent.Tools = append(p.agent.Tools, p.text("a tool", item))
			})
		}},
		{"agents", func(p *parsed, place string, v *yaml.Node) {
			p.list(place, v, func(item *yaml.Node) {
				p.agent.Agents = append(p.agent.Agents, p.name("an agent", item))
			})
		}},
		{"writer", func(p *parsed, place string, v *yaml.Node) { p.agent.Writer = p.name(place, v) }},
		{"envelope", (*parsed).envelope},
		{"approve", (*parsed).approve},
		{"schedule", (*parsed).schedule},
	}
}

// envelopeKeys are the limits of an envelope.
func envelopeKeys() []key {
	return []key{
		{"usd", (*parsed).usd},
		{"tokens", count(func(e *decouple.Envelope, n int64) { e.Tokens = n })},
		{"tool_calls", count(func(e *decouple.Envelope, n int64) { e.ToolCalls = n })},
		{"time", span(func(p *parsed) *time.Duration { return &p.agent.Envelope.Time })},
		{"step_time", span(func(p *parsed) *time.Duration { return &p.agent.Envelope.StepTime })},
		{"agents", count(func(e *decouple.Envelope, n int64) { e.Agents = n })},
		{"depth", count(func(e *decouple.Envelope, n int64) { e.Depth = int(n) })},
		{"children", count(func(e *decouple.Envelope, n int64) { e.Children = int(n) })},
		{"steps", count(func(e *decouple.Envelope, n int64) { e.Steps = int(n) })},
		{"writeup", (*parsed).writeUp},
	}
}

func text(field func(*decouple.Agent) *string) func(*parsed, string, *yaml.Node) {
	return func(p *parsed, place string, v *yaml.Node) { *field(&p.agent) = p.text(place, v) }
}

// text takes a value that must be text with something in it.
func (p *parsed) text(place string, v *yaml.Node) string {
	switch {
	case v.Kind == yaml.ScalarNode && (v.Tag == "!!null" || v.Tag == "!!str" && strings.TrimSpace(v.Value) == ""):
		p.fault(v.Line, place+" is empty: fill it in, or take it out")
	case v.Kind != yaml.ScalarNode:
		p.fault(v.Line, place+" must be text, not "+shape(v))
	case v.Tag != "!!str":
		p.fault(v.Line, place+" must be text: write it in quotes, \""+v.Value+"\"")
	default:
		return strings.TrimSpace(v.Value)
	}
	return ""
}

// name takes a value that must be an agent's name.
func (p *parsed) name(place string, v *yaml.Node) decouple.AgentName {
	s := p.text(place, v)
	if s == "" {
		return ""
	}
	if !nameForm.MatchString(s) || len(s) > maxName {
		p.fault(v.Line, place+" is "+quote(s)+": an agent's name is a small letter, then small letters, digits and dashes, at most "+itoa(maxName)+" of them")
		return ""
	}
	return decouple.AgentName(s)
}

// list takes the items of a list; no two may be the same.
func (p *parsed) list(place string, v *yaml.Node, take func(*yaml.Node)) {
	if v.Kind != yaml.SequenceNode {
		p.fault(v.Line, place+" must be a list, such as ["+example(v)+"], not "+shape(v))
		return
	}
	seen := map[string]bool{}
	for _, item := range v.Content {
		if item.Kind == yaml.ScalarNode && seen[item.Value] {
			p.fault(item.Line, quote(item.Value)+" is twice in "+place+": keep one")
		}
		seen[item.Value] = true
		p.items[place] = append(p.items[place], item.Line)
		take(item)
	}
}

func example(v *yaml.Node) string {
	if v.Kind == yaml.ScalarNode && v.Value != "" {
		return v.Value
	}
	return "one, two"
}

// shape names what a value is, for messages.
func shape(v *yaml.Node) string {
	switch v.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "keys and values"
	case yaml.AliasNode:
		return "an alias of another value"
	}
	return "a single value"
}

func (p *parsed) envelope(place string, v *yaml.Node) {
	if v.Kind != yaml.MappingNode {
		p.fault(v.Line, place+" must be keys and values, such as {usd: 2.00, tokens: 400k, time: 10m}, not "+shape(v))
		return
	}
	p.keys(v, place, envelopeKeys())
}

// number gives the text of a limit; it may be written with or without quotes.
func (p *parsed) number(place, form string, v *yaml.Node) (string, bool) {
	if v.Kind == yaml.ScalarNode && v.Value != "" {
		return v.Value, true
	}
	p.fault(v.Line, place+" must be "+form)
	return "", false
}

const noZero = "; for no limit take it out"

func (p *parsed) usd(place string, v *yaml.Node) {
	const form = "an amount of dollars above zero, such as 2.00" + noZero
	s, ok := p.number(place, form, v)
	if !ok {
		return
	}
	m, err := decouple.ParseMoney(s)
	if err != nil || m <= 0 {
		p.fault(v.Line, place+" is "+quote(s)+": it must be "+form)
		return
	}
	p.agent.Envelope.USD = m
}

// span takes a span of time; days may be given as d.
func span(field func(*parsed) *time.Duration) func(*parsed, string, *yaml.Node) {
	return func(p *parsed, place string, v *yaml.Node) {
		const form = "a span of time above zero, such as 90s, 10m, 24h or 3d" + noZero
		s, ok := p.number(place, form, v)
		if !ok {
			return
		}
		d, err := time.ParseDuration(s)
		if days, cut := strings.CutSuffix(s, "d"); cut {
			n, derr := strconv.ParseUint(days, 10, 12)
			d, err = time.Duration(n)*24*time.Hour, derr
		}
		if err != nil || d <= 0 {
			p.fault(v.Line, place+" is "+quote(s)+": it must be "+form)
			return
		}
		*field(p) = d
	}
}

func (p *parsed) writeUp(place string, v *yaml.Node) {
	const form = "a share from 1% to 90%"
	s, ok := p.number(place, form, v)
	if !ok {
		return
	}
	digits, percent := strings.CutSuffix(s, "%")
	n, err := strconv.ParseUint(digits, 10, 8)
	if err != nil || !percent || n < 1 || n > 90 {
		p.fault(v.Line, place+" is "+quote(s)+": it must be "+form)
		return
	}
	p.agent.Envelope.WriteUp = int(n)
}

// maxCount is the largest limit that can be given; it fits an int of 32 bits, and a tree that large has no need of a limit.
const maxCount = math.MaxInt32

// count takes a whole number, which may be in thousands (k) or millions (M).
func count(set func(*decouple.Envelope, int64)) func(*parsed, string, *yaml.Node) {
	return func(p *parsed, place string, v *yaml.Node) {
		form := "a whole number from 1 to " + itoa(maxCount) + ", such as 40, 400k or 2M" + noZero
		s, ok := p.number(place, form, v)
		if !ok {
			return
		}
		digits, unit := s, int64(1)
		switch s[len(s)-1] {
		case 'k':
			digits, unit = s[:len(s)-1], 1_000
		case 'M':
			digits, unit = s[:len(s)-1], 1_000_000
		}
		n, err := strconv.ParseUint(digits, 10, 31)
		if err != nil || n == 0 || int64(n) > maxCount/unit {
			p.fault(v.Line, place+" is "+quote(s)+": it must be "+form)
			return
		}
		set(&p.agent.Envelope, int64(n)*unit)
	}
}
