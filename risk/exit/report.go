package exit

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/risk/sign"
)

// ReportType is the payload type of a signed report.
const ReportType = "application/vnd.decouple.exit-report+json"

// Report says how ready an installation is to leave: what an auditor asks.
type Report struct {
	Version   int            `json:"version"` // 1
	Made      time.Time      `json:"made"`
	Program   string         `json:"program"`
	Since     time.Time      `json:"since"` // from which on calls count
	Head      int64          `json:"head"`  // position of the journal
	Points    []Point        `json:"points"`
	Drills    []Drill        `json:"drills"`
	Alternate []Alternate    `json:"alternates"`
	Data      []Flow         `json:"data_in_use"`  // what was sent where
	Rest      []Kept         `json:"data_at_rest"` // what this journal keeps
	Keys      []RevokeKey    `json:"keys_to_revoke"`
	Accounts  []Account      `json:"accounts_to_close"`
	Clocks    []Clock        `json:"clocks"`
	Commits   []Committed    `json:"commitments"`
	Bundles   []BundleNote   `json:"bundles"`
	Open      map[string]int `json:"runs_open"` // by what they wait for
}

// Point is one question with its answer.
type Point struct {
	Question string `json:"question"`
	Answer   string `json:"answer"`
	Ready    bool   `json:"ready"`
}

// Alternate is a model that was asked for, and who else serves it.
type Alternate struct {
	Model     string   `json:"model"`
	Providers []string `json:"providers"` // that were asked
	Others    []string `json:"others"`    // that the catalog has beside
}

// Kept is events of a tenant and kind of stream.
type Kept struct {
	Tenant   decouple.TenantID   `json:"tenant"`
	Kind     decouple.StreamKind `json:"stream"`
	Events   int64               `json:"events"`
	Subjects int                 `json:"subjects"` // people or things that the data is of, by name
}

// RevokeKey is a key in force.
type RevokeKey struct {
	ID      string            `json:"id"`
	Tenant  decouple.TenantID `json:"tenant"`
	Actor   decouple.Actor    `json:"actor"`
	Role    registry.Role     `json:"role"`
	Expires time.Time         `json:"expires,omitzero"`
}

// Account is an account at a vendor that calls were made with.
type Account struct {
	Provider string         `json:"provider"`
	Account  string         `json:"account"`
	Calls    int64          `json:"calls"`
	Spend    decouple.Money `json:"spend_nano_usd"`
	Last     time.Time      `json:"last"`
}

// Clock is a date or a notice of a clause in force.
type Clock struct {
	Tenant decouple.TenantID `json:"tenant"`
	Clause string            `json:"clause"` // contract/clause
	Kind   placement.Kind    `json:"kind"`
	Text   string            `json:"text"`
	Days   int               `json:"notice_days,omitempty"`
	Ends   time.Time         `json:"ends,omitzero"`
}

// Committed is a minimum of spend, and what is lost of it by leaving now.
type Committed struct {
	Tenant   decouple.TenantID `json:"tenant"`
	Clause   string            `json:"clause"`
	Text     string            `json:"text"`
	Amount   decouple.Money    `json:"amount_nano_usd"`
	Spent    decouple.Money    `json:"spent_nano_usd"`
	Forfeit  decouple.Money    `json:"forfeit_now_nano_usd"`  // if nothing is spent from now on
	Forecast decouple.Money    `json:"forfeit_then_nano_usd"` // if it goes on as of late
	Ends     time.Time         `json:"ends,omitzero"`
}

// BundleNote is a bundle that was made or verified.
type BundleNote struct {
	What string    `json:"what"` // bundled, verified
	At   time.Time `json:"at"`
	noted
}

// Input is what a report is made of.
type Input struct {
	Log       journal.Reader
	Catalog   *catalog.Catalog
	Contracts *registry.Contracts
	Key       sign.Public // of this installation
	Program   string
	Since     time.Time
	Now       time.Time
	Notes     []BundleNote // that are not in the journal, as another process wrote it
}

// NewReport reads the journal and says how ready the installation is to leave.
func NewReport(ctx context.Context, in Input) (Report, error) {
	r := Report{Version: 1, Made: in.Now.UTC().Truncate(time.Second), Program: in.Program, Since: in.Since.UTC(), Open: map[string]int{}}
	head, err := in.Log.Head(ctx)
	if err != nil {
		return r, err
	}
	r.Head = int64(head)
	log := pinned{in.Log, head}
	if r.Drills, err = drills(ctx, log, in.Key); err != nil {
		return r, err
	}
	if r.Data, err = Flows(ctx, log, in.Catalog, ledger.Span{Since: in.Since}, in.Now); err != nil {
		return r, err
	}
	r.accounts(in.Catalog)
	for _, part := range []func(context.Context, pinned, Input) error{r.kept, r.keys, r.contracts, r.openRuns} {
		if err := part(ctx, log, in); err != nil {
			return r, err
		}
	}
	r.Points = r.points(in.Now)
	return r, nil
}

// Sign gives the report in an envelope.
func (r *Report) Sign(k *sign.Key) ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, decouple.Errorf(decouple.Internal, "the report cannot be written: %w", err)
	}
	return k.Envelope(ReportType, b)
}

// accounts sums calls by account, and lists who else serves the models that were asked.
func (r *Report) accounts(cat *catalog.Catalog) {
	sums := map[[2]string]*Account{}
	asked := map[string]map[string]bool{}
	for _, f := range r.Data {
		if f.here() {
			continue
		}
		k := [2]string{f.Provider, f.Account}
		if sums[k] == nil {
			sums[k] = &Account{Provider: f.Provider, Account: f.Account}
		}
		a := sums[k]
		a.Calls, a.Spend = a.Calls+f.Calls, a.Spend+f.Spend
		if f.Last.After(a.Last) {
			a.Last = f.Last
		}
		if asked[f.Model] == nil {
			asked[f.Model] = map[string]bool{}
		}
		asked[f.Model][f.Provider] = true
	}
	r.Accounts = []Account{}
	for _, a := range sums {
		r.Accounts = append(r.Accounts, *a)
	}
	slices.SortFunc(r.Accounts, func(a, b Account) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Account, b.Account))
	})
	r.Alternate = []Alternate{}
	for _, model := range slices.Sorted(maps.Keys(asked)) {
		a := Alternate{Model: model, Providers: slices.Sorted(maps.Keys(asked[model])), Others: []string{}}
		for _, ep := range cat.Endpoints {
			if string(ep.Model) == model && !asked[model][ep.Provider] && !slices.Contains(a.Others, ep.Provider) {
				a.Others = append(a.Others, ep.Provider)
			}
		}
		slices.Sort(a.Others)
		r.Alternate = append(r.Alternate, a)
	}
}

// kept counts what the journal keeps, and finds the bundles that were noted.
func (r *Report) kept(ctx context.Context, log pinned, in Input) error {
	sums, subjects := map[streamKind]*Kept{}, map[streamKind]map[decouple.SubjectID]bool{}
	r.Bundles = []BundleNote{}
	err := (&folder{log: log}).each(ctx, "", func(e decouple.Event) error {
		k := streamKind{e.Stream.Tenant, e.Stream.Kind}
		if sums[k] == nil {
			sums[k], subjects[k] = &Kept{Tenant: k.tenant, Kind: k.kind}, map[decouple.SubjectID]bool{}
		}
		sums[k].Events++
		if e.Subject != "" {
			subjects[k][e.Subject] = true
		}
		if e.Kind == Bundled || e.Kind == Verified {
			n := BundleNote{What: words[e.Kind], At: e.Time}
			if err := json.Unmarshal(e.Payload, &n.noted); err != nil {
				return decouple.Errorf(decouple.Internal, "the event %s cannot be read: %w", e.ID, err)
			}
			r.Bundles = append(r.Bundles, n)
		}
		return nil
	})
	r.Bundles = append(r.Bundles, in.Notes...)
	slices.SortStableFunc(r.Bundles, func(a, b BundleNote) int { return a.At.Compare(b.At) })
	r.Rest = []Kept{}
	for k, s := range sums {
		s.Subjects = len(subjects[k])
		r.Rest = append(r.Rest, *s)
	}
	slices.SortFunc(r.Rest, func(a, b Kept) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Kind, b.Kind))
	})
	return err
}

// keys lists the keys in force.
func (r *Report) keys(ctx context.Context, log pinned, in Input) error {
	list, err := registry.NewKeys(log).List(ctx, "")
	r.Keys = []RevokeKey{}
	for _, k := range list {
		if k.Revoked.IsZero() && (k.Expires.IsZero() || k.Expires.After(in.Now)) {
			r.Keys = append(r.Keys, RevokeKey{k.ID, k.Tenant, k.Actor, k.Role, k.Expires})
		}
	}
	return err
}

// contracts lists notices, ends and minimums of spend of every tenant that has data.
func (r *Report) contracts(ctx context.Context, log pinned, in Input) error {
	r.Clocks, r.Commits = []Clock{}, []Committed{}
	if in.Contracts == nil {
		return nil
	}
	tenants := map[decouple.TenantID]bool{decouple.LocalTenant: true}
	for _, k := range r.Rest {
		tenants[k.Tenant] = true
	}
	for _, t := range slices.Sorted(maps.Keys(tenants)) {
		book, err := in.Contracts.Book(ctx, t)
		if err != nil {
			return err
		}
		policy, err := placement.Compile(book, placement.Moment{AsOf: in.Now, Known: in.Now})
		if err != nil {
			return err
		}
		clauses := policy.InForce()
		for _, id := range slices.Sorted(maps.Keys(clauses)) {
			c := clauses[id]
			if c.Days > 0 || !c.Valid.To.IsZero() {
				r.Clocks = append(r.Clocks, Clock{t, id, c.Kind, c.Text, c.Days, c.Valid.To})
			}
		}
		if err := r.commitments(ctx, log, in, t, policy); err != nil {
			return err
		}
	}
	return nil
}

// commitments says what is forfeited of each minimum of spend of a tenant.
func (r *Report) commitments(ctx context.Context, log pinned, in Input, t decouple.TenantID, p *placement.Policy) error {
	for _, c := range p.Commitments() {
		days := map[time.Time]decouple.Money{}
		err := ledger.Calls(ctx, log, ledger.Span{Tenant: t, Since: c.Term.From, Until: c.Term.To}, func(call ledger.Recorded) error {
			for _, l := range call.Lines {
				at := where(in.Catalog, l.Endpoint, l.Model)
				u := placement.Use{Vendor: at.Provider, Cloud: at.Cloud, Region: at.Region, Model: at.Model, Lab: at.Lab, Class: call.Class, Team: call.Team, Agent: string(call.Agent), Spend: l.Usage.Cost}
				if c.Counts(&u) {
					days[call.At.UTC().Truncate(24*time.Hour)] += l.Usage.Cost
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		var spent []placement.DaySpend
		for _, d := range slices.SortedFunc(maps.Keys(days), time.Time.Compare) {
			spent = append(spent, placement.DaySpend{Day: d, Spend: days[d]})
		}
		b := c.Burn(spent, in.Now)
		r.Commits = append(r.Commits, Committed{t, c.ID, c.Text, c.Amount, b.Spent, b.Left, b.ForfeitTrend, c.Term.To})
	}
	return nil
}

// openRuns counts the runs that have not ended.
func (r *Report) openRuns(ctx context.Context, log pinned, _ Input) error {
	after := int64(0)
	for {
		rows, err := log.Runs(ctx, journal.RunFilter{Status: []decouple.RunStatus{decouple.RunReady, decouple.RunRunning, decouple.RunParked}, After: after, Limit: 1000})
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, row := range rows {
			after = row.Row
			r.Open[cmp.Or(string(row.Wait.Kind), string(row.Status))]++
		}
	}
}

// points are the questions of an auditor with their answers.
func (r *Report) points(now time.Time) []Point {
	return []Point{r.rehearsed(now), r.recovery(), r.substitutes(), r.verified(now), r.regions(), {
		"Which keys have to be revoked?", fmt.Sprintf("Keys in force here: %d. Accounts at vendors that calls were made with: %d.", len(r.Keys), len(r.Accounts)), true,
	}, r.notices(), r.forfeited(), r.unfinished()}
}

func (r *Report) rehearsed(now time.Time) Point {
	p := Point{Question: "Was the loss of each vendor rehearsed, and when?", Answer: "No drill has been run; decouple drill runs one."}
	latest := map[string]Drill{}
	for _, d := range r.Drills {
		latest[d.Scenario] = d
	}
	if len(latest) == 0 {
		return p
	}
	passed, overdue := 0, 0
	for _, d := range latest {
		if d.Passed && d.Signed {
			passed++
		}
		if !d.Due.IsZero() && d.Due.Before(now) {
			overdue++
		}
	}
	last := r.Drills[len(r.Drills)-1]
	p.Ready = passed == len(latest) && overdue == 0
	p.Answer = fmt.Sprintf("%d scenarios were drilled, %d of them passed and are signed by this installation, %d are overdue; the last was %s on %s.", len(latest), passed, overdue, last.Scenario, last.Ran.Format(time.DateOnly))
	return p
}

func (r *Report) recovery() Point {
	p := Point{Question: "How long does recovery take, measured?", Answer: "It was not measured."}
	var worst time.Duration
	never, measured := 0, 0
	for _, d := range r.Drills {
		if measured++; d.Recover == nil {
			never++
		} else {
			worst = max(worst, *d.Recover)
		}
	}
	if measured > 0 {
		p.Ready = never == 0
		p.Answer = fmt.Sprintf("The slowest recovery in %d drills took %s; %d did not recover.", measured, worst.Round(time.Millisecond), never)
	}
	return p
}

func (r *Report) substitutes() Point {
	var alone []string
	for _, a := range r.Alternate {
		if len(a.Providers)+len(a.Others) < 2 {
			alone = append(alone, cmp.Or(a.Model, "(not known)"))
		}
	}
	p := Point{"Is there another provider for every model in use?", "No call to a vendor has been recorded.", true}
	if len(r.Alternate) > 0 {
		p.Ready = len(alone) == 0
		p.Answer = fmt.Sprintf("%d of %d models in use have another provider in the catalog; without one: %s.", len(r.Alternate)-len(alone), len(r.Alternate), strings.Join(alone, ", "))
		if p.Ready {
			p.Answer = fmt.Sprintf("All %d models in use have another provider in the catalog.", len(r.Alternate))
		}
	}
	return p
}

// fresh is how old a verified bundle may be.
const fresh = 92 * 24 * time.Hour

func (r *Report) verified(now time.Time) Point {
	p := Point{Question: "When was the last bundle verified?", Answer: "No bundle of this installation was verified here; decouple exit bundle and decouple exit verify do."}
	for _, b := range r.Bundles {
		if b.What == "verified" {
			p.Ready = now.Sub(b.At) < fresh
			p.Answer = fmt.Sprintf("On %s: the bundle %.16s of %s, with %d events and %d runs.", b.At.Format(time.DateOnly), b.ID, b.Made.Format(time.DateOnly), b.Events, b.Runs)
		}
	}
	return p
}

func (r *Report) regions() Point {
	places, unknown := map[string]bool{}, int64(0)
	for _, f := range r.Data {
		if f.Geo == "" {
			unknown += f.Calls
		} else {
			places[f.Geo] = true
		}
	}
	if len(r.Data) == 0 {
		return Point{"Where does the data go?", "No call has been recorded.", true}
	}
	p := Point{"Where does the data go?", "To " + cmp.Or(strings.Join(slices.Sorted(maps.Keys(places)), ", "), "no place that is known") + ".", unknown == 0}
	if unknown > 0 {
		p.Answer += fmt.Sprintf(" Of %d calls it is not known, as their endpoint may answer from anywhere.", unknown)
	}
	return p
}

func (r *Report) notices() Point {
	if len(r.Clocks) == 0 {
		return Point{"Which notices and ends bind us?", "No clause in force has a notice or an end: are the contracts in the book?", false}
	}
	return Point{"Which notices and ends bind us?", fmt.Sprintf("%d clauses in force have a notice or an end.", len(r.Clocks)), true}
}

func (r *Report) forfeited() Point {
	var sum decouple.Money
	for _, c := range r.Commits {
		sum += c.Forfeit
	}
	return Point{"What is forfeited by leaving now?", fmt.Sprintf("$%s of %d commitments in the book.", sum, len(r.Commits)), true}
}

func (r *Report) unfinished() Point {
	n := 0
	for _, c := range r.Open {
		n += c
	}
	return Point{"What is unfinished?", fmt.Sprintf("%d runs have not ended; a bundle carries them, and they go on after an import.", n), true}
}
