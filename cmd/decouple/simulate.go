package main

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/placement"
	virtual "decouple.dev/decouple/risk/fleet"
	"decouple.dev/decouple/sim"
)

// simulateFlags are the flags of `decouple simulate`.
type simulateFlags struct {
	runs      int64
	stretch   bool
	seed      uint64
	contracts string
	naive     bool
	capacity  bool
	json      bool
}

func newSimulate(a *app) *cobra.Command {
	var f simulateFlags
	c := &cobra.Command{
		Use: "simulate [PLAN.yaml]", Short: "Say how a fleet of a size would fare: capacity, cost, waiting, contracts",
		Long: `Plays a fleet of agents and programs against simulated clouds in virtual time: the router, its queue and the contracts decide as in the gateway, and only
sockets and clocks are replaced. It says what would be answered, how soon and at what cost, what would wait or be lost, and which contracts would hold or break.
Nothing is sent anywhere, and no key is needed.

The plan says which workloads come how fast and what goes wrong when; without one a fleet of our own is played. --runs plays it with so many runs in the same
time: whether a fleet ten times the size has room is the same command with another number. All chance follows from the seed: the same plan and seed give the
same trace. docs/simulate.md describes the file. The clouds are calibrated to public figures, and are no benchmark of any vendor.`,
		Example: `  decouple simulate --runs 10000
  decouple simulate examples/fleet.yaml --runs 100000 --seed 7
  decouple simulate plan.yaml --capacity
  decouple simulate plan.yaml --contracts examples/contracts/enterprise --json`,
		Args: atMost,
		RunE: func(c *cobra.Command, args []string) error {
			p, err := f.plan(c, args)
			if err != nil {
				return err
			}
			if f.capacity {
				return a.capacity(c, &p, f.json)
			}
			return a.simulate(c, &p, f.json)
		},
	}
	flags := c.Flags()
	flags.Int64Var(&f.runs, "runs", 0, "how many runs come in all, in the proportion of the plan: a `NUMBER` up to 10 million (default: as many as the plan says)")
	flags.BoolVar(&f.stretch, "stretch", false, "with --runs: they come as fast as in the plan, for a longer or shorter time")
	flags.Uint64Var(&f.seed, "seed", 1, "`NUMBER` from which all chance follows (default: the plan's)")
	flags.StringVar(&f.contracts, "contracts", "", "`FOLDER` of contracts, or a file, under which the fleet works")
	flags.BoolVar(&f.naive, "naive", false, "use a router that trusts status codes instead, to compare with")
	flags.BoolVar(&f.capacity, "capacity", false, "find for how many runs there is room: at most one call of a hundred of any workload is lost or late")
	flags.BoolVar(&f.json, "json", false, "write one JSON object")
	return c
}

// mostSimulated is how many runs --runs takes.
const mostSimulated = 10_000_000

// plan reads the plan and the contracts, and lays the flags over it.
func (f *simulateFlags) plan(c *cobra.Command, args []string) (virtual.Plan, error) {
	name, data := "default.yaml", virtual.DefaultPlan
	if len(args) > 0 {
		var err error
		if data, err = os.ReadFile(args[0]); err != nil {
			return virtual.Plan{}, decouple.Errorf(decouple.NotFound, "the plan cannot be read: %w", err)
		}
		name = args[0]
	}
	p, err := virtual.Read(name, data)
	if err != nil {
		return p, err
	}
	if c.Flags().Changed("runs") {
		if f.runs < 1 || f.runs > mostSimulated {
			return p, decouple.Errorf(decouple.Invalid, "--runs is a number from 1 to 10 million, not %d", f.runs)
		}
		p.Scale(f.runs, f.stretch)
	}
	if c.Flags().Changed("seed") {
		p.Seed = f.seed
	}
	p.Router.Naive = p.Router.Naive || f.naive
	if f.contracts == "" && len(p.Without) > 0 {
		return p, decouple.Errorf(decouple.Invalid, "the plan lets clauses fall away: say of which contracts with --contracts FOLDER")
	}
	if f.contracts != "" {
		book, err := contractsIn(f.contracts)
		if err != nil {
			return p, err
		}
		return p, p.Under(book)
	}
	return p, nil
}

// contractsIn reads a file of contracts, or all those in a folder and the folders in it.
func contractsIn(root string) (placement.Book, error) {
	var book placement.Book
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" && filepath.Ext(path) != ".yml" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		c, err := placement.Parse(path, data)
		book.Contracts = append(book.Contracts, c)
		return err
	})
	if err != nil && decouple.KindOf(err) == decouple.Internal {
		return book, decouple.Errorf(decouple.NotFound, "the contracts cannot be read: %w", err)
	}
	if err == nil && len(book.Contracts) == 0 {
		err = decouple.Errorf(decouple.NotFound, "there is no contract in %s: they are files that end in .yaml", root)
	}
	return book, err
}

// simulated is what --json writes: the result, and what is not of the simulation itself.
type simulated struct {
	*virtual.Result
	Promises []virtual.Promise `json:"promises"`
	Changes  []changed         `json:"contracts"`
	Waiting  int64             `json:"most_waiting"`
	Vendors  []virtual.Share   `json:"vendors"`
	Seconds  float64           `json:"seconds"` // that it took here
}

// changed is when other contracts held, and why.
type changed struct {
	At  time.Duration `json:"at_ns"`
	Why string        `json:"why"`
}

func (a *app) simulate(c *cobra.Command, p *virtual.Plan, asJSON bool) error {
	p.Progress = func(at virtual.Span, n virtual.Size) {
		a.err.draw([]string{fmt.Sprintf("%3.0f %% of %s  %s runs, %s calls, %s lost", 100*min(1, float64(at.Now)/float64(max(at.Of, 1))), at.Of, short(n.Runs), short(n.Calls), short(n.Failed))})
	}
	began := time.Now()
	r, err := virtual.Run(c.Context(), *p)
	a.err.draw(nil)
	if err != nil {
		return err
	}
	out := simulated{Result: r, Waiting: r.Waiting(), Vendors: r.By("vendor"), Promises: []virtual.Promise{}, Changes: []changed{}, Seconds: time.Since(began).Seconds()}
	for i, ch := range p.Policies {
		if i > 0 && ch.At > r.Ended {
			break
		}
		if out.Changes = append(out.Changes, changed{ch.At, ch.Why}); i == len(p.Policies)-1 || p.Policies[i+1].At > r.Ended {
			if policy, ok := ch.Policy.(*placement.Policy); ok {
				out.Promises = append(out.Promises, r.Promises(policy)...)
			}
		}
	}
	if asJSON {
		return a.json(out)
	}
	return a.print(out.text(p))
}

// mayBeBad is the share of a workload's calls that may be lost or late where there is room.
const mayBeBad = 0.01

// capacity finds for how many runs a plan has room.
func (a *app) capacity(c *cobra.Command, p *virtual.Plan, asJSON bool) error {
	tried, err := virtual.Most(c.Context(), *p, mayBeBad, func(t virtual.Trial) {
		a.err.draw([]string{fmt.Sprintf("tried %s runs: %.2f %% of the calls of the worst workload lost or late", short(t.Runs), 100*t.Bad)})
	})
	a.err.draw(nil)
	if err != nil {
		return err
	}
	best, wall := virtual.Trial{}, virtual.Trial{}
	for _, t := range tried {
		if t.Enough && t.Runs > best.Runs {
			best = t
		}
		if !t.Enough && (wall.Runs == 0 || t.Runs < wall.Runs) {
			wall = t
		}
	}
	if asJSON {
		return a.json(struct {
			Label string          `json:"label"`
			Seed  uint64          `json:"seed"`
			Span  time.Duration   `json:"span_ns"`
			Room  int64           `json:"room_runs"`
			Tried []virtual.Trial `json:"tried"`
		}{sim.Label, p.Seed, p.Span, best.Runs, tried})
	}
	var rows [][]string
	slices.SortFunc(tried, func(x, y virtual.Trial) int { return cmp.Compare(x.Runs, y.Runs) })
	for _, t := range tried {
		enough, cost := "yes", cents(t.Cost)
		if !t.Enough {
			enough = "no"
		}
		if t.Stopped {
			cost = "given up"
		}
		rows = append(rows, []string{short(t.Runs), short(t.Calls), fmt.Sprintf("%.2f%%", 100*t.Bad), cmp.Or(t.Workload, "all"), fmt.Sprintf("%.1f%%", 100*t.Waited), cost, enough})
	}
	text := fmt.Sprintf("There is room for %s runs in %s", short(best.Runs), p.Span)
	if wall.Runs > 0 {
		text += fmt.Sprintf(", and not for %s", short(wall.Runs))
	}
	return a.print(text + ".\nSimulated clouds, " + sim.Label + ".\n\n" + table("RUNS CALLS LOST_OR_LATE WORST WAITED USD ENOUGH", rows))
}

// text is the result for people.
func (s *simulated) text(p *virtual.Plan) string {
	var b strings.Builder
	var runs, calls int64
	for _, w := range s.Workloads {
		runs, calls = runs+w.Runs, calls+w.Calls
	}
	fmt.Fprintf(&b, "%s: %s runs in %s of %s, %s calls", cmp.Or(printable(s.Name), "A fleet"), short(runs), cmp.Or(s.Span, s.Ended.Round(time.Second)), s.Start.UTC().Format("2 January 2006"), short(calls))
	if s.Router == "naive" {
		b.WriteString(", by a router that trusts status codes")
	}
	fmt.Fprintf(&b, ".\nSimulated clouds, %s.\n\n", s.Label)
	s.workloads(&b)
	s.endpoints(&b)
	s.lost(&b)
	s.terms(&b, p)
	for _, f := range s.Faults {
		fmt.Fprintf(&b, "\nFrom %s: %s", f.From, fault(f))
		for i := range s.Workloads {
			w := &s.Workloads[i]
			took, back := w.Recovered(f.From)
			switch {
			case !back:
				fmt.Fprintf(&b, "\n  %s was not well again by the end", w.Name)
			case took > 0:
				fmt.Fprintf(&b, "\n  %s was well again after %s", w.Name, took)
			}
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\nIn all %s USD; at most %s waited at once. Seed %d, trace %s; it took %.1f s here.\n", cents(s.Cost), count(int(s.Waiting), "call"), s.Seed, s.Trace, s.Seconds)
	return b.String()
}

// fault says what goes wrong where.
func fault(f sim.Fault) string {
	out := string(f.Kind)
	for _, of := range []string{f.Cloud, f.Region, f.Model} {
		if of != "" {
			out += " " + printable(of)
		}
	}
	return out
}

func (s *simulated) workloads(b *strings.Builder) {
	var rows [][]string
	for i := range s.Workloads {
		w := &s.Workloads[i]
		share := "-"
		if w.Calls > 0 {
			share = fmt.Sprintf("%.2f%%", 100*float64(w.OK)/float64(w.Calls))
		}
		rows = append(rows, []string{
			w.Name, short(w.Runs), short(w.RunsDone), short(w.Calls), share, short(w.Late), short(w.Lost()), short(w.Denied), short(w.Held), short(w.Waited), millis(w.FirstToken.P50), millis(w.FirstToken.P95),
			millis(w.FirstToken.P99), millis(w.Total.P95), fmt.Sprintf("%.3f", w.Amplified), cents(w.Cost),
		})
	}
	b.WriteString(table("WORKLOAD RUNS DONE CALLS ANSWERED LATE LOST DENIED HELD WAITED FIRST_P50 FIRST_P95 FIRST_P99 WHOLE_P95 ATTEMPTS/STEP USD", rows))
}

func (s *simulated) endpoints(b *strings.Builder) {
	var rows [][]string
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		if e.Attempts == 0 {
			continue
		}
		part := 0.0
		if s.Cost > 0 {
			part = 100 * float64(e.Cost) / float64(s.Cost)
		}
		rows = append(rows, []string{
			string(e.ID), short(e.Attempts), fmt.Sprintf("%.1f%%", 100*float64(e.Answers)/float64(e.Attempts)), fmt.Sprintf("%.1f", s.Peak(i)), short(e.TokensIn), short(e.Cached), short(e.TokensOut), cents(e.Cost), fmt.Sprintf("%.1f%%", part),
		})
	}
	b.WriteString("\n" + table("ENDPOINT ATTEMPTS ANSWERED PEAK/S TOKENS_IN CACHED TOKENS_OUT USD SHARE", rows))
	var parts []string
	for _, v := range s.Vendors {
		parts = append(parts, fmt.Sprintf("%s %.1f%%", v.Of, 100*v.Part))
	}
	b.WriteString("\nSpend by vendor: " + strings.Join(parts, ", ") + ".\n")
}

// lost says why calls had no answer, where any had none.
func (s *simulated) lost(b *strings.Builder) {
	for i := range s.Workloads {
		w := &s.Workloads[i]
		if w.Lost() == 0 {
			continue
		}
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(w.Failed)) {
			parts = append(parts, k+" "+short(w.Failed[k]))
		}
		fmt.Fprintf(b, "Lost by %s: %s", w.Name, strings.Join(parts, ", "))
		if w.NoAlternate > 0 {
			fmt.Fprintf(b, "; %s had no other vendor to go to", short(w.NoAlternate))
		}
		b.WriteString(".\n")
	}
}

// terms says how contracts fared.
func (s *simulated) terms(b *strings.Builder, p *virtual.Plan) {
	if len(p.Policies) == 0 {
		return
	}
	breaches := int64(0)
	for _, w := range s.Workloads {
		breaches += w.Breaches
	}
	fmt.Fprintf(b, "\nContracts: %s reached a place that they deny.\n", count(int(breaches), "call"))
	for _, c := range s.Changes[1:] {
		fmt.Fprintf(b, "  from %s: %s\n", c.At, printable(c.Why))
	}
	for _, x := range s.Promises {
		kept, bound := "kept", "at least"
		if !x.State.Kept {
			kept = "BROKEN"
		}
		if x.Most {
			bound = "at most"
		}
		fmt.Fprintf(b, "  %s: %s %s of %s with %s: %s, %s\n", x.ID, bound, x.Part, x.Of, strings.Join(x.With, ", "), x.State.Part, kept)
	}
}
