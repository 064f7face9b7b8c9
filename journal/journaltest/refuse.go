package journaltest

import (
	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

func refuseCases() []testCase {
	return []testCase{
		{"a wrong expectation is Conflict", testWrongExpectation},
		{"all or nothing, whatever is wrong", testAllOrNothing},
		{"what makes no sense is Invalid", testInvalid},
		{"what is too long is TooLarge", testTooLarge},
		{"a closed store is Unavailable", testClosed},
	}
}

func testWrongExpectation(f *fixture) {
	s := note("s")
	for _, wrong := range []decouple.Seq{1, 2, 1 << 40} {
		f.refuse(decouple.Conflict, journal.Mutation{Stream: s, Expect: wrong, Events: numbered(1)})
	}
	f.commit(journal.Mutation{Stream: s, Events: numbered(3)})
	for _, wrong := range []decouple.Seq{0, 1, 2, 4, 5} {
		f.refuse(decouple.Conflict, journal.Mutation{Stream: s, Expect: wrong, Events: numbered(1)})
	}
	f.commit(journal.Mutation{Stream: s, Expect: 3, Events: numbered(1)})

	f.start("r")
	m := f.on("r")
	m.Expect--
	m.Status = &journal.StatusChange{Status: decouple.RunEnded, Cause: decouple.Cause{Kind: decouple.CauseDone}}
	f.refuse(decouple.Conflict, m)
}

// testAllOrNothing breaks a mutation that uses every field in one way after another. Each time the log, the view and all inboxes stay as
// they were, and nothing is pinned; then the same mutation, repaired, goes through under the same id.
func testAllOrNothing(f *fixture) {
	good := everything(f)
	ways := []struct {
		name  string
		kind  decouple.Kind
		spoil func(*journal.Mutation)
	}{
		{"the stream has moved", decouple.Conflict, func(m *journal.Mutation) { m.Expect-- }},
		{"the stream is not so far", decouple.Conflict, func(m *journal.Mutation) { m.Expect++ }},
		{"no lease", decouple.Conflict, func(m *journal.Mutation) { m.Epoch = 0 }},
		{"the inbox has moved", decouple.Conflict, func(m *journal.Mutation) { m.Status.Seen = 1 }},
		{"a child is there already", decouple.Conflict, func(m *journal.Mutation) { m.Create[1] = newRun("other") }},
		{"a child comes twice", decouple.Conflict, func(m *journal.Mutation) { m.Create[1] = m.Create[0] }},
		{"a message for an unknown run", decouple.NotFound, func(m *journal.Mutation) {
			m.Put = append(m.Put, journal.Put{To: "nobody", Kind: "joined", From: "r", Body: []byte(`1`)})
		}},
		{"an unknown blob", decouple.NotFound, func(m *journal.Mutation) {
			m.Pin = append(m.Pin, f.address([]byte("never put")))
		}},
		{"a payload that is not JSON", decouple.Invalid, func(m *journal.Mutation) { m.Events[1].Payload = []byte(`{"e":`) }},
		{"a child's payload that is not JSON", decouple.Invalid, func(m *journal.Mutation) { m.Create[1].Events = events(`nope`) }},
		{"a payload that is too long", decouple.TooLarge, func(m *journal.Mutation) { m.Events[1].Payload = quoted(journal.MaxPayload + 1) }},
	}
	for _, way := range ways {
		m := clone(good)
		way.spoil(&m)
		before := f.state()
		_, err := f.Commit(f.ctx(), m)
		if decouple.KindOf(err) != way.kind {
			f.t.Fatalf("%s: %v (kind %q), want kind %q", way.name, err, decouple.KindOf(err), way.kind)
		}
		equal(f, "the world after: "+way.name, f.state(), before)
		n, err := f.Sweep(f.ctx(), 0)
		if err != nil || n != 1 {
			f.t.Fatalf("%s: Sweep = %d, %v, want the one blob that a refused commit did not pin", way.name, n, err)
		}
		f.blob([]byte("everything"))
	}
	if r := f.commit(good); r.Repeated {
		f.t.Error("a commit that was refused before is called repeated")
	}
}

// clone copies what testAllOrNothing spoils.
func clone(m journal.Mutation) journal.Mutation {
	m.Events = append([]journal.NewEvent(nil), m.Events...)
	m.Create = append([]journal.NewRun(nil), m.Create...)
	m.Put = append([]journal.Put(nil), m.Put...)
	m.Pin = append([]decouple.BlobID(nil), m.Pin...)
	s := *m.Status
	m.Status = &s
	return m
}

func testInvalid(f *fixture) {
	f.create("r")
	nameless := newRun("x")
	nameless.Run.ID = ""
	homeless := newRun("x")
	homeless.Run.Tenant = ""
	status := &journal.StatusChange{Status: decouple.RunEnded}
	for name, m := range map[string]journal.Mutation{
		"no id":                 {Stream: note("s"), Events: numbered(1)},
		"no stream but events":  {ID: "i1", Events: numbered(1)},
		"a stream of no tenant": {ID: "i2", Stream: decouple.Stream{Kind: decouple.StreamNote, ID: "s"}, Events: numbered(1)},
		"a stream of no kind":   {ID: "i3", Stream: decouple.Stream{Tenant: tenant, ID: "s"}, Events: numbered(1)},
		"a stream of no id":     {ID: "i4", Stream: decouple.Stream{Tenant: tenant, Kind: decouple.StreamNote}, Events: numbered(1)},
		"no stream but status":  {ID: "i5", Status: status},
		"no stream but consume": {ID: "i6", Consume: 1},
		"no stream but pins":    {ID: "i7", Pin: []decouple.BlobID{f.blob([]byte("b"))}},
		"a run without id":      {ID: "i8", Create: []journal.NewRun{nameless}},
		"a run without tenant":  {ID: "i9", Create: []journal.NewRun{homeless}},
		"status of a note":      {ID: "i10", Stream: note("s"), Status: status},
		"consume of a note":     {ID: "i11", Stream: note("s"), Consume: 1},
		"an event of no kind":   {ID: "i12", Stream: note("s"), Events: []journal.NewEvent{{KindVersion: 1, Payload: []byte(`{}`)}}},
	} {
		before := f.state()
		_, err := f.Commit(f.ctx(), m)
		if decouple.KindOf(err) != decouple.Invalid {
			f.t.Errorf("%s: %v (kind %q), want invalid", name, err, decouple.KindOf(err))
		}
		equal(f, "the world after: "+name, f.state(), before)
	}
	for _, payload := range []string{`{`, `{}x`, `'a'`, `{"a":1,}`, `NaN`, "\"\x01\"", `{} {}`} {
		f.refuse(decouple.Invalid, journal.Mutation{Stream: note("s"), Events: events(`{}`, payload)})
	}
	f.refuse(decouple.Invalid, f.sending(journal.Put{To: "r", Kind: "joined", From: "x", Body: []byte(`{`)}))
	f.refuse(decouple.Invalid, f.sending(journal.Put{To: "r", From: "x", Body: []byte(`{}`)}))
}

func testTooLarge(f *fixture) {
	fits, over := quoted(journal.MaxPayload), quoted(journal.MaxPayload+1)
	f.create("r")
	f.refuse(decouple.TooLarge, journal.Mutation{Stream: note("s"), Events: events(`{}`, string(over))})
	child := newRun("r.1")
	child.Events = events(string(over))
	f.refuse(decouple.TooLarge, journal.Mutation{Create: []journal.NewRun{child}})
	f.refuse(decouple.TooLarge, f.sending(journal.Put{To: "r", Kind: "joined", From: "x", Body: over}))

	child.Events = events(string(fits))
	f.commit(journal.Mutation{Stream: note("s"), Events: events(string(fits)), Create: []journal.NewRun{child}})
	f.put(journal.Put{To: "r", Kind: "joined", From: "x", Body: fits})
	equal(f, "a body of the largest size", len(f.inbox("r")[0].Body), journal.MaxPayload)
	equal(f, "a payload of the largest size", len(f.read(decouple.RunStream(tenant, "r.1"))[0].Payload), journal.MaxPayload)
}

func testClosed(f *fixture) {
	f.commit(journal.Mutation{Stream: note("s"), Events: numbered(1)})
	f.close()
	if _, err := f.Commit(f.ctx(), journal.Mutation{ID: "late", Stream: note("s"), Expect: 1, Events: numbered(1)}); decouple.KindOf(err) != decouple.Unavailable {
		f.t.Errorf("Commit after Close: %v (kind %q), want unavailable", err, decouple.KindOf(err))
	}
	if _, err := f.Claim(f.ctx(), journal.Want{}); err == nil {
		f.t.Error("Claim after Close gave a run")
	}
	if _, err := f.Head(f.ctx()); err == nil {
		f.t.Error("Head after Close gave a position")
	}
	f.reopen()
	equal(f, "events of the stream", len(f.read(note("s"))), 1)
}
