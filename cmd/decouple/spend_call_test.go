package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/sim"
)

// spendAnswers is what the clouds say: short and long texts, thoughts, and calls of tools.
var spendAnswers = sim.Answers{Mode: sim.ByScript, Script: []sim.Scripted{
	{Match: regexp.MustCompile(`^long`), Text: strings.Repeat("And then there was more to say. ", 22)},
	{Match: regexp.MustCompile(`^medium`), Text: strings.Repeat("It grows, naïvely. ", 14)},
	{Match: regexp.MustCompile(`^think`), Thought: strings.Repeat("Let me see. ", 12), Text: "It is so."},
	{Match: regexp.MustCompile(`^call`), Text: "I look.", Calls: []decouple.ToolCall{{Name: "look", Args: json.RawMessage(`{"where":"behind the house, and in the garden"}`)}}},
	{Match: regexp.MustCompile(``), Text: "Yes, it is."},
}}

// wish is a call that a client makes.
type wish struct {
	n      int
	door   string
	model  string
	said   string // by the user
	before string // by the system
	mark   string // how long the prompt before is to be cached: 5m, 1h
	max    int    // tokens of the answer; 0 names none
	tier   string
	stream bool
	tools  bool
	tight  bool          // with the key that has a budget
	hangUp time.Duration // after which the client goes away; 0 stays
	bytes  int           // of the answer after which it goes away; 0 reads all
}

// sight is what a client saw of a call.
type sight struct {
	wish
	id     string // of the call; empty where no answer came
	status int
	winner int // the attempt that answered
	clean  bool
	whole  bool // it has read the answer to its end
	kind   string
}

// spendModels are what is asked for. Without a limit of the answer a call may reserve more than a budget has.
var (
	spendModels = []string{"any", "hedged", "small", "checked", "spread", "any", "hedged", "gpt-5.4", "gpt-5.4-mini", "sonnet-4.6", "haiku-4.5", "gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.5-flash-lite", "gpt-oss-120b", "nova-pro"}
	spendDoors  = []string{"chat", "chat", "messages", "responses", "generate", "converse"}
	spendTexts  = []string{"long", "long", "medium", "think", "call", "short"}
)

// newWish is the n-th call of a seed: the same every time.
func newWish(seed uint64, n int) wish {
	chance := rand.New(rand.NewPCG(seed, uint64(n)))
	one := func(list []string) string { return list[chance.IntN(len(list))] }
	w := wish{n: n, door: one(spendDoors), model: one(spendModels), stream: chance.IntN(3) > 0, tight: chance.IntN(5) < 2}
	w.said = one(spendTexts) + " " + strings.Repeat("word ", chance.IntN(60)) + strconv.Itoa(n)
	if chance.IntN(4) == 0 { // long enough for a prompt cache, and the same for many
		w.before = strings.Repeat("You are one of kind "+strconv.Itoa(chance.IntN(3))+" and answer as such. ", 130+chance.IntN(2)*120)
		w.mark = one([]string{"", "5m", "1h"})
	}
	if w.max = 8 + chance.IntN(250); !w.tight && chance.IntN(4) == 0 {
		w.max = 0
	}
	if w.door == "chat" && chance.IntN(8) == 0 {
		w.tier = one([]string{"flex", "priority", "default"})
	}
	w.tools = strings.HasPrefix(w.said, "call") && (w.door == "chat" || w.door == "messages")
	switch chance.IntN(8) {
	case 0:
		w.hangUp = time.Duration(1+chance.IntN(250)) * time.Millisecond
	case 1:
		w.bytes = 1 + chance.IntN(1200)
	}
	if w.door == "chat" && chance.IntN(20) == 0 {
		w.door, w.model, w.stream, w.tools, w.tier = "embeddings", "text-embedding-3-small", false, false, ""
	}
	return w
}

type field = map[string]any

// request is the wish on the wire.
func (w wish) request() (path string, body []byte) {
	b := field{}
	switch w.door {
	case "chat":
		path, b = "/v1/chat/completions", w.chat()
	case "embeddings":
		path, b = "/v1/embeddings", field{"model": w.model, "input": w.said}
	case "messages":
		path, b = "/v1/messages", w.messages()
	case "responses":
		path, b = "/v1/responses", field{"model": w.model, "input": w.said, "stream": w.stream, "store": w.n%3 == 0}
		put(b, "instructions", w.before)
		put(b, "max_output_tokens", w.max)
	case "generate":
		path = "/v1beta/models/" + w.model + ":generateContent"
		if w.stream {
			path = "/v1beta/models/" + w.model + ":streamGenerateContent?alt=sse"
		}
		b = field{"contents": []field{{"role": "user", "parts": []field{{"text": w.said}}}}}
		if w.before != "" {
			b["systemInstruction"] = field{"parts": []field{{"text": w.before}}}
		}
		if w.max > 0 {
			b["generationConfig"] = field{"maxOutputTokens": w.max}
		}
	case "converse":
		path = "/model/" + w.model + "/converse"
		if w.stream {
			path += "-stream"
		}
		b = w.converse()
	}
	body, err := json.Marshal(b)
	if err != nil {
		panic(err) // it is made of texts and numbers
	}
	return path, body
}

// put sets what is not zero.
func put[T int | string](b field, name string, v T) {
	var zero T
	if v != zero {
		b[name] = v
	}
}

var lookParams = field{"type": "object", "properties": field{"where": field{"type": "string"}}}

func (w wish) chat() field {
	messages := []field{{"role": "user", "content": w.said}}
	if w.before != "" {
		messages = append([]field{{"role": "system", "content": w.before}}, messages...)
	}
	b := field{"model": w.model, "messages": messages, "stream": w.stream}
	put(b, "max_tokens", w.max)
	put(b, "service_tier", w.tier)
	if w.stream && w.n%2 == 0 {
		b["stream_options"] = field{"include_usage": true}
	}
	if w.tools {
		b["tools"] = []field{{"type": "function", "function": field{"name": "look", "description": "Looks.", "parameters": lookParams}}}
	}
	return b
}

func (w wish) messages() field {
	b := field{"model": w.model, "messages": []field{{"role": "user", "content": w.said}}, "stream": w.stream, "max_tokens": max(w.max, 40)}
	if w.before != "" {
		part := field{"type": "text", "text": w.before}
		if w.mark != "" {
			part["cache_control"] = field{"type": "ephemeral", "ttl": w.mark}
		}
		b["system"] = []field{part}
	}
	if w.tools {
		b["tools"] = []field{{"name": "look", "description": "Looks.", "input_schema": lookParams}}
	}
	return b
}

func (w wish) converse() field {
	b := field{"messages": []field{{"role": "user", "content": []field{{"text": w.said}}}}}
	if w.before != "" {
		system := []field{{"text": w.before}}
		if w.mark != "" {
			system = append(system, field{"cachePoint": field{"type": "default"}})
		}
		b["system"] = system
	}
	if w.max > 0 {
		b["inferenceConfig"] = field{"maxTokens": w.max}
	}
	return b
}

// ask makes a call at a node, and tells what a client sees of it.
func (s *spending) ask(ctx context.Context, at string, w wish) sight {
	seen := sight{wish: w}
	path, body := w.request()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if w.hangUp > 0 {
		time.AfterFunc(w.hangUp, cancel)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at+path, bytes.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return seen
	}
	key := s.key
	if w.tight {
		key = s.tight[min(int(s.round.Load()), len(s.tight)-1)]
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return seen
	}
	defer func() { _ = resp.Body.Close() }()
	seen.status, seen.id, seen.kind = resp.StatusCode, resp.Header.Get("X-Decouple-Decision"), resp.Header.Get("X-Decouple-Error")
	seen.winner, _ = strconv.Atoi(resp.Header.Get("X-Decouple-Attempts")) // of an error there is none
	var got []byte
	if w.bytes > 0 {
		got = make([]byte, w.bytes)
		n, err := io.ReadFull(resp.Body, got)
		got, seen.clean = got[:n], err != nil && err != io.ErrUnexpectedEOF
		if err == nil {
			cancel()
		}
	} else {
		got, err = io.ReadAll(resp.Body)
		seen.clean = err == nil
	}
	seen.whole = seen.status == http.StatusOK && wholeAnswer(w, got, seen.clean)
	return seen
}

// load makes calls from the n-th on, by so many clients, at whichever node answers.
func (s *spending) load(ctx context.Context, from, calls, clients int) {
	next := make(chan int)
	go func() {
		defer close(next)
		for n := from; n < from+calls && ctx.Err() == nil; n++ {
			next <- n
		}
	}()
	done := make(chan struct{})
	for range clients {
		go func() {
			defer func() { done <- struct{}{} }()
			for n := range next {
				w := newWish(s.seed, n)
				seen := s.ask(ctx, s.place(ctx, n), w)
				s.seenMu.Lock()
				s.seen = append(s.seen, seen)
				s.seenMu.Unlock()
				if s.after != nil {
					s.after(seen)
				}
			}
		}()
	}
	for range clients {
		<-done
	}
}

// place is where a node answers: another one for every call, and one that is up if there is any.
func (s *spending) place(ctx context.Context, n int) string {
	for ctx.Err() == nil {
		for i := range s.nodes {
			if at := s.nodes[(n+i)%len(s.nodes)].at.Load(); at != nil {
				return *at
			}
		}
		<-time.After(5 * time.Millisecond)
	}
	return "http://127.0.0.1:1"
}
