package api

import (
	"context"
	"strings"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/risk/whatif"
)

// DeskConfig is what a desk answers by.
type DeskConfig struct {
	Contracts *registry.Contracts
	Catalog   *catalog.Catalog
	Journal   journal.Reader // of recorded calls; nil has none
	Ledger    *ledger.Ledger // of this node, which knows calls that the journal does not have yet; nil is that there is none
}

// Desk answers what may go where, by the contracts, the catalog and the recorded calls that it is given: in a server, or in a command that has no server.
type Desk struct {
	DeskConfig
	everywhere func() (*catalog.Catalog, error)
	mu         sync.Mutex // of tallies
	tallies    map[decouple.TenantID]*tally
}

// tally is what a tenant has used, as far as it was read.
type tally struct {
	mu   sync.Mutex
	tail *ledger.Tail
	*whatif.Tally
}

// NewDesk makes a desk ready.
func NewDesk(from DeskConfig) *Desk {
	d := &Desk{DeskConfig: from, tallies: map[decouple.TenantID]*tally{}}
	d.everywhere = sync.OnceValues(func() (*catalog.Catalog, error) { return whatif.Everywhere(d.Catalog) })
	return d
}

// Draft is a contract's file that is not in force.
type Draft struct {
	File string `json:"file" jsonschema:"its name, for messages"`
	Text string `json:"text"`
}

// PlacementQuery asks where something may go.
type PlacementQuery struct {
	Model  string    `json:"model" jsonschema:"a model, an alias or an endpoint"`
	Class  string    `json:"class,omitempty" jsonschema:"of the work; default stateless_api"`
	Labels []string  `json:"labels,omitempty" jsonschema:"of the data"`
	Team   string    `json:"team,omitempty"`
	Agent  string    `json:"agent,omitempty"`
	Key    string    `json:"key,omitempty"`
	At     string    `json:"at,omitempty" jsonschema:"only endpoints of this id, cloud, vendor, region or geography"`
	AsOf   time.Time `json:"as_of,omitzero" jsonschema:"the day that is asked about; default now"`
	Known  time.Time `json:"known,omitzero" jsonschema:"by what was known on this day; default everything that is known now"`
	Drafts []Draft   `json:"drafts,omitempty" jsonschema:"contracts to be laid over those in force, by their ids"`
}

// moment fills in what is not said.
func moment(asOf, known time.Time) placement.Moment {
	now := time.Now().UTC().Truncate(time.Microsecond)
	m := placement.Moment{AsOf: asOf.UTC(), Known: known.UTC()}
	if asOf.IsZero() {
		m.AsOf = now
	}
	if known.IsZero() {
		m.Known = now
		if m.AsOf.After(now) {
			m.Known = m.AsOf // nothing is known of the future but what is known now, and a draft that is dated later
		}
	}
	return m
}

// parsed reads drafts; what is wrong with any of them is Invalid, with file and line.
func parsed(drafts []Draft) ([]placement.Contract, error) {
	var faults placement.Faults
	var out []placement.Contract
	from := map[string]string{}
	for _, d := range drafts {
		if len(d.Text) > registry.MaxContract {
			return nil, decouple.Errorf(decouple.TooLarge, "%s: a contract's file has up to %d bytes", d.File, registry.MaxContract)
		}
		c, wrong := placement.Read(d.File, []byte(d.Text))
		if faults = append(faults, wrong...); len(wrong) > 0 {
			continue
		}
		if first := from[c.ID]; first != "" {
			return nil, decouple.Errorf(decouple.Invalid, "%s: the contract %s is also in %s: give one of them another id", d.File, c.ID, first)
		}
		from[c.ID] = d.File
		out = append(out, c)
	}
	return out, faults.Err()
}

// policy is what holds for a tenant at a moment, with drafts laid over it.
func (d *Desk) policy(ctx context.Context, tenant decouple.TenantID, m placement.Moment, drafts []Draft) (*placement.Policy, error) {
	list, err := parsed(drafts)
	if err != nil {
		return nil, err
	}
	book, err := d.Contracts.Book(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return placement.Compile(whatif.Lay(book, list), m)
}

// Placement judges every place where a model is served. Where no account serves it, the places are those where the catalog knows it to be.
func (d *Desk) Placement(ctx context.Context, tenant decouple.TenantID, q PlacementQuery) (whatif.Answer, error) {
	if strings.TrimSpace(q.Model) == "" {
		return whatif.Answer{}, decouple.Errorf(decouple.Invalid, "model: say which model, alias or endpoint is asked about")
	}
	m := moment(q.AsOf, q.Known)
	p, err := d.policy(ctx, tenant, m, q.Drafts)
	if err != nil {
		return whatif.Answer{}, err
	}
	ask := whatif.Question{Model: q.Model, Class: q.Class, Labels: q.Labels, Team: q.Team, Agent: q.Agent, Key: q.Key, At: q.At, When: m}
	if ask.Class == "" {
		ask.Class = "stateless_api"
	}
	cat := d.Catalog
	if _, err := cat.Resolve(q.Model); decouple.KindOf(err) == decouple.NotFound {
		if cat, err = d.everywhere(); err != nil {
			return whatif.Answer{}, err
		}
	}
	return whatif.Explain(cat, p, ask)
}

// PastCall is a recorded call with the verdicts as of when it was made, by what was known then: they are worked out again from the history of the contracts.
type PastCall struct {
	Call    ledger.Recorded `json:"call"`
	Answer  whatif.Answer   `json:"placement"`
	Derived bool            `json:"derived" jsonschema:"the verdicts are worked out again, from the contracts as of then"`
}

// PastQuery names recorded calls: one by its decision, or those of a run's step.
type PastQuery struct {
	ID   string
	Run  decouple.RunID
	Step int // 0 is all
}

// maxPast bounds how many calls are explained at once.
const maxPast = 100

// Past explains recorded calls. NotFound is that there are none.
func (d *Desk) Past(ctx context.Context, tenant decouple.TenantID, q PastQuery) ([]PastCall, error) {
	var found []ledger.Recorded
	err := d.calls(ctx, ledger.Span{Tenant: tenant, ID: q.ID, Run: q.Run}, func(c ledger.Recorded) error {
		if q.Run == "" || q.Step == 0 || StepOf(c) == q.Step {
			if found = append(found, c); len(found) > maxPast {
				return decouple.Errorf(decouple.TooLarge, "the run has more than %d calls: name a step", maxPast)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		what := "call " + q.ID
		if q.Run != "" {
			what = "call of the run " + string(q.Run)
			if q.Step > 0 {
				what += " in its step " + itoa(int64(q.Step))
			}
		}
		return nil, decouple.Errorf(decouple.NotFound, "the journal has no %s that was settled", what)
	}
	book, err := d.Contracts.Book(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var out []PastCall
	var p *placement.Policy
	for _, c := range found {
		then := placement.Moment{AsOf: c.At, Known: c.At}
		if p == nil || !p.Covers(then) {
			if p, err = placement.Compile(book, then); err != nil {
				return nil, err
			}
		}
		a, err := whatif.Past(d.Catalog, p, c)
		if err != nil {
			return nil, err
		}
		out = append(out, PastCall{Call: c, Answer: a, Derived: true})
	}
	return out, nil
}

// StepOf is the step of its run that an agent's call was made in; 0 is not known. The engine's calls are named dec_RUN_STEP_xxx.
func StepOf(c ledger.Recorded) int {
	rest, ok := strings.CutPrefix(c.ID, "dec_"+string(c.Run)+"_")
	if !ok || c.Run == "" {
		return 0
	}
	text, _, _ := strings.Cut(rest, "_")
	n := 0
	for _, r := range text {
		if r < '0' || r > '9' || n > 1<<30 {
			return 0
		}
		n = n*10 + int(r-'0')
	}
	return n
}

// calls reads recorded calls, with what this node has not journaled yet.
func (d *Desk) calls(ctx context.Context, s ledger.Span, fn func(ledger.Recorded) error) error {
	switch {
	case d.Ledger != nil:
		return d.Ledger.Calls(ctx, s, fn)
	case d.Journal != nil:
		return ledger.Calls(ctx, d.Journal, s, fn)
	}
	return nil
}

// ReplayQuery asks what drafts would have changed.
type ReplayQuery struct {
	Drafts []Draft   `json:"drafts" jsonschema:"contracts to be laid over those in force, by their ids"`
	Since  time.Time `json:"since,omitzero" jsonschema:"calls that began from then on; default 30 days ago"`
	Until  time.Time `json:"until,omitzero" jsonschema:"calls that began before then"`
	AsOf   time.Time `json:"as_of,omitzero" jsonschema:"the day of the contracts, for all calls; default now"`
	Known  time.Time `json:"known,omitzero"`
}

// Replay decides the recorded calls of a tenant again: under the contracts in force, and with drafts laid over them. It tells how many it has decided, now and then.
func (d *Desk) Replay(ctx context.Context, tenant decouple.TenantID, q ReplayQuery, tell func(done int64)) (whatif.Replayed, error) {
	if len(q.Drafts) == 0 {
		return whatif.Replayed{}, decouple.Errorf(decouple.Invalid, "drafts: give the contracts that are to be tried")
	}
	if q.Since.IsZero() {
		q.Since = time.Now().AddDate(0, 0, -30)
	}
	m := moment(q.AsOf, q.Known)
	base, err := d.policy(ctx, tenant, m, nil)
	if err != nil {
		return whatif.Replayed{}, err
	}
	draft, err := d.policy(ctx, tenant, m, q.Drafts)
	if err != nil {
		return whatif.Replayed{}, err
	}
	r := whatif.NewReplay(d.Catalog, base, draft)
	var n int64
	err = d.calls(ctx, ledger.Span{Tenant: tenant, Since: q.Since, Until: q.Until}, func(c ledger.Recorded) error {
		if n++; n%tellEvery == 0 && tell != nil {
			tell(n)
		}
		r.Add(c)
		return ctx.Err()
	})
	out := r.Result()
	out.Since, out.Until = q.Since.UTC().Truncate(time.Microsecond), q.Until
	return out, err
}

// tellEvery is how many calls are decided between two words of progress.
const tellEvery = 10_000

// Standing is how the promised shares and minimums of spend stand.
type Standing struct {
	AsOf        time.Time           `json:"as_of"`
	Since       time.Time           `json:"since" jsonschema:"of parts"`
	Shares      []whatif.Share      `json:"shares"`
	Commitments []whatif.Commitment `json:"commitments"`
	Parts       []whatif.Part       `json:"parts" jsonschema:"of what was used since then, by vendor, cloud, region and class"`
}

// StandingQuery asks how promises stand.
type StandingQuery struct {
	Since time.Time // of parts; default the beginning of the month
	AsOf  time.Time // default now
}

// Standing sums the recorded calls of a tenant against what its contracts promise.
func (d *Desk) Standing(ctx context.Context, tenant decouple.TenantID, q StandingQuery) (Standing, error) {
	m := moment(q.AsOf, time.Time{})
	if q.Since.IsZero() {
		q.Since = time.Date(m.AsOf.Year(), m.AsOf.Month(), 1, 0, 0, 0, 0, time.UTC)
	}
	q.Since = q.Since.UTC()
	p, err := d.policy(ctx, tenant, m, nil)
	if err != nil {
		return Standing{}, err
	}
	since := q.Since.Truncate(24 * time.Hour)
	out := Standing{AsOf: m.AsOf, Since: since}
	err = d.used(ctx, tenant, func(t *whatif.Tally) {
		out.Shares, out.Commitments, out.Parts = t.Shares(p), t.Commitments(p, m.AsOf), t.Parts(placement.Span{From: since, To: m.AsOf})
	})
	return out, err
}

// used hands fn the sums of all that a tenant has used. What was read once is not read again.
func (d *Desk) used(ctx context.Context, tenant decouple.TenantID, fn func(*whatif.Tally)) error {
	if d.Ledger != nil {
		if err := d.Ledger.Flush(ctx); err != nil {
			return err
		}
	}
	d.mu.Lock()
	t := d.tallies[tenant]
	if t == nil {
		t = &tally{Tally: whatif.NewTally(d.Catalog)}
		if d.Journal != nil {
			t.tail = ledger.NewTail(d.Journal, ledger.Span{Tenant: tenant})
		}
		d.tallies[tenant] = t
	}
	d.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tail != nil {
		err := t.tail.Read(ctx, func(c ledger.Recorded) error {
			if err := ctx.Err(); err != nil {
				return err // before it is counted: it is read again
			}
			t.Add(c)
			return nil
		})
		if err != nil {
			return err
		}
	}
	fn(t.Tally)
	return nil
}

// Cedar is what holds for a tenant at a moment, in the language of Cedar: as far as Cedar can say it.
func (d *Desk) Cedar(ctx context.Context, tenant decouple.TenantID, m placement.Moment) (string, error) {
	p, err := d.policy(ctx, tenant, moment(m.AsOf, m.Known), nil)
	if err != nil {
		return "", err
	}
	return p.Cedar(), nil
}
