package decouple

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strings"
)

// Condition compares arguments of a tool call: comparisons joined by "and" (or &&) and "or" (or ||), where "and" binds tighter. A comparison is a path of
// names with dots, an operator (== != < <= > >= contains) and a literal ('text', a number, true, false, null), for example
// "method != 'GET' and amount > 100". A path that is not there, or is null, can be compared with null alone, and a value with literals of its own type alone: what
// cannot be compared leaves open whether the condition holds, unless the comparisons beside it decide. Names are exact; a name that is there in another case, too or instead, is not clear either.
type Condition string

var conditionToken = regexp.MustCompile(`^(?:\s+|('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|==|!=|<=|>=|<|>|&&|\|\||-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|[A-Za-z_][A-Za-z0-9_.-]*))`)

type comparison struct {
	path []string
	op   string
	want any // string, *big.Rat, bool or nil
}

// Check says what is wrong with a condition.
func (c Condition) Check() error {
	_, err := c.parse()
	return err
}

// Holds evaluates a condition on arguments. That it cannot be told is an error: a guard must count it as true.
func (c Condition) Holds(args json.RawMessage) (bool, error) {
	anyOf, err := c.parse()
	if err != nil || len(anyOf) == 0 {
		return err == nil, err
	}
	v, err := readJSON(args)
	if err != nil {
		return false, Errorf(Invalid, "the arguments are not JSON: %w", err)
	}
	var open error // of an alternative that may hold
	for _, allOf := range anyOf {
		holds, err := allHold(allOf, v)
		if holds && err == nil {
			return true, nil
		}
		if err != nil {
			open = err
		}
	}
	return false, open
}

// allHold says whether all comparisons hold: one that does not decides, whatever is open of the others.
func allHold(allOf []comparison, v any) (bool, error) {
	var open error
	for _, cmp := range allOf {
		ok, err := cmp.holds(v)
		if err == nil && !ok {
			return false, nil
		}
		if err != nil {
			open = err
		}
	}
	return open == nil, open
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
		n, ok := exact(literal)
		if !ok {
			return c, fmt.Errorf("%s is not a literal: put text between quotation marks", literal)
		}
		c.want = n
	}
	return c, nil
}

func (c comparison) holds(root any) (bool, error) {
	v, err := c.value(root)
	if err != nil {
		return false, err
	}
	if c.op == "==" || c.op == "!=" {
		equal, err := c.same(v)
		return equal == (c.op == "=="), err
	}
	if c.op != "contains" {
		order, err := c.order(v)
		switch c.op {
		case "<":
			return order < 0, err
		case "<=":
			return order <= 0, err
		case ">":
			return order > 0, err
		}
		return order >= 0, err
	}
	switch v := v.(type) {
	case string:
		if want, ok := c.want.(string); ok {
			return strings.Contains(v, want), nil
		}
	case []any:
		var open error
		for _, item := range v {
			same, err := c.same(item)
			if same && err == nil {
				return true, nil
			}
			if err != nil {
				open = err
			}
		}
		return false, open
	}
	return false, c.unlike(v)
}

// value follows the path. A name that is there in another case could be read as the same one by whoever gets the arguments.
func (c comparison) value(v any) (any, error) {
	for _, name := range c.path {
		switch v.(type) {
		case map[string]any, nil:
		default:
			return nil, Errorf(Invalid, "%s is not there: what should hold %s holds no names", c.name(), name)
		}
		m, _ := v.(map[string]any)
		for other := range m {
			if other != name && strings.EqualFold(other, name) {
				return nil, Errorf(Invalid, "%s is not clear: there is %q", c.name(), other)
			}
		}
		v = m[name]
	}
	return v, nil
}

func (c comparison) name() string { return strings.Join(c.path, ".") }

// unlike is the error of a value that is of another type than the literal.
func (c comparison) unlike(v any) error {
	if v == nil {
		return Errorf(Invalid, "%s is not there, or is null", c.name())
	}
	return Errorf(Invalid, "%s is of another type than what it is compared with", c.name())
}

// same says whether a value is the literal.
func (c comparison) same(v any) (bool, error) {
	if v == nil || c.want == nil {
		if c.want != nil {
			return false, c.unlike(v)
		}
		return v == nil, nil
	}
	if want, ok := c.want.(bool); ok {
		have, ok := v.(bool)
		if !ok {
			return false, c.unlike(v)
		}
		return have == want, nil
	}
	order, err := c.order(v)
	return order == 0 && err == nil, err
}

// order compares a value with a literal that is a number or a text.
func (c comparison) order(v any) (int, error) {
	switch want := c.want.(type) {
	case *big.Rat:
		n, ok := v.(json.Number)
		if !ok {
			return 0, c.unlike(v)
		}
		have, ok := exact(n.String())
		if !ok {
			return 0, Errorf(Invalid, "%s is a number that is too long to be compared", c.name())
		}
		return have.Cmp(want), nil
	case string:
		have, ok := v.(string)
		if !ok {
			return 0, c.unlike(v)
		}
		return strings.Compare(have, want), nil
	}
	return 0, Errorf(Invalid, "%s has an order only for numbers and texts", c.name())
}
