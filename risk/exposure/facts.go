package exposure

import (
	_ "embed" // data
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"decouple.dev/decouple"
	"decouple.dev/decouple/placement"
)

//go:embed data/ancestors.yaml
var ancestorsFile []byte

// Strength says what becomes of a node when what it hangs on is gone.
type Strength string

// The strengths.
const (
	Hard    Strength = "hard"    // it is gone, too
	Partial Strength = "partial" // some of it is, or it is worse: one of several hosts, a control plane, a sign-in
)

// FromCatalog is the confidence of an edge that follows from the catalog itself.
const FromCatalog placement.Confidence = "catalog"

// Edge says that one node hangs on another, and how that is known.
type Edge struct {
	From       Node                 `json:"from"`
	To         Node                 `json:"to"`
	Strength   Strength             `json:"strength"`
	Confidence placement.Confidence `json:"confidence"`
	Source     string               `json:"source"`
	Note       string               `json:"note,omitempty"`
	Since      time.Time            `json:"since,omitzero"` // from which day on it holds; zero is since ever
	Until      time.Time            `json:"until,omitzero"` // from which day on it does not; zero is for ever
	Known      time.Time            `json:"known,omitzero"` // the day on which it was found out or last checked
}

// holds says whether an edge is there at a time.
func (e Edge) holds(at time.Time) bool {
	return !at.Before(e.Since) && (e.Until.IsZero() || at.Before(e.Until))
}

// Level is how much depends on a workload.
type Level string

// The levels, and how much more a workload of one weighs than one of the next: twice.
const (
	Critical Level = "critical"
	High     Level = "high"
	Normal   Level = "normal"
	Low      Level = "low"
)

var levels = []Level{Critical, High, Normal, Low}

// weight is 8, 4, 2 or 1.
func (l Level) weight() float64 {
	if i := slices.Index(levels, l); i >= 0 {
		return float64(int(8) >> i)
	}
	return 0
}

// Criticality says how much depends on the workloads of a class, an agent, a team or a key; exactly one is named.
type Criticality struct {
	Class, Agent, Team, Key string
	Level                   Level
}

// matches says whether a flow is meant.
func (c Criticality) matches(f Flow) bool {
	switch {
	case c.Class != "":
		return c.Class == f.Class
	case c.Agent != "":
		return c.Agent == f.Agent
	case c.Team != "":
		return c.Team == f.Team
	}
	return c.Key == f.Key
}

// Facts are who stands behind whom, how critical workloads are, and how long an evaluation counts.
type Facts struct {
	Edges       []Edge
	Criticality []Criticality // the first that matches holds
	DrillDue    time.Duration // after which a drill is overdue that names no day itself; 90 days
	ParityDue   time.Duration // after which a parity evaluation counts no more; 180 days
}

// Embedded are the facts that ship.
func Embedded() (Facts, error) {
	f, err := Facts{DrillDue: 90 * day, ParityDue: 180 * day}.Over("ancestors.yaml", ancestorsFile)
	if err != nil {
		return f, decouple.Errorf(decouple.Internal, "risk/exposure/data/%w", err)
	}
	return f, nil
}

const day = 24 * time.Hour

// Over lays a file of facts over f. An edge between the same two nodes takes the place of the earlier ones, `absent: true` takes them away, and what the file says of
// criticality goes before. Everything that is wrong is Invalid, with file and line.
func (f Facts) Over(file string, data []byte) (Facts, error) {
	r := reader{file: file}
	if len(data) > maxFacts {
		return f, decouple.Errorf(decouple.Invalid, "%s: it is longer than %d bytes", file, maxFacts)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return f, decouple.Errorf(decouple.Invalid, "%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) == 0 {
		return f, nil
	}
	var own Facts
	var gone []Edge
	r.mapping(doc.Content[0], map[string]func(*yaml.Node){
		"edges": func(n *yaml.Node) {
			r.list(n, func(n *yaml.Node) {
				e, absent := r.edge(n)
				if gone = append(gone, e); !absent {
					own.Edges = append(own.Edges, e)
				}
			})
		},
		"criticality": func(n *yaml.Node) {
			r.list(n, func(n *yaml.Node) { own.Criticality = append(own.Criticality, r.criticality(n)) })
		},
		"drill_due":  func(n *yaml.Node) { own.DrillDue = r.span(n) },
		"parity_due": func(n *yaml.Node) { own.ParityDue = r.span(n) },
	})
	if r.err != nil {
		return f, r.err
	}
	kept := slices.DeleteFunc(slices.Clone(f.Edges), func(e Edge) bool {
		return slices.ContainsFunc(gone, func(g Edge) bool { return g.From == e.From && g.To == e.To })
	})
	f.Edges = append(kept, own.Edges...)
	f.Criticality = append(own.Criticality, f.Criticality...)
	if own.DrillDue > 0 {
		f.DrillDue = own.DrillDue
	}
	if own.ParityDue > 0 {
		f.ParityDue = own.ParityDue
	}
	return f, nil
}

const (
	maxFacts = 1 << 20 // bytes of a file
	maxSpan  = 3650    // days
)

// reader walks a file and keeps the first thing that is wrong with it.
type reader struct {
	file string
	err  error
}

func (r *reader) fail(n *yaml.Node, format string, args ...any) {
	if r.err == nil {
		r.err = decouple.Errorf(decouple.Invalid, r.file+":"+strconv.Itoa(n.Line)+": "+format, args...)
	}
}

// mapping reads a mapping whose keys are known.
func (r *reader) mapping(n *yaml.Node, known map[string]func(*yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		r.fail(n, "here belong keys and values")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content) && r.err == nil; i += 2 {
		key, read := n.Content[i], known[n.Content[i].Value]
		switch {
		case read == nil:
			var names []string
			for name := range known {
				names = append(names, name)
			}
			slices.Sort(names)
			r.fail(key, "there is no key %q: there are %s", clip(key.Value), strings.Join(names, ", "))
		case seen[key.Value]:
			r.fail(key, "the key %s is there twice", key.Value)
		default:
			seen[key.Value] = true
			read(n.Content[i+1])
		}
	}
}

func (r *reader) list(n *yaml.Node, do func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		r.fail(n, "here belongs a list")
		return
	}
	for _, item := range n.Content {
		if r.err == nil {
			do(item)
		}
	}
}

// maxText is the longest text of a fact.
const maxText = 1000

func (r *reader) text(into *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Value == "" || len(n.Value) > maxText || strings.ContainsFunc(n.Value, unprintable) {
			r.fail(n, "here belongs a plain text of up to %d bytes", maxText)
			return
		}
		*into = n.Value
	}
}

func (r *reader) node(into *Node) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var err error
		if *into, err = ParseNode(n.Value); err != nil {
			r.fail(n, "%v", err)
		}
	}
}

func (r *reader) date(into *time.Time) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var err error
		if *into, err = time.Parse(time.DateOnly, n.Value); err != nil {
			r.fail(n, "%q is no date such as 2026-01-31", clip(n.Value))
		}
	}
}

// span is a number of days, such as 90d.
func (r *reader) span(n *yaml.Node) time.Duration {
	days, ok := strings.CutSuffix(n.Value, "d")
	d, err := strconv.Atoi(days)
	if !ok || err != nil || d < 1 || d > maxSpan {
		r.fail(n, "%q is no number of days such as 90d, at most %dd", clip(n.Value), maxSpan)
	}
	return time.Duration(d) * day
}

// confidences are those that a fact can have.
var confidences = []placement.Confidence{placement.Signed, placement.Announced, placement.Reported, placement.Contested}

// edge reads an edge.
func (r *reader) edge(n *yaml.Node) (e Edge, absent bool) {
	var strength, confidence, away string
	r.mapping(n, map[string]func(*yaml.Node){
		"from": r.node(&e.From), "to": r.node(&e.To), "strength": r.text(&strength), "confidence": r.text(&confidence), "source": r.text(&e.Source), "note": r.text(&e.Note),
		"since": r.date(&e.Since), "until": r.date(&e.Until), "known": r.date(&e.Known), "absent": r.text(&away),
	})
	e.Strength, e.Confidence = Strength(strength), placement.Confidence(confidence)
	switch {
	case r.err != nil:
	case e.From == Node{} || e.To == Node{}:
		r.fail(n, "an edge needs from and to")
	case e.From == e.To:
		r.fail(n, "%s cannot hang on itself", e.From)
	case away != "" && away != "true":
		r.fail(n, "absent is true or not there")
	case e.Source == "":
		r.fail(n, "an edge needs its source: who says so, and where")
	case away == "true":
		return e, true
	case e.Strength != Hard && e.Strength != Partial:
		r.fail(n, "strength is hard or partial, not %q", clip(strength))
	case !slices.Contains(confidences, e.Confidence):
		r.fail(n, "confidence is signed, announced, reported or disputed, not %q", clip(confidence))
	case !e.Until.IsZero() && !e.Since.Before(e.Until):
		r.fail(n, "it ends before it begins")
	}
	return e, false
}

// criticality reads how critical a workload is.
func (r *reader) criticality(n *yaml.Node) (c Criticality) {
	var level string
	r.mapping(n, map[string]func(*yaml.Node){"class": r.text(&c.Class), "agent": r.text(&c.Agent), "team": r.text(&c.Team), "key": r.text(&c.Key), "level": r.text(&level)})
	c.Level = Level(level)
	named := 0
	for _, s := range []string{c.Class, c.Agent, c.Team, c.Key} {
		if s != "" {
			named++
		}
	}
	switch {
	case r.err != nil:
	case named != 1:
		r.fail(n, "name one of class, agent, team and key")
	case !slices.Contains(levels, c.Level):
		r.fail(n, "level is critical, high, normal or low, not %q", clip(level))
	}
	return c
}
