package exit

import (
	"context"
	"encoding/json"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/risk/sign"
)

// Drill is a rehearsed loss, as the journal has it.
type Drill struct {
	ID         string         `json:"id"`
	Scenario   string         `json:"scenario"`
	Title      string         `json:"title"`
	Lost       []string       `json:"lost,omitempty"`
	Mode       string         `json:"mode"`
	Ran        time.Time      `json:"ran"`
	Due        time.Time      `json:"due,omitzero"`
	Passed     bool           `json:"passed"`
	Calls      int64          `json:"calls"` // during the loss
	Failed     int64          `json:"failed"`
	Recover    *time.Duration `json:"recover_ns"` // null is never
	Duplicated int64          `json:"effects_duplicated"`
	Breaches   int64          `json:"breaches"` // of residency and contracts
	Gaps       []string       `json:"no_alternate,omitempty"`
	Signed     bool           `json:"signed"` // by this installation, and as it was
}

// The parts of a drill's events and result that a report tells of.
const (
	streamDrill  decouple.StreamKind = "drill"
	drillEnded   decouple.EventKind  = "drill.ended"
	drillPayload                     = "application/vnd.decouple.drill+json"
)

type drillResult struct {
	ID       string
	Scenario struct {
		ID, Title string
		Every     time.Duration `json:"every_ns"`
		Lost      []string
	}
	Mode   string
	Ran    time.Time
	Passed bool
	Total  struct {
		During     struct{ Calls, Failed int64 }
		Recover    *time.Duration `json:"recover_ns"`
		Duplicated int64          `json:"effects_duplicated"`
		Residency  int64          `json:"residency_breaches"`
		Contract   int64          `json:"contract_breaches"`
	}
	Gaps []struct{ Workload string } `json:"no_alternate"`
}

// drills lists the drills that have ended, oldest first.
func drills(ctx context.Context, log journal.Reader, by sign.Public) ([]Drill, error) {
	out := []Drill{}
	f := journal.Filter{Kind: streamDrill}
	for {
		events, err := log.Scan(ctx, f)
		if err != nil || len(events) == 0 {
			return out, err
		}
		for _, e := range events {
			f.After = e.Position
			if e.Kind != drillEnded {
				continue
			}
			if d, ok := readDrill(e.Payload, by); ok {
				out = append(out, d)
			}
		}
	}
}

// readDrill reads the result under a drill's signature. One that cannot be read is no drill that was passed.
func readDrill(payload []byte, by sign.Public) (Drill, bool) {
	var end struct{ Envelope string }
	var envelope struct{ Payload []byte }
	var r drillResult
	if json.Unmarshal(payload, &end) != nil || json.Unmarshal([]byte(end.Envelope), &envelope) != nil || json.Unmarshal(envelope.Payload, &r) != nil {
		return Drill{}, false
	}
	_, err := sign.Open([]byte(end.Envelope), drillPayload, by)
	d := Drill{
		ID: r.ID, Scenario: r.Scenario.ID, Title: r.Scenario.Title, Lost: r.Scenario.Lost, Mode: r.Mode, Ran: r.Ran, Passed: r.Passed, Calls: r.Total.During.Calls, Failed: r.Total.During.Failed,
		Recover: r.Total.Recover, Duplicated: r.Total.Duplicated, Breaches: r.Total.Residency + r.Total.Contract, Signed: err == nil,
	}
	if r.Scenario.Every > 0 {
		d.Due = r.Ran.Add(r.Scenario.Every)
	}
	for _, g := range r.Gaps {
		d.Gaps = append(d.Gaps, g.Workload)
	}
	return d, true
}
