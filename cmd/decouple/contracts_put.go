package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/registry"
)

func newContractsPut(a *app) *cobra.Command {
	var replaces string
	var asJSON bool
	c := &cobra.Command{
		Use: "put FILE|DIR...", Short: "Put contracts in force: within a second at every node",
		Long: `Puts contracts in force: each FILE, or each .yaml file at the top of each DIR. Every version is kept, with who put it and when. The same text again is no new
version. A changed file takes the place of the version that is in force when the command looks; if somebody else changes it in between, that is a conflict, and nothing is lost. --replaces
names the version that a script has seen.

All files are checked first, alone and among each other, and nothing is put if anything is wrong. What is in force already may contradict them: ` + "`decouple contracts check`" + ` with all
files together says so.`,
		Example: "  decouple contracts put residency.yaml\n  decouple contracts put contracts/ --server https://decouple.example.com",
		Args:    some("a contract's file, or a folder of them"),
		RunE: func(c *cobra.Command, args []string) error {
			files, parsed, err := checkedFiles(args)
			if err != nil {
				return err
			}
			if replaces != "" && len(files) > 1 {
				return decouple.Errorf(decouple.Invalid, "--replaces is for one file, and there are %d", len(files))
			}
			out := []registry.ContractVersion{}
			for i, f := range files {
				v, err := a.putContract(c.Context(), parsed[i].ID, f, replaces)
				if err != nil {
					return err
				}
				out = append(out, v)
				a.say("contract %s: version %d (%.12s) is in force", v.ID, v.Version, v.Hash)
			}
			if asJSON {
				return a.json(out)
			}
			return nil
		},
	}
	c.Flags().StringVar(&replaces, "replaces", "", "the `VERSION` that it takes the place of: its number or the beginning of its hash (default: the one in force)")
	c.Flags().BoolVar(&asJSON, "json", false, "write a JSON array of the versions")
	return c
}

// some wants one argument or more.
func some(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return decouple.Errorf(decouple.Invalid, "`%s` needs %s; `%s --help` has an example", c.CommandPath(), what, c.CommandPath())
		}
		return nil
	}
}

// checkedFiles reads contracts, and says everything that is wrong with any of them.
func checkedFiles(paths []string) ([]registry.ContractFile, []placement.Contract, error) {
	files, err := contractFiles(paths)
	if err != nil {
		return nil, nil, err
	}
	list, faults := readContracts(files)
	if err := faults.Err(); err != nil {
		return nil, nil, err
	}
	return files, list, nil
}

// readContracts parses files and checks them among each other.
func readContracts(files []registry.ContractFile) ([]placement.Contract, placement.Faults) {
	var list []placement.Contract
	var faults placement.Faults
	for _, f := range files {
		one, wrong := placement.Read(f.Name, f.Text)
		if len(wrong) == 0 && len(f.Text) > registry.MaxContract {
			wrong = placement.Faults{{File: f.Name, Line: 1, Where: "the file", What: fmt.Sprintf("it is longer than %d bytes", registry.MaxContract), Remedy: "put its clauses into several files"}}
		}
		if faults = append(faults, wrong...); len(wrong) == 0 {
			list = append(list, one)
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return list, placement.Check(list)
}

// putContract puts one file. Without a version to replace it is that which is in force now.
func (a *app) putContract(ctx context.Context, id string, f registry.ContractFile, replaces string) (v registry.ContractVersion, err error) {
	n := registry.NewContract{Tenant: decouple.LocalTenant, File: f.Name, Text: f.Text, Replaces: replaces, By: decouple.Actor{Kind: decouple.ActorPerson, ID: person()}}
	inForce := func(list []registry.ContractVersion, err error) error {
		if n.Replaces == "" && err == nil {
			for _, had := range list {
				if had.ID == id && !had.Withdrawn && had.Version > 0 {
					n.Replaces = fmt.Sprint(had.Version)
				}
			}
		}
		return err
	}
	err = a.reach(ctx, "decouple contracts put",
		func(there *api.Client) error {
			list, err := there.Contracts(ctx)
			if err = inForce(list.Contracts, err); err == nil {
				v, err = there.PutContract(ctx, id, n)
			}
			return err
		},
		func(o *owner) error {
			list, err := o.contracts.List(ctx, n.Tenant)
			if err = inForce(list, err); err == nil {
				v, err = o.contracts.Put(ctx, n)
			}
			return err
		})
	return v, err
}

func newContractsCheck(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "check FILE|DIR...", Short: "Say what is wrong with contracts, alone and among each other, line by line",
		Long:    "Checks contracts without a journal or a server: unknown keys, impossible days, clauses that contradict or shadow one another, waivers of nothing. Give all files that shall hold together. Nothing is put in force.",
		Example: "  decouple contracts check contracts/\n  decouple contracts check contracts/ draft.yaml",
		Args:    some("a contract's file, or a folder of them"),
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := contractFiles(args)
			if err != nil {
				return err
			}
			list, faults := readContracts(files)
			if asJSON {
				if faults == nil {
					faults = placement.Faults{}
				}
				if err := a.json(faults); err != nil || len(faults) == 0 {
					return err
				}
				return decouple.Errorf(decouple.Invalid, "%s", count(len(faults), "fault"))
			}
			for _, f := range faults {
				if err := a.print(printable(f.String()) + "\n"); err != nil {
					return err
				}
			}
			if len(faults) > 0 {
				return decouple.Errorf(decouple.Invalid, "%s in %s", count(len(faults), "fault"), count(len(files), "file"))
			}
			clauses := 0
			for i := range list {
				clauses += len(list[i].Clauses)
			}
			return a.print(fmt.Sprintf("%s with %s: nothing is wrong\n", count(len(list), "contract"), count(clauses, "clause")))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write a JSON array of the faults")
	return c
}

func newContractsWithdraw(a *app) *cobra.Command {
	var why string
	var asJSON bool
	c := &cobra.Command{
		Use: "withdraw ID", Short: "End a contract: what it says holds no longer", Args: exactly("the id of a contract"),
		Long:    "Ends a contract, within a second at every node. It stays in the history: what it said is still what held until now.",
		Example: "  decouple contracts withdraw data --why 'replaced by the group policy'",
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			w := registry.Withdrawal{Why: why, By: decouple.Actor{Kind: decouple.ActorPerson, ID: person()}}
			var v registry.ContractVersion
			err := a.reach(ctx, "decouple contracts withdraw",
				func(there *api.Client) (err error) { v, err = there.WithdrawContract(ctx, args[0], w); return err },
				func(o *owner) (err error) {
					v, err = o.contracts.Withdraw(ctx, decouple.LocalTenant, args[0], w)
					return err
				})
			if err != nil {
				return err
			}
			a.say("contract %s holds no longer", v.ID)
			if asJSON {
				return a.json(v)
			}
			return nil
		},
	}
	c.Flags().StringVar(&why, "why", "", "`REASON` that is kept with it")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}
