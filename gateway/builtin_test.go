package gateway_test

import (
	"context"
	"strings"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway"
)

func TestBuiltin(t *testing.T) {
	t.Parallel()
	var b gateway.Builtin
	a, err := b.Answer(t.Context(), ask())
	if err != nil || a.Message.Text() == "" || a.Model != "builtin" {
		t.Errorf("%+v, %v", a, err)
	}
	if p := b.Price("builtin"); p != (decouple.Price{Known: true, Local: true}) {
		t.Errorf("price %+v", p)
	}
	if d := b.Describe(); !strings.Contains(d, "builtin") || !strings.Contains(d, "stays on this machine") {
		t.Error(d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Answer(ctx, ask()); decouple.KindOf(err) != decouple.Canceled {
		t.Errorf("after the end: %v", err)
	}
}

func ask() decouple.Request {
	return decouple.Request{Model: "smart", Messages: []decouple.Message{decouple.Text(decouple.User, "hello")}}
}
