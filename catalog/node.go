package catalog

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"decouple.dev/decouple"
)

// maxDepth bounds aliases of YAML that refer to one another.
const maxDepth = 32

// reader walks a document and keeps the first thing that is wrong with it, with its line and its key.
type reader struct {
	err   error
	depth int
}

// fields says what is done with each key of a mapping.
type fields map[string]func(path string, n *yaml.Node)

// fail keeps the first error.
func (r *reader) fail(n *yaml.Node, path, format string, args ...any) {
	if r.err != nil {
		return
	}
	if path == "" {
		path = "the file"
	}
	r.err = decouple.Errorf(decouple.Invalid, "line "+strconv.Itoa(n.Line)+": "+printable(path)+": "+format, args...)
}

// printable keeps what could drive a terminal out of an error.
func printable(s string) string {
	q := strconv.Quote(s)
	q = q[1 : len(q)-1]
	if len(q) > 200 {
		q = q[:200] + "..."
	}
	return strings.ReplaceAll(q, "%", "%%")
}

func under(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// each calls do for every key of a mapping, in order. A key that is there twice is an error.
func (r *reader) each(path string, n *yaml.Node, do func(path, key string, n *yaml.Node)) {
	n, ok := r.enter(path, n)
	defer r.leave()
	if !ok {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n, path, "here belong keys and values")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content) && r.err == nil; i += 2 {
		key, v := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			r.fail(key, path, "a key must be a plain name")
			return
		}
		if seen[key.Value] {
			r.fail(key, under(path, key.Value), "the key is there twice")
			return
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
			names := make([]string, 0, len(known))
			for name := range known {
				names = append(names, name)
			}
			slices.Sort(names)
			r.fail(v, path, "there is no such key: there are %s", strings.Join(names, ", "))
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
	for i, item := range n.Content {
		if r.err != nil {
			return
		}
		do(path+"["+strconv.Itoa(i)+"]", item)
	}
}

func (r *reader) enter(path string, n *yaml.Node) (*yaml.Node, bool) {
	r.depth++
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	if r.depth > maxDepth {
		r.fail(n, path, "nested too deeply")
	}
	return n, r.err == nil
}

func (r *reader) leave() { r.depth-- }

// text reads a text that is not empty and has no control characters.
func (r *reader) text(to *string) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		n, ok := r.enter(path, n)
		defer r.leave()
		if !ok {
			return
		}
		if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Value == "" || strings.ContainsFunc(n.Value, isControl) {
			r.fail(n, path, "here belongs a text")
			return
		}
		*to = n.Value
	}
}

func isControl(c rune) bool {
	return c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 || c == '\u2028' || c == '\u2029'
}

func (r *reader) texts(to *[]string) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		r.list(path, n, func(path string, n *yaml.Node) {
			var s string
			r.text(&s)(path, n)
			*to = append(*to, s)
		})
	}
}

func (r *reader) flag(to *bool) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		switch r.scalar(path, n) {
		case "true":
			*to = true
		case "false":
			*to = false
		default:
			r.fail(n, path, "here belongs true or false")
		}
	}
}

// scalar is the text of a plain value, or empty.
func (r *reader) scalar(path string, n *yaml.Node) string {
	var s string
	r.text(&s)(path, n)
	return s
}

// count reads a whole number that is not negative, such as 500, 30k or 2M.
func (r *reader) count(to *int64) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		s := r.scalar(path, n)
		if r.err != nil {
			return
		}
		digits, times := s, int64(1)
		switch s[len(s)-1] {
		case 'k':
			digits, times = s[:len(s)-1], 1_000
		case 'M':
			digits, times = s[:len(s)-1], 1_000_000
		}
		v, err := strconv.ParseInt(strings.ReplaceAll(digits, "_", ""), 10, 50)
		if err != nil || v < 0 || v > (1<<50)/times {
			r.fail(n, path, "%q is not a count such as 500, 30k or 2M", printable(s))
			return
		}
		*to = v * times
	}
}

// whole reads an int that may be negative.
func (r *reader) whole(to *int) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		v, err := strconv.ParseInt(r.scalar(path, n), 10, 31)
		if err != nil {
			r.fail(n, path, "here belongs a whole number")
			return
		}
		*to = int(v)
	}
}

// money reads dollars per million tokens.
func (r *reader) money(to **decouple.Money) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		m, err := decouple.ParseMoney(r.scalar(path, n))
		if err != nil {
			r.fail(n, path, "here belongs an amount of dollars such as 2.50, at most nine decimals")
			return
		}
		*to = &m
	}
}

// part reads a factor such as 0.5 or 1.1, at most three decimals and at most 1,000.
func (r *reader) part(path string, n *yaml.Node) Part {
	m, err := decouple.ParseMoney(r.scalar(path, n))
	const thousandth = decouple.USD / 1000
	if err != nil || m%thousandth != 0 || m > 1000*decouple.USD {
		r.fail(n, path, "here belongs a factor such as 0.5 or 1.1, at most three decimals")
		return 0
	}
	return Part(m / thousandth)
}

func (r *reader) parts(to *map[string]Part) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		*to = map[string]Part{}
		r.each(path, n, func(path, key string, n *yaml.Node) { (*to)[key] = r.part(path, n) })
	}
}

// date reads a day, in UTC.
func (r *reader) date(to *time.Time) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		t, err := time.Parse(time.DateOnly, r.scalar(path, n))
		if err != nil {
			r.fail(n, path, "here belongs a day such as 2026-10-01")
			return
		}
		*to = t
	}
}

// span reads a duration that is not negative and at most thirty days.
func (r *reader) span(to *time.Duration) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		d, err := time.ParseDuration(r.scalar(path, n))
		if err != nil || d < 0 || d > 30*24*time.Hour {
			r.fail(n, path, "here belongs a duration such as 800ms or 10m, at most 720h")
			return
		}
		*to = d
	}
}

// stringMap reads names and texts.
func (r *reader) stringMap(to *map[string]string) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		*to = map[string]string{}
		r.each(path, n, func(path, key string, n *yaml.Node) { (*to)[key] = r.scalar(path, n) })
	}
}
