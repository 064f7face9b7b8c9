package placement

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"decouple.dev/decouple"
)

// Bounds of a file.
const (
	maxDepth  = 32
	maxFaults = 200
	maxNodes  = 200_000
)

// reader walks a file and keeps everything that is wrong with it.
type reader struct {
	file   string
	faults Faults
	depth  int
	nodes  int
}

// fields says what is done with each key of a mapping.
type fields map[string]func(path string, n *yaml.Node)

func (r *reader) fail(n *yaml.Node, path, what, remedy string) {
	if path == "" {
		path = "the file"
	}
	r.at(n.Line, path, what, remedy)
}

func (r *reader) at(line int, path, what, remedy string) {
	if len(r.faults) < maxFaults {
		r.faults = append(r.faults, Fault{r.file, line, printable(path), what, remedy})
	}
}

// printable keeps what could drive a terminal out of an error.
func printable(s string) string {
	q := strconv.Quote(s)
	q = q[1 : len(q)-1]
	if len(q) > 200 {
		q = q[:200] + "..."
	}
	return strings.ReplaceAll(q, `\"`, `"`)
}

func under(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// enter follows an alias of YAML, and bounds how deep and how far it is gone.
func (r *reader) enter(path string, n *yaml.Node) (*yaml.Node, bool) {
	r.depth++
	r.nodes++
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	if r.depth > maxDepth || r.nodes > maxNodes {
		if r.nodes <= maxNodes+1 {
			r.fail(n, path, "nested too deeply, or too much", "write it flatter, or in several files")
		}
		r.nodes += maxNodes
		return n, false
	}
	return n, true
}

func (r *reader) leave() { r.depth-- }

// each calls do for every key of a mapping, in order.
func (r *reader) each(path string, n *yaml.Node, do func(path, key string, n *yaml.Node)) {
	n, ok := r.enter(path, n)
	defer r.leave()
	if !ok {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n, path, "here belong keys and values", "write them as `key: value`, one a line")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" || strings.ContainsFunc(key.Value, isControl) {
			r.fail(key, path, "a key must be a plain name", "write the name alone")
			continue
		}
		if seen[key.Value] {
			r.fail(key, under(path, key.Value), "the key is there twice", "keep one of them")
			continue
		}
		seen[key.Value] = true
		do(under(path, key.Value), key.Value, v)
	}
}

// mapping reads a mapping whose keys are known.
func (r *reader) mapping(path string, n *yaml.Node, known fields) {
	r.each(path, n, func(path, key string, v *yaml.Node) {
		read, ok := known[key]
		if !ok {
			r.fail(v, path, "there is no such key", "there are "+strings.Join(slices.Sorted(maps.Keys(known)), ", "))
			return
		}
		read(path, v)
	})
}

// list reads a list, or a single value as a list of one.
func (r *reader) list(path string, n *yaml.Node, do func(path string, n *yaml.Node)) {
	n, ok := r.enter(path, n)
	defer r.leave()
	if !ok {
		return
	}
	if n.Kind != yaml.SequenceNode {
		do(path, n)
		return
	}
	if len(n.Content) == 0 {
		r.fail(n, path, "the list is empty", "write what belongs into it, or leave the key away")
	}
	for i, item := range n.Content {
		do(path+"["+strconv.Itoa(i)+"]", item)
	}
}

func isControl(c rune) bool {
	return c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 || c == '\u2028' || c == '\u2029'
}

// scalar is the text of a plain value; line breaks of folded text count as blanks.
func (r *reader) scalar(path string, n *yaml.Node) (string, bool) {
	n, ok := r.enter(path, n)
	defer r.leave()
	if !ok {
		return "", false
	}
	s := ""
	if n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		s = strings.TrimSpace(strings.ReplaceAll(n.Value, "\n", " "))
	}
	if s == "" || strings.ContainsFunc(s, isControl) {
		r.fail(n, path, "here belongs a text", "write one, between quotation marks if it begins with a sign")
		return "", false
	}
	return s, true
}

func (r *reader) text(to *string) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) { *to, _ = r.scalar(path, n) }
}

// name reads an identifier: it becomes part of the ids that people type.
func (r *reader) name(to *string) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		s, ok := r.scalar(path, n)
		if ok && !isName(s) {
			r.fail(n, path, "\""+printable(s)+"\" is no name", "use letters, digits, dots, dashes and underscores, at most 100")
			return
		}
		*to = s
	}
}

func isName(s string) bool {
	return s != "" && len(s) <= 100 && !strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')
	})
}

func (r *reader) texts(to *[]string) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		r.list(path, n, func(path string, n *yaml.Node) {
			if s, ok := r.scalar(path, n); ok {
				*to = append(*to, s)
			}
		})
	}
}

// date reads a day, in UTC.
func (r *reader) date(to *time.Time) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		s, ok := r.scalar(path, n)
		if !ok {
			return
		}
		t, err := time.Parse(time.DateOnly, s)
		if err != nil || t.Year() < 1900 || t.Year() > 9000 {
			r.fail(n, path, "\""+printable(s)+"\" is no day of the calendar", "write it as 2026-04-27")
			return
		}
		*to = t
	}
}

func (r *reader) count(to *int, most int) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		s, ok := r.scalar(path, n)
		if !ok {
			return
		}
		v, err := strconv.Atoi(s)
		if err != nil || v < 0 || v > most {
			r.fail(n, path, "\""+printable(s)+"\" is no number from 0 to "+strconv.Itoa(most), "write it in digits")
			return
		}
		*to = v
	}
}

// money reads dollars such as 1000000 or 2.50, with underscores where they help.
func (r *reader) money(to *decouple.Money) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		s, ok := r.scalar(path, n)
		if !ok {
			return
		}
		m, err := decouple.ParseMoney(strings.ReplaceAll(s, "_", ""))
		if err != nil || m <= 0 {
			r.fail(n, path, "\""+printable(s)+"\" is no amount of dollars", "write it as 5_000_000 or 2.50, up to nine billion")
			return
		}
		*to = m
	}
}

// part reads a percentage such as 60 or 12.5 %.
func (r *reader) part(to *Part) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		s, ok := r.scalar(path, n)
		if !ok {
			return
		}
		m, err := decouple.ParseMoney(strings.TrimSpace(strings.TrimSuffix(s, "%")))
		const tenThousandth = decouple.USD / 10_000
		if err != nil || m%tenThousandth != 0 || m > 100*decouple.USD {
			r.fail(n, path, "\""+printable(s)+"\" is no part of a hundred", "write it as 60 % or 12.5 %, with at most four decimals")
			return
		}
		*to = Part(m / tenThousandth)
	}
}

// word reads one of a few words.
func word[T ~string](r *reader, to *T, words ...T) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		s, ok := r.scalar(path, n)
		if !ok {
			return
		}
		if !slices.Contains(words, T(s)) {
			names := make([]string, len(words))
			for i, w := range words {
				names[i] = string(w)
			}
			r.fail(n, path, "\""+printable(s)+"\" is none of the words for it", "there are "+strings.Join(names, ", "))
			return
		}
		*to = T(s)
	}
}
