package drill

import (
	"bytes"
	"cmp"
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

// MaxFile is how many bytes a scenario may have.
const MaxFile = 256 << 10

// The file's own types.
type (
	fileScenario struct {
		ID         string                    `yaml:"id"`
		Title      string                    `yaml:"title"`
		Source     string                    `yaml:"source"`
		Mark       string                    `yaml:"mark"`
		When       string                    `yaml:"when"`
		Facts      string                    `yaml:"facts"`
		Simplified []string                  `yaml:"simplified"`
		Every      span                      `yaml:"every"`
		Before     span                      `yaml:"before"`
		After      span                      `yaml:"after"`
		Lasts      span                      `yaml:"lasts"`
		Slow       span                      `yaml:"slow_after"`
		Lose       []fileLoss                `yaml:"lose"`
		Expect     fileExpect                `yaml:"expect"`
		Contracts  []yaml.Node               `yaml:"contracts"`
		Aliases    map[string][]string       `yaml:"aliases"`
		Workloads  []fileWorkload            `yaml:"workloads"`
		Ancestors  map[string][]fileSelector `yaml:"ancestors"`
	}
	fileSelector struct {
		Vendor   string   `yaml:"vendor"`
		Cloud    string   `yaml:"cloud"`
		Region   string   `yaml:"region"`
		Regions  []string `yaml:"regions"`
		Model    string   `yaml:"model"`
		Lab      string   `yaml:"lab"`
		Hardware string   `yaml:"hardware"`
		Endpoint string   `yaml:"endpoint"`
	}
	fileLoss struct {
		What         string `yaml:"what"`
		fileSelector `yaml:",inline"`
		Ancestor     string    `yaml:"ancestor"`
		From         span      `yaml:"from"`
		To           span      `yaml:"to"`
		Share        *share    `yaml:"share"`
		Status       int       `yaml:"status"`
		After        int64     `yaml:"after"`
		For          span      `yaml:"for"`
		Factor       float64   `yaml:"factor"`
		Clause       string    `yaml:"clause"`
		Contract     yaml.Node `yaml:"contract"`
	}
	fileWorkload struct {
		Name      string   `yaml:"name"`
		Class     string   `yaml:"class"`
		Labels    []string `yaml:"labels"`
		Team      string   `yaml:"team"`
		Agent     string   `yaml:"agent"`
		Model     string   `yaml:"model"`
		Residency []string `yaml:"residency"`
		Rate      float64  `yaml:"per_second"`
		Steps     int64    `yaml:"steps"`
		In        int64    `yaml:"tokens_in"`
		Out       int64    `yaml:"tokens_out"`
		Stream    *bool    `yaml:"stream"`
		Critical  bool     `yaml:"critical"`
		Again     int      `yaml:"again"`
	}
	fileExpect struct {
		Recover       *span     `yaml:"recover_within"`
		FailedShare   *below    `yaml:"failed_share"`
		Breaches      *int64    `yaml:"breaches"`
		Duplicated    *int64    `yaml:"effects_duplicated"`
		Amplification *below    `yaml:"amplification"`
		CostTimes     *below    `yaml:"cost_times"`
		NoAlternate   *[]string `yaml:"no_alternate"`
	}
)

// Read reads a file of one scenario. What is wrong with it is Invalid, with the file's name and the line.
func Read(name string, data []byte) (Scenario, error) {
	if len(data) > MaxFile {
		return Scenario{}, decouple.Errorf(decouple.TooLarge, "%s: a scenario has at most %d kB", plain(name), MaxFile>>10)
	}
	var f fileScenario
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil {
		return Scenario{}, explain(name, err)
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return Scenario{}, decouple.Errorf(decouple.Invalid, "%s: a file has one scenario: take out what follows the line ---", plain(name))
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return Scenario{}, explain(name, err)
	}
	s := f.scenario(lines{&doc})
	s.Text = string(data)
	if at, why := s.check(lines{&doc}); why != "" {
		return Scenario{}, decouple.Errorf(decouple.Invalid, "%s:%d: %s", plain(name), at, why)
	}
	return s, nil
}

// scenario makes what the file says into a scenario, with its defaults.
func (f *fileScenario) scenario(at lines) Scenario {
	s := Scenario{
		ID: f.ID, Title: f.Title, Source: f.Source, Mark: f.Mark, When: f.When, Facts: strings.TrimSpace(f.Facts), Simplified: f.Simplified, Every: time.Duration(f.Every),
		Before: cmp.Or(time.Duration(f.Before), 5*time.Minute), After: cmp.Or(time.Duration(f.After), 10*time.Minute), Slow: cmp.Or(time.Duration(f.Slow), 20*time.Second), Aliases: f.Aliases,
	}
	s.Start = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	for i := range f.Lose {
		s.Lose = append(s.Lose, f.Lose[i].loss(at.of("lose", i)))
		s.Lasts = max(s.Lasts, s.Lose[i].To)
	}
	if f.Lasts > 0 {
		s.Lasts = time.Duration(f.Lasts)
	}
	for i := range s.Lose {
		if s.Lose[i].To == 0 {
			s.Lose[i].To = s.Lasts
		}
	}
	for i := range f.Contracts {
		s.Contracts = append(s.Contracts, textOf(&f.Contracts[i]))
	}
	for i := range f.Workloads {
		s.Workloads = append(s.Workloads, f.Workloads[i].workload(at.of("workloads", i)))
	}
	for name, list := range f.Ancestors {
		if s.Ancestors == nil {
			s.Ancestors = map[string][]Selector{}
		}
		for i := range list {
			s.Ancestors[name] = append(s.Ancestors[name], list[i].selector())
		}
	}
	e := &f.Expect
	s.Expect = Expect{Recover: (*time.Duration)(e.Recover), FailedShare: (*float64)(e.FailedShare), Breaches: e.Breaches, Duplicated: e.Duplicated, Amplification: (*float64)(e.Amplification), CostTimes: (*float64)(e.CostTimes)}
	if e.NoAlternate != nil {
		s.Expect.NoAlternate, s.Expect.named = *e.NoAlternate, true
	}
	return s
}

func (f *fileSelector) selector() Selector {
	x := Selector{Vendor: f.Vendor, Cloud: f.Cloud, Regions: f.Regions, Model: f.Model, Lab: f.Lab, Hardware: f.Hardware, Endpoint: f.Endpoint}
	if f.Region != "" {
		x.Regions = append(slices.Clone(x.Regions), f.Region)
	}
	return x
}

func (f *fileLoss) loss(line int) Loss {
	l := Loss{What: Kind(f.What), Selector: f.selector(), Ancestor: f.Ancestor, From: time.Duration(f.From), To: time.Duration(f.To), Share: 1, Status: f.Status, After: f.After, For: time.Duration(f.For),
		Factor: f.Factor, Clause: f.Clause, Text: textOf(&f.Contract), line: line}
	if f.Share != nil {
		l.Share = float64(*f.Share)
	}
	if l.What == Storm {
		l.For = cmp.Or(l.For, 10*time.Second)
	}
	return l
}

func (f *fileWorkload) workload(line int) Workload {
	w := Workload{Name: f.Name, Class: f.Class, Labels: f.Labels, Team: f.Team, Agent: f.Agent, Model: f.Model, Residency: f.Residency, Rate: f.Rate, Steps: cmp.Or(f.Steps, 1), In: cmp.Or(f.In, 1500), Out: cmp.Or(f.Out, 250),
		Stream: f.Stream == nil || *f.Stream, Critical: f.Critical, Again: f.Again, line: line}
	if w.Rate == 0 {
		w.Rate = 1
	}
	return w
}

// textOf is a node's text: a block of text is itself, and anything else as YAML.
func textOf(n *yaml.Node) Text {
	switch {
	case n.IsZero():
		return Text{}
	case n.Kind == yaml.ScalarNode:
		return Text{n.Line, n.Value}
	}
	b, err := yaml.Marshal(n)
	if err != nil {
		return Text{Line: n.Line}
	}
	return Text{n.Line, string(b)}
}

// span is a length of time, such as 30s, 20h12m or 90d.
type span time.Duration

// UnmarshalYAML reads a length of time.
func (s *span) UnmarshalYAML(n *yaml.Node) error {
	bad := fmt.Errorf("line %d: %s is not a length of time such as 30s, 20h12m or 90d", n.Line, strconv.Quote(n.Value))
	text, days := n.Value, time.Duration(0)
	if d, rest, ok := strings.Cut(text, "d"); ok {
		v, err := strconv.ParseUint(d, 10, 16)
		if err != nil {
			return bad
		}
		days, text = time.Duration(v)*24*time.Hour, rest
	}
	var v time.Duration
	var err error
	if text != "" || days == 0 {
		v, err = time.ParseDuration(text)
	}
	if n.Kind != yaml.ScalarNode || err != nil || v < 0 || v > longest || days+v > longest {
		return bad
	}
	*s = span(days + v)
	return nil
}

// longest is the longest time that a scenario may name.
const longest = 5 * 366 * 24 * time.Hour

// share is a part of a whole, such as 45 % or 0.45.
type share float64

// UnmarshalYAML reads a share.
func (s *share) UnmarshalYAML(n *yaml.Node) error {
	v, err := fraction(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || !(v > 0 && v <= 1) {
		return fmt.Errorf("line %d: %s is not a share above 0 and up to 100%%, such as 45%% or 0.45", n.Line, strconv.Quote(n.Value))
	}
	*s = share(v)
	return nil
}

// below is a limit from above, such as < 1 % or 1.2.
type below float64

// UnmarshalYAML reads a limit.
func (b *below) UnmarshalYAML(n *yaml.Node) error {
	text := strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(n.Value), "<"), "="))
	v, err := fraction(text)
	if n.Kind != yaml.ScalarNode || err != nil || !(v >= 0 && v <= 1000) {
		return fmt.Errorf("line %d: %s is not a limit such as < 1%% or 1.2", n.Line, strconv.Quote(n.Value))
	}
	*b = below(v)
	return nil
}

func fraction(text string) (float64, error) {
	number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		err = errors.New("no number")
	}
	if percent {
		v /= 100
	}
	return v, err
}

var (
	unknownField = regexp.MustCompile(`line (\d+): field (.*) not found in type \S+`)
	wrongType    = regexp.MustCompile(`line (\d+): cannot unmarshal !!\w+ (?:.(.*). )?into (\S+)`)
	atLine       = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)`)
)

// explain puts the decoder's errors in the words of this program: the first of them.
func explain(name string, err error) error {
	text := err.Error()
	if errors.Is(err, io.EOF) {
		return decouple.Errorf(decouple.Invalid, "%s: the file is empty; `decouple drill show azure-2026-03-09 --yaml` prints one to begin with", plain(name))
	}
	var many *yaml.TypeError
	if errors.As(err, &many) && len(many.Errors) > 0 {
		text = many.Errors[0]
	}
	if m := unknownField.FindStringSubmatch(text); m != nil {
		return decouple.Errorf(decouple.Invalid, "%s:%s: there is no key %q here", plain(name), m[1], plain(m[2]))
	}
	if m := wrongType.FindStringSubmatch(text); m != nil {
		return decouple.Errorf(decouple.Invalid, "%s:%s: %q is not what belongs here", plain(name), m[1], plain(m[2]))
	}
	if m := atLine.FindStringSubmatch(text); m != nil {
		return decouple.Errorf(decouple.Invalid, "%s:%s: %s", plain(name), m[1], plain(m[2]))
	}
	return decouple.Errorf(decouple.Invalid, "%s: %s", plain(name), plain(text))
}

// plain takes out what a foreign text could do to a terminal, and keeps it short.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return ' '
		}
		return r
	}, s)
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "..."
	}
	return s
}

// lines finds the lines of a file.
type lines struct{ doc *yaml.Node }

// of is the line of a place, or of what is nearest to it: keys, and numbers for items of lists.
func (l lines) of(path ...any) int {
	if len(l.doc.Content) == 0 {
		return 1
	}
	n := l.doc.Content[0]
	for _, step := range path {
		next := child(n, step)
		if next == nil {
			break
		}
		n = next
	}
	return max(1, n.Line)
}

func child(n *yaml.Node, step any) *yaml.Node {
	switch s := step.(type) {
	case int:
		if n.Kind == yaml.SequenceNode && s < len(n.Content) {
			return n.Content[s]
		}
	case string:
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == s {
				return n.Content[i+1]
			}
		}
	}
	return nil
}
