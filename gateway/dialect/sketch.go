package dialect

import (
	"bytes"
	"slices"
	"strings"

	"decouple.dev/decouple"
)

// What an image and a document count in an estimate of tokens: no vendor bills an image higher, and a document by its pages, whose number its size bounds.
const (
	imageTokens   = 5000
	bytesPerToken = 3   // prose has four and more, code and tables three
	bytesOfMedia  = 200 // base64 bytes of a document or a sound for each token
)

// sketcher reads a request for SketchOf.
type sketcher struct {
	scanner
	Sketch
	format Format
	seen   uint64 // the fields of the top level that have come, by their place in its format's list
	twice  string // the field that came twice
	media  int    // bytes of base64
	images int
	user   int // how well User ties calls together, for the best of several fields
}

// SketchOf reads what a request asks for, in one pass. What is not JSON is Invalid, and so are a field of which the sketch tells something that comes twice or
// in other letters (Model for model): servers differ in which one they believe.
func SketchOf(f Format, in Inbound) (Sketch, error) {
	s := sketcher{scanner: scanner{b: in.Body}, format: f}
	s.Answers, s.size = 1, len(in.Body)
	take := sketches(f)
	if take == nil {
		return Sketch{}, decouple.Errorf(decouple.Invalid, "there is no wire format %q", f)
	}
	if !s.open('{') {
		return Sketch{}, decouple.Errorf(decouple.Invalid, "the request is not a JSON object")
	}
	if f == Chat {
		s.OptionsAt = s.i
	}
	for s.more('}') {
		key := s.key()
		if s.bad {
			break
		}
		if at := slices.Index(listed(f), string(key)); at >= 0 {
			if s.seen&(1<<at) != 0 {
				s.twice = string(key)
			}
			s.seen |= 1 << at
			take(&s, key)
		} else if s.odd(key); s.twice == "" {
			s.skip()
		}
		if s.twice != "" {
			return Sketch{}, decouple.Errorf(decouple.Invalid, "the field %q is given twice, or in other letters", s.twice)
		}
	}
	if !s.whole() {
		return Sketch{}, decouple.Errorf(decouple.Invalid, "the request is not JSON")
	}
	if in.Model != "" {
		s.Model = in.Model
	}
	if f == Generate || f == Converse {
		s.Stream, s.unnamed = in.Stream, true
	}
	if s.Model == "" {
		return Sketch{}, decouple.Errorf(decouple.Invalid, "the request names no model")
	}
	s.estimate()
	return s.Sketch, nil
}

// odd refuses a key that is one of the list but for the case of its letters.
func (s *sketcher) odd(key []byte) {
	for _, name := range listed(s.format) {
		if n := len(key) - len(name); n >= 0 && n <= 4 && strings.EqualFold(name, string(key)) {
			s.twice = string(key)
		}
	}
}

func (s *sketcher) estimate() {
	text := len(s.b) - s.media
	s.TokensIn = int64(text/bytesPerToken + s.images*imageTokens + (s.media-min(s.media, s.images*bytesOfMedia))/bytesOfMedia + 16)
}

// The fields of the top level that a sketch tells of.
var (
	chatFields      = []string{"model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "tools", "functions", "response_format", "reasoning_effort", "prompt_cache_key", "user", "safety_identifier", "service_tier"}
	messagesFields  = []string{"model", "messages", "stream", "max_tokens", "system", "tools", "thinking", "output_config", "output_format", "cache_control", "metadata", "service_tier"}
	responsesFields = []string{"model", "input", "stream", "max_output_tokens", "instructions", "tools", "text", "reasoning", "prompt_cache_key", "user", "safety_identifier", "service_tier", "previous_response_id", "conversation", "background", "store"}
	generateFields  = []string{"contents", "systemInstruction", "system_instruction", "tools", "generationConfig", "generation_config", "cachedContent", "cached_content"}
	embeddingFields = []string{"model", "input", "user"}
	converseFields  = []string{"messages", "system", "toolConfig", "inferenceConfig", "additionalModelRequestFields", "outputConfig", "serviceTier"}
)

func listed(f Format) []string {
	switch f {
	case Chat:
		return chatFields
	case Messages:
		return messagesFields
	case Responses:
		return responsesFields
	case Generate:
		return generateFields
	case Embeddings:
		return embeddingFields
	}
	return converseFields
}

func sketches(f Format) func(*sketcher, []byte) {
	switch f {
	case Chat:
		return (*sketcher).chat
	case Messages:
		return (*sketcher).messages
	case Responses:
		return (*sketcher).responses
	case Generate:
		return (*sketcher).generate
	case Converse:
		return (*sketcher).converse
	case Embeddings:
		return (*sketcher).embeddings
	}
	return nil
}

func (s *sketcher) chat(key []byte) {
	switch string(key) {
	case "model":
		s.model()
	case "messages":
		s.content()
	case "stream":
		s.Stream = s.truth()
	case "stream_options":
		s.options()
	case "max_tokens", "max_completion_tokens":
		s.limit()
	case "n":
		s.Answers = max(1, int(min(s.number(), 1<<20)))
	case "tools", "functions":
		s.Tools = s.filled()
	case "response_format":
		s.Shape = s.typed("text")
	case "reasoning_effort":
		s.Thinking = s.effort()
	case "prompt_cache_key":
		s.ties(3)
	case "user", "safety_identifier":
		s.ties(1)
	case "service_tier":
		s.Tier = s.text()
	}
}

func (s *sketcher) messages(key []byte) {
	switch string(key) {
	case "model":
		s.model()
	case "messages", "system":
		s.content()
	case "stream":
		s.Stream = s.truth()
	case "max_tokens":
		s.limit()
	case "tools":
		s.Tools = s.filled()
	case "thinking":
		s.Thinking = s.typed("disabled")
	case "output_config":
		s.outputConfig()
	case "output_format":
		s.Shape = s.typed("")
	case "cache_control":
		s.CacheMarks = s.peek() == '{'
		s.skip()
	case "metadata":
		s.metadata()
	case "service_tier":
		s.Tier = s.text()
	}
}

func (s *sketcher) responses(key []byte) {
	switch string(key) {
	case "model":
		s.model()
	case "input":
		s.content()
	case "stream":
		s.Stream = s.truth()
	case "max_output_tokens":
		s.limit()
	case "tools":
		s.Tools = s.filled()
	case "text":
		s.inside("format", func(s *sketcher) { s.Shape = s.typed("text") })
	case "reasoning":
		s.inside("effort", func(s *sketcher) { s.Thinking = s.effort() })
	case "prompt_cache_key":
		s.ties(3)
	case "user", "safety_identifier":
		s.ties(1)
	case "service_tier":
		s.Tier = s.text()
	case "previous_response_id":
		s.Previous = s.text()
	case "background":
		s.Background = s.truth()
	case "conversation":
		s.Kept = s.peek() != 'n'
		s.skip()
	case "store":
		s.NoStore = s.peek() == 'f'
		s.skip()
	default:
		s.skip()
	}
}

func (s *sketcher) generate(key []byte) {
	switch string(key) {
	case "contents", "systemInstruction", "system_instruction":
		s.content()
	case "tools":
		s.Tools = s.filled()
	case "generationConfig", "generation_config":
		s.generationConfig()
	default:
		s.CacheMarks = s.length() > 0
	}
}

func (s *sketcher) generationConfig() {
	if !s.open('{') {
		s.skip()
		return
	}
	for s.more('}') {
		switch string(s.key()) {
		case "maxOutputTokens", "max_output_tokens":
			s.limit()
		case "candidateCount", "candidate_count":
			s.Answers = max(1, int(min(s.number(), 1<<20)))
		case "responseMimeType", "response_mime_type":
			s.Shape = s.text() == "application/json" || s.Shape
		case "responseSchema", "response_schema", "responseJsonSchema", "response_json_schema":
			s.Shape = s.peek() == '{' || s.Shape
			s.skip()
		case "thinkingConfig", "thinking_config":
			s.Thinking = s.thinkingConfig()
		default:
			s.skip()
		}
	}
}

func (s *sketcher) thinkingConfig() bool {
	on := false
	if !s.open('{') {
		s.skip()
		return on
	}
	for s.more('}') {
		switch string(s.key()) {
		case "thinkingBudget", "thinking_budget":
			on = s.number() != 0 || on
		case "thinkingLevel", "thinking_level":
			on = s.length() > 0 || on
		case "includeThoughts", "include_thoughts":
			on = s.truth() || on
		default:
			s.skip()
		}
	}
	return on
}

func (s *sketcher) converse(key []byte) {
	switch string(key) {
	case "messages", "system":
		s.content()
	case "toolConfig":
		s.toolConfig()
	case "inferenceConfig":
		s.inside("maxTokens", (*sketcher).limit)
	case "additionalModelRequestFields":
		s.inside("thinking", func(s *sketcher) { s.Thinking = s.typed("disabled") })
	case "outputConfig":
		s.inside("textFormat", func(s *sketcher) { s.Shape = s.typed("") })
	case "serviceTier":
		s.inside("type", func(s *sketcher) { s.Tier = s.text() })
	}
}

func (s *sketcher) embeddings(key []byte) {
	switch string(key) {
	case "model":
		s.model()
	case "user":
		s.ties(1)
	default:
		s.skip()
	}
}

func (s *sketcher) toolConfig() {
	if !s.open('{') {
		s.skip()
		return
	}
	for s.more('}') {
		if string(s.key()) != "tools" {
			s.skip()
			continue
		}
		from := s.i
		s.Tools = s.filled()
		s.CacheMarks = s.CacheMarks || bytes.Contains(s.b[from:s.i], []byte(`"cachePoint"`))
	}
}

// inside reads one field of the object that comes next, and skips the others.
func (s *sketcher) inside(name string, read func(*sketcher)) {
	if !s.open('{') {
		s.skip()
		return
	}
	for s.more('}') {
		if string(s.key()) == name {
			read(s)
		} else {
			s.skip()
		}
	}
}

func (s *sketcher) model() {
	s.peek()
	from := s.i
	s.Model = s.text()
	s.ModelAt = [2]int{from, s.i}
}

func (s *sketcher) limit() {
	s.MaxOut = max(s.MaxOut, int64(max(0, min(s.number(), 1<<40))))
}

// ties keeps the field that ties calls together best.
func (s *sketcher) ties(rank int) {
	if v := s.text(); v != "" && rank > s.user {
		s.User, s.user = v, rank
	}
}

func (s *sketcher) metadata() { s.inside("user_id", func(s *sketcher) { s.ties(2) }) }

func (s *sketcher) outputConfig() {
	if !s.open('{') {
		s.skip()
		return
	}
	for s.more('}') {
		switch string(s.key()) {
		case "format":
			s.Shape = s.typed("") || s.Shape
		case "effort":
			s.Thinking = s.effort() || s.Thinking
		default:
			s.skip()
		}
	}
}

func (s *sketcher) effort() bool {
	e := s.text()
	return e != "" && e != "none"
}

// filled skips a list and says whether it holds anything; marks of the prompt cache in it are seen.
func (s *sketcher) filled() bool {
	if !s.open('[') {
		s.skip()
		return false
	}
	some := false
	for s.more(']') {
		some = true
		if s.format != Messages || !s.open('{') {
			s.skip()
			continue
		}
		for s.more('}') {
			if string(s.key()) == "cache_control" {
				s.CacheMarks = true
			}
			s.skip()
		}
	}
	return some
}

// typed skips an object and says whether its type is another one than that which means nothing.
func (s *sketcher) typed(nothing string) bool {
	other := false
	s.inside("type", func(s *sketcher) { other = s.text() != nothing })
	return other
}

// options reads stream_options, and where what asks for usage must be put.
func (s *sketcher) options() {
	s.peek()
	from := s.i
	if !s.open('{') {
		s.skip()
		s.OptionsAt, s.OptionsEnd = from, s.i
		return
	}
	s.OptionsAt, s.OptionsEnd = s.i, s.i
	s.inner = true
	for s.more('}') {
		if string(s.key()) != "include_usage" {
			s.skip()
			continue
		}
		s.peek()
		at := s.i
		if s.Usage = s.truth(); s.Usage {
			s.OptionsAt, s.OptionsEnd = 0, 0
		} else {
			s.OptionsAt, s.OptionsEnd = at, s.i
		}
	}
}

// content looks over messages of any format for media and cache marks. What a tool was called with is nobody's media.
func (s *sketcher) content() {
	switch s.peek() {
	case '[':
		for s.open('['); s.more(']'); {
			s.content()
		}
	case '{':
		for s.open('{'); s.more('}'); {
			s.member(s.key())
		}
	default:
		s.skip()
	}
}

func (s *sketcher) member(key []byte) {
	switch string(key) {
	case "type":
		s.kind()
	case "image", "video", "audio", "document":
		if s.format == Converse {
			s.medium(string(key) == "image")
		}
		s.content()
	case "inlineData", "inline_data", "fileData", "file_data":
		if s.peek() == '{' {
			s.medium(true)
			s.content()
			return
		}
		s.media += s.length()
	case "data", "bytes", "url", "image_url":
		if s.peek() != '"' {
			s.content()
			return
		}
		if n := s.length(); n > 512 {
			s.media += n
		}
	case "cache_control", "cachePoint":
		s.CacheMarks = s.CacheMarks || s.peek() == '{'
		s.skip()
	case "content", "parts", "source", "toolResult", "file", "input_audio", "functionResponse", "output":
		s.content()
	default:
		s.skip()
	}
}

// kind reads the type of a block.
func (s *sketcher) kind() {
	if s.peek() != '"' {
		s.skip()
		return
	}
	raw, _ := s.str()
	switch string(raw) {
	case "image", "image_url", "input_image":
		s.medium(true)
	case "document", "file", "input_file", "input_audio":
		s.medium(false)
	}
}

func (s *sketcher) medium(image bool) {
	s.Media = true
	if image {
		s.images++
	}
}

// SetModel gives a body another name for the model and leaves every other byte alone; it is put in front where the path alone has named one, in the formats whose bodies have a
// place for it. It and [AskUsage] may both be done, one on what the other gave, with the sketch of the first body.
func SetModel(body []byte, s Sketch, name string) []byte {
	from, to := s.ModelAt[0], s.ModelAt[1]
	if to == 0 {
		return s.putModel(body, name)
	}
	if grown := len(body) - s.size; s.OptionsAt > 0 && s.OptionsAt <= from {
		from, to = from+grown, to+grown
	}
	quoted, err := marshal(name)
	if err != nil || to > len(body) {
		return body
	}
	return slices.Concat(body[:from], quoted, body[to:])
}

// putModel adds the name of the model to a body that has none.
func (s *Sketch) putModel(body []byte, name string) []byte {
	quoted, err := marshal(name)
	at := bytes.IndexByte(body, '{') + 1
	if err != nil || at == 0 || s.unnamed {
		return body
	}
	put := slices.Concat([]byte(`"model":`), quoted)
	if rest := bytes.TrimLeft(body[at:], " \t\r\n"); len(rest) > 0 && rest[0] != '}' {
		put = append(put, ',')
	}
	return slices.Concat(body[:at], put, body[at:])
}

// AskUsage makes a streamed Chat request ask for usage at the stream's end. Any other body is given back as it is.
func AskUsage(body []byte, s Sketch) []byte {
	if !s.Stream || s.OptionsAt == 0 {
		return body
	}
	at, end := s.OptionsAt, max(s.OptionsAt, s.OptionsEnd)
	if grown := len(body) - s.size; at >= s.ModelAt[1] {
		at, end = at+grown, end+grown
	}
	if end > len(body) {
		return body
	}
	var put string
	switch replaced := end > at; {
	case replaced && s.inner:
		put = "true"
	case replaced:
		put = `{"include_usage":true}`
	case s.inner:
		put = `"include_usage":true`
	default:
		put = `"stream_options":{"include_usage":true}`
	}
	if rest := bytes.TrimLeft(body[end:], " \t\r\n"); end == at && len(rest) > 0 && rest[0] != '}' {
		put += ","
	}
	return slices.Concat(body[:at], []byte(put), body[end:])
}
