package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/builtin"
)

// modelServer is an OpenAI-compatible server with the builtin model behind it, which counts what it is asked and can be held.
type modelServer struct {
	http *httptest.Server

	mu     sync.Mutex
	moved  *sync.Cond
	calls  []call
	limit  int // calls that are answered; the later ones wait
	closed bool
}

// call is one request to the server.
type call struct {
	key    string // the conversation that it held
	tokens int64  // that the answer is said to have used
}

const noLimit = 1 << 30

func newModelServer() *modelServer {
	s := &modelServer{limit: noLimit}
	s.moved = sync.NewCond(&s.mu)
	s.http = httptest.NewServer(s)
	return s
}

func (s *modelServer) url() string { return s.http.URL + "/v1" }

func (s *modelServer) close() {
	s.change(func() { s.closed = true })
	s.http.CloseClientConnections()
	s.http.Close()
}

func (s *modelServer) change(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
	s.moved.Broadcast()
}

func (s *modelServer) hold(n int) { s.change(func() { s.limit = n }) }
func (s *modelServer) release()   { s.change(func() { s.limit = noLimit }) }

// awaitCalls waits until the server was asked n times; false is that it was not within a minute.
func (s *modelServer) awaitCalls(n int) bool {
	late := false
	timer := time.AfterFunc(time.Minute, func() { s.change(func() { late = true }) })
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.calls) < n && !late {
		s.moved.Wait()
	}
	return !late
}

// asked lists the calls so far.
func (s *modelServer) asked() []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]call(nil), s.calls...)
}

// count notes a call and waits until it may be answered; false is that it never will.
func (s *modelServer) count(c call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, c)
	s.moved.Broadcast()
	n := len(s.calls)
	for n > s.limit && !s.closed {
		s.moved.Wait()
	}
	return !s.closed
}

// wire is a request as OpenAI's clients write it.
type wire struct {
	Messages []struct {
		Role      string `json:"role"`
		Content   string `json:"content"`
		ToolCalls []struct {
			ID       string `json:"id"`
			Function struct {
				Name      string `json:"name"`
				Arguments string `json:"arguments"`
			} `json:"function"`
		} `json:"tool_calls"`
		ToolCallID string `json:"tool_call_id"`
	} `json:"messages"`
	Tools []struct {
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	} `json:"tools"`
	ToolChoice string `json:"tool_choice"`
	MaxTokens  int64  `json:"max_tokens"`
}

// ServeHTTP answers one call.
func (s *modelServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in wire
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, `{"error":{"message":"not JSON"}}`, http.StatusBadRequest)
		return
	}
	req := in.request()
	a, err := obeyed(req)
	if a.Finish == "" {
		a, err = builtin.Answer(req)
	}
	if err != nil {
		http.Error(w, `{"error":{"message":"no answer"}}`, http.StatusBadRequest)
		return
	}
	if s.count(call{keyOf(req.Messages), a.Usage.TokensIn + a.Usage.TokensOut}) {
		writeAnswer(w, a)
	}
}

// obeyed answers a question such as "CALL http.get {...}": the call, and then what it brought. To any other it has no answer.
func obeyed(req decouple.Request) (decouple.Answer, error) {
	last := req.Messages[len(req.Messages)-1]
	a := decouple.Answer{Finish: decouple.FinishStop, Usage: decouple.Usage{TokensIn: 10, TokensOut: 5}}
	for _, p := range last.Parts {
		if p.Result != nil && len(req.Messages) > 1 {
			if _, _, ok := strings.Cut(req.Messages[len(req.Messages)-3].Text(), "CALL "); ok {
				a.Message = decouple.Text(decouple.Assistant, "it brought: "+p.Result.Text)
				return a, nil
			}
		}
	}
	_, call, ok := strings.Cut(last.Text(), "CALL ")
	if !ok || last.Role != decouple.User {
		return decouple.Answer{}, nil
	}
	call, _, _ = strings.Cut(call, ";")
	name, args, _ := strings.Cut(call, " ")
	a.Message = decouple.Message{Role: decouple.Assistant, Parts: []decouple.Part{{Call: &decouple.ToolCall{ID: "c1", Name: name, Args: json.RawMessage(args)}}}}
	return a, nil
}

// own is the name of a tool behind its name on the wire.
func own(name string) string { return strings.Replace(name, "_", ".", 1) }

// request is what the client meant.
func (in wire) request() decouple.Request {
	req := decouple.Request{NoTools: in.ToolChoice == "none", MaxTokens: in.MaxTokens}
	for _, t := range in.Tools {
		req.Tools = append(req.Tools, decouple.ToolSpec{Name: own(t.Function.Name)})
	}
	for _, m := range in.Messages {
		out := decouple.Message{Role: decouple.Role(m.Role)}
		switch {
		case m.Role == "tool":
			text, wrong := strings.CutPrefix(m.Content, "error: ")
			out.Parts = append(out.Parts, decouple.Part{Result: &decouple.ToolResult{ID: m.ToolCallID, Text: text, Error: wrong}})
		case m.Content != "":
			out.Parts = append(out.Parts, decouple.Part{Text: m.Content})
		}
		for _, c := range m.ToolCalls {
			out.Parts = append(out.Parts, decouple.Part{Call: &decouple.ToolCall{ID: c.ID, Name: own(c.Function.Name), Args: json.RawMessage(c.Function.Arguments)}})
		}
		req.Messages = append(req.Messages, out)
	}
	return req
}

// keyOf names a conversation by what is said in it, however its messages are cut.
func keyOf(messages []decouple.Message) string {
	var b strings.Builder
	for _, m := range messages {
		for _, p := range m.Parts {
			switch {
			case p.Call != nil:
				fmt.Fprintf(&b, "call %s %s\n", p.Call.Name, p.Call.Args)
			case p.Result != nil:
				fmt.Fprintf(&b, "result %s\n", p.Result.Text)
			default:
				fmt.Fprintf(&b, "%s %s\n", m.Role, p.Text)
			}
		}
	}
	return b.String()
}

// writeAnswer streams an answer.
func writeAnswer(w http.ResponseWriter, a decouple.Answer) {
	w.Header().Set("Content-Type", "text/event-stream")
	chunk := func(choices, usage string) {
		fmt.Fprintf(w, `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"scripted","choices":[%s]%s}`+"\n\n", choices, usage)
	}
	choice := func(delta any, finish string) {
		b, err := json.Marshal(delta)
		if err != nil {
			panic(err)
		}
		chunk(fmt.Sprintf(`{"index":0,"delta":%s,"finish_reason":%s}`, b, finish), "")
	}
	finish := `"stop"`
	if text := a.Message.Text(); text != "" {
		choice(map[string]string{"content": text}, "null")
	}
	for i, c := range a.Message.Calls() {
		finish = `"tool_calls"`
		choice(map[string]any{"tool_calls": []any{map[string]any{
			"index": i, "id": c.ID, "type": "function", "function": map[string]string{"name": strings.Replace(c.Name, ".", "_", 1), "arguments": string(c.Args)},
		}}}, "null")
	}
	choice(struct{}{}, finish)
	chunk("", fmt.Sprintf(`,"usage":{"prompt_tokens":%d,"completion_tokens":%d}`, a.Usage.TokensIn, a.Usage.TokensOut))
	fmt.Fprint(w, "data: [DONE]\n\n")
}
