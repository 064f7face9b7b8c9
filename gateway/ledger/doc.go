// Package ledger answers "what was spent, by whom, and may more be?".
//
// Every call of a model, whatever its door, is one [Entry]: [Ledger.Begin] reserves what it can cost at most in every budget that counts it,
// [Entry.Attempt] notes each endpoint before it is asked, [Entry.Settle] says once what was used. Settle returns when the figure is in a file of
// this node, so that it survives the end of the process; files reach the disk in groups, and the journal in batches. A call that was under way when
// the process was killed is settled when the ledger is opened again: at its reservation, and marked.
//
// Budgets hold over all nodes: a node takes a slice of what is left from the shared journal, in a stream of its own for each period, and spends from
// it without asking anybody. The slices of all nodes together are never more than the budget, so neither is what was reserved.
//
// Nothing here reads the store while a call waits, except for a new slice.
package ledger
