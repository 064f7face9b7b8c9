package parity

import (
	_ "embed" // data
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
	"go.yaml.in/yaml/v3"

	"decouple.dev/decouple"
)

//go:embed data/cases.yaml
var casesFile []byte

// Suite is a set of cases.
type Suite struct {
	Name  string
	Cases []Case
}

// Case is one thing that both endpoints are asked.
type Case struct {
	ID       string
	Messages []decouple.Message
	Tools    []decouple.ToolSpec
	Calls    string // the tool that must be called; empty leaves it to the model
	Schema   json.RawMessage
	Sources  map[string]string // texts that quotations must stand in
	Quotes   int               // the least number of quotations
	Expect   string            // a text that must be in one of the quotations, or in the answer where none are asked for
	Refuse   bool              // the right answer is a refusal
	Research bool              // the tools are those of research, and are answered from Sources
	MaxOut   int64
}

// fileSuite is a suite as a file has it.
type fileSuite struct {
	Sources map[string]string    `yaml:"sources"`
	Tools   map[string]fileTool  `yaml:"tools"`
	Schemas map[string]yaml.Node `yaml:"schemas"`
	Cases   []fileCase           `yaml:"cases"`
}

type fileTool struct {
	Description string    `yaml:"description"`
	Params      yaml.Node `yaml:"params"`
}

type fileCase struct {
	ID       string        `yaml:"id"`
	As       []string      `yaml:"as"`  // research, json, quote or call: the forms in which it is asked, each a case of its own
	Ask      string        `yaml:"ask"` // what the user says, or
	Messages []fileMessage `yaml:"messages"`
	System   string        `yaml:"system"`
	Sources  []string      `yaml:"sources"`
	Tools    []string      `yaml:"tools"`
	Call     string        `yaml:"call"`
	Schema   string        `yaml:"schema"`
	Quotes   int           `yaml:"quotes"`
	Expect   string        `yaml:"expect"`
	Refuse   bool          `yaml:"refuse"`
	MaxOut   int64         `yaml:"max_out"`
}

type fileMessage struct {
	Role string `yaml:"role"`
	Text string `yaml:"text"`
}

// Limits of a file of cases.
const (
	maxFile   = 4 << 20
	maxCases  = 2000
	maxTokens = 1200 // that an answer may have unless the case says otherwise
)

// Shipped is the suite that ships: questions about short handbooks, asked as research with tools and as JSON with a quotation, calls of tools, and what must be refused.
func Shipped() (Suite, error) {
	s, err := Parse("shipped", casesFile)
	if err != nil {
		return s, decouple.Errorf(decouple.Internal, "risk/parity/data/cases.yaml: %w", err)
	}
	return s, nil
}

// Parse reads a file of cases. What is wrong is Invalid, with the file and, where YAML knows it, the line, or the case's id.
func Parse(file string, data []byte) (Suite, error) {
	bad := func(format string, args ...any) (Suite, error) {
		return Suite{}, decouple.Errorf(decouple.Invalid, "%s: %s", file, fmt.Sprintf(format, args...))
	}
	if len(data) > maxFile {
		return bad("it is longer than %d bytes", maxFile)
	}
	var f fileSuite
	d := yaml.NewDecoder(strings.NewReader(string(data)))
	d.KnownFields(true)
	if err := d.Decode(&f); errors.Is(err, io.EOF) {
		return bad("the file is empty; examples/risk/cases.yaml is one to begin with")
	} else if err != nil {
		text := strings.TrimPrefix(err.Error(), "yaml: ")
		if wrong := (*yaml.TypeError)(nil); errors.As(err, &wrong) && len(wrong.Errors) > 0 {
			text, _, _ = strings.Cut(wrong.Errors[0], " in type ") // of this program, which is nobody's business
		}
		return bad("%s", plain(text))
	}
	if len(f.Cases) == 0 || len(f.Cases) > maxCases {
		return bad("a file has from 1 to %d cases", maxCases)
	}
	s := Suite{Name: file}
	seen := map[string]bool{}
	for i, c := range f.Cases {
		if c.ID == "" {
			c.ID = "case " + strconv.Itoa(i+1)
		}
		if len(c.As) == 0 {
			c.As = []string{""}
		}
		for _, as := range c.As {
			one, err := f.build(c, as)
			if err != nil {
				return bad("%s: %v", plain(c.ID), err)
			}
			if seen[one.ID] {
				return bad("there are two cases %s", plain(one.ID))
			}
			seen[one.ID] = true
			s.Cases = append(s.Cases, one)
		}
	}
	return s, nil
}

// plain keeps an error on one line, short, and without what could drive a terminal.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\ufffd' {
			return ' '
		}
		return r
	}, s)
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "..."
	}
	return s
}

// build makes a case of one form.
func (f *fileSuite) build(c fileCase, as string) (Case, error) {
	out := Case{ID: c.ID, Calls: c.Call, Quotes: c.Quotes, Expect: c.Expect, Refuse: c.Refuse, MaxOut: c.MaxOut, Sources: map[string]string{}}
	if as != "" && len(c.As) > 1 {
		out.ID += "/" + as
	}
	if out.MaxOut == 0 {
		out.MaxOut = maxTokens
	}
	for _, name := range c.Sources {
		text, ok := f.Sources[name]
		if !ok {
			return out, fmt.Errorf("there is no source %q", plain(name))
		}
		out.Sources[name] = text
	}
	if err := f.form(&out, &c, as); err != nil {
		return out, err
	}
	for _, name := range c.Tools {
		t, ok := f.Tools[name]
		if !ok {
			return out, fmt.Errorf("there is no tool %q", plain(name))
		}
		params, err := schemaOf(&t.Params)
		if err != nil {
			return out, fmt.Errorf("the tool %s: %w", name, err)
		}
		out.Tools = append(out.Tools, decouple.ToolSpec{Name: name, Description: t.Description, Params: params, Effect: decouple.EffectNone})
	}
	if c.Schema != "" {
		n, ok := f.Schemas[c.Schema]
		if !ok {
			return out, fmt.Errorf("there is no schema %q", plain(c.Schema))
		}
		var err error
		if out.Schema, err = schemaOf(&n); err != nil {
			return out, fmt.Errorf("the schema %s: %w", c.Schema, err)
		}
	}
	return out, out.check(c)
}

// check refuses a case that nothing can be said of.
func (c *Case) check(f fileCase) error {
	last := len(c.Messages) - 1
	switch {
	case last < 0 || c.Messages[last].Role != decouple.User:
		return fmt.Errorf("the last word is the user's: give ask, or messages that end with one")
	case c.Quotes > 0 && len(c.Sources) == 0:
		return fmt.Errorf("quotations need sources")
	case c.Calls != "" && !slices.ContainsFunc(c.Tools, func(t decouple.ToolSpec) bool { return t.Name == c.Calls }):
		return fmt.Errorf("call names the tool %q, which is not offered", plain(c.Calls))
	case c.Quotes < 0 || c.MaxOut < 0:
		return fmt.Errorf("quotes and max_out are not negative")
	case f.Ask != "" && len(f.Messages) > 0:
		return fmt.Errorf("give ask or messages, not both")
	}
	return nil
}

// schemaOf is a node as JSON Schema that can be checked against.
func schemaOf(n *yaml.Node) (json.RawMessage, error) {
	var v any
	if err := n.Decode(&v); err != nil {
		return nil, err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("it is no JSON Schema: %s", plain(err.Error()))
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("it is no JSON Schema: %s", plain(err.Error()))
	}
	if _, err := s.Resolve(nil); err != nil {
		return nil, fmt.Errorf("it is no JSON Schema: %s", plain(err.Error()))
	}
	return b, nil
}

// Forms in which a question about sources is asked.
const (
	asResearch = "research" // with the tools of research: search, then hand in findings
	asJSON     = "json"     // the sources in the prompt, the answer JSON with a quotation
	asQuote    = "quote"    // the sources in the prompt, the answer the quotation and nothing else
)

// answerSchema is what is asked for as JSON.
const answerSchema = `{"type":"object","additionalProperties":false,"required":["answer","quotes"],"properties":{"answer":{"type":"string","minLength":1},` +
	`"quotes":{"type":"array","minItems":1,"maxItems":3,"items":{"type":"string","minLength":12}}}}`

// form lays a question out.
func (f *fileSuite) form(out *Case, c *fileCase, as string) error {
	say := func(role decouple.Role, text string) {
		if text != "" {
			out.Messages = append(out.Messages, decouple.Text(role, text))
		}
	}
	if as != "" && len(out.Sources) == 0 {
		return fmt.Errorf("as: %s needs sources", plain(as))
	}
	if as != "" && (c.System != "" || c.Schema != "" || len(c.Tools) > 0 || len(c.Messages) > 0) {
		return fmt.Errorf("as: %s brings its own system, tools and schema: give ask and sources only", plain(as))
	}
	if as != "" {
		out.Quotes = max(1, out.Quotes)
	}
	switch as {
	case asResearch:
		out.Research, out.Tools, out.Calls = true, researchTools(), decouple.ToolFindingsAdd
		say(decouple.System, "You answer questions from notes. Search them with notes.search, then hand in what answers with findings.add: one claim, and quotations copied letter for letter from a note. When it was accepted, say the answer in one sentence.")
		say(decouple.User, c.Ask)
	case asJSON:
		out.Schema = json.RawMessage(answerSchema)
		say(decouple.System, "Answer from the documents only. Reply with JSON: answer, one sentence; quotes, the sentences of the documents that carry it, copied letter for letter.")
		say(decouple.User, bundle(out.Sources)+"\n\nQuestion: "+c.Ask)
	case asQuote:
		say(decouple.System, "Answer with the one sentence of the documents that answers the question, copied letter for letter, between quotation marks, and nothing else.")
		say(decouple.User, bundle(out.Sources)+"\n\nQuestion: "+c.Ask)
	case "":
		say(decouple.System, c.System)
		for _, m := range c.Messages {
			role := decouple.Role(m.Role)
			if role != decouple.User && role != decouple.Assistant && role != decouple.System {
				return fmt.Errorf("there is no role %q: there are system, user and assistant", plain(m.Role))
			}
			say(role, m.Text)
		}
		if len(out.Sources) > 0 && c.Ask != "" {
			c.Ask = bundle(out.Sources) + "\n\n" + c.Ask
		}
		say(decouple.User, c.Ask)
	default:
		return fmt.Errorf("there is no form %q: there are research, json and quote", plain(as))
	}
	return nil
}

// bundle is the sources as a prompt holds them.
func bundle(sources map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		fmt.Fprintf(&b, "<document name=%q>\n%s\n</document>\n", name, strings.TrimSpace(sources[name]))
	}
	return strings.TrimSpace(b.String())
}
