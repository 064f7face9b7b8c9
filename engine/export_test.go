package engine

import (
	"context"
	"encoding/json"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// LastScheduled reads a schedule's stream as a node does.
func LastScheduled(ctx context.Context, store journal.Store, s decouple.Stream) (time.Time, decouple.Seq, error) {
	return (&Engine{Config: Config{Store: store}}).lastScheduled(ctx, s)
}

// Answered reads a request's stream as a node does that is asked the same again.
func Answered(ctx context.Context, store journal.Store, tenant decouple.TenantID, again []byte) (decouple.RunID, bool, error) {
	var r request
	if err := json.Unmarshal(again, &r); err != nil {
		return "", false, err
	}
	was, ok, err := (&Engine{Config: Config{Store: store}}).answered(ctx, tenant, &r)
	return was.Run, ok, err
}

// KeepSchedule starts what is due of one agent, once.
func KeepSchedule(ctx context.Context, e *Engine, tenant decouple.TenantID, name decouple.AgentName) (time.Time, error) {
	return e.keepSchedule(ctx, tenant, name)
}
