package dialect

import (
	"strings"

	"decouple.dev/decouple"
)

// ChatOptions are the choices that a server may force upon a caller. They go when the gateway asks through [Of].
type ChatOptions struct {
	Stream   bool // ask for server-sent events
	NoUsage  bool // do not ask for usage at a stream's end: some servers refuse stream_options
	NewLimit bool // name the limit of the answer max_completion_tokens: some models refuse max_tokens
}

// EncodeChat is Encode of the Client of [Chat].
func EncodeChat(req decouple.Request, o ChatOptions) ([]byte, Names, error) {
	return chatClient{}.Encode(req, Options{Stream: o.Stream, NoUsage: o.NoUsage, NewLimit: o.NewLimit})
}

// DecodeChat is Decode of the Client of [Chat].
func DecodeChat(data []byte, names Names) (decouple.Answer, error) {
	return chatClient{}.Decode(data, names)
}

// Delta is what one line of a stream brought.
type Delta struct {
	Text  string // of the answer
	Moved bool   // the model produced something, shown or not: text, thoughts, a piece of a tool call, its end
}

// ChatStream reads a streamed answer, line by line. The zero value reads one whose tools have their own names.
type ChatStream struct{ r *chatReader }

// NewChatStream reads a streamed answer whose request had these names.
func NewChatStream(names Names) *ChatStream { return &ChatStream{newChatReader(names)} }

func (s *ChatStream) reader() *chatReader {
	if s.r == nil {
		s.r = newChatReader(Names{})
	}
	return s.r
}

// Line takes a line of the stream, with or without its end, and says what it brought. Lines after the end bring nothing.
func (s *ChatStream) Line(line string) (Delta, error) {
	r := s.reader()
	stop := r.stop
	events, err := r.Feed([]byte(strings.TrimRight(line, "\r\n") + "\n"))
	var d Delta
	for _, e := range events {
		d.Moved = d.Moved || e.Moved()
		if e.Kind == TextDelta || e.Kind == RefusalDelta {
			d.Text += e.Text
		}
	}
	d.Moved = d.Moved || r.stop != stop
	return d, err
}

// Done says that the server has ended the stream: whatever it still sends means nothing.
func (s *ChatStream) Done() bool { return s.reader().Done() }

// End is the answer, when there are no more lines.
func (s *ChatStream) End() (decouple.Answer, error) {
	a, err := s.reader().End()
	if err != nil {
		return decouple.Answer{}, err
	}
	return a, nil
}

// Text is the text of the answer so far, for counting what a broken stream has used.
func (s *ChatStream) Text() string { return s.reader().said() }
