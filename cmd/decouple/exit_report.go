package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/risk/exit"
	"decouple.dev/decouple/risk/sign"
)

// readOnly is a journal that contracts and keys are read from.
type readOnly struct{ journal.Reader }

// Commit refuses.
func (readOnly) Commit(context.Context, journal.Mutation) (journal.Receipt, error) {
	return journal.Receipt{}, decouple.Errorf(decouple.Internal, "a report writes")
}

// audited hands what the reports of an exit are made of to do: the journal, the catalog with this installation's endpoints, and its contracts.
func (a *app) audited(ctx context.Context, m modelFlags, do func(log journal.Reader, cat *catalog.Catalog, book *registry.Contracts) error) error {
	mine, err := a.choose(m, decouple.Price{})
	if err != nil {
		return err
	}
	log, _, err := a.carried(ctx)
	if err != nil {
		return err
	}
	book, err := a.contractsOf(readOnly{log})
	if err == nil {
		err = do(log, mine.cfg.Catalog, book)
	}
	return errors.Join(err, log.Close())
}

func newExitReport(a *app) *cobra.Command {
	var since, md, out string
	var asJSON bool
	var m modelFlags
	c := &cobra.Command{
		Use: "report", Short: "Say how ready we are to leave: what an auditor asks", Args: noArgs,
		Long: `Says, from the journal, how ready this installation is to leave: which losses were rehearsed and how long recovery took, who else serves the models in use, where data of
which labels went, which keys to revoke and which accounts to close, which notices and ends bind, what commitments are forfeited, and when a bundle was last verified.
Each point is ready or a gap.

--out writes the report under this installation's signature (a DSSE envelope), for whoever is not to trust a page.` + modelHelp,
		Example: "  decouple exit report\n  decouple exit report --since 365d --md exit.md --out exit.json",
		RunE: func(c *cobra.Command, _ []string) error {
			from, err := moment("--since", since, time.Now())
			if err != nil {
				return err
			}
			key, err := a.signer()
			if err != nil {
				return err
			}
			beside, err := a.notedBeside()
			if err != nil {
				return err
			}
			var r exit.Report
			err = a.audited(c.Context(), m, func(log journal.Reader, cat *catalog.Catalog, book *registry.Contracts) (err error) {
				r, err = exit.NewReport(c.Context(), exit.Input{Log: log, Catalog: cat, Contracts: book, Key: key.Public(), Program: version, Since: from, Now: time.Now(), Notes: beside})
				return err
			})
			if err != nil {
				return err
			}
			if err := a.keepReport(r, key, md, out); err != nil {
				return err
			}
			if asJSON {
				return a.json(r)
			}
			lines := strings.Split(strings.TrimSuffix(r.Markdown(), "\n"), "\n")
			for i, l := range lines {
				lines[i] = printable(l)
			}
			return a.print(strings.Join(lines, "\n") + "\n")
		},
	}
	c.Flags().StringVar(&since, "since", "365d", "`TIME` from which on calls count: a span such as 365d, a date, or a time in RFC 3339")
	c.Flags().StringVar(&md, "md", "", "write the report as Markdown to `FILE`, too")
	c.Flags().StringVar(&out, "out", "", "write the signed report to `FILE`, too")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	m.add(c.Flags())
	return c
}

func (a *app) keepReport(r exit.Report, key *sign.Key, md, out string) error {
	files := map[string][]byte{}
	if md != "" {
		files[md] = []byte(r.Markdown())
	}
	if out != "" {
		b, err := r.Sign(key)
		if err != nil {
			return err
		}
		files[out] = b
	}
	for name, b := range files {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			return decouple.Errorf(decouple.Unavailable, "%s cannot be written: %w", printable(name), err)
		}
		a.say("written: %s", printable(name))
	}
	return nil
}

func newExitRegister(a *app) *cobra.Command {
	var out, lei, since string
	var asJSON bool
	var m modelFlags
	c := &cobra.Command{
		Use: "register", Short: "Write rows for the register of information of DORA, from calls that happened", Args: noArgs,
		Long: `Writes the templates B_02.01, B_02.02, B_05.01, B_05.02, B_06.01 and B_07.01 of the register of information (Implementing Regulation (EU) 2024/2956) as CSV with the columns c0010, c0020, ...
into a folder. Rows are made from the calls that were recorded, the catalog and the contracts in the book. What this program cannot know is left empty; unknown.txt lists it
column by column. Amounts are the spend of the twelve months before now, in US dollars.` + modelHelp,
		Example: "  decouple exit register --out register --lei 5493001KJTIIGC8Y1R12",
		RunE: func(c *cobra.Command, _ []string) error {
			from, err := moment("--since", since, time.Now())
			if err != nil {
				return err
			}
			if lei != "" && !isLEI(lei) {
				return decouple.Errorf(decouple.Invalid, "--lei: %q is not a legal entity identifier of 20 letters and digits", printable(lei))
			}
			var sheets []exit.Sheet
			err = a.audited(c.Context(), m, func(log journal.Reader, cat *catalog.Catalog, contracts *registry.Contracts) error {
				now := time.Now()
				flows, err := exit.Flows(c.Context(), log, cat, ledger.Span{Since: from}, now)
				if err != nil {
					return err
				}
				book, err := contracts.Book(c.Context(), decouple.LocalTenant)
				if err == nil {
					sheets = exit.Register(flows, book, cat, exit.Institution{LEI: strings.ToUpper(lei)}, now)
				}
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(sheets)
			}
			return a.writeRegister(out, sheets)
		},
	}
	c.Flags().StringVar(&out, "out", "register", "write into the folder `DIR`, which is made")
	c.Flags().StringVar(&lei, "lei", "", "`LEI` of the financial entity that keeps the register (default: left empty)")
	c.Flags().StringVar(&since, "since", "365d", "`TIME` from which on calls count")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON array instead of files")
	m.add(c.Flags())
	return c
}

func isLEI(s string) bool {
	return len(s) == 20 && strings.Trim(strings.ToUpper(s), "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

func (a *app) writeRegister(dir string, sheets []exit.Sheet) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return decouple.Errorf(decouple.Unavailable, "--out: the folder cannot be made: %w", err)
	}
	var unknown strings.Builder
	files := map[string][]byte{}
	var names []string
	for _, s := range sheets {
		files[s.Name+".csv"] = s.CSV()
		names = append(names, s.Name+".csv")
		unknown.WriteString(s.Name + "\n")
		for i, t := range s.Titles {
			unknown.WriteString("  " + s.Columns[i] + "  " + t + "\n")
		}
		for _, u := range s.Unknown {
			unknown.WriteString("  left to the entity: " + u + "\n")
		}
	}
	files["unknown.txt"] = []byte(unknown.String())
	for _, name := range append(names, "unknown.txt") {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, files[name], 0o600); err != nil {
			return decouple.Errorf(decouple.Unavailable, "%s cannot be written: %w", printable(path), err)
		}
		if err := a.print(path + "\n"); err != nil {
			return err
		}
	}
	return nil
}

func newExitFocus(a *app) *cobra.Command {
	var since, until, tenant string
	var m modelFlags
	var asJSON bool
	c := &cobra.Command{
		Use: "focus", Short: "Write what was spent as FOCUS 1.2, the open format of cost and usage", Args: noArgs,
		Long: `Writes what model calls have cost as CSV in the FinOps Open Cost and Usage Specification 1.2: all its columns by their ids, empty where there is nothing, and behind them
columns of ours whose names begin with x_. A row is a day of one tenant, key, team, agent, class, endpoint and model. The sum of BilledCost is that of the ledger, to the nano-dollar;
"decouple usage" shows it. Amounts are list prices in US dollars, as nothing else is known here; charges whose price is not known are counted in x_UnpricedCharges.` + modelHelp,
		Example: "  decouple exit focus --since 2026-11-01 --until 2026-12-01 > november.csv",
		RunE: func(c *cobra.Command, _ []string) error {
			span := ledger.Span{Tenant: decouple.TenantID(tenant)}
			var err error
			if span.Since, err = moment("--since", since, time.Now()); err != nil {
				return err
			}
			if span.Until, err = moment("--until", until, time.Now()); err != nil {
				return err
			}
			if !span.Until.IsZero() && !span.Since.Before(span.Until) {
				return decouple.Errorf(decouple.Invalid, "--until %s is not after --since %s: no time is between them", printable(until), printable(since))
			}
			return a.focus(c.Context(), m, span, asJSON)
		},
	}
	c.Flags().StringVar(&since, "since", "", "`TIME` from which on: a span such as 24h or 7d, a date, or a time in RFC 3339 (default: ever)")
	c.Flags().StringVar(&until, "until", "", "`TIME` before which, likewise (default: now)")
	c.Flags().StringVar(&tenant, "tenant", "", "only this `TENANT` (default: all)")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON: a list of rows by their columns, values as in the CSV")
	m.add(c.Flags())
	return c
}

// focus writes the calls of a span as FOCUS.
func (a *app) focus(ctx context.Context, m modelFlags, span ledger.Span, asJSON bool) error {
	var b bytes.Buffer
	err := a.audited(ctx, m, func(log journal.Reader, cat *catalog.Catalog, _ *registry.Contracts) error {
		rows, err := exit.Charges(ctx, log, cat, span)
		if err != nil {
			return err
		}
		return exit.WriteFocus(csv.NewWriter(&b), rows)
	})
	if err != nil {
		return err
	}
	if !asJSON {
		return a.print(b.String())
	}
	table, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		return err
	}
	rows := []map[string]string{}
	for _, line := range table[1:] {
		row := map[string]string{}
		for i, name := range table[0] {
			row[name] = line[i]
		}
		rows = append(rows, row)
	}
	return a.json(rows)
}
