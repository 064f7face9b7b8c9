// Package whatif answers "where could it go, where could it have gone, and what would change?".
//
// [Explain] judges every place where a model is served for one need, as of a day, by what was known on a day, under the contracts of a book or a draft laid over it. [Replay]
// decides calls that were made again under a draft: who loses a place, where the calls would go instead and what they would cost there. [Standing] holds what was used against
// the clauses that promise a share or an amount.
//
// The room reads no clock and opens nothing: books, catalogs, calls and moments are given.
package whatif
