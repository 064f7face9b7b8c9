package dialect_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
)

// formats are all that there are.
func formats() []dialect.Format {
	return []dialect.Format{dialect.Chat, dialect.Responses, dialect.Messages, dialect.Converse, dialect.Generate}
}

func both(t testing.TB, f dialect.Format) (dialect.Client, dialect.Server) {
	t.Helper()
	c, s, ok := dialect.Of(f)
	if !ok {
		t.Fatalf("no format %s", f)
	}
	return c, s
}

// wire reads a stream of the corpus. Those of Converse are written as lines of an event's name and its payload; an exception has a ! before it.
func wire(t testing.TB, file string) []byte {
	t.Helper()
	data := read(t, file)
	if filepath.Ext(file) != ".txt" {
		return data
	}
	var all []byte
	for line := range strings.Lines(string(data)) {
		name, payload, _ := strings.Cut(strings.TrimSpace(line), " ")
		kind := "event"
		if n, is := strings.CutPrefix(name, "!"); is {
			kind, name = "exception", n
		}
		all = dialect.AppendEventStream(all, kind, name, []byte(payload))
	}
	return all
}

// listen reads a stream in pieces, and gives the events and the answer.
func listen(r dialect.Reader, data []byte, piece int) ([]dialect.Event, decouple.Answer, error) {
	var events []dialect.Event
	for len(data) > 0 {
		n := min(piece, len(data))
		es, err := r.Feed(data[:n])
		events = append(events, es...)
		if err != nil {
			return events, decouple.Answer{}, err
		}
		data = data[n:]
	}
	rest, a, err := dialect.Rest(r)
	return append(events, rest...), a, err
}

// heard is what the events say, joined, so that pieces of any size say the same.
func heard(events []dialect.Event) string {
	var b strings.Builder
	last := -1
	for _, e := range events {
		if kind := int(e.Kind)*1000 + e.Index; kind != last || e.Kind > dialect.ThoughtDelta && e.Kind != dialect.CallDelta {
			b.WriteString("\n" + []string{"begin", "text", "refusal", "thought", "call", "args", "end", "finish"}[e.Kind] + " ")
			last = kind
		}
		b.WriteString(e.Text)
		switch {
		case e.Call != nil:
			b.WriteString(e.Call.ID + " " + e.Call.Name)
		case e.Kind == dialect.Begin:
			b.WriteString(e.ID + " " + e.Model)
		case e.Answer != nil:
			b.WriteString(string(e.Answer.Finish))
		}
	}
	return b.String()
}

// TestAnswers decodes the whole answers of the corpus, and holds UsageOf to what was decoded.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, f := range formats() {
		for _, file := range files(t, "testdata/"+string(f)+"/answer/*.json") {
			t.Run(file, func(t *testing.T) {
				t.Parallel()
				c, _ := both(t, f)
				body := read(t, file)
				a, err := c.Decode(body, offered())
				golden(t, strings.TrimSuffix(file, ".json")+".want", result(a, err).bytes(t))
				u, finish, model, lookErr := dialect.UsageOf(f, body)
				agree(t, err, lookErr)
				if err == nil && (u != a.Usage || finish != a.Finish || model != a.Model) {
					t.Errorf("looked over: %+v %s %q; decoded: %+v %s %q", u, finish, model, a.Usage, a.Finish, a.Model)
				}
			})
		}
	}
}

// agree holds a look at what went by to what was decoded: the same faults, and no other errors than content that makes no sense.
func agree(t *testing.T, decoded, looked error) {
	t.Helper()
	var f, g *dialect.Fault
	errors.As(decoded, &f)
	errors.As(looked, &g)
	if (decoded == nil) != (looked == nil) && decouple.KindOf(decoded) != decouple.Unavailable || (f == nil) != (g == nil) || f != nil && f.Kind() != g.Kind() || decoded == nil && looked != nil {
		t.Errorf("decoded: %v; looked over: %v", decoded, looked)
	}
}

// TestStreams reads the streams of the corpus whole and in pieces of 1 and 7 bytes, and looks over them likewise.
func TestStreams(t *testing.T) {
	t.Parallel()
	for _, f := range formats() {
		for _, file := range files(t, "testdata/"+string(f)+"/stream/*") {
			if filepath.Ext(file) == ".want" {
				continue
			}
			t.Run(file, func(t *testing.T) {
				t.Parallel()
				c, _ := both(t, f)
				data := wire(t, file)
				events, a, err := listen(c.Reader(offered()), data, len(data))
				o := result(a, err)
				o.Heard = heard(events)
				golden(t, strings.TrimSuffix(file, filepath.Ext(file))+".want", o.bytes(t))
				for _, piece := range []int{1, 7} {
					again, b, berr := listen(c.Reader(offered()), data, piece)
					if d := cmp.Diff(string(o.bytes(t)), string(result(b, berr).with(heard(again)).bytes(t))); d != "" {
						t.Errorf("in pieces of %d (-whole +pieces):\n%s", piece, d)
					}
				}
				pass(t, f, data, a, err)
			})
		}
	}
}

func (o outcome) with(heard string) outcome {
	o.Heard = heard
	return o
}

func pass(t *testing.T, f dialect.Format, data []byte, a decouple.Answer, err error) {
	t.Helper()
	for _, piece := range []int{1, 7, len(data)} {
		p := dialect.NewPassage(f)
		var seen dialect.Seen
		var lookErr error
		for from := 0; from < len(data) && lookErr == nil; from += piece {
			seen, lookErr = p.Feed(data[from:min(from+piece, len(data))])
		}
		if lookErr == nil && err == nil && seen.Whole < len(data) {
			seen, lookErr = p.Feed([]byte("\n\n"))
		}
		agree(t, err, lookErr)
		if err != nil {
			continue
		}
		var u decouple.Usage
		if seen.Usage != nil {
			u = *seen.Usage
		} else {
			u.Estimated = true
		}
		if u != a.Usage || seen.Finish != a.Finish || seen.Model != a.Model || !seen.Moved || seen.Whole < len(data) {
			t.Errorf("pieces of %d: passed %+v %+v; decoded %+v %s %s", piece, seen, u, a.Usage, a.Finish, a.Model)
		}
	}
}

// TestRequests parses the requests of the corpus; those that can be said in a format are encoded for it, and the same again when parsed there.
func TestRequests(t *testing.T) {
	t.Parallel()
	for _, f := range formats() {
		for _, file := range files(t, "testdata/"+string(f)+"/request/*.json") {
			t.Run(file, func(t *testing.T) {
				t.Parallel()
				client, s := both(t, f)
				in := dialect.Inbound{Body: read(t, file)}
				if f == dialect.Converse || f == dialect.Generate {
					in.Model = "path"
				}
				req, err := s.Parse(in)
				var want strings.Builder
				if err != nil {
					want.WriteString(string(decouple.KindOf(err)) + ": " + err.Error() + "\n")
				} else {
					want.WriteString(show(t, req))
				}
				golden(t, strings.TrimSuffix(file, ".json")+".want", []byte(want.String()))
				if err != nil {
					return
				}
				body, _, err := client.Encode(req, dialect.Options{Asked: f})
				if err != nil {
					t.Fatalf("what was asked in a format cannot be said in it: %v", err)
				}
				in.Body = body
				again, err := s.Parse(in)
				if err != nil {
					t.Fatalf("%v\n%s", err, body)
				}
				if d := cmp.Diff(show(t, req), show(t, again)); d != "" {
					t.Errorf("encoded and parsed again (-first +again):\n%s\n%s", d, body)
				}
			})
		}
	}
}

// show is a request as JSON, without what the wire does not hold.
func show(t *testing.T, req decouple.Request) string {
	t.Helper()
	req.Tokens = nil
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	type shown struct {
		Model, User, Tier string
		Messages          []decouple.Message
		Tools             []decouple.ToolSpec
		MaxTokens         int64
		Sampling          decouple.Sampling
		Choice            decouple.ToolChoice
		Serial            bool
		Format            *decouple.Shape
		Thinking          decouple.Thinking
	}
	if err := e.Encode(shown{req.Model, req.User, req.Tier, req.Messages, req.Tools, req.MaxTokens, req.Sampling, req.Choice, req.Serial, req.Format, req.Thinking}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestCross takes every answer of every format through every other one, streamed and whole, and expects it to be the same but for what [same] leaves out.
func TestCross(t *testing.T) {
	t.Parallel()
	for _, from := range formats() {
		for _, file := range files(t, "testdata/"+string(from)+"/stream/*") {
			if filepath.Ext(file) == ".want" {
				continue
			}
			c, _ := both(t, from)
			data := wire(t, file)
			events, a, err := listen(c.Reader(dialect.Names{}), data, len(data))
			if err != nil {
				continue
			}
			if events[len(events)-1].Kind != dialect.Finish {
				t.Errorf("%s: the events of a whole answer do not end with Finish", file)
			}
			for _, to := range formats() {
				t.Run(file+" "+string(to), func(t *testing.T) {
					t.Parallel()
					cross(t, to, a, events)
				})
			}
		}
		for _, file := range files(t, "testdata/"+string(from)+"/answer/*.json") {
			c, _ := both(t, from)
			a, err := c.Decode(read(t, file), dialect.Names{})
			if err != nil {
				continue
			}
			for _, to := range formats() {
				t.Run(file+" "+string(to), func(t *testing.T) {
					t.Parallel()
					cross(t, to, a, dialect.Events(a))
				})
			}
		}
	}
}

func cross(t *testing.T, to dialect.Format, a decouple.Answer, events []dialect.Event) {
	t.Helper()
	c, s := both(t, to)
	if a.ID == "" { // the gateway gives what its upstream did not
		a.ID = "given"
	}
	if a.Model == "" {
		a.Model = "given"
	}
	head := dialect.Head{ID: a.ID, Model: a.Model, Created: 1, Usage: true}
	w := s.Writer(head)
	var data []byte
	for _, e := range events {
		data = w.Event(data, e)
	}
	_, streamed, err := listen(c.Reader(dialect.Names{}), data, 7)
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if d := cmp.Diff(same(to, a), same(to, streamed)); d != "" {
		t.Errorf("streamed (-before +after):\n%s\n%s", d, data)
	}
	pass(t, to, data, streamed, nil)
	body, err := s.Render(a, head)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := c.Decode(body, dialect.Names{})
	if err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	if d := cmp.Diff(same(to, a), same(to, whole)); d != "" {
		t.Errorf("whole (-before +after):\n%s\n%s", d, body)
	}
}

// same leaves out of an answer what the format has no place for, each for the reason given.
func same(to dialect.Format, a decouple.Answer) string {
	var thoughts string
	refused := false
	m := decouple.Message{Role: a.Message.Role}
	for _, p := range a.Message.Parts {
		refused = refused || p.Refusal
		switch last := len(m.Parts) - 1; {
		case p.Thought != nil:
			thoughts += p.Thought.Text // signatures go as tokens, which a client of the format does not read: TestThoughtsComeBack does
		case p.Call != nil:
			call := *p.Call
			call.Signature = "" // likewise
			call.Args = compact(call.Args)
			m.Parts = append(m.Parts, decouple.Part{Call: &call})
		case last >= 0 && m.Parts[last].Call == nil:
			m.Parts[last].Text += p.Text // some formats join texts
		default:
			m.Parts = append(m.Parts, decouple.Part{Text: p.Text}) // only OpenAI's mark a refusal
		}
	}
	a.Message = m
	if a.Usage.Estimated { // a server that does not count reports zero
		a.Usage = decouple.Usage{}
	}
	a.Tier, a.Stopped = "", "" // each maker has tiers of its own, and few tell the stop sequence
	if to != dialect.Chat && to != dialect.Responses {
		a.Logprobs = nil
	}
	switch to {
	case dialect.Converse:
		a.ID, a.Model = "", "" // it tells neither
	case dialect.Chat, dialect.Responses:
		a.Usage.CacheWrite, a.Usage.CacheLong = a.Usage.CacheWrite+a.Usage.CacheLong, 0 // its writes have no time to live
	case dialect.Generate:
		a.Usage.CacheWrite, a.Usage.CacheLong = 0, 0 // it tells of no writes
	}
	if a.Usage.Thought > 0 && to == dialect.Converse {
		a.Usage.Thought = 0 // it does not tell them apart
	}
	data, _ := json.MarshalIndent(struct {
		A        decouple.Answer
		Thoughts string
	}{a, thoughts}, "", " ")
	return string(data)
}

func compact(args json.RawMessage) json.RawMessage {
	var v any
	if json.Unmarshal(args, &v) != nil {
		return args
	}
	if s, is := v.(string); is { // what was no JSON is an object where the wire wants one
		v = map[string]any{"invalid_arguments": s}
	}
	if _, is := v.(map[string]any); !is {
		v = map[string]any{"invalid_arguments": v}
	}
	data, _ := json.Marshal(v)
	return data
}

// TestThoughtsComeBack shows an answer to a caller of every format, has him send it back as his next request, and expects the thoughts and signatures as they
// were, whoever made them.
func TestThoughtsComeBack(t *testing.T) {
	t.Parallel()
	call := func(id, signature string) decouple.Part {
		return decouple.Part{Call: &decouple.ToolCall{ID: id, Name: "look", Args: json.RawMessage(`{}`), Signature: signature}}
	}
	for _, maker := range formats() {
		thoughts := []decouple.Part{
			{Thought: &decouple.Thought{Text: "Hm.", Signature: "c2ln", Maker: string(maker)}},
			{Thought: &decouple.Thought{Opaque: "b3BhcXVl", Maker: string(maker)}},
		}
		if maker == dialect.Generate {
			thoughts = thoughts[:1]
		}
		if maker == dialect.Chat {
			thoughts = []decouple.Part{{Thought: &decouple.Thought{Text: "Hm.", Maker: string(maker)}}}
		}
		if maker == dialect.Responses {
			thoughts = []decouple.Part{{Thought: &decouple.Thought{Text: "Hm.", Opaque: "b3BhcXVl", ID: "rs_1", Maker: string(maker)}}}
		}
		signature := ""
		if maker == dialect.Generate {
			signature = "c2lnbmVk"
		}
		parts := append(thoughts, decouple.Part{Text: "So."}, call("a", signature), call("b", ""))
		a := decouple.Answer{ID: "x", Model: "m", Finish: decouple.FinishTools, Message: decouple.Message{Role: decouple.Assistant, Parts: parts}}
		for _, door := range formats() {
			t.Run(string(maker)+" at "+string(door), func(t *testing.T) {
				t.Parallel()
				_, s := both(t, door)
				body, err := s.Render(a, dialect.Head{})
				if err != nil {
					t.Fatal(err)
				}
				req, err := s.Parse(dialect.Inbound{Model: "m", Body: ask(t, door, body)})
				if err != nil {
					t.Fatalf("%v\n%s", err, body)
				}
				var got []decouple.Part
				for _, m := range req.Messages {
					if m.Role == decouple.Assistant {
						got = append(got, m.Parts...)
					}
				}
				if d := cmp.Diff(parts, got); d != "" {
					t.Errorf("(-sent +came back):\n%s\n%s", d, body)
				}
			})
		}
	}
}

// ask makes a request of an answer, as a caller's library does.
func ask(t *testing.T, f dialect.Format, answer []byte) []byte {
	t.Helper()
	var b struct {
		Choices    []struct{ Message json.RawMessage }
		Content    json.RawMessage
		Candidates []struct{ Content json.RawMessage }
		Output     json.RawMessage
	}
	if err := json.Unmarshal(answer, &b); err != nil {
		t.Fatal(err)
	}
	var body string
	switch f {
	case dialect.Chat:
		body = `{"model":"m","messages":[` + string(b.Choices[0].Message) + `]}`
	case dialect.Messages:
		body = `{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":` + string(b.Content) + `}]}`
	case dialect.Converse:
		var o struct{ Message json.RawMessage }
		if err := json.Unmarshal(b.Output, &o); err != nil {
			t.Fatal(err)
		}
		body = `{"messages":[` + string(o.Message) + `]}`
	case dialect.Generate:
		body = `{"contents":[` + string(b.Candidates[0].Content) + `]}`
	case dialect.Responses:
		body = `{"model":"m","input":` + string(b.Output) + `}`
	}
	return []byte(body)
}

// TestFaultsRendered writes every kind of fault in every format and reads it back: the kind must be the same.
func TestFaultsRendered(t *testing.T) {
	t.Parallel()
	for _, f := range formats() {
		for _, kind := range []decouple.Kind{decouple.Invalid, decouple.Unauthenticated, decouple.Denied, decouple.NotFound, decouple.RateLimited, decouple.Unavailable} {
			status, body := dialect.RenderFault(f, dialect.FaultFrom(decouple.Errorf(kind, "what is wrong")))
			got := dialect.FaultOf(f, status, body)
			if got.Kind() != kind || got.Message != "what is wrong" || status != kind.Rule().HTTP || got.Type == "" {
				t.Errorf("%s %s: %d %s is %s %+v", f, kind, status, body, got.Kind(), got)
			}
			c, s := both(t, f)
			stream := s.Writer(dialect.Head{}).Fault(nil, &dialect.Fault{Status: status, Message: "what is wrong"})
			_, _, err := listen(c.Reader(dialect.Names{}), stream, 7)
			var ft *dialect.Fault
			if !errors.As(err, &ft) || ft.Message != "what is wrong" {
				t.Errorf("%s %s in a stream: %v\n%s", f, kind, err, stream)
			}
			if _, err := dialect.NewPassage(f).Feed(stream); !errors.As(err, &ft) {
				t.Errorf("%s %s in a stream that goes through: %v", f, kind, err)
			}
		}
	}
}

// TestEventStream checks the framing against a message that Amazon's own libraries are tested with.
func TestEventStream(t *testing.T) {
	t.Parallel()
	empty := []byte{0, 0, 0, 0x10, 0, 0, 0, 0, 5, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff}
	c, _ := both(t, dialect.Converse)
	if _, err := c.Reader(dialect.Names{}).Feed(empty); err == nil || strings.Contains(err.Error(), "damaged") {
		t.Errorf("an empty message: %v", err) // its framing is right, its payload is no JSON
	}
	frame := dialect.AppendEventStream(nil, "event", "messageStart", []byte(`{}`))
	for i := range frame {
		broken := append([]byte{}, frame...)
		broken[i] ^= 1
		r := c.Reader(dialect.Names{})
		if _, err := r.Feed(broken); err == nil {
			t.Errorf("a changed byte at %d was not seen", i)
		}
	}
}
