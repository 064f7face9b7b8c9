// Package journal answers "what happened?": it is the durable log that everything else is a fold of.
//
// A [Store] keeps streams of events. One call changes it, [Store.Commit], all or nothing for its caller: append events, create child runs, put
// a run on the ready queue, put messages in inboxes, consume the own inbox, park, pin blobs. Many callers are joined in one transaction
// (group commit); a caller whose expectations do not hold fails alone, and so does whoever builds on it.
//
// Every event carries a SHA-256 over its predecessor's checksum, its header and its payload, and is checked whenever it is read.
// The run table is a view in the store, changed in the same commit as the events it follows from.
//
// Stores: journal/sqlite. The suite that every store must pass: journal/journaltest.
package journal
