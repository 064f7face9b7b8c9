package engine_test

import (
	"context"
	"strings"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
)

// TestLedgerUnderWay shows a call with an effect while it is at work.
func TestLedgerUnderWay(t *testing.T) {
	t.Parallel()
	for _, effect := range []decouple.Effect{decouple.EffectIdempotent, decouple.EffectKeyed, decouple.EffectOnce} {
		began, done := make(chan struct{}), make(chan struct{})
		pay := wild{name: "pay", effect: effect, do: func(context.Context, decouple.Invocation) (decouple.Outcome, error) {
			close(began)
			<-done
			return decouple.Outcome{Text: "paid"}, nil
		}}
		s := newStage(t, map[string][]string{"worker": {"pay:10", "say:done"}}, worker(nil), pay)
		id := s.start("worker", "q", decouple.Envelope{})
		s.serve()
		<-began
		if got, want := s.ledger(id), "1/1 pay "+string(effect)+" started x1 "; !strings.HasPrefix(got, want) {
			t.Errorf("the ledger says %q, want %q", got, want)
		}
		if effect == decouple.EffectKeyed { // nobody will record what became of it
			_, err := s.eng.Cancel(t.Context(), decouple.LocalTenant, id, engine.Cancellation{By: "ada"})
			s.fine(err)
			close(done)
			s.ended(id)
			if got := s.ledger(id); strings.Contains(got, "waiting") || strings.Contains(got, "started") {
				t.Errorf("the ledger of a canceled run says %q", got)
			}
			continue
		}
		close(done)
		s.ended(id)
		if got, want := s.ledger(id), "1/1 pay "+string(effect)+" done x1 "; !strings.HasPrefix(got, want) {
			t.Errorf("the ledger says %q, want %q", got, want)
		}
	}
}
