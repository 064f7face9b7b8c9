// Package decouple holds the nouns that every room of Decouple talks about: identifiers, events, runs, agents,
// messages, usage, money, envelopes, evidence and errors. It answers "what do we talk about?" and does nothing: no I/O, no clock,
// no randomness, nothing but the standard library.
//
// # The tour, bottom-up
//
//   - prose: which words say the same? Sentences, terms, stems, British and American spelling.
//   - journal: what happened? The durable log, run queue, inboxes, leases and blobs; journal/sqlite keeps them in one file.
//   - builtin: what can be said without a model? A deterministic extractive model.
//   - registry: who are they, what may they? Agent files, keys, and the contracts that hold.
//   - knowledge: what do we know? Notes and documents: capture, index, search, quote.
//   - catalog: which models are there, where, and at what price? Dated price data, aliases, what an account gives access to.
//   - placement: where may it go? Contracts as data, and a ruling with the clauses that decided.
//   - meter: what does a call cost? To the nano-dollar, with one rounding.
//   - gateway: how do we reach a model? One door in the words of every vendor; below it gateway/route (which endpoint takes this call, and why?),
//     gateway/dialect (wire formats into [Message] and back), gateway/ledger (what was spent, and what may be), gateway/credential (what proves
//     who calls?) and gateway/transport (the wire itself).
//   - sim: what would the clouds do? Simulated ones on this machine, with quotas, faults and invoices.
//   - engine: what happens next? The agent loop as a pure state machine and the driver that performs its effects.
//   - tool: what can an agent do? The tools that agents call.
//   - research: what is true about this question? Lead, researchers, writer, citation check, report, evaluation.
//   - risk: what if? risk/drill takes a vendor away, risk/fleet plays a fleet in virtual time, risk/whatif decides again under a draft, risk/exposure
//     says what hangs on whom, risk/parity whether an alternate is as good, risk/exit how to leave, and risk/sign who says so.
//   - api: what can a program ask? The HTTP interface, and the owner's socket by which other terminals reach a running process.
//   - cmd/decouple: how does it start?
//
// # Glossary
//
// A run is one execution of one agent; the runs that a run spawned, and theirs, form its tree. A stream is the ordered events of one thing;
// state is a fold over a stream. The position of an event is its place in the whole log. A step is one awaited commit of a run.
// A note is a document that agents may read; its quotable text is what a quotation must be found in, letter for letter.
// A clause is one term of a contract; it reads allow or deny for a need at a place, and may have readings of two minds. A drill takes something away to see what happens.
// An envelope is what a tree of runs may use: money, tokens, tool calls, agents, depth, children and time.
package decouple
