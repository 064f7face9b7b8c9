package journal

import (
	"context"
	"io"
	"iter"
	"time"

	"decouple.dev/decouple"
)

// Dumper gives a whole journal as it is at one moment, while it may be written.
type Dumper interface {
	// Dump calls fn for every record: keys of subjects, pinned blobs, runs by creation, events by position, messages of inboxes, commits. A record, and what it
	// points to, is valid until fn returns. Events are checked; a run that is running is given as ready and left, as no lease goes along.
	Dump(ctx context.Context, fn func(Record) error) error
}

// Restorer is an empty store that takes a whole journal. Nobody else may have it open.
type Restorer interface {
	Reader
	// Restore writes all records, in the order of Dump and as they are, with positions, times and checksums; or nothing. Until it is settled, the store can be
	// opened by restorers only. One that was restored under the same id and not settled is left as it is; one that holds anything else is Conflict.
	// A record that does not follow from those before it is Invalid.
	Restore(ctx context.Context, id string, records iter.Seq2[Record, error]) error
	// Settle makes what was restored a store like any other.
	Settle(ctx context.Context) error
	// Close closes the store.
	Close() error
}

// Record is one record of a whole journal: one field is set.
type Record struct {
	Key     *SubjectKey
	Blob    *StoredBlob
	Run     *StoredRun
	Event   *decouple.Event
	Message *StoredMessage
	Commit  *StoredCommit
}

// SubjectKey is the key that the addresses of a subject's blobs are made with.
type SubjectKey struct {
	Tenant  decouple.TenantID
	Subject decouple.SubjectID
	Key     []byte
}

// StoredBlob is a pinned blob. Content is read before the next record.
type StoredBlob struct {
	Tenant  decouple.TenantID
	Subject decouple.SubjectID
	ID      decouple.BlobID
	Size    int64
	Created time.Time
	Content io.Reader
}

// StoredRun is a row of the view of runs; Row, Node and Epoch are the store's own and mean nothing here.
type StoredRun struct {
	RunRow
	Left bool // an earlier lease ended while it was running
}

// StoredMessage is a message that was put in an inbox, consumed or not.
type StoredMessage struct {
	Tenant decouple.TenantID
	Run    decouple.RunID
	Message
}

// StoredCommit recognises a repeated submission.
type StoredCommit struct {
	ID decouple.CommitID
	Receipt
}

// Unsettled is the error of opening a store whose import was not finished.
func Unsettled(where, id string) error {
	return decouple.Errorf(decouple.Conflict, "the import of the bundle %.16s into %s was not finished: run `decouple exit import` with it again, or begin with an empty place", id, where)
}

// NotEmpty is the error of restoring into a store that holds something.
func NotEmpty(where string) error {
	return decouple.Errorf(decouple.Conflict, "%s holds a journal already: a bundle is imported into an empty installation only; name an empty folder with --data, or an empty database with --store", where)
}

// Misplaced is the error of a record that does not follow from those before it.
func Misplaced(format string, args ...any) error {
	return decouple.Errorf(decouple.Invalid, "what is to be restored does not hold together: "+format, args...)
}
