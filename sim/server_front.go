package sim

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
)

// maxBody is the largest request.
const maxBody = 64 << 20

// exchange is one request and its answer.
type exchange struct {
	front   *front
	w       http.ResponseWriter
	r       *http.Request
	want    wanted
	body    []byte
	account string
	call    Call
	stream  bool
	usage   bool // Chat: the caller wants the usage at the stream's end
}

// ServeHTTP answers as the cloud does.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{front: f, w: w, r: r, want: f.route(r)}
	x.call = Call{Cloud: f.cloud.Name, Region: x.want.region, Model: x.want.model, Client: clientName(r.Header), Global: x.want.global, Stream: x.want.stream}
	key, known := f.credential(r)
	x.account = fingerprint(key)
	x.call.Account = x.account
	if !known {
		x.refuse(f.all.refuse(x.call, BadKey))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			x.invalid(decouple.Errorf(decouple.TooLarge, "the request is larger than %d bytes", maxBody))
		}
		return // the caller has gone
	}
	x.body = body
	switch {
	case x.want.op == unknown:
		x.nowhere()
	case x.want.lacks != "":
		x.invalid(decouple.Errorf(decouple.Invalid, "%s", x.want.lacks))
	case x.want.op == listModels:
		x.free(x.models())
	case x.want.op == embed:
		x.embed()
	default:
		x.converse()
	}
}

// peek is what must be known of a body before it is read in earnest.
type peek struct {
	Model         string `json:"model"`
	Stream        bool   `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

// converse answers a conversation, or counts it.
func (x *exchange) converse() {
	_, server, ok := dialect.Of(x.want.format)
	if !ok {
		x.nowhere()
		return
	}
	if x.want.model == "" {
		var p peek
		if err := json.Unmarshal(x.body, &p); err != nil {
			x.invalid(decouple.Errorf(decouple.Invalid, "We could not parse the JSON body of your request."))
			return
		}
		x.call.Model, x.stream, x.usage = p.Model, p.Stream, p.StreamOptions.IncludeUsage
	} else {
		x.peekStream()
	}
	x.call.Stream = x.stream
	req, err := server.Parse(dialect.Inbound{Body: x.body, Model: x.want.model, Stream: x.stream})
	if err != nil {
		x.invalid(err)
		return
	}
	prompt := read(req)
	if x.want.op == countTokens {
		x.free(x.counted(prompt.tokens))
		return
	}
	answers := &x.front.all.setup.Answers
	ans, err := answers.answer(req)
	if err != nil {
		x.invalid(err)
		return
	}
	c := &x.call
	c.In, c.Prefixes, c.Tier, c.MaxOut, c.Out, c.Filtered = prompt.tokens, prompt.prefixes, req.Tier, req.MaxTokens, max(1, ans.Usage.TokensOut), answers.filtered(req)
	p, world := x.front.all.ask(x.call)
	if p.Refusal != Served {
		x.refuse(p)
		return
	}
	if p.Usage.TokensOut < ans.Usage.TokensOut && p.Break.Kind != Empty { // the model's own limit
		req.MaxTokens = p.Usage.TokensOut
		if cut, err := answers.answer(req); err == nil {
			ans = cut
		}
	}
	x.note(&p)
	x.answer(&p, world, server, ans, req)
}

// peekStream reads from the body what the path does not say: an Azure deployment's path names the model only.
func (x *exchange) peekStream() {
	x.stream = x.want.stream
	if x.want.format == dialect.Chat {
		var p peek
		if json.Unmarshal(x.body, &p) == nil {
			x.stream, x.usage = p.Stream, p.StreamOptions.IncludeUsage
		}
	}
}

// answer gives a served call its answer.
func (x *exchange) answer(p *Plan, world *World, server dialect.Server, ans decouple.Answer, req decouple.Request) {
	thought := min(ans.Usage.Thought, p.Usage.TokensOut)
	ans.Usage = p.Usage
	ans.Usage.Thought = thought
	ans.Model = p.Model
	if req.Tier != "" && req.Tier != "auto" {
		ans.Tier = req.Tier
	}
	if p.Break.Kind == Empty {
		ans.Message.Parts, ans.Finish, ans.Usage.Thought = nil, decouple.FinishStop, 0
	}
	head := dialect.Head{ID: answerID(x.want.format, p), Model: p.Model, Created: p.Began.Unix(), Usage: x.usage, Request: &req}
	t := &telling{x: x, p: p, world: world}
	x.headers(p)
	if x.stream {
		t.stream(server.Writer(head), ans)
		return
	}
	body, err := server.Render(ans, head)
	if err != nil {
		x.front.all.ended(world, *p, false)
		x.invalid(err)
		return
	}
	t.whole(x.dress(body))
}

// answerID is the id in the body, as the format writes it.
func answerID(f dialect.Format, p *Plan) string {
	id := p.AnswerID()
	switch {
	case f == dialect.Chat:
		return "chatcmpl-" + id
	case f == dialect.Responses:
		return "resp_" + id
	case f == dialect.Messages && !strings.HasPrefix(id, "msg_"):
		return "msg_" + id
	}
	return id
}

// headers puts the vendor's headers on the answer.
func (x *exchange) headers(p *Plan) {
	h := x.w.Header()
	for _, k := range p.Headers() {
		h.Set(k.Name, k.Value)
	}
}

// note writes a request into the journal.
func (x *exchange) note(p *Plan) {
	e := Entry{
		At: p.Began, Cloud: x.front.cloud.Name, Region: p.Region, Method: x.r.Method, Path: openPath(x.r.URL), Headers: openHeaders(x.r.Header), Account: x.account,
		Model: plain(x.call.Model), Stream: x.stream, Size: len(x.body), Status: p.Status, ID: p.ID(),
	}
	s := x.front.all
	s.mu.Lock()
	defer s.mu.Unlock()
	s.books.note(e)
}

// refuse gives the vendor's refusal, after the time that it takes.
func (x *exchange) refuse(p Plan) {
	x.note(&p)
	if !x.front.all.until(x.r.Context(), &p, p.First) {
		return
	}
	if p.Refusal == Refused || p.Refusal == Cutoff {
		x.breakOff()
		return
	}
	x.headers(&p)
	x.write(p.Status, p.Body())
}

// nowhere says that there is nothing at a path.
func (x *exchange) nowhere() {
	x.invalid(&dialect.Fault{Status: http.StatusNotFound, Type: "invalid_request_error", Code: "unknown_url", Message: "Resource not found"})
}

// invalid tells the caller what is wrong with the request itself, in the words of its format.
func (x *exchange) invalid(err error) {
	p := x.front.all.refuse(x.call, WrongCall)
	p.Message = err.Error()
	format := x.want.format
	if format == "" {
		format = map[Vendor]dialect.Format{Anthropic: dialect.Messages, Bedrock: dialect.Converse, Gemini: dialect.Generate, Vertex: dialect.Generate}[x.front.cloud.Vendor]
	}
	f := dialect.FaultFrom(err)
	var body []byte
	p.Status, body = dialect.RenderFault(format, f)
	x.note(&p)
	x.headers(&p)
	if x.front.cloud.Vendor == Bedrock {
		x.w.Header().Set("x-amzn-errortype", dialect.FaultType(format, f))
	}
	x.write(p.Status, body)
}

// free answers what costs nothing, unless the cloud is ill.
func (x *exchange) free(body []byte) {
	x.call.Free = true
	p, _ := x.front.all.ask(x.call)
	if p.Refusal != Served {
		x.refuse(p)
		return
	}
	x.note(&p)
	x.headers(&p)
	x.write(http.StatusOK, body)
}

func (x *exchange) write(status int, body []byte) {
	x.w.Header().Set("content-type", "application/json")
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // a caller that has gone needs no answer
}
