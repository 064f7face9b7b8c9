package dialect

import (
	"strings"

	"decouple.dev/decouple"
)

// ChatStream reads a streamed answer, line by line. The zero value reads one whose tools have their own names.
type ChatStream struct {
	answer chatAnswer
	data   []string
	done   bool
}

// NewChatStream reads a streamed answer whose request had these names.
func NewChatStream(names Names) *ChatStream { return &ChatStream{answer: chatAnswer{names: names}} }

// Line takes a line of the stream, with or without its end, and says what it brought. Lines after the end bring nothing.
// Errors are those of [DecodeChat].
func (s *ChatStream) Line(line string) (Delta, error) {
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return s.dispatch()
	}
	field, value, _ := strings.Cut(line, ":")
	if field == "data" {
		s.data = append(s.data, strings.TrimPrefix(value, " "))
	}
	return Delta{}, nil
}

// Done says that the server has ended the stream: whatever it still sends means nothing.
func (s *ChatStream) Done() bool { return s.done }

// dispatch takes the data gathered since the last empty line.
func (s *ChatStream) dispatch() (Delta, error) {
	data := strings.TrimSpace(strings.Join(s.data, "\n"))
	s.data = nil
	switch {
	case data == "" || s.done:
		return Delta{}, nil
	case data == "[DONE]":
		s.done = true
		return Delta{}, nil
	}
	return s.answer.add([]byte(data))
}

// End is the answer, when there are no more lines; an empty line before it takes up an event that lacks its own. A stream that ended
// without its end mark is whole if the model had said why it stopped; else it was cut off, which is Unavailable. The other errors are
// those of [DecodeChat].
func (s *ChatStream) End() (decouple.Answer, error) {
	if !s.done && s.answer.finish == "" {
		return decouple.Answer{}, decouple.Errorf(decouple.Unavailable, "the stream was cut off before the answer's end")
	}
	return s.answer.answer()
}

// Text is the text of the answer so far, for counting what a broken stream has used.
func (s *ChatStream) Text() string { return s.answer.text.String() }
