package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// standIn answers OpenAI chat requests, and little else. How it does is in the path (the model's name) and in the text of the request, which every gateway leaves as it is:
// "bench:chunks=50,delay=200ms,gap=5ms." gives a stream of 50 chunks, the first after 200 ms, the others 5 ms apart.
type standIn struct {
	whole []byte
	mu    sync.Mutex
	seen  map[string]*place
}

// place is what happens at one path.
type place struct {
	asked, open atomic.Int64
}

func newStandIn() *standIn {
	body := `{"id":"chatcmpl-bench0123456789","object":"chat.completion","created":1790000000,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"` + strings.Repeat("All work and no play. ", 32) +
		`","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":210,"completion_tokens":160,"total_tokens":370},"service_tier":"default"}`
	return &standIn{whole: fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: req_bench\r\nContent-Length: %d\r\n\r\n%s", len(body), body), seen: map[string]*place{}}
}

func (s *standIn) place(model string) *place {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.seen[model]
	if p == nil {
		p = &place{}
		s.seen[model] = p
	}
	return p
}

func (s *standIn) serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			_ = s.talk(c)
			_ = c.Close()
		}()
	}
}

// wire is one connection.
type wire struct {
	net.Conn
	in   *bufio.Reader
	body []byte
	out  []byte
}

// talk answers the requests of a connection.
func (s *standIn) talk(c net.Conn) error {
	w := &wire{Conn: c, in: bufio.NewReaderSize(c, 4<<10)}
	for {
		model, size, err := w.head()
		if err != nil {
			return err
		}
		if model == "stats" {
			err = s.stats(w)
		} else {
			err = s.answer(w, model, size)
		}
		if err != nil {
			return err
		}
	}
}

// head reads a request's head: the first segment of its path, and the length of its body.
func (w *wire) head() (model string, size int, err error) {
	line, err := w.in.ReadSlice('\n')
	if err != nil {
		return "", 0, err
	}
	_, path, _ := bytes.Cut(line, []byte(" /"))
	end := bytes.IndexAny(path, "/? ")
	if end < 0 {
		return "", 0, errors.New("no path")
	}
	model = string(path[:end])
	for {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return "", 0, err
		}
		if len(line) <= 2 {
			return model, size, nil
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); len(name) == 14 && bytes.EqualFold(name, []byte("content-length")) {
			if size, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return "", 0, err
			}
		}
	}
}

// read takes the request's body.
func (w *wire) read(size int) error {
	if cap(w.body) < size {
		w.body = make([]byte, size)
	}
	w.body = w.body[:size]
	_, err := io.ReadFull(w.in, w.body)
	return err
}

// order is what the text of a request asks for.
type order struct {
	stream     bool
	chunks     int
	delay, gap time.Duration
}

func (w *wire) order() order {
	o := order{chunks: 50, stream: bytes.Contains(w.body, []byte(`"stream":true`)) || bytes.Contains(w.body, []byte(`"stream": true`))}
	i := bytes.Index(w.body, []byte("bench:"))
	if i < 0 {
		return o
	}
	text := w.body[i+6:]
	if end := bytes.IndexByte(text, '.'); end >= 0 {
		text = text[:end]
	}
	for part := range strings.SplitSeq(string(text), ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "chunks":
			o.chunks, _ = strconv.Atoi(value)
		case "delay":
			o.delay, _ = time.ParseDuration(value)
		case "gap":
			o.gap, _ = time.ParseDuration(value)
		}
	}
	return o
}

// answer does what a model of that name does.
func (s *standIn) answer(w *wire, model string, size int) error {
	p := s.place(model)
	p.asked.Add(1)
	open := p.open.Add(1)
	defer p.open.Add(-1)
	if model == instantModel { // before it reads
		if err := w.stream(order{stream: true, chunks: 5}); err != nil {
			return err
		}
		return w.read(size)
	}
	if err := w.read(size); err != nil {
		return err
	}
	o := w.order()
	switch {
	case model == busy || model == narrowModel && open > narrow:
		return w.refuse("429 Too Many Requests\r\nRetry-After: 1", "rate_limit_exceeded")
	case model == broken:
		return w.refuse("500 Internal Server Error", "server_error")
	case model == slowBroken:
		time.Sleep(30 * time.Millisecond)
		return w.refuse("500 Internal Server Error", "server_error")
	}
	if o.delay > 0 {
		time.Sleep(o.delay)
	}
	if o.stream {
		return w.stream(o)
	}
	_, err := w.Write(s.whole)
	return err
}

func (w *wire) refuse(status, code string) error {
	body := fmt.Sprintf(`{"error":{"message":"refused by the stand-in","type":"%s","param":null,"code":"%s"}}`, code, code)
	_, err := fmt.Fprintf(w, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
	return err
}

const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Request-Id: req_bench\r\nTransfer-Encoding: chunked\r\n\r\n"

// stream writes one chunk a call, each with the time at which it is sent: "t=NANOSECONDS".
func (w *wire) stream(o order) error {
	for i := range o.chunks {
		if i > 0 && o.gap > 0 {
			time.Sleep(o.gap)
		}
		w.out = w.out[:0]
		if i == 0 {
			w.out = append(w.out, streamHead...)
		}
		w.event(func(b []byte) []byte {
			b = append(b, `{"id":"chatcmpl-bench0123456789","object":"chat.completion.chunk","created":1790000000,"model":"bench","choices":[{"index":0,"delta":{"content":"t=`...)
			b = strconv.AppendInt(b, time.Now().UnixNano(), 10)
			return append(b, ` "},"logprobs":null,"finish_reason":null}],"usage":null}`...)
		})
		if i < o.chunks-1 {
			if _, err := w.Write(w.out); err != nil {
				return err
			}
		}
	}
	const id = `{"id":"chatcmpl-bench0123456789","object":"chat.completion.chunk","created":1790000000,"model":"bench","choices":`
	w.event(func(b []byte) []byte {
		return append(b, id+`[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}`...)
	})
	w.event(func(b []byte) []byte {
		return append(b, id+`[],"usage":{"prompt_tokens":210,"completion_tokens":150,"total_tokens":360}}`...)
	})
	w.event(func(b []byte) []byte { return append(b, "[DONE]"...) })
	w.out = append(w.out, "0\r\n\r\n"...)
	_, err := w.Write(w.out)
	return err
}

// event appends an event in a chunk of its own.
func (w *wire) event(data func([]byte) []byte) {
	const digits = "0000\r\ndata: "
	at := len(w.out)
	w.out = data(append(w.out, digits...))
	w.out = append(w.out, "\n\n"...)
	copy(w.out[at:at+4], fmt.Sprintf("%04x", len(w.out)-at-6))
	w.out = append(w.out, "\r\n"...)
}

// stats says how often each model was asked.
func (s *standIn) stats(w *wire) error {
	s.mu.Lock()
	var b strings.Builder
	for model, p := range s.seen {
		fmt.Fprintf(&b, "%s %d\n", model, p.asked.Load())
	}
	s.mu.Unlock()
	_, err := fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", b.Len(), b.String())
	return err
}
