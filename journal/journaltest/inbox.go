package journaltest

import (
	"fmt"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

func inboxCases() []testCase {
	return []testCase{
		{"messages come in order, once for each kind and sender", testInboxOrder},
		{"consume takes up to a number", testConsume},
		{"consumed messages stay known", testConsumedStayKnown},
		{"an unknown run is NotFound", testPutUnknown},
		{"an ended run keeps its messages and never wakes", testPutEnded},
		{"no way from tenant to tenant", testPutAcross},
	}
}

func message(seq journal.InboxSeq, kind, from, body string) journal.Message {
	return journal.Message{Seq: seq, Kind: kind, From: from, Body: []byte(body)}
}

func put(to decouple.RunID, kind, from, body string) journal.Put {
	return journal.Put{To: to, Kind: kind, From: from, Body: []byte(body)}
}

func testInboxOrder(f *fixture) {
	f.create("r", "s")
	f.put(put("r", "joined", "b", `1`), put("s", "joined", "b", `2`), put("r", "joined", "a", `3`))
	f.put(put("r", "joined", "b", `"other body"`))
	f.put(put("r", "cancel", "b", `4`), put("r", "cancel", "b", `5`))
	f.put(put("r", "joined", "B", `{"x": 6}`))
	for range 2 {
		equal(f, "inbox of r", f.inbox("r"), []journal.Message{
			message(1, "joined", "b", `1`), message(2, "joined", "a", `3`), message(3, "cancel", "b", `4`), message(4, "joined", "B", `{"x": 6}`),
		})
		equal(f, "inbox of s", f.inbox("s"), []journal.Message{message(1, "joined", "b", `2`)})
		equal(f, "newest message of r in the view", f.row("r").Inbox, 4)
		equal(f, "newest message of s in the view", f.row("s").Inbox, 1)
		f.reopen()
	}
}

func testConsume(f *fixture) {
	f.start("r")
	for i := range 6 {
		f.put(put("r", "joined", fmt.Sprint(i+1), `{}`))
	}
	consume := func(n journal.InboxSeq) {
		f.t.Helper()
		m := f.on("r")
		m.Consume = n
		f.commit(m)
	}
	left := func(from int) {
		f.t.Helper()
		var want []journal.Message
		for i := from; i <= 6; i++ {
			want = append(want, message(journal.InboxSeq(i), "joined", fmt.Sprint(i), `{}`))
		}
		equal(f, "inbox", f.inbox("r"), want)
		equal(f, "newest message in the view", f.row("r").Inbox, 6)
	}
	consume(2)
	left(3)
	consume(1)
	left(3)
	consume(5)
	left(6)
	f.reopen()
	left(6)
}

func testConsumedStayKnown(f *fixture) {
	f.start("r")
	f.put(put("r", "joined", "a", `1`), put("r", "joined", "b", `2`))
	m := f.on("r")
	m.Consume = 2
	f.commit(m)
	f.put(put("r", "joined", "a", `1`))
	equal(f, "inbox after a message came again", f.inbox("r"), nil)
	f.park("r", journal.StatusChange{Seen: 2})
	f.put(put("r", "joined", "b", `2`))
	f.status("r", decouple.RunParked)
	f.put(put("r", "joined", "c", `3`))
	equal(f, "inbox after a new message", f.inbox("r"), []journal.Message{message(3, "joined", "c", `3`)})
	f.status("r", decouple.RunReady)
}

func testPutUnknown(f *fixture) {
	f.create("r")
	f.refuse(decouple.NotFound, f.sending(put("r.1", "joined", "a", `1`)))
	f.refuse(decouple.NotFound, f.sending(put("r", "joined", "a", `1`), put("nobody", "joined", "a", `1`)))
	equal(f, "inbox of the known run", f.inbox("r"), nil)
}

func testPutEnded(f *fixture) {
	f.start("r")
	f.put(put("r", "joined", "a", `1`))
	f.end("r")
	urgent := put("r", "cancel", "c", `3`)
	urgent.Urgent = true
	f.put(put("r", "joined", "b", `2`), urgent)
	for range 2 {
		f.status("r", decouple.RunEnded)
		equal(f, "inbox", f.inbox("r"), []journal.Message{message(1, "joined", "a", `1`), message(2, "joined", "b", `2`), message(3, "cancel", "c", `3`)})
		f.idle("r")
		f.reopen()
	}
}

func testPutAcross(f *fixture) {
	f.create("r")
	m := f.sending(put("r", "cancel", "intruder", `1`))
	m.Stream.Tenant = "acme"
	f.refuse(decouple.NotFound, m)
	f.put(put("r", "joined", "a", `1`))
	ms, err := f.Inbox(f.ctx(), "acme", "r")
	if len(ms) != 0 {
		f.t.Errorf("another tenant reads the inbox: %v, %v", ms, err)
	}
}
