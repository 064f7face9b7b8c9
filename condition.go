package decouple

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Condition compares arguments of a tool call: comparisons joined by "and" (or &&) and "or" (or ||), where "and" binds tighter. A comparison is a path of
// names with dots, an operator (== != < <= > >= contains) and a literal ('text', a number, true, false, null), for example
// "method != 'GET' and amount > 100". A path that is not there is null.
type Condition string

var conditionToken = regexp.MustCompile(`^(?:\s+|('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|==|!=|<=|>=|<|>|&&|\|\||-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|[A-Za-z_][A-Za-z0-9_.-]*))`)

type comparison struct {
	path []string
	op   string
	want any // string, float64, bool or nil
}

// Check says what is wrong with a condition.
func (c Condition) Check() error {
	_, err := c.parse()
	return err
}

// Holds evaluates a condition on arguments. What cannot be compared, an order between a text and a number for example, is an error: a guard
// that cannot tell must count it as true.
func (c Condition) Holds(args json.RawMessage) (bool, error) {
	anyOf, err := c.parse()
	if err != nil || len(anyOf) == 0 {
		return err == nil, err
	}
	var v any
	if err := json.Unmarshal(args, &v); err != nil {
		return false, Errorf(Invalid, "the arguments are not JSON: %w", err)
	}
	for _, allOf := range anyOf {
		holds := true
		for _, cmp := range allOf {
			ok, err := cmp.holds(v)
			if err != nil {
				return false, err
			}
			holds = holds && ok
		}
		if holds {
			return true, nil
		}
	}
	return false, nil
}

// parse gives the alternatives, each a list of comparisons that must all hold.
func (c Condition) parse() ([][]comparison, error) {
	words, err := c.words()
	if err != nil || len(words) == 0 {
		return nil, err
	}
	anyOf := [][]comparison{nil}
	for {
		if len(words) < 3 {
			return nil, Errorf(Invalid, "the condition %q breaks off: write comparisons such as method != 'GET'", c)
		}
		cmp, err := parseComparison(words[0], words[1], words[2])
		if err != nil {
			return nil, Errorf(Invalid, "the condition %q cannot be read: %w", c, err)
		}
		last := len(anyOf) - 1
		anyOf[last] = append(anyOf[last], cmp)
		if words = words[3:]; len(words) == 0 {
			return anyOf, nil
		}
		switch words[0] {
		case "and", "&&":
		case "or", "||":
			anyOf = append(anyOf, nil)
		default:
			return nil, Errorf(Invalid, "the condition %q needs \"and\" or \"or\" where %s stands", c, words[0])
		}
		words = words[1:]
	}
}

func (c Condition) words() ([]string, error) {
	var words []string
	for rest := string(c); rest != ""; {
		m := conditionToken.FindStringSubmatch(rest)
		if m == nil {
			return nil, Errorf(Invalid, "the condition %q cannot be read from %q on", c, rest)
		}
		if m[1] != "" {
			words = append(words, m[1])
		}
		rest = rest[len(m[0]):]
	}
	return words, nil
}

func parseComparison(path, op, literal string) (comparison, error) {
	if !regexp.MustCompile(`^[A-Za-z_]`).MatchString(path) {
		return comparison{}, fmt.Errorf("%s is not the name of an argument", path)
	}
	c := comparison{path: strings.Split(path, "."), op: op}
	switch op {
	case "==", "!=", "<", "<=", ">", ">=", "contains":
	default:
		return c, fmt.Errorf("%s is not an operator: use == != < <= > >= contains", op)
	}
	switch {
	case literal[0] == '\'' || literal[0] == '"':
		c.want = regexp.MustCompile(`\\(.)`).ReplaceAllString(literal[1:len(literal)-1], "$1")
	case literal == "true" || literal == "false":
		c.want = literal == "true"
	case literal == "null":
	default:
		f, err := strconv.ParseFloat(literal, 64)
		if err != nil {
			return c, fmt.Errorf("%s is not a literal: put text between quotation marks", literal)
		}
		c.want = f
	}
	return c, nil
}

func (c comparison) holds(v any) (bool, error) {
	for _, name := range c.path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	switch c.op {
	case "==", "!=":
		equal, err := sameValue(v, c.want)
		return equal == (c.op == "=="), err
	case "contains":
		switch v := v.(type) {
		case string:
			want, ok := c.want.(string)
			return ok && strings.Contains(v, want), nil
		case []any:
			for _, item := range v {
				if same, err := sameValue(item, c.want); same && err == nil {
					return true, nil
				}
			}
		}
		return false, nil
	}
	return c.ordered(v)
}

func sameValue(a, b any) (bool, error) {
	x, err := json.Marshal(a)
	if err != nil {
		return false, err
	}
	y, err := json.Marshal(b)
	return bytes.Equal(x, y), err
}

func (c comparison) ordered(v any) (bool, error) {
	order := 0
	switch want := c.want.(type) {
	case float64:
		have, ok := v.(float64)
		if !ok {
			return false, Errorf(Invalid, "%s is not a number", strings.Join(c.path, "."))
		}
		order = compareFloats(have, want)
	case string:
		have, ok := v.(string)
		if !ok {
			return false, Errorf(Invalid, "%s is not a text", strings.Join(c.path, "."))
		}
		order = strings.Compare(have, want)
	default:
		return false, Errorf(Invalid, "%s has an order only for numbers and texts", strings.Join(c.path, "."))
	}
	switch c.op {
	case "<":
		return order < 0, nil
	case "<=":
		return order <= 0, nil
	case ">":
		return order > 0, nil
	}
	return order >= 0, nil
}

func compareFloats(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
