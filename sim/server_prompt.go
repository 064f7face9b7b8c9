package sim

import (
	"time"

	"decouple.dev/decouple"
)

// reader counts a prompt and makes the hashes of its beginnings.
type reader struct {
	hash     uint64
	tokens   int64
	prefixes []Prefix
}

// read takes a request's prompt in the order in which models read it: tools, then the conversation.
func read(req decouple.Request) *reader {
	r := &reader{hash: spell(req.Model)}
	for _, t := range req.Tools {
		r.take(t.Name+t.Description+string(t.Params), decouple.EstimateTokens(t.Name+t.Description+string(t.Params)))
	}
	if len(req.Tools) > 0 {
		r.mark("")
	}
	for _, m := range req.Messages {
		r.hash = stir(r.hash, spell(string(m.Role)))
		for _, p := range m.Parts {
			r.part(p)
			if p.Cache != "" {
				r.mark(p.Cache)
			}
		}
		r.mark("")
	}
	return r
}

func (r *reader) part(p decouple.Part) {
	n := tokensOf(decouple.Message{Parts: []decouple.Part{p}})
	switch {
	case p.Call != nil:
		r.take(p.Call.Name+string(p.Call.Args), n)
	case p.Result != nil:
		r.take(p.Result.Text, n)
		for _, m := range p.Result.Media {
			r.take(m.URL+string(m.Data), 0)
		}
	case p.Media != nil:
		r.take(p.Media.URL+string(p.Media.Data), n)
	case p.Thought != nil:
		r.take(p.Thought.Text+p.Thought.Opaque, n)
	default:
		r.take(p.Text, n)
	}
}

func (r *reader) take(s string, tokens int64) {
	r.hash = stir(r.hash, spell(s))
	r.tokens += tokens
}

// mark ends a beginning; keep is what the caller says of it, such as 5m.
func (r *reader) mark(keep string) {
	p := Prefix{Hash: r.hash, Tokens: r.tokens}
	if keep != "" {
		p.Keep, _ = time.ParseDuration(keep) // what is no duration is not marked
	}
	if n := len(r.prefixes); n > 0 && r.prefixes[n-1].Hash == p.Hash {
		return
	}
	r.prefixes = append(r.prefixes, p)
}
