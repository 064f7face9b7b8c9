package gateway

import (
	"encoding/json"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
)

// embed is a call of a model that turns texts into vectors.
func (v *visit) embed() error {
	sketch, err := dialect.SketchOf(dialect.Chat, dialect.Inbound{Body: v.body, Model: v.model})
	if err != nil {
		return err
	}
	if sketch.Stream {
		return &decouple.Error{Kind: decouple.Invalid, Msg: "stream: vectors are not streamed", Err: &paramError{"stream"}}
	}
	c := v.g.blank(v.who)
	c.door, c.in, c.sketch, c.asked, c.embeds = dialect.Chat, dialect.Inbound{Body: v.body, Model: v.model}, sketch, sketch.Model, true
	c.sketch.MaxOut = 0
	if err := c.heed(v.r.Header); err != nil {
		return err
	}
	if err := c.choose(); err != nil {
		return err
	}
	return c.serve(v.r.Context(), &caller{v: v, c: c})
}

// vectors passes an answer with vectors through.
type vectors struct {
	a    *attempt
	out  outlet
	body []byte
	t    tally
}

func (x *vectors) feed([]byte) error {
	return decouple.Errorf(decouple.Unavailable, "it answered with a stream where vectors were asked for")
}

func (x *vectors) whole(body []byte) error {
	var b struct {
		Model string            `json:"model"`
		Data  []json.RawMessage `json:"data"`
		Usage *struct {
			Prompt int64 `json:"prompt_tokens"`
			Total  int64 `json:"total_tokens"`
		} `json:"usage"`
		Error json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return decouple.Errorf(decouple.Unavailable, "its answer is not JSON")
	}
	if len(b.Error) > 0 && string(b.Error) != "null" {
		return dialect.FaultOf(dialect.Chat, 0, body)
	}
	if len(b.Data) == 0 {
		return decouple.Errorf(decouple.Unavailable, "its answer holds no vector")
	}
	x.t = tally{moved: true, model: b.Model, finish: decouple.FinishStop, written: 1}
	if b.Usage != nil {
		x.t.reported = true
		x.t.usage.TokensIn = max(b.Usage.Prompt, b.Usage.Total)
	}
	x.body = body
	return nil
}

func (x *vectors) end() error   { return nil }
func (x *vectors) done() bool   { return x.body != nil }
func (x *vectors) last() []byte { return x.body }
func (x *vectors) finish() error {
	if err := x.out.begin(x.a, false, len(x.body)); err != nil {
		return err
	}
	return x.out.write(x.body)
}
func (x *vectors) fail(*dialect.Fault) {}
func (x *vectors) tally() tally        { return x.t }
