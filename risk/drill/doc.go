// Package drill answers "what if it is gone?": a vendor, a cloud, a region, a model, a clause of a contract, or something that several of them hang on. A [Scenario] says what is
// lost and when, and what is expected; a drill plays it and measures who noticed.
//
// There are three ways to play one:
//
//	sim     simulated clouds in virtual time (sim.go): the real router, queue and placement, beside a router that trusts status codes
//	shadow  calls that really happened are decided again without what is lost (shadow.go); nothing is sent
//	live    faults are pretended at this node's own gateway for a canary of calls (live.go), with an abort key, rules that abort by themselves and a hard end
//
// What comes of it is one document, a [Result], signed and kept in the journal as a stream of kind drill, and shown as Markdown or HTML with charts. A scenario is due again after a
// time; a drill that is overdue, or was not passed, lowers the [Grade].
package drill
