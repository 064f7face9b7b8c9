// Package knowledge answers "what do we know?": it captures notes and documents, indexes them, searches them and finds quotations in them.
//
// What was captured is in the journal: one stream of kind note for each path, an event for each version, the file's bytes as a blob. The index is a view of
// that: an SQLite file of this node which remembers the position it has reached, goes on from there whenever it is asked something, and may be deleted at any
// time. It holds each version's quotable text cut into passages of about 4 kB, the passages' terms for FTS5, and the units that can be quoted (see
// knowledge/document). A version that was replaced or removed stays in it for the runs that began before: every question takes the [decouple.Sources] of who
// asks it.
//
// A search takes candidates from FTS5 by BM25 and ranks their units (rank.go): BM25 of the unit times the share of the question's rare terms that it covers.
package knowledge
