package engine

import (
	"context"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// LastScheduled reads a schedule's stream as a node does.
func LastScheduled(ctx context.Context, store journal.Store, s decouple.Stream) (time.Time, decouple.Seq, error) {
	return (&Engine{Config: Config{Store: store}}).lastScheduled(ctx, s)
}
