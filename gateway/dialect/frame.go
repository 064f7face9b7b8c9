package dialect

import (
	"bytes"

	"decouple.dev/decouple"
)

// maxFrame is how large one frame of a stream may be.
const maxFrame = 64 << 20

// frames cuts a stream of server-sent events into its frames.
type frames struct {
	held  []byte // the beginning of a frame whose end has not come
	tried int    // so much of it holds no end
	whole int    // bytes fed so far that end with a whole frame
}

// feed gives every frame that p completes: the name of its event, and its data; both only until the next one.
func (f *frames) feed(p []byte, each func(event, data []byte) error) error {
	b, from := p, 0
	if len(f.held) > 0 {
		f.held = append(f.held, p...)
		b, from = f.held, f.tried
	}
	for {
		end := frameEnd(b, from)
		if end < 0 {
			break
		}
		event, data := fields(b[:end])
		f.whole += end
		b, from = b[end:], 0
		if len(data) == 0 {
			continue
		}
		if err := each(event, data); err != nil {
			return err
		}
	}
	if len(b) > maxFrame {
		return decouple.Errorf(decouple.Unavailable, "an event of the stream is larger than %d bytes", maxFrame)
	}
	f.held = append(f.held[:0], b...)
	f.tried = max(0, len(b)-2)
	return nil
}

// frameEnd is where the first frame of b ends, -1 if its end has not come: at a line that is empty.
func frameEnd(b []byte, from int) int {
	if from == 0 {
		if n := emptyLine(b); n > 0 {
			return n
		}
	}
	for i := from; i < len(b); {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return -1
		}
		i += n + 1
		if n := emptyLine(b[i:]); n > 0 {
			return i + n
		}
	}
	return -1
}

// emptyLine is the length of the empty line that b begins with, 0 if it begins with none.
func emptyLine(b []byte) int {
	switch {
	case len(b) > 0 && b[0] == '\n':
		return 1
	case len(b) > 1 && b[0] == '\r' && b[1] == '\n':
		return 2
	}
	return 0
}

// fields takes a frame apart.
func fields(frame []byte) (event, data []byte) {
	lines := 0
	for len(frame) > 0 {
		line := frame
		if n := bytes.IndexByte(frame, '\n'); n >= 0 {
			line, frame = frame[:n], frame[n+1:]
		} else {
			frame = nil
		}
		line = bytes.TrimSuffix(line, []byte("\r"))
		if v, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			v = bytes.TrimPrefix(v, []byte(" "))
			if lines++; lines == 1 {
				data = v
			} else {
				data = append(append(bytes.Clone(data), '\n'), v...)
			}
		} else if v, ok := bytes.CutPrefix(line, []byte("event:")); ok {
			event = bytes.TrimPrefix(v, []byte(" "))
		}
	}
	return event, bytes.TrimSpace(data)
}

// flush gives what a stream has left behind without the empty line that ends a frame.
func (f *frames) flush(each func(event, data []byte) error) error {
	if len(f.held) == 0 {
		return nil
	}
	return f.feed([]byte("\n\n"), each)
}
