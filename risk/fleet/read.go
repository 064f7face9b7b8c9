package fleet

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"decouple.dev/decouple"
)

// DefaultPlan is the file of the plan that is played when nobody names another.
//
//go:embed default.yaml
var DefaultPlan []byte

// Read reads a plan. What is wrong with it is Invalid, with the file's name and the line.
func Read(name string, data []byte) (Plan, error) {
	var f filePlan
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&f); errors.Is(err, io.EOF) {
		return Plan{}, decouple.Errorf(decouple.Invalid, "%s: the file is empty; examples/fleet.yaml is one to begin with", name)
	} else if err != nil {
		return Plan{}, explain(name, err)
	}
	p, line, err := f.plan()
	if err == nil {
		line, err = f.check(&p, data)
	}
	if err != nil {
		return Plan{}, decouple.Errorf(decouple.Invalid, "%s:%d: %w", name, max(line, 1), err)
	}
	return p, nil
}

// check says what is wrong with the plan that a file makes, and where that stands.
func (f *filePlan) check(p *Plan, data []byte) (line int, err error) {
	var lines struct {
		Workloads []yaml.Node `yaml:"workloads"`
	}
	_ = yaml.Unmarshal(data, &lines) // it was read once already
	for i := range p.Workloads {
		if err := p.Workloads[i].check(p.Span); err != nil && i < len(lines.Workloads) {
			return lines.Workloads[i].Line, err
		}
	}
	return 1, p.check()
}

var (
	unknownField = regexp.MustCompile(`line (\d+): field (.*) not found in type \S+`)
	wrongType    = regexp.MustCompile(`line (\d+): cannot unmarshal !!\w+ (?:.(.*). )?into (\S+)`)
	atLine       = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)`)
)

// explain puts the decoder's errors in the words of this program: the first of them.
func explain(name string, err error) error {
	text := err.Error()
	var many *yaml.TypeError
	if errors.As(err, &many) && len(many.Errors) > 0 {
		text = many.Errors[0]
	}
	if m := unknownField.FindStringSubmatch(text); m != nil {
		return decouple.Errorf(decouple.Invalid, "%s:%s: there is no key %s here", name, m[1], quoted(m[2]))
	}
	if m := wrongType.FindStringSubmatch(text); m != nil {
		return decouple.Errorf(decouple.Invalid, "%s:%s: %s is not what belongs here", name, m[1], quoted(m[2]))
	}
	if m := atLine.FindStringSubmatch(text); m != nil {
		return decouple.Errorf(decouple.Invalid, "%s:%s: %s", name, m[1], plain(m[2]))
	}
	return decouple.Errorf(decouple.Invalid, "%s: %s", name, plain(text))
}

// quoted is a text of the file as a message shows it.
func quoted(s string) string { return strconv.Quote(s[:min(len(s), 80)]) }

// plain is a text without control characters.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\ufffd' {
			return -1
		}
		return r
	}, s[:min(len(s), 300)])
}

// The file's own types.
type (
	filePlan struct {
		Name      string               `yaml:"name"`
		Seed      uint64               `yaml:"seed"`
		Start     time.Time            `yaml:"start"`
		Span      time.Duration        `yaml:"span"`
		Slice     time.Duration        `yaml:"slice"`
		Clouds    []yaml.Node          `yaml:"clouds"`
		Quotas    map[string]yaml.Node `yaml:"quotas"`
		Labels    map[string][]string  `yaml:"labels"`
		Catalog   yaml.Node            `yaml:"catalog"`
		Router    fileRouter           `yaml:"router"`
		Workloads []fileWorkload       `yaml:"workloads"`
		Faults    yaml.Node            `yaml:"faults"`
		Contracts []fileChange         `yaml:"contracts"`
	}
	fileRouter struct {
		Naive    bool          `yaml:"naive"`
		MaxWait  time.Duration `yaml:"max_wait"`
		Queue    count         `yaml:"queue"`
		Replicas int           `yaml:"replicas"`
	}
	fileChange struct {
		At      time.Duration `yaml:"at"`
		Without []string      `yaml:"without"`
		Why     string        `yaml:"why"`
	}
	fileWorkload struct {
		Name     string        `yaml:"name"`
		Class    string        `yaml:"class"`
		Labels   []string      `yaml:"labels"`
		Tenant   string        `yaml:"tenant"`
		Team     string        `yaml:"team"`
		Agent    string        `yaml:"agent"`
		Keys     int           `yaml:"keys"`
		Model    string        `yaml:"model"`
		Arrive   fileArrival   `yaml:"arrive"`
		Runs     count         `yaml:"runs"`
		Calls    counts        `yaml:"calls"`
		Tools    spans         `yaml:"tools"`
		In       counts        `yaml:"in"`
		Grow     counts        `yaml:"grow"`
		Prefix   count         `yaml:"prefix"`
		Out      counts        `yaml:"out"`
		MaxOut   count         `yaml:"max_out"`
		Stream   bool          `yaml:"stream"`
		Restart  bool          `yaml:"restart"`
		Late     time.Duration `yaml:"late"`
		Priority int           `yaml:"priority"`
		Deadline time.Duration `yaml:"deadline"`
		Again    int           `yaml:"again"`
		Pause    time.Duration `yaml:"pause"`
		Unchecks float64       `yaml:"unchecked"`
		SignOff  time.Duration `yaml:"sign_off"`
	}
	fileArrival struct {
		Pattern string        `yaml:"pattern"`
		Rate    rate          `yaml:"rate"`
		Every   time.Duration `yaml:"every"`
		For     time.Duration `yaml:"for"`
		Times   float64       `yaml:"times"`
		Peak    time.Duration `yaml:"peak"`
		Swing   float64       `yaml:"swing"`
	}
)

// count is a whole number; k and M stand for thousand and million.
type count int64

// UnmarshalYAML reads a count.
func (c *count) UnmarshalYAML(n *yaml.Node) error {
	v, ok := number(n)
	if !ok || v != math.Trunc(v) {
		return fmt.Errorf("line %d: %s is not a count such as 500 or 30k", n.Line, quoted(n.Value))
	}
	*c = count(v)
	return nil
}

// number reads a number that is not below zero.
func number(n *yaml.Node) (float64, bool) {
	text, unit := strings.ReplaceAll(n.Value, "_", ""), 1.0
	if t, ok := strings.CutSuffix(text, "k"); ok {
		text, unit = t, 1e3
	} else if t, ok := strings.CutSuffix(text, "M"); ok {
		text, unit = t, 1e6
	}
	v, err := strconv.ParseFloat(text, 64)
	if n.Kind != yaml.ScalarNode || err != nil || !(v >= 0 && v*unit <= 1e15) {
		return 0, false
	}
	return v * unit, true
}

// duration reads a span of time.
func duration(n *yaml.Node) (float64, bool) {
	d, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || d < 0 {
		return 0, false
	}
	return float64(d), true
}

// rate is a number of runs in a time: 0.5/s, 30/m, 1800/h or 40k/d; without a time it is of a second.
type rate float64

// UnmarshalYAML reads a rate.
func (r *rate) UnmarshalYAML(n *yaml.Node) error {
	text, per, _ := strings.Cut(n.Value, "/")
	seconds, ok := map[string]float64{"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[per]
	v, good := number(&yaml.Node{Kind: n.Kind, Value: text})
	if !ok || !good {
		return fmt.Errorf("line %d: %s is not a rate such as 0.5/s, 30/m, 1800/h or 40k/d", n.Line, quoted(n.Value))
	}
	*r = rate(v / seconds)
	return nil
}

// counts is a number that varies, and spans a time that does.
type (
	counts Spread
	spans  Spread
)

// UnmarshalYAML reads a number, {p50, p95}, {mean} or {from, to}.
func (c *counts) UnmarshalYAML(n *yaml.Node) error {
	return readSpread((*Spread)(c), n, number, "a number such as 800 or 2k")
}

// UnmarshalYAML reads a span, {p50, p95}, {mean} or {from, to}.
func (s *spans) UnmarshalYAML(n *yaml.Node) error {
	return readSpread((*Spread)(s), n, duration, "a span such as 2s")
}

func readSpread(s *Spread, n *yaml.Node, value func(*yaml.Node) (float64, bool), what string) error {
	if v, ok := value(n); ok {
		*s = Always(v)
		return nil
	}
	wrong := fmt.Errorf("line %d: this is %s, or one of {p50: .., p95: ..}, {mean: ..} and {from: .., to: ..}", n.Line, what)
	if n.Kind != yaml.MappingNode {
		return wrong
	}
	got := map[string]float64{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		v, ok := value(n.Content[i+1])
		if _, twice := got[n.Content[i].Value]; !ok || twice {
			return wrong
		}
		got[n.Content[i].Value] = v
	}
	has := func(keys ...string) bool {
		return len(got) == len(keys) && !slices.ContainsFunc(keys, func(k string) bool { _, ok := got[k]; return !ok })
	}
	switch {
	case has("p50", "p95"):
		*s = Spread{LogNormal, got["p50"], got["p95"]}
	case has("mean"):
		*s = Spread{Exponential, got["mean"], 0}
	case has("from", "to"):
		*s = Spread{Uniform, got["from"], got["to"]}
	default:
		return wrong
	}
	return nil
}
