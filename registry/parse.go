package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"decouple.dev/decouple"
)

// MaxFile is how many bytes an agent file may have.
const MaxFile = 256 << 10

// fence is the line before and after the front matter.
const fence = "---"

// Parse reads an agent file: front matter in YAML between two lines of "---", then the prompt. File is its name in messages. Invalid wraps all
// [Faults] of the file. The agent's version is the SHA-256 of data; names of tools and of other agents are not looked up.
func Parse(file string, data []byte) (decouple.Agent, error) {
	p := parse(file, data)
	if err := p.faults.err(); err != nil {
		return decouple.Agent{}, err
	}
	return p.agent, nil
}

// parsed is an agent with the lines that its keys stand in.
type parsed struct {
	file   string
	agent  decouple.Agent
	lines  map[string]int   // of top-level keys
	items  map[string][]int // of the items of lists
	faults Faults
}

func (p parsed) line(key string) int { return max(1, p.lines[key]) }

func (p parsed) item(key string, i int) int { return p.items[key][i] }

func (p *parsed) fault(line int, text string) {
	p.faults = append(p.faults, Fault{p.file, max(1, line), text})
}

func parse(file string, data []byte) parsed {
	p := parsed{file: file, lines: map[string]int{}, items: map[string][]int{}}
	sum := sha256.Sum256(data)
	p.agent.Version = decouple.VersionHash(hex.EncodeToString(sum[:]))
	front, body, ok := p.split(data)
	if !ok {
		return p
	}
	if p.agent.Prompt = body; body == "" {
		p.fault(lineOf(data, len(data)), "the prompt is missing: write it below the front matter")
	}
	if i := oddBreak(front); i >= 0 {
		p.fault(lineOf(front, i), "this line holds a line break of an old kind, which YAML and editors count differently: end lines with LF or CRLF")
		return p
	}
	root, err := decode(front)
	if err != nil {
		p.yamlFault(err, lineOf(front, len(front)))
		return p
	}
	if empty := root.Kind == yaml.ScalarNode && root.Tag == "!!null"; root.Kind != yaml.MappingNode && !empty {
		p.fault(root.Line, "the front matter must be keys and values, such as name: researcher")
		return p
	}
	p.keys(root, "", topKeys())
	p.approvable()
	for _, key := range []string{"name", "description"} {
		if p.lines[key] == 0 {
			p.fault(1, key+" is missing: add a line "+key+": ... to the front matter")
		}
	}
	return p
}

// split cuts a file into front matter, with its first fence, so that lines keep their numbers, and prompt.
func (p *parsed) split(data []byte) (front []byte, body string, ok bool) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if len(data) > MaxFile {
		p.fault(1, "the file is larger than "+itoa(MaxFile)+" bytes: shorten the prompt")
		return nil, "", false
	}
	if i := invalid(data); i >= 0 {
		p.fault(lineOf(data, i), "this line is not UTF-8 text: save the file as UTF-8")
		return nil, "", false
	}
	at := 0
	for line := range bytes.Lines(data) {
		isFence := string(bytes.TrimRight(line, " \t\r\n")) == fence
		if at == 0 && !isFence {
			break
		}
		if at > 0 && isFence {
			body = strings.ReplaceAll(string(data[at+len(line):]), "\r\n", "\n")
			return data[:at], strings.TrimSpace(body), true
		}
		at += len(line)
	}
	if at == 0 {
		p.fault(1, "the file must begin with a line "+fence+", then keys such as name: researcher, then a line "+fence+", then the prompt")
	} else {
		p.fault(1, "the front matter has no end: add a line "+fence+" below its keys")
	}
	return nil, "", false
}

// invalid is the first byte that is not UTF-8 text, or -1.
func invalid(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 || r == 0 {
			return i
		}
		i += size
	}
	return -1
}

// oddBreak is the first character that ends a line for YAML and not for [bytes.Lines], or -1.
func oddBreak(front []byte) int {
	rest := bytes.ReplaceAll(front, []byte("\r\n"), []byte(" \n")) // of the same length
	return bytes.IndexAny(rest, "\r\u0085\u2028\u2029")
}

func lineOf(data []byte, at int) int {
	return 1 + bytes.Count(bytes.TrimSuffix(data[:at], []byte("\n")), []byte("\n"))
}

// decode reads the one document of the front matter.
func decode(front []byte) (*yaml.Node, error) {
	var doc, more yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(front))
	if err := d.Decode(&doc); err != nil {
		return nil, err
	}
	if err := d.Decode(&more); err == nil {
		return nil, fmt.Errorf("line %d: a second document begins here", more.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return doc.Content[0], nil
}

// yamlLine finds the line in a message of the YAML reader.
var yamlLine = regexp.MustCompile(`^line (\d+): `)

// yamlFault reports what the YAML reader says. It counts a line too many where the text ends, so last bounds its count.
func (p *parsed) yamlFault(err error, last int) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1]) // digits; a line that is too large for int is not in a file of this size
		text = text[len(m[0]):]
	}
	p.fault(min(line, last), "the front matter is not YAML: "+text+"; a value with special characters needs quotes")
}

// key is a key of the front matter and how its value is taken.
type key struct {
	name string
	set  func(p *parsed, place string, value *yaml.Node)
}

// keys takes the keys and values of a mapping. Within is the key that holds it, empty at the top.
func (p *parsed) keys(n *yaml.Node, within string, known []key) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			p.fault(k.Line, "a key must be a plain word")
			continue
		}
		name := k.Value
		if first, ok := seen[name]; ok {
			p.fault(k.Line, quote(name)+" is already in line "+itoa(first)+": keep one of them")
			continue
		}
		seen[name] = k.Line
		if within == "" {
			p.lines[name] = k.Line
		}
		set := find(known, name)
		if set == nil {
			p.fault(k.Line, unknown(name, within, known))
			continue
		}
		set(p, name, v)
	}
}

func find(known []key, name string) func(*parsed, string, *yaml.Node) {
	for _, k := range known {
		if k.name == name {
			return k.set
		}
	}
	return nil
}

// unknown says what to do about a key that nobody knows.
func unknown(name, within string, known []key) string {
	switch {
	case within == "" && find(envelopeKeys(), name) != nil:
		return quote(name) + " belongs under envelope: write envelope: {" + name + ": ...}"
	case within != "" && find(topKeys(), name) != nil:
		return quote(name) + " does not belong under " + within + ": move it to the top of the front matter"
	}
	var names []string
	for _, k := range known {
		names = append(names, k.name)
	}
	where := ""
	if within != "" {
		where = " of " + within
	}
	return "unknown key " + quote(name) + where + suggest(name, names)
}
