package sim

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Header is a header of an answer.
type Header struct{ Name, Value string }

// ID is the cloud's name for a call, as in its header and on its invoice.
func (p *Plan) ID() string {
	if p.cloud == nil {
		return ""
	}
	a, b := stir(p.cloud.seed, p.Seq), stir(p.cloud.seed, p.Seq, 1)
	switch p.cloud.Vendor {
	case Anthropic:
		return "req_01" + letters(a, b, 22)
	case Groq:
		return "req_01" + letters(a, b, 24)
	case Azure, Bedrock, Mantle, Cerebras:
		return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0xfff, b&0xffffffffffff)
	}
	return fmt.Sprintf("req_%016x%016x", a, b)
}

// AnswerID is the id that stands in the answer's body. It holds the last characters of the call's id.
func (p *Plan) AnswerID() string {
	a, b := stir(p.cloud.seed, p.Seq), stir(p.cloud.seed, p.Seq, 1)
	if p.cloud.Vendor == Anthropic {
		return "msg_01" + letters(a, b, 22)
	}
	return letters(a, b, 29)
}

// letters are letters and digits that follow from two numbers.
func letters(a, b uint64, n int) string {
	const alphabet = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	d := dice{state: stir(a, b)}
	out := make([]byte, n)
	for i := range out {
		out[i] = alphabet[d.next()%uint64(len(alphabet))]
	}
	return string(out)
}

// Headers are what the vendor puts beside an answer: names of the call, quotas, and how long to wait.
func (p *Plan) Headers() []Header {
	if p.cloud == nil {
		return nil
	}
	var h []Header
	put := func(name, value string) { h = append(h, Header{name, value}) }
	switch p.cloud.Vendor {
	case OpenAI:
		put("x-request-id", p.ID())
		put("openai-version", "2020-10-01")
		put("openai-processing-ms", strconv.FormatInt(p.First.Milliseconds(), 10))
		openaiRoom(put, p.Room.Requests, p.Room.Tokens)
	case Azure:
		p.azureHeaders(put)
	case Mantle:
		put("x-amzn-requestid", p.ID())
		put("x-request-id", p.ID())
	case Bedrock:
		put("x-amzn-requestid", p.ID())
		if p.Refusal != Served {
			put("x-amzn-errortype", p.words().kind)
		}
	case Anthropic:
		p.anthropicHeaders(put)
	case Groq:
		put("x-request-id", p.ID())
		put("x-groq-region", p.Region)
		openaiRoom(put, p.Room.Requests, p.Room.Tokens)
	case Cerebras:
		put("x-request-id", p.ID())
		cerebrasRoom(put, "requests-minute", p.Room.Requests)
		cerebrasRoom(put, "tokens-minute", p.Room.Tokens)
	case Gemini, Vertex:
		put("server-timing", "gfet4t7; dur="+strconv.FormatInt(p.First.Milliseconds(), 10))
	case Compatible:
		put("x-request-id", p.ID())
	}
	p.waitHeaders(put)
	return h
}

// waitHeaders say how long to wait, where the vendor says it in a header. Gemini says it in the body, and Bedrock not at all.
func (p *Plan) waitHeaders(put func(name, value string)) {
	v := p.cloud.Vendor
	if p.RetryAfter <= 0 || v == Bedrock || v == Gemini || v == Vertex {
		return
	}
	put("retry-after", strconv.FormatInt(seconds(p.RetryAfter), 10))
	if v == OpenAI || v == Azure {
		put("retry-after-ms", strconv.FormatInt(int64(math.Ceil(float64(p.RetryAfter)/float64(time.Millisecond))), 10))
	}
}

// Wait is how long the headers tell a caller to wait, as coarsely as the vendor says it; 0 is that they do not.
func (p *Plan) Wait() time.Duration {
	if p.cloud == nil || p.RetryAfter <= 0 {
		return 0
	}
	switch p.cloud.Vendor {
	case Bedrock, Gemini, Vertex:
		return 0
	case OpenAI, Azure:
		return (p.RetryAfter + time.Millisecond - 1).Truncate(time.Millisecond)
	}
	return time.Duration(seconds(p.RetryAfter)) * time.Second
}

// Shown is that part of the room which the vendor's headers show.
func (p *Plan) Shown() Room {
	if p.cloud == nil {
		return Room{}
	}
	switch p.cloud.Vendor {
	case OpenAI, Groq, Cerebras:
		return Room{Requests: p.Room.Requests, Tokens: p.Room.Tokens}
	case Azure:
		if p.cloud.Limits.Units > 0 {
			return Room{Used: p.Room.Used}
		}
		return Room{Requests: p.Room.Requests, Tokens: p.Room.Tokens}
	case Anthropic:
		return Room{Requests: p.Room.Requests, Tokens: p.Room.Tokens, In: p.Room.In, Out: p.Room.Out}
	}
	return Room{}
}

// seconds are whole seconds, rounded up, at least one.
func seconds(d time.Duration) int64 { return max(1, int64(math.Ceil(d.Seconds()))) }

func openaiRoom(put func(name, value string), requests, tokens Gauge) {
	for _, q := range []struct {
		name string
		g    Gauge
	}{{"requests", requests}, {"tokens", tokens}} {
		if q.g.Limit > 0 {
			put("x-ratelimit-limit-"+q.name, strconv.FormatInt(q.g.Limit, 10))
			put("x-ratelimit-remaining-"+q.name, strconv.FormatInt(q.g.Left, 10))
			put("x-ratelimit-reset-"+q.name, brief(q.g.Reset))
		}
	}
}

// brief writes a duration as OpenAI does: 6m0s, 1.5s, 120ms.
func brief(d time.Duration) string {
	if ms := int64(math.Ceil(float64(d) / float64(time.Millisecond))); ms < 1000 {
		return strconv.FormatInt(ms, 10) + "ms"
	}
	return d.Round(time.Millisecond).String()
}

func (p *Plan) azureHeaders(put func(name, value string)) {
	put("apim-request-id", p.ID())
	put("x-request-id", p.ID())
	put("x-ms-region", p.Region)
	if p.cloud.Limits.Units > 0 {
		put("azure-openai-deployment-utilization", strconv.FormatFloat(max(0, p.Room.Used)*100, 'f', 1, 64)+"%")
		return
	}
	openaiRoom(put, p.Room.Requests, p.Room.Tokens)
}

func cerebrasRoom(put func(name, value string), name string, g Gauge) {
	if g.Limit > 0 {
		put("x-ratelimit-limit-"+name, strconv.FormatInt(g.Limit, 10))
		put("x-ratelimit-remaining-"+name, strconv.FormatInt(g.Left, 10))
		put("x-ratelimit-reset-"+name, strconv.FormatFloat(g.Reset.Seconds(), 'f', 3, 64))
	}
}

func (p *Plan) anthropicHeaders(put func(name, value string)) {
	put("request-id", p.ID())
	put("anthropic-organization-id", "00000000-0000-4000-a000-000000000001")
	for _, q := range []struct {
		name string
		g    Gauge
	}{{"requests", p.Room.Requests}, {"tokens", p.Room.Tokens}, {"input-tokens", p.Room.In}, {"output-tokens", p.Room.Out}} {
		if q.g.Limit > 0 {
			put("anthropic-ratelimit-"+q.name+"-limit", strconv.FormatInt(q.g.Limit, 10))
			put("anthropic-ratelimit-"+q.name+"-remaining", strconv.FormatInt(q.g.Left, 10))
			put("anthropic-ratelimit-"+q.name+"-reset", p.Began.Add(q.g.Reset).UTC().Format(time.RFC3339))
		}
	}
	if p.Refusal >= RequestRate {
		put("x-should-retry", "true")
	}
}
