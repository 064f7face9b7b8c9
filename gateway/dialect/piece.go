package dialect

import "decouple.dev/decouple"

// pieces cuts a stream of Gemini: server-sent events, or a JSON array whose members come one by one. Its first byte says which.
type pieces struct {
	frames
	array  bool
	begun  bool
	closed bool   // the array was
	member []byte // the beginning of a member whose end has not come
	depth  int
	quoted bool
	slash  bool
	total  int
}

// feed gives every piece that p completes, only until the next one.
func (s *pieces) feed(p []byte, each func(data []byte) error) error {
	if !s.begun {
		for _, c := range p {
			if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
				s.begun, s.array = true, c == '['
				break
			}
		}
	}
	if !s.array {
		return s.frames.feed(p, func(_, data []byte) error { return each(data) })
	}
	return s.members(p, each)
}

func (s *pieces) members(p []byte, each func(data []byte) error) error {
	from := -1 // where the member begins that ends in p
	if s.depth > 1 {
		from = 0
	}
	for i, c := range p {
		if s.closed {
			break
		}
		if !s.step(c) {
			continue
		}
		switch {
		case s.depth == 0:
			s.closed = true
			s.whole = s.total + i + 1
		case c == '{' && from < 0:
			from = i
		case c == '}' && s.depth == 1:
			data := p[from : i+1]
			if len(s.member) > 0 {
				data = append(s.member, data...)
				s.member = s.member[:0]
			}
			from = -1
			s.whole = s.total + i + 1
			if err := each(data); err != nil {
				return err
			}
		}
	}
	s.total += len(p)
	if s.closed {
		s.whole = s.total
	}
	if from >= 0 {
		s.member = append(s.member, p[from:]...)
	}
	if len(s.member) > maxFrame {
		return decouple.Errorf(decouple.Unavailable, "a member of the stream is larger than %d bytes", maxFrame)
	}
	return nil
}

// step follows the brackets, and says whether c is one.
func (s *pieces) step(c byte) bool {
	switch {
	case s.slash:
		s.slash = false
	case s.quoted && c == '\\':
		s.slash = true
	case c == '"':
		s.quoted = !s.quoted
	case s.quoted:
	case c == '{' || c == '[':
		s.depth++
		return true
	case c == '}' || c == ']':
		s.depth--
		return true
	}
	return false
}

// flush gives what a stream of events has left behind without the empty line that ends a frame.
func (s *pieces) flush(each func(data []byte) error) error {
	return s.frames.flush(func(_, data []byte) error { return each(data) })
}
