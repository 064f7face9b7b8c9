package gateway

import (
	"context"

	"decouple.dev/decouple"
	"decouple.dev/decouple/builtin"
)

// Builtin asks the embedded model, which needs no network and costs nothing.
type Builtin struct{}

// Answer is the embedded model's next message. The only error of ctx is that it has ended before.
func (Builtin) Answer(ctx context.Context, req decouple.Request) (decouple.Answer, error) {
	if err := ctx.Err(); err != nil {
		return decouple.Answer{}, decouple.Errorf(decouple.KindOf(err), "the builtin model was not asked: %w", err)
	}
	return builtin.Answer(req)
}

// Price is zero, and known to be.
func (Builtin) Price(string) decouple.Price { return decouple.Price{Known: true, Local: true} }

// Describe is a line for people: which model answers, and whether text leaves this machine.
func (Builtin) Describe() string {
	return "model: " + builtin.Name + " (extractive, no neural network); text stays on this machine"
}
