package journaltest

import (
	"fmt"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

func repeatCases() []testCase {
	return []testCase{
		{"a repeated id gets the first receipt", testRepeat},
		{"a repeated id is known after reopening", testRepeatReopened},
		{"an id is recognised whatever comes with it", testRepeatOtherContent},
		{"the same id at the same moment", testRepeatConcurrent},
		{"the id of a refused commit is free", testRefusedIDIsFree},
	}
}

// again submits m once more and demands its first receipt, and that nothing happens.
func (f *fixture) again(m journal.Mutation, first journal.Receipt) {
	f.t.Helper()
	before := f.state()
	first.Repeated = true
	equal(f, "receipt of a repeated commit", f.commit(m), first)
	equal(f, "the world after a repeated commit", f.state(), before)
}

func testRepeat(f *fixture) {
	m := everything(f)
	first := f.commit(m)
	f.again(m, first)
	m2 := f.on("r")
	m2.Events = numbered(2)
	f.commit(m2)
	f.again(m, first)

	bare := f.sending(journal.Put{To: "other", Kind: "k", From: "f", Body: []byte(`1`)})
	bare.Stream, bare.Events = note("bare"), nil
	first = f.commit(bare)
	f.again(bare, first)
}

func testRepeatReopened(f *fixture) {
	m := everything(f)
	first := f.commit(m)
	for range 3 {
		f.reopen()
		f.again(m, first)
	}
}

func testRepeatOtherContent(f *fixture) {
	first := f.commit(journal.Mutation{ID: "one", Stream: note("s"), Events: numbered(2)})
	f.again(journal.Mutation{ID: "one", Stream: note("elsewhere"), Expect: 77, Events: numbered(1)}, first)
	f.reopen()
	f.again(journal.Mutation{ID: "one", Stream: note("s"), Expect: 2, Events: numbered(1)}, first)
}

func testRepeatConcurrent(f *fixture) {
	const rounds, callers = 15, 8
	s := note("s")
	f.create("hub")
	for round := range rounds {
		child := decouple.RunID(fmt.Sprintf("hub.%d", round+1))
		m := journal.Mutation{
			ID: f.id(), Stream: s, Expect: decouple.Seq(2 * round), Events: numbered(2), Create: []journal.NewRun{newRun(child)},
			Put: []journal.Put{{To: "hub", Kind: "joined", From: string(child), Body: []byte(`1`)}},
		}
		rs := make([]journal.Receipt, callers)
		f.allFine(together(callers, func(i int) (err error) {
			rs[i], err = f.Commit(f.ctx(), m)
			return err
		}))
		firsts := 0
		for _, r := range rs {
			if !r.Repeated {
				firsts++
			}
			r.Repeated = rs[0].Repeated
			equal(f, "receipts of one commit", r, rs[0])
		}
		equal(f, "callers who were told that theirs was the first", firsts, 1)
	}
	equal(f, "events", len(f.read(s)), 2*rounds)
	equal(f, "runs", len(f.runs(journal.RunFilter{})), 1+rounds)
	equal(f, "messages", len(f.inbox("hub")), rounds)
}

func testRefusedIDIsFree(f *fixture) {
	m := journal.Mutation{ID: "one", Stream: note("s"), Expect: 4, Events: numbered(1)}
	f.refuse(decouple.Conflict, m)
	f.reopen()
	f.refuse(decouple.Conflict, m)
	m.Expect = 0
	first := f.commit(m)
	if first.Repeated {
		f.t.Error("a commit that was refused before is called repeated")
	}
	f.again(m, first)
}
