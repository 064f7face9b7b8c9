package dialect

import (
	"encoding/json"

	"decouple.dev/decouple"
)

// Embeddings is the wire format of OpenAI Embeddings. It has no messages and no streams, so that [Of] does not know it; [SketchOf], [UsageOf], [FaultOf] and
// [RenderFault] do.
const Embeddings Format = "openai.embeddings"

// Embedding asks for vectors.
type Embedding struct {
	Model      string
	Input      json.RawMessage // a text, a list of texts, a list of tokens, or a list of lists of tokens
	Count      int             // of vectors that the answer must have
	Dimensions int64           // 0 leaves it to the model
	Encoding   string          // float or base64; empty is float
	User       string
}

// embeddingWire is a request on the wire.
type embeddingWire struct {
	Model      string          `json:"model"`
	Input      json.RawMessage `json:"input"`
	Dimensions int64           `json:"dimensions,omitempty"`
	Encoding   string          `json:"encoding_format,omitempty"`
	User       string          `json:"user,omitempty"`
}

// ParseEmbedding reads a request for vectors.
func ParseEmbedding(in Inbound) (Embedding, error) {
	var b embeddingWire
	if err := strict(in.Body, &b); err != nil {
		return Embedding{}, err
	}
	e := Embedding{Model: in.name(b.Model), Input: b.Input, Dimensions: b.Dimensions, Encoding: b.Encoding, User: b.User}
	if e.Encoding != "" && e.Encoding != "float" && e.Encoding != "base64" {
		return e, invalid("encoding_format", "it is float or base64")
	}
	if e.Count = inputs(b.Input); e.Count == 0 {
		return e, invalid("input", "it is a text, or a list of texts or of tokens")
	}
	return e, nil
}

// inputs is how many vectors an input asks for; 0 is that it makes no sense.
func inputs(raw json.RawMessage) int {
	s := scanner{b: raw}
	if s.peek() == '"' {
		return 1
	}
	texts, tokens := 0, 0
	for ok := s.open('['); ok && s.more(']'); {
		switch c := s.peek(); {
		case c == '"' || c == '[':
			texts++
		case '0' <= c && c <= '9':
			tokens++
		default:
			return 0
		}
		s.skip()
	}
	switch {
	case !s.whole() || texts > 0 && tokens > 0:
		return 0
	case tokens > 0:
		return 1
	}
	return texts
}

// EncodeEmbedding gives the body of a request for vectors.
func EncodeEmbedding(e Embedding, o Options) ([]byte, error) {
	name := e.Model
	if o.Model != "" {
		name = o.Model
	}
	data, err := marshal(embeddingWire{name, e.Input, e.Dimensions, e.Encoding, e.User})
	if err != nil {
		return nil, invalid("input", "it is not JSON")
	}
	return data, nil
}

// embeddingLook reads an answer with vectors.
func embeddingLook(s *sight, _ string, data []byte) error {
	c := scanner{b: data}
	if !c.open('{') {
		return mistaken(Embeddings)
	}
	for c.more('}') {
		switch string(c.key()) {
		case "model":
			s.Model = c.text()
		case "data":
			s.wrote(max(0, len(c.raw())-2))
		case "usage":
			c.within("prompt_tokens", &s.usage.in)
			s.usage.out = 0
			s.note()
		case "error":
			s.faultHere(&c)
		default:
			c.skip()
		}
	}
	if !c.whole() {
		return mistaken(Embeddings)
	}
	s.Finish = decouple.FinishStop
	return nil
}
