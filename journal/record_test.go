package journal_test

import (
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"github.com/google/go-cmp/cmp"
)

func sample() decouple.Event {
	return decouple.Event{
		Stream: decouple.RunStream("t", "r1.2"), Seq: 7, Kind: "run.created", KindVersion: 3,
		Time: time.UnixMicro(1_700_000_000_123_456).UTC(), Actor: decouple.Actor{Kind: decouple.ActorPerson, ID: "p"},
		Causation: "c", RootRun: "r1", Trace: "tr", Subject: "s", Commit: "k", Payload: []byte(`{"a":1}`),
	}
}

func TestRecordRoundTrip(t *testing.T) {
	t.Parallel()
	got, err := journal.Decode(journal.Encode(sample()))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sample(), got); d != "" {
		t.Fatal(d)
	}
}

func TestRecordDamage(t *testing.T) {
	t.Parallel()
	whole := journal.Encode(sample())
	for i := range whole {
		if _, err := journal.Decode(whole[:i]); err == nil {
			t.Fatalf("a record cut at %d of %d was accepted", i, len(whole))
		}
	}
	if _, err := journal.Decode(append(whole, 0)); err == nil {
		t.Fatal("a record with a byte too many was accepted")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(journal.Encode(sample()))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := journal.Decode(b)
		if err != nil {
			return
		}
		again, err := journal.Decode(journal.Encode(e))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(e, again); d != "" {
			t.Fatal(d)
		}
	})
}
