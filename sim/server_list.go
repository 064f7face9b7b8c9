package sim

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"time"

	"decouple.dev/decouple"
)

// listedSince is when every model was made, as far as a list of models tells.
const listedSince = 1_767_225_600

// models is the vendor's list of what it serves.
func (x *exchange) models() []byte {
	c := x.front.cloud
	switch c.Vendor {
	case Anthropic:
		type model struct {
			Type    string `json:"type"`
			ID      string `json:"id"`
			Display string `json:"display_name"`
			Created string `json:"created_at"`
		}
		out := struct {
			Data  []model `json:"data"`
			More  bool    `json:"has_more"`
			First string  `json:"first_id"`
			Last  string  `json:"last_id"`
		}{First: c.Models[0].Name, Last: c.Models[len(c.Models)-1].Name}
		for _, m := range c.Models {
			out.Data = append(out.Data, model{"model", m.Name, string(m.ID), time.Unix(listedSince, 0).UTC().Format(time.RFC3339)})
		}
		return encode(out)
	case Gemini, Vertex:
		type model struct {
			Name    string   `json:"name"`
			Display string   `json:"displayName"`
			In      int64    `json:"inputTokenLimit,omitempty"`
			Out     int64    `json:"outputTokenLimit,omitempty"`
			Methods []string `json:"supportedGenerationMethods"`
		}
		var out struct {
			Models []model `json:"models"`
		}
		for _, m := range c.Models {
			out.Models = append(out.Models, model{"models/" + m.Name, string(m.ID), m.Context, m.MaxOut, []string{"generateContent", "countTokens"}})
		}
		return encode(out)
	}
	type model struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"`
		Owner   string `json:"owned_by"`
	}
	out := struct {
		Object string  `json:"object"`
		Data   []model `json:"data"`
	}{Object: "list"}
	for _, m := range c.Models {
		out.Data = append(out.Data, model{m.Name, "model", listedSince, c.Name})
	}
	return encode(out)
}

// counted is the vendor's answer to how long a prompt is.
func (x *exchange) counted(tokens int64) []byte {
	if v := x.front.cloud.Vendor; v == Gemini || v == Vertex {
		return encode(struct {
			Total int64 `json:"totalTokens"`
		}{tokens})
	}
	return encode(struct {
		In int64 `json:"input_tokens"`
	}{tokens})
}

// embedRequest is a request for embeddings; Input is a text or a list of them.
type embedRequest struct {
	Model      string          `json:"model"`
	Input      json.RawMessage `json:"input"`
	Dimensions int             `json:"dimensions"`
	Encoding   string          `json:"encoding_format"`
}

// maxDimensions is how many numbers an embedding has at most.
const maxDimensions = 3072

func (x *exchange) embed() {
	var q embedRequest
	if err := json.Unmarshal(x.body, &q); err != nil {
		x.invalid(decouple.Errorf(decouple.Invalid, "We could not parse the JSON body of your request."))
		return
	}
	var one string
	var texts []string
	if json.Unmarshal(q.Input, &one) == nil {
		texts = []string{one}
	} else if json.Unmarshal(q.Input, &texts) != nil || len(texts) == 0 {
		x.invalid(decouple.Errorf(decouple.Invalid, "'$.input' is invalid: it is a text or a list of texts here"))
		return
	}
	if q.Dimensions == 0 {
		q.Dimensions = 1536
	}
	if q.Dimensions < 1 || q.Dimensions > maxDimensions {
		x.invalid(decouple.Errorf(decouple.Invalid, "'$.dimensions' is invalid: it is a number from 1 to %d", maxDimensions))
		return
	}
	c := &x.call
	if c.Embed = true; c.Model == "" {
		c.Model = q.Model
	}
	for _, t := range texts {
		c.In += decouple.EstimateTokens(t)
	}
	p, world := x.front.all.ask(*c)
	if p.Refusal != Served {
		x.refuse(p)
		return
	}
	x.note(&p)
	x.headers(&p)
	t := &telling{x: x, p: &p, world: world}
	t.whole(embeddings(p.Model, texts, q, c.In))
}

// embeddings writes the answer.
func embeddings(model string, texts []string, q embedRequest, in int64) []byte {
	type datum struct {
		Object    string          `json:"object"`
		Index     int             `json:"index"`
		Embedding json.RawMessage `json:"embedding"`
	}
	out := struct {
		Object string  `json:"object"`
		Data   []datum `json:"data"`
		Model  string  `json:"model"`
		Usage  struct {
			In    int64 `json:"prompt_tokens"`
			Total int64 `json:"total_tokens"`
		} `json:"usage"`
	}{Object: "list", Model: model}
	out.Usage.In, out.Usage.Total = in, in
	for i, t := range texts {
		v := vector(t, q.Dimensions)
		raw := encode(v)
		if q.Encoding == "base64" {
			b := make([]byte, 0, 4*len(v))
			for _, f := range v {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
			}
			raw = encode(base64.StdEncoding.EncodeToString(b))
		}
		out.Data = append(out.Data, datum{"embedding", i, raw})
	}
	return encode(out)
}

// vector is an embedding of length one: every word has a direction, so that texts with many words in common are near.
func vector(text string, n int) []float32 {
	sum := make([]float64, n)
	for _, word := range strings.Fields(strings.ToLower(text)) {
		d := dice{spell(strings.Trim(word, ".,;:!?\"'()"))}
		for range 8 {
			sum[d.next()%uint64(n)] += 1 - 2*float64(d.next()&1)
		}
	}
	var length float64
	for _, v := range sum {
		length += v * v
	}
	if length == 0 {
		sum[0], length = 1, 1
	}
	out := make([]float32, n)
	for i, v := range sum {
		out[i] = float32(v / math.Sqrt(length))
	}
	return out
}

var _ http.Handler = (*front)(nil)
