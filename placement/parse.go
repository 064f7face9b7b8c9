package placement

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds a contract's file.
const maxFile = 1 << 20

// Parse reads a contract's file. The error is Invalid, and names everything that is wrong with the file, a line each.
func Parse(file string, data []byte) (Contract, error) {
	c, faults := Read(file, data)
	return c, faults.Err()
}

// Read is Parse that gives the faults one by one. What has faults is not to be used.
func Read(file string, data []byte) (Contract, Faults) {
	r := &reader{file: file}
	c := Contract{File: file}
	n := r.document(data)
	if n == nil {
		return c, r.faults
	}
	r.contract(n, &c)
	r.checkContract(n.Line, &c)
	return c, r.faults.sorted()
}

func (r *reader) document(data []byte) *yaml.Node {
	if len(data) > maxFile {
		r.at(1, "the file", "it is larger than 1 MiB", "write several files")
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); err != nil {
		line, text := yamlLine(err)
		r.at(line, "the file", "it is no YAML ("+text+")", "see the indentation and the colons of this line and the one before it")
		return nil
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		r.at(max(second.Line, 1), "the file", "there is a second document in it", "write one contract a file")
	}
	if len(doc.Content) == 0 {
		r.at(1, "the file", "there is nothing in it", "write a contract: docs/contracts.md shows one")
		return nil
	}
	return doc.Content[0]
}

var yamlLineAt = regexp.MustCompile(`line (\d+)`)

func yamlLine(err error) (int, string) {
	if errors.Is(err, io.EOF) {
		return 1, "it is empty"
	}
	line := 1
	if m := yamlLineAt.FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1])
	}
	return max(line, 1), printable(err.Error())
}

func (r *reader) contract(n *yaml.Node, c *Contract) {
	r.mapping("", n, fields{
		"id": r.name(&c.ID), "title": r.text(&c.Title), "parties": r.texts(&c.Parties), "source": r.text(&c.Source), "asserted_by": r.text(&c.AssertedBy),
		"confidence": word(r, &c.Confidence, Signed, Announced, Reported, Contested),
		"clauses": func(path string, n *yaml.Node) {
			r.list(path, n, func(path string, n *yaml.Node) { c.Clauses = append(c.Clauses, r.clause(path, n)) })
		},
		"waivers": func(path string, n *yaml.Node) {
			r.list(path, n, func(path string, n *yaml.Node) { c.Waivers = append(c.Waivers, r.waiver(path, n)) })
		},
		"facts": func(path string, n *yaml.Node) {
			r.list(path, n, func(path string, n *yaml.Node) { c.Facts = append(c.Facts, r.fact(path, n)) })
		},
		"settings": func(path string, n *yaml.Node) {
			r.mapping(path, n, fields{"on_disputed": r.effects(&c.Settings.OnDisputed), "on_unknown": r.effects(&c.Settings.OnUnknown)})
		},
	})
}

// effects reads one effect for all classes, or one for each.
func (r *reader) effects(to *map[string]Effect) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		*to = map[string]Effect{}
		read := func(path, class string, n *yaml.Node) {
			var e Effect
			word(r, &e, Hold, Stop, Go)(path, n)
			(*to)[class] = e
		}
		if n.Kind == yaml.ScalarNode {
			read(path, "*", n)
			return
		}
		r.each(path, n, read)
	}
}

func (r *reader) clause(path string, n *yaml.Node) Clause {
	c := Clause{line: n.Line}
	r.mapping(path, n, fields{
		"id": r.name(&c.ID), "kind": word(r, &c.Kind, Kinds()...), "text": r.text(&c.Text), "classes": r.texts(&c.Classes), "class": r.texts(&c.Classes),
		"binds": r.match(&c.Binds), "except": r.matches(&c.Except), "unless": r.text(&c.Unless), "source": r.text(&c.Source), "asserted_by": r.text(&c.AssertedBy),
		"actions": func(path string, n *yaml.Node) {
			r.list(path, n, func(path string, n *yaml.Node) {
				var a Action
				word(r, &a, CallModel, UseTool, RunAgent)(path, n)
				c.Actions = append(c.Actions, a)
			})
		},
		"valid": r.span(&c.Valid, &c.ToKnown), "known": r.span(&c.Known, nil),
		"confidence": word(r, &c.Confidence, Signed, Announced, Reported, Contested), "disputed_below": word(r, &c.DisputedBelow, Signed, Announced, Reported),
		"readings": func(path string, n *yaml.Node) {
			r.list(path, n, func(path string, n *yaml.Node) { c.Readings = append(c.Readings, r.reading(path, n)) })
		},
		"host": r.texts(&c.Host), "first_party": r.texts(&c.FirstParty), "at": r.matches(&c.At), "in": r.matches(&c.In), "requires": r.pairs(&c.Requires),
		"models": func(path string, n *yaml.Node) {
			c.Models = map[string][]string{}
			r.each(path, n, func(path, team string, n *yaml.Node) {
				var list []string
				r.texts(&list)(path, n)
				c.Models[team] = list
			})
		},
		"accepted": func(path string, n *yaml.Node) {
			r.list(path, n, func(path string, n *yaml.Node) { c.Accepted = append(c.Accepted, r.accepted(path, n)) })
		},
		"days": r.count(&c.Days, 3650),
		"when": func(path string, n *yaml.Node) {
			s, _ := r.scalar(path, n)
			c.When = conditionOf(s)
			if err := c.When.Check(); err != nil {
				r.fail(n, path, printable(err.Error()), "write comparisons such as method != 'GET' and amount > 100")
			}
		},
		"share": func(path string, n *yaml.Node) { c.Share = r.share(path, n) }, "amount": r.money(&c.Amount), "part": r.part(&c.Part),
	})
	return c
}

func (r *reader) span(to *Span, endKnown *time.Time) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		known := fields{"from": r.date(&to.From), "to": r.date(&to.To)}
		if endKnown != nil {
			known["to_known"] = r.date(endKnown)
		}
		r.mapping(path, n, known)
		if !to.To.IsZero() && !to.From.Before(to.To) {
			r.fail(n, under(path, "to"), "the end is not after the beginning", "`to` is the first day on which it no longer holds")
		}
		if endKnown != nil && !endKnown.IsZero() && to.To.IsZero() {
			r.fail(n, under(path, "to_known"), "it says since when the end is known, and there is no end", "write `to`, or leave `to_known` away")
		}
	}
}

func (r *reader) reading(path string, n *yaml.Node) Reading {
	v := Reading{line: n.Line}
	r.mapping(path, n, fields{
		"reads": word(r, &v.Reads, Allow, Deny), "by": r.text(&v.By), "text": r.text(&v.Text), "source": r.text(&v.Source),
		"confidence": word(r, &v.Confidence, Signed, Announced, Reported, Contested), "known": r.span(&v.Known, nil),
	})
	return v
}

func (r *reader) waiver(path string, n *yaml.Node) Waiver {
	w := Waiver{line: n.Line}
	r.mapping(path, n, fields{
		"clause": r.text(&w.Clause), "what": r.text(&w.What), "for": r.matches(&w.For), "text": r.text(&w.Text), "source": r.text(&w.Source), "valid": r.span(&w.Valid, nil), "known": r.span(&w.Known, nil),
	})
	return w
}

func (r *reader) fact(path string, n *yaml.Node) Fact {
	f := Fact{line: n.Line}
	r.mapping(path, n, fields{"of": r.match(&f.Of), "is": r.pairs(&f.Is), "source": r.text(&f.Source), "valid": r.span(&f.Valid, nil), "known": r.span(&f.Known, nil)})
	return f
}

// accepted is a name, or a name with the day of the notice.
func (r *reader) accepted(path string, n *yaml.Node) Accepted {
	var a Accepted
	if n.Kind == yaml.ScalarNode {
		r.text(&a.Name)(path, n)
		return a
	}
	r.mapping(path, n, fields{"name": r.text(&a.Name), "on": r.date(&a.On)})
	if a.Name == "" {
		r.fail(n, path, "a sub-processor has a name", "write `name`")
	}
	return a
}

func (r *reader) share(path string, n *yaml.Node) *ShareTerm {
	var s ShareTerm
	least, most := false, false
	r.mapping(path, n, fields{
		"at_least": func(path string, n *yaml.Node) { least = true; r.part(&s.Part)(path, n) },
		"at_most":  func(path string, n *yaml.Node) { most = true; r.part(&s.Part)(path, n) },
		"of":       word(r, &s.Of, Spend, Tokens, Calls), "by": word(r, &s.By, ByVendor, ByCloud, ByRegion, ByLab), "with": r.texts(&s.With),
		"each": word(r, &s.Each, Month, Quarter, Year, Term),
	})
	s.AtMost = most
	if least == most {
		r.fail(n, path, "a share is either at_least or at_most", "write one of them")
	}
	if s.Of == "" || s.By == "" || len(s.With) == 0 {
		r.fail(n, path, "a share says of what, by what and with whom", "write `of: spend`, `by: vendor` and `with: [azure]`")
	}
	if s.Each == "" {
		s.Each = Month
	}
	return &s
}

func (r *reader) pairs(to *map[string]string) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		*to = map[string]string{}
		r.each(path, n, func(path, key string, n *yaml.Node) { (*to)[key], _ = r.scalar(path, n) })
	}
}

func (r *reader) matches(to *[]Match) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		r.list(path, n, func(path string, n *yaml.Node) {
			var m Match
			r.match(&m)(path, n)
			*to = append(*to, m)
		})
	}
}

// match reads whom or what a clause binds. Each key may be written for one or for several.
func (r *reader) match(m *Match) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		known := fields{
			"open": word(r, &m.Open, "only", "not", "with"),
			"fact": func(path string, n *yaml.Node) {
				m.Facts = map[string][]string{}
				r.each(path, n, func(path, key string, n *yaml.Node) {
					var list []string
					r.texts(&list)(path, n)
					m.Facts[key] = list
				})
			},
		}
		for _, l := range m.lists() {
			known[l.key], known[l.key+"s"] = r.texts(l.to), r.texts(l.to)
		}
		known["classes"] = known["class"]
		delete(known, "classs")
		delete(known, "hardwares")
		r.mapping(path, n, known)
	}
}

// named is one list of a match, by its key in a file.
type named struct {
	key   string
	to    *[]string
	place bool // it speaks of the place, not of the need
}

func (m *Match) lists() []named {
	return []named{
		{"endpoint", &m.Endpoints, true}, {"vendor", &m.Vendors, true}, {"cloud", &m.Clouds, true}, {"region", &m.Regions, true}, {"geo", &m.Geos, true}, {"hardware", &m.Hardware, true},
		{"model", &m.Models, true}, {"lab", &m.Labs, true}, {"mark", &m.Marks, true},
		{"label", &m.Labels, false}, {"team", &m.Teams, false}, {"agent", &m.Agents, false}, {"key", &m.Keys, false}, {"tool", &m.Tools, false}, {"class", &m.Classes, false},
	}
}
