package parity

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/journal"
)

// StreamParity is the kind of the streams of evaluations: one for each alternate of each.
const StreamParity decouple.StreamKind = "parity"

// Evaluated is the event of an evaluation. Its payload is the report.
const Evaluated decouple.EventKind = "parity.evaluated"

// Writer is the part of a journal that evaluations are kept in.
type Writer interface {
	Commit(ctx context.Context, m journal.Mutation) (journal.Receipt, error)
}

// Reader is the part of a journal that evaluations are read from.
type Reader interface {
	Scan(ctx context.Context, f journal.Filter) ([]decouple.Event, error)
}

// Keep writes a report to the journal of a tenant. Its ID is unique for ever.
func Keep(ctx context.Context, log Writer, tenant decouple.TenantID, r Report, by decouple.Actor) error {
	b, err := json.Marshal(r)
	for err == nil && len(b) > journal.MaxPayload && len(r.Misses) > 0 {
		half := len(r.Misses) / 2
		r.More, r.Misses = r.More+len(r.Misses)-half, r.Misses[:half]
		b, err = json.Marshal(r)
	}
	if err != nil {
		return decouple.Errorf(decouple.Internal, "the report cannot be written: %w", err)
	}
	id := r.ID + "-" + short(r.Alternate.Endpoint)
	_, err = log.Commit(ctx, journal.Mutation{
		ID: decouple.CommitID("parity/" + string(tenant) + "/" + id), Stream: decouple.Stream{Tenant: tenant, Kind: StreamParity, ID: id},
		Events: []journal.NewEvent{{Kind: Evaluated, KindVersion: 1, Actor: by, Payload: b}},
	})
	return err
}

// short is an endpoint's id as a stream's id has it.
func short(id catalog.EndpointID) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' {
			return r
		}
		return '-'
	}, strings.ToLower(string(id)))
}

// Latest are the newest reports of a tenant, one for each pair of primary and alternate, by their ids. Events of versions that this program does not know are passed over.
func Latest(ctx context.Context, log Reader, tenant decouple.TenantID) ([]Report, error) {
	newest := map[[2]catalog.EndpointID]Report{}
	f := journal.Filter{Kind: StreamParity, Tenant: tenant}
	for {
		events, err := log.Scan(ctx, f)
		if err != nil {
			return nil, err
		}
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			f.After = e.Position
			if e.Kind != Evaluated || e.KindVersion != 1 {
				continue
			}
			var r Report
			if err := json.Unmarshal(e.Payload, &r); err != nil {
				return nil, decouple.Errorf(decouple.Internal, "the parity report in the event %s cannot be read: %w", e.ID, err)
			}
			newest[[2]catalog.EndpointID{r.Primary.Endpoint, r.Alternate.Endpoint}] = r
		}
	}
	list := []Report{}
	for _, r := range newest {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b Report) int {
		if c := strings.Compare(string(a.Primary.Endpoint), string(b.Primary.Endpoint)); c != 0 {
			return c
		}
		return strings.Compare(string(a.Alternate.Endpoint), string(b.Alternate.Endpoint))
	})
	return list, nil
}
