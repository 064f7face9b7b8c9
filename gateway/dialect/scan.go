package dialect

import (
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strconv"
)

// maxDepth is how deep JSON may be nested; no request of any vendor comes near it.
const maxDepth = 500

// scanner reads JSON in one pass, in place and without building anything. Once something is wrong it stays bad and gives nothing.
//
// An object is read so: if s.open('{') then, for s.more('}'), s.key() and then one of str, number, truth, skip or another open.
type scanner struct {
	b     []byte
	i     int
	depth int
	fresh bool // the container that was opened last has given nothing yet
	bad   bool
}

func (s *scanner) fail() bool {
	s.bad, s.i = true, len(s.b)
	return false
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\n', '\t', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek is the first byte of the next value; 0 where there is none.
func (s *scanner) peek() byte {
	s.space()
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

// open enters an object or an array if the next value is one.
func (s *scanner) open(with byte) bool {
	if s.peek() != with {
		return false
	}
	if s.depth++; s.depth > maxDepth {
		return s.fail()
	}
	s.i++
	s.fresh = true
	return true
}

// more says that the container holds a further member; at its end it is left.
func (s *scanner) more(closing byte) bool {
	c := s.peek()
	switch {
	case c == closing:
		s.i++
		s.depth--
		s.fresh = false
		return false
	case s.fresh && c != 0:
		s.fresh = false
		return true
	case c == ',':
		s.i++
		return s.peek() != closing || s.fail()
	}
	return s.fail()
}

// key reads the key of a member up to its value. A key that is written with escapes is given as what it means.
func (s *scanner) key() []byte {
	raw, escaped := s.str()
	if s.peek() != ':' {
		s.fail()
		return nil
	}
	s.i++
	if escaped {
		return unquote(raw)
	}
	return raw
}

// str reads a string: what stands between its quotes, and whether that holds escapes.
func (s *scanner) str() (raw []byte, escaped bool) {
	if s.peek() != '"' {
		s.fail()
		return nil, false
	}
	from := s.i + 1
	i := from
	for {
		i = plainEnd(s.b, i)
		if i >= len(s.b) || s.b[i] < 0x20 {
			s.fail()
			return nil, false
		}
		if s.b[i] == '"' {
			s.i = i + 1
			return s.b[from:i], escaped
		}
		escaped = true
		n := escape(s.b[i:])
		if n == 0 {
			s.fail()
			return nil, false
		}
		i += n
	}
}

// plainEnd is the place of the first byte from i on that is a quote, a backslash or a control character.
func plainEnd(b []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^('"'*ones), w^('\\'*ones)
		hit := ((quote-ones)&^quote | (slash-ones)&^slash | (w-0x20*ones)&^w) & highs
		if hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c == '"' || c == '\\' || c < 0x20 {
			break
		}
	}
	return i
}

// escape is the length of the escape that b begins with, 0 if it is none.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
				return 0
			}
		}
		return 6
	}
	return 0
}

// unquote is what the inside of a JSON string means.
func unquote(raw []byte) []byte {
	var text string
	quoted := append(append([]byte{'"'}, raw...), '"')
	if json.Unmarshal(quoted, &text) != nil {
		return nil
	}
	return []byte(text)
}

// text reads a string as what it means; another sort of value is skipped and gives nothing.
func (s *scanner) text() string {
	if s.peek() != '"' {
		s.skip()
		return ""
	}
	raw, escaped := s.str()
	if escaped {
		raw = unquote(raw)
	}
	return string(raw)
}

// length skips a value and tells how many bytes a string has between its quotes, 0 for another sort of value.
func (s *scanner) length() int {
	if s.peek() == '"' {
		raw, _ := s.str()
		return len(raw)
	}
	s.skip()
	return 0
}

// number reads a number; another sort of value is skipped and is 0.
func (s *scanner) number() float64 {
	c := s.peek()
	from := s.i
	s.skip()
	if s.bad || c != '-' && (c < '0' || c > '9') {
		return 0
	}
	raw := s.b[from:s.i]
	if len(raw) < 16 {
		n, whole := 0, true
		for _, d := range raw {
			whole = whole && '0' <= d && d <= '9'
			n = n*10 + int(d-'0')
		}
		if whole {
			return float64(n)
		}
	}
	f, _ := strconv.ParseFloat(string(raw), 64) // it is a number by its form; one that is too large is infinite
	return f
}

// truth skips a value and says whether it is true.
func (s *scanner) truth() bool {
	c := s.peek()
	s.skip()
	return c == 't'
}

// skip passes over one value of any sort.
func (s *scanner) skip() bool {
	switch c := s.peek(); {
	case c == '"':
		s.str()
	case c == '{':
		for s.open('{'); s.more('}'); s.skip() {
			s.key()
		}
	case c == '[':
		for s.open('['); s.more(']'); {
			s.skip()
		}
	case c == '-' || '0' <= c && c <= '9':
		s.digits()
	case c == 't':
		s.word("true")
	case c == 'f':
		s.word("false")
	case c == 'n':
		s.word("null")
	default:
		s.fail()
	}
	return !s.bad
}

func (s *scanner) word(w string) {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		s.fail()
		return
	}
	s.i += len(w)
}

// digits passes over a number: an optional sign, digits without a leading zero, an optional fraction, an optional exponent.
func (s *scanner) digits() {
	b, i := s.b, s.i
	if b[i] == '-' {
		i++
	}
	whole := run(b, i)
	ok := whole == 1 || whole > 1 && b[i] != '0'
	i += whole
	if ok && i < len(b) && b[i] == '.' {
		n := run(b, i+1)
		ok = n > 0
		i += 1 + n
	}
	if ok && i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		n := run(b, i)
		ok = n > 0
		i += n
	}
	if !ok {
		s.fail()
		return
	}
	s.i = i
}

// run is how many digits stand at i.
func run(b []byte, i int) int {
	n := 0
	for i+n < len(b) && '0' <= b[i+n] && b[i+n] <= '9' {
		n++
	}
	return n
}

// whole says that nothing but space is left and nothing was wrong.
func (s *scanner) whole() bool { return s.peek() == 0 && s.i >= len(s.b) && !s.bad }
