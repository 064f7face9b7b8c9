package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/registry"
)

func newContractsLs(a *app) *cobra.Command {
	var asJSON, all bool
	c := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List the contracts and what was signed off", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.asking(c.Context(), func(who asker) error {
				l, err := who.Contracts(c.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return a.json(l)
				}
				return a.print(contractTable(l, all))
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "those that were withdrawn, and sign-offs that are over, too")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object, with those that were withdrawn")
	return c
}

func contractTable(l api.ContractList, all bool) string {
	var rows [][]string
	for _, v := range l.Contracts {
		if v.Withdrawn && !all {
			continue
		}
		rows = append(rows, contractRow(v))
	}
	if len(rows) == 0 {
		return "there are no contracts: put some in force with `decouple contracts put`, and see docs/contracts.md\n"
	}
	out := table("CONTRACT VERSION HASH CLAUSES SINCE BY TITLE", rows)
	var signed [][]string
	for _, s := range l.SignOffs {
		if all || s.HoldsAt(time.Now()) {
			signed = append(signed, []string{s.Clause, allOr(s.Class), allOr(string(s.Run)), s.By.ID, day(s.At), until(s), s.Why})
		}
	}
	if len(signed) > 0 {
		out += "\nsigned off\n" + table("CLAUSE CLASS RUN BY SINCE UNTIL WHY", signed)
	}
	return out
}

func contractRow(v registry.ContractVersion) []string {
	version, since, by, title := fmt.Sprint(v.Version), day(v.Entered), v.By.ID, v.Title
	if v.Version == 0 {
		version, since, by = "file", "-", v.File
	}
	if v.Withdrawn {
		version, title = version+" withdrawn", v.Why
	}
	return []string{v.ID, version, fmt.Sprintf("%.12s", v.Hash), fmt.Sprint(v.Clauses), since, by, title}
}

// allOr is a text, and all for none.
func allOr(s string) string {
	if s == "" {
		return "all"
	}
	return s
}

func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04Z")
}

// until is when a sign-off ends, or ended.
func until(s registry.SignedOff) string {
	if !s.Over.IsZero() {
		return day(s.Over) + " (taken back)"
	}
	return day(s.Expires)
}

func newContractsShow(a *app) *cobra.Command {
	var version string
	var asJSON bool
	c := &cobra.Command{
		Use: "show ID", Short: "Show a contract as it was written", Args: exactly("the id of a contract"),
		Example: "  decouple contracts show data\n  decouple contracts show data --version 3",
		RunE: func(c *cobra.Command, args []string) error {
			return a.asking(c.Context(), func(who asker) error {
				v, err := who.Contract(c.Context(), args[0], version)
				if err != nil {
					return err
				}
				if asJSON {
					return a.json(v)
				}
				return a.print(safeLines(v.Text) + "\n")
			})
		},
	}
	c.Flags().StringVar(&version, "version", "", "`VERSION`: its number or the beginning of its hash (default: the newest)")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

func newContractsHistory(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "history ID", Short: "List the versions of a contract: who put them, and when", Args: exactly("the id of a contract"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.asking(c.Context(), func(who asker) error {
				list, err := who.ContractHistory(c.Context(), args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return a.json(list)
				}
				var rows [][]string
				for _, v := range list {
					rows = append(rows, contractRow(v))
				}
				return a.print(table("CONTRACT VERSION HASH CLAUSES SINCE BY TITLE", rows))
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write a JSON array")
	return c
}

func newContractsDiff(a *app) *cobra.Command {
	var d api.ContractDiff
	var asJSON bool
	c := &cobra.Command{
		Use: "diff ID", Short: "Say which lines a version of a contract changes", Args: exactly("the id of a contract"),
		Example: "  decouple contracts diff data\n  decouple contracts diff data --from 1 --to 3",
		RunE: func(c *cobra.Command, args []string) error {
			return a.asking(c.Context(), func(who asker) error {
				d.ID = args[0]
				diff, err := who.DiffContract(c.Context(), d)
				if err != nil {
					return err
				}
				if asJSON {
					return a.json(diff)
				}
				var b strings.Builder
				fmt.Fprintf(&b, "%s version %d to %d\n", diff.ID, diff.From, diff.To)
				for _, l := range diff.Lines {
					b.WriteString(strings.TrimRight(l[:1]+" "+printable(l[1:]), " ") + "\n")
				}
				return a.print(b.String())
			})
		},
	}
	c.Flags().StringVar(&d.From, "from", "", "the earlier `VERSION` (default: the one before --to)")
	c.Flags().StringVar(&d.To, "to", "", "the later `VERSION` (default: the newest)")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

func newContractsCedar(a *app) *cobra.Command {
	var asOf, known string
	var asJSON bool
	c := &cobra.Command{
		Use: "cedar", Short: "Print what holds in the language of Cedar", Args: noArgs,
		Long: "Prints the contracts in force as policies of Cedar, for whoever wants to read or verify them with its tools. Shares and commitments are figures, which Cedar cannot say.",
		RunE: func(c *cobra.Command, _ []string) error {
			var m placement.Moment
			if err := moments(map[string]string{"--as-of": asOf, "--known": known}, map[string]*time.Time{"--as-of": &m.AsOf, "--known": &m.Known}); err != nil {
				return err
			}
			return a.asking(c.Context(), func(who asker) error {
				text, err := who.Cedar(c.Context(), m)
				if err != nil {
					return err
				}
				if asJSON {
					return a.json(map[string]string{"cedar": text})
				}
				return a.print(text)
			})
		},
	}
	c.Flags().StringVar(&asOf, "as-of", "", "as of this `DATE` (default: now)")
	c.Flags().StringVar(&known, "known", "", "by what was known on this `DATE` (default: everything that is known)")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object, with the text in it")
	return c
}

// moments reads times of flags.
func moments(texts map[string]string, into map[string]*time.Time) error {
	for flag, text := range texts {
		at, err := moment(flag, text, time.Now())
		if err != nil {
			return err
		}
		*into[flag] = at
	}
	return nil
}

func newContractsSignOff(a *app) *cobra.Command {
	var n registry.NewSignOff
	var run, expires string
	var asJSON bool
	c := &cobra.Command{
		Use: "sign-off CONTRACT/CLAUSE", Short: "Give a person's word that a disputed or open clause does not stand in the way", Args: exactly("a clause: contract/clause"),
		Long: `Signs off a clause that is disputed, or that leaves a class of work open, so that what is on hold for it goes on: for everybody, or with --run for one run; for all
classes of work, or with --class for one; for ever, or until --expires. Who did, when and why is kept. A denial is not lifted by it: that takes a waiver in a contract, or another contract.
Only persons sign off; the key needs the right to approve.`,
		Example: "  decouple contracts sign-off openai-aws/stateful-runtime --class stateful_runtime --why 'counsel, 21 March' --expires 30d\n  decouple contracts sign-off openai-aws/stateful-runtime --class stateful_runtime --over",
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			n.Tenant, n.Clause, n.Run, n.By = decouple.LocalTenant, args[0], decouple.RunID(run), decouple.Actor{Kind: decouple.ActorPerson, ID: person()}
			var err error
			if n.Expires, err = ahead("--expires", expires, time.Now()); err != nil {
				return err
			}
			var s registry.SignedOff
			err = a.reach(ctx, "decouple contracts sign-off",
				func(there *api.Client) (err error) { s, err = there.SignOff(ctx, n); return err },
				func(o *owner) (err error) { s, err = o.contracts.SignOff(ctx, n); return err })
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(s)
			}
			if n.Over {
				a.say("the sign-off of %s is taken back", s.Clause)
				return nil
			}
			a.say("%s is signed off by %s", s.Clause, s.By.ID)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&n.Class, "class", "", "for this `CLASS` of work (default: all)")
	f.StringVar(&run, "run", "", "for this `RUN` only (default: for everybody)")
	f.StringVar(&n.Why, "why", "", "`REASON` that is kept with it; needed")
	f.StringVar(&expires, "expires", "", "`TIME` until which it holds: a span such as 12h or 30d, or a date (default: without end)")
	f.BoolVar(&n.Over, "over", false, "take a sign-off back")
	f.BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

// ahead reads a time of the future: a span from now, a date or a time.
func ahead(flag, s string, now time.Time) (time.Time, error) {
	at, err := moment(flag, s, now)
	if err != nil || at.IsZero() {
		return at, err
	}
	if at.Before(now) {
		if span := now.Sub(at); !strings.Contains(s, "-") { // it was a span, which moment takes for one before now
			return now.Add(span), nil
		}
	}
	return at, nil
}
