package journaltest

import (
	"encoding/hex"
	"fmt"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

func appendCases() []testCase {
	return []testCase{
		{"sequence and position are dense from 1", testDense},
		{"the header is kept whole", testHeader},
		{"payloads are kept byte for byte", testPayloadBytes},
		{"checksums chain and survive", testChecksums},
		{"read in parts", testReadParts},
		{"a mutation with everything in it happens whole", testEverything},
	}
}

func testDense(f *fixture) {
	var at decouple.Position
	seqs := map[decouple.Stream]decouple.Seq{}
	for i := range 12 {
		s, n := note(fmt.Sprint("dense-", i%3)), 1+i%4
		r := f.commit(journal.Mutation{Stream: s, Expect: seqs[s], Events: numbered(n)})
		seqs[s] += decouple.Seq(n)
		at += decouple.Position(n)
		equal(f, "sequence of the receipt", r.Seq, seqs[s])
		equal(f, "position of the receipt", r.Position, at)
		es := f.read(s)
		last := es[len(es)-1]
		equal(f, "event of the receipt", r.Event, last.ID)
		equal(f, "time of the receipt", r.Time, last.Time)
		if r.Repeated {
			f.t.Fatal("a first submission was called a repeated one")
		}
	}
	for s, n := range seqs {
		es := f.read(s)
		equal(f, "length of "+s.String(), len(es), int(n))
		for i, e := range es {
			equal(f, "sequence in "+s.String(), e.Seq, decouple.Seq(i+1))
		}
	}
	for i, e := range f.scan(journal.Filter{}) {
		equal(f, "position in the log", e.Position, decouple.Position(i+1))
	}
}

func testHeader(f *fixture) {
	before := time.Now().Add(-time.Second)
	n := journal.NewEvent{
		Kind: "agent.changed", KindVersion: 7, Actor: decouple.Actor{Kind: decouple.ActorPerson, ID: "someone@example.com"},
		Causation: "00112233445566778899aabbccddeeff", RootRun: "root", Trace: "4bf92f3577b34da6a3ce929d0e0e4736", Subject: "subject-1",
		Payload: []byte(`{"ünï":"\u00e9 <&> \"quoted\""}`),
	}
	s := decouple.Stream{Tenant: "acme", Kind: decouple.StreamAgent, ID: "a/b c%ü"}
	r := f.commit(journal.Mutation{ID: "the-commit", Stream: s, Events: []journal.NewEvent{n}})
	for _, when := range []string{"at once", "after reopening"} {
		es := f.read(s)
		if len(es) != 1 {
			f.t.Fatalf("%s: %d events, want 1", when, len(es))
		}
		e := es[0]
		want := decouple.Event{
			ID: r.Event, Stream: s, Seq: 1, Position: 1, Kind: n.Kind, KindVersion: n.KindVersion, Time: r.Time, Actor: n.Actor, Causation: n.Causation,
			RootRun: n.RootRun, Trace: n.Trace, Subject: n.Subject, Commit: "the-commit", Checksum: e.Checksum, Payload: n.Payload,
		}
		equal(f, "the event "+when, e, want)
		if e.Time.Location() != time.UTC || !e.Time.Equal(e.Time.Truncate(time.Microsecond)) {
			f.t.Errorf("time %v is not UTC to the microsecond", e.Time)
		}
		if e.Time.Before(before) || e.Time.After(time.Now().Add(time.Second)) {
			f.t.Errorf("time %v is not now", e.Time)
		}
		f.reopen()
	}
}

func testPayloadBytes(f *fixture) {
	payloads := []string{`{}`, `null`, `0`, `""`, `[ 1,  2 ]`, `{"b":1,"a":2}`, `1.000`, `"\u2028\ud83d\ude00"`, `{"a":1,"a":2}`, string(quoted(journal.MaxPayload))}
	s := note("bytes")
	f.commit(journal.Mutation{Stream: s, Events: events(payloads...)})
	f.reopen()
	for i, e := range f.read(s) {
		equal(f, "payload", string(e.Payload), payloads[i])
	}
}

func testChecksums(f *fixture) {
	a, b := note("a"), note("b")
	for i := range 3 {
		for _, s := range []decouple.Stream{a, b} {
			f.commit(journal.Mutation{Stream: s, Expect: decouple.Seq(i), Events: events(`{"same":true}`)})
		}
	}
	before := append(f.read(a), f.read(b)...)
	seen := map[decouple.EventID]bool{}
	for i, e := range before {
		equal(f, "id of an event", e.ID, decouple.EventID(hex.EncodeToString(e.Checksum[:16])))
		var prev [32]byte
		if e.Seq > 1 {
			prev = before[i-1].Checksum
		}
		equal(f, "checksum: over the predecessor's, header and payload", e.Checksum, journal.Chain(prev, journal.Encode(e)))
		if seen[e.ID] {
			f.t.Fatalf("two events have the id %s: the checksum does not cover header and predecessor", e.ID)
		}
		seen[e.ID] = true
	}
	f.reopen()
	equal(f, "events after reopening", append(f.read(a), f.read(b)...), before)
	f.commit(journal.Mutation{Stream: a, Expect: 3, Events: numbered(1)})
	equal(f, "length of a stream that goes on after reopening", len(f.read(a)), 4)
}

func testReadParts(f *fixture) {
	s := note("parts")
	f.commit(journal.Mutation{Stream: s, Events: numbered(10)})
	whole := f.read(s)
	for after := range 12 {
		for _, limit := range []int{0, 1, 3, 10, 100} {
			got, err := f.Read(f.ctx(), s, decouple.Seq(after), limit)
			if err != nil {
				f.t.Fatal(err)
			}
			want := whole[min(after, 10):]
			if limit > 0 {
				want = want[:min(limit, len(want))]
			}
			equal(f, fmt.Sprintf("Read after %d limit %d", after, limit), got, want)
		}
	}
	equal(f, "a stream that is not there", f.read(note("nothing")), nil)
	equal(f, "another tenant's stream of that name", f.read(decouple.Stream{Tenant: "acme", Kind: s.Kind, ID: s.ID}), nil)
	equal(f, "another kind's stream of that name", f.read(decouple.Stream{Tenant: tenant, Kind: decouple.StreamAgent, ID: s.ID}), nil)
}

// everything prepares a world and a mutation of run "r" that uses every field.
func everything(f *fixture) journal.Mutation {
	f.t.Helper()
	f.start("other")
	f.park("other", journal.StatusChange{})
	f.start("r")
	f.put(journal.Put{To: "r", Kind: "joined", From: "x", Body: []byte(`1`)}, journal.Put{To: "r", Kind: "joined", From: "y", Body: []byte(`2`)})
	m := f.on("r")
	m.ID = f.id()
	m.Events = events(`{"e":1}`, `{"e":2}`)
	m.Create = []journal.NewRun{newRun("r.1"), newRun("r.2")}
	m.Status = &journal.StatusChange{
		Status: decouple.RunParked, Wait: decouple.Wait{Kind: decouple.WaitChild, For: "r.1"}, Seen: 2, Steps: 3,
		Usage: decouple.Usage{TokensIn: 5, TokensOut: 7, Cost: 11, Estimated: true},
	}
	m.Put = []journal.Put{{To: "other", Kind: "joined", From: "r", Body: []byte(`{"b":1}`)}}
	m.Consume = 1
	m.Pin = []decouple.BlobID{f.blob([]byte("everything"))}
	return m
}

func testEverything(f *fixture) {
	m := everything(f)
	start := m.Expect
	head, err := f.Head(f.ctx())
	if err != nil {
		f.t.Fatal(err)
	}
	r := f.commit(m)
	equal(f, "sequence of the receipt", r.Seq, start+2)
	equal(f, "position of the receipt: the commit's last event, the children's included", r.Position, head+4)
	for range 2 {
		es := f.read(m.Stream)
		equal(f, "payload of the last event", string(es[len(es)-1].Payload), `{"e":2}`)
		equal(f, "event of the receipt", r.Event, es[len(es)-1].ID)
		for _, id := range []decouple.RunID{"r.1", "r.2"} {
			equal(f, "first event of a child", string(f.read(decouple.RunStream(tenant, id))[0].Payload), `{"run":"`+string(id)+`"}`)
			f.status(id, decouple.RunReady)
		}
		row := f.row("r")
		equal(f, "status", row.Status, decouple.RunParked)
		equal(f, "wait", row.Wait, m.Status.Wait)
		equal(f, "steps", row.Steps, 3)
		equal(f, "usage", row.Usage, m.Status.Usage)
		equal(f, "sequence in the view", row.Seq, r.Seq)
		equal(f, "newest message in the view", row.Inbox, 2)
		equal(f, "what is left in the inbox", f.inbox("r"), []journal.Message{{Seq: 2, Kind: "joined", From: "y", Body: []byte(`2`)}})
		equal(f, "the inbox of the other", f.inbox("other"), []journal.Message{{Seq: 1, Kind: "joined", From: "r", Body: []byte(`{"b":1}`)}})
		f.status("other", decouple.RunReady)
		if _, err := f.Sweep(f.ctx(), 0); err != nil {
			f.t.Fatal(err)
		}
		equal(f, "the pinned blob", f.get(m.Pin[0]), []byte("everything"))
		f.reopen()
	}
}
