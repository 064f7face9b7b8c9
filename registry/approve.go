package registry

import (
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"decouple.dev/decouple"
)

// approve takes the rules of approval: a bare name of a tool means always, by anyone with the right to approve, and one approval is enough.
func (p *parsed) approve(place string, v *yaml.Node) {
	if v.Kind != yaml.SequenceNode {
		p.fault(v.Line, place+" must be a list, such as [http.request] or [{tool: http.request, when: \"method != 'GET'\"}], not "+shape(v))
		return
	}
	for _, item := range v.Content {
		p.items[place] = append(p.items[place], item.Line)
		rule := decouple.Approval{Quorum: 1}
		if item.Kind == yaml.MappingNode {
			p.keys(item, place, approvalKeys(&rule))
			if rule.Tool == "" {
				p.fault(item.Line, "a rule of "+place+" must name its tool: write {tool: NAME, ...}")
			}
		} else {
			rule.Tool = p.text("a tool", item)
		}
		if n := len(rule.By); n > 0 && rule.Quorum > n {
			p.fault(item.Line, "quorum is "+itoa(rule.Quorum)+" and by names "+itoa(n)+": so many will never approve")
		}
		p.agent.Approve = append(p.agent.Approve, rule)
	}
}

// approvable finds rules for tools that the agent does not have: a guard that guards nothing is a mistake.
func (p *parsed) approvable() {
	for i, r := range p.agent.Approve {
		if r.Tool != "" && r.Tool != decouple.ToolSpawn && !slices.Contains(p.agent.Tools, r.Tool) {
			p.fault(p.item("approve", i), "approve names the tool "+quote(r.Tool)+", which is not among the agent's tools"+suggest(r.Tool, p.agent.Tools))
		}
	}
}

// approvalKeys are the keys of a rule of approval.
func approvalKeys(r *decouple.Approval) []key {
	return []key{
		{"tool", func(p *parsed, place string, v *yaml.Node) { r.Tool = p.text(place, v) }},
		{"when", func(p *parsed, place string, v *yaml.Node) {
			r.When = decouple.Condition(p.text(place, v))
			if err := r.When.Check(); err != nil {
				p.fault(v.Line, err.Error())
			}
		}},
		{"by", func(p *parsed, place string, v *yaml.Node) {
			p.list(place, v, func(item *yaml.Node) { r.By = append(r.By, p.text("a person", item)) })
		}},
		{"quorum", func(p *parsed, place string, v *yaml.Node) {
			n, err := strconv.Atoi(v.Value)
			if v.Kind != yaml.ScalarNode || err != nil || n < 1 || n > 100 {
				p.fault(v.Line, place+" must be a whole number from 1 to 100")
				return
			}
			r.Quorum = n
		}},
		{"expires", func(p *parsed, place string, v *yaml.Node) {
			span(func(*parsed) *time.Duration { return &r.Expires })(p, place, v)
		}},
	}
}

// schedule takes when runs start by themselves.
func (p *parsed) schedule(place string, v *yaml.Node) {
	s := decouple.Schedule{Missed: decouple.MissedOnce}
	if v.Kind != yaml.MappingNode {
		p.fault(v.Line, place+" must be keys and values, such as {cron: \"30 9 * * mon-fri\", zone: Europe/Berlin, task: \"...\"}, not "+shape(v))
		return
	}
	p.keys(v, place, []key{
		{"cron", func(p *parsed, place string, v *yaml.Node) {
			s.Cron = p.text(place, v)
			if _, err := decouple.ParseCron(s.Cron); err != nil && s.Cron != "" {
				p.fault(v.Line, err.Error())
			}
		}},
		{"zone", func(p *parsed, place string, v *yaml.Node) {
			s.Zone = p.text(place, v)
			if _, err := time.LoadLocation(s.Zone); err != nil {
				p.fault(v.Line, place+" is "+quote(s.Zone)+", which is no time zone: write one such as Europe/Berlin, or UTC")
			}
		}},
		{"missed", func(p *parsed, place string, v *yaml.Node) {
			switch s.Missed = decouple.MissedPolicy(p.text(place, v)); s.Missed {
			case decouple.MissedSkip, decouple.MissedOnce, decouple.MissedAll:
			default:
				p.fault(v.Line, place+" must be skip, once or all: what becomes of times at which no node was up")
			}
		}},
		{"task", func(p *parsed, place string, v *yaml.Node) { s.Task = p.text(place, v) }},
	})
	if s.Cron == "" || s.Task == "" {
		p.fault(v.Line, place+" needs cron, and task: the question of each run")
	}
	p.agent.Schedule = &s
}
