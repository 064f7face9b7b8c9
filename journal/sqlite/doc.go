// Package sqlite answers "what happened?" on one machine: a [journal.Store] in one SQLite file, written by one process.
//
// Callers of Commit queue up; the first of them leads: it applies the whole queue in one transaction, syncs the write-ahead log, hands the lead on and tells
// everybody. Whoever comes while it syncs is in the next batch. SQLite runs with synchronous=NORMAL, which syncs around checkpoints, and the sync that FULL would add
// inside each transaction is done here after it, with fdatasync and without the lock that claims need: the same promise.
//
// The folder holds journal.db with its -wal and -shm, journal.mark (the newest position and change that were acknowledged, so that a write-ahead
// log that lost its tail is noticed) and lock (held by the one process that writes; the operating system releases it when that process dies).
//
// Every row carries its own checksum; events carry the chain of their stream. A failed COMMIT or sync is fatal for the store: every later call
// says so, and nothing is tried again on the same handle.
package sqlite
