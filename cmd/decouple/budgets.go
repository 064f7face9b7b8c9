package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/registry"
)

func newBudgets(a *app) *cobra.Command {
	return group("budgets", "Limit what tenants, keys, teams and agents may spend on models", newBudgetsLs(a), newBudgetsSet(a), newBudgetsRm(a))
}

func newBudgetsLs(a *app) *cobra.Command {
	var tenant string
	var asJSON bool
	c := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List the budgets and what is left of them", Args: noArgs,
		Long: `Lists the budgets that are set, and those that keys bring with them, with what of the present period is spent. HELD is what nodes have taken
in slices to spend without asking: a budget is never overspent by more than nodes' calls went over what they had reserved.`,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			var list []api.Budget
			err := a.reach(ctx, "decouple budgets ls",
				func(there *api.Client) (err error) {
					list, err = there.Budgets(ctx, decouple.TenantID(tenant))
					return err
				},
				func(o *owner) (err error) {
					list, err = api.Budgets(ctx, o.ledger, registry.NewKeys(o.store), decouple.TenantID(tenant))
					return err
				})
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(list)
			}
			if len(list) == 0 {
				a.say("there are no budgets: set one with `decouple budgets set`, or give keys their own with `decouple keys create --usd-day`")
				return nil
			}
			return a.print(a.budgetTable(list))
		},
	}
	c.Flags().StringVar(&tenant, "tenant", "", "only this `TENANT` (default: all that the caller may see)")
	c.Flags().BoolVar(&asJSON, "json", false, "write a JSON array")
	return c
}

func (a *app) budgetTable(list []api.Budget) string {
	var rows [][]string
	var states []string
	for _, b := range list {
		who := string(b.Scope)
		if b.Name != "" {
			who += " " + b.Name
		}
		limit, spent, held := []string{}, []string{}, []string{}
		state := "ok"
		if b.Limit > 0 {
			limit, spent, held = append(limit, "$"+b.USD), append(spent, "$"+b.SpentUSD), append(held, "$"+b.Held.String())
			if b.Spent >= b.Limit {
				state = "open"
			}
		}
		if b.Tokens > 0 {
			limit, spent, held = append(limit, short(b.Tokens)+" tokens"), append(spent, short(b.SpentTokens)+" tokens"), append(held, short(b.HeldTokens)+" tokens")
			if b.SpentTokens >= b.Tokens {
				state = "open"
			}
		}
		renews := "never"
		if !b.Renews.IsZero() {
			renews = b.Renews.Format("2006-01-02 15:04Z")
		}
		rows = append(rows, []string{b.ID, string(b.Tenant), who, string(b.Period), strings.Join(limit, ", "), strings.Join(spent, ", "), strings.Join(held, ", "), renews})
		states = append(states, state)
	}
	return a.tinted(table("ID TENANT FOR PERIOD LIMIT SPENT HELD RENEWS", rows), states)
}

func newBudgetsSet(a *app) *cobra.Command {
	var id, key, team, agent, tenant string
	var whole, asJSON bool
	var usd moneyFlag
	var tokens limitFlag
	var period string
	c := &cobra.Command{
		Use: "set", Short: "Set a budget, or change it: within a second at every node", Args: noArgs,
		Long: `Sets how much may be spent in a period. Give whom it is for: --key ID, --team NAME, --agent NAME, or --whole-tenant; and --usd, --tokens or both. Every budget that
counts a call must have enough left for the most that the call can cost, or it is refused with 402 before anything is sent. A period begins anew at
midnight or on the first of the month, in UTC. The same command again changes the budget.`,
		Example: `  decouple budgets set --team search --period month --usd 500
  decouple budgets set --agent lead --period day --tokens 5M
  decouple budgets set --whole-tenant --tenant acme --period day --usd 100`,
		RunE: func(c *cobra.Command, _ []string) error {
			n := api.NewBudget{Tenant: decouple.TenantID(tenant), Period: ledger.Period(period), Tokens: tokens.n}
			if usd.set && usd.money > 0 {
				n.USD = usd.money.String()
			}
			given := 0
			for scope, name := range map[ledger.Scope]string{ledger.ForKey: key, ledger.ForTeam: team, ledger.ForAgent: agent} {
				if name != "" {
					given++
					n.Scope, n.Name = scope, name
				}
			}
			if whole {
				given++
				n.Scope = ledger.ForTenant
			}
			if given != 1 {
				return decouple.Errorf(decouple.Invalid, "a budget is for one: give --key ID, --team NAME, --agent NAME or --whole-tenant")
			}
			if n.USD == "" && n.Tokens == 0 {
				return decouple.Errorf(decouple.Invalid, "say how much: --usd, --tokens or both, above zero; `decouple budgets rm` ends a budget")
			}
			if id == "" {
				id = budgetID(n)
			}
			if err := a.setBudget(c.Context(), id, n); err != nil {
				return err
			}
			if asJSON {
				return a.json(named{id})
			}
			a.say("budget %s is set", id)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&key, "key", "", "for the key of this `ID`")
	f.StringVar(&team, "team", "", "for the keys of this `TEAM` together")
	f.StringVar(&agent, "agent", "", "for the calls of this `AGENT`")
	f.BoolVar(&whole, "whole-tenant", false, "for all calls of the tenant")
	f.StringVar(&tenant, "tenant", "", "`TENANT` that it is in (default: the caller's)")
	f.StringVar(&period, "period", "month", "`PERIOD`: day, month or total")
	f.Var(&usd, "usd", "`USD` that may be spent")
	f.Var(&tokens, "tokens", "tokens, in and out, that may be used, such as 200k or 5M")
	f.BoolVar(&asJSON, "json", false, "write one JSON object")
	f.StringVar(&id, "id", "", "`ID` of the budget (default: made of whom it is for and the period)")
	return c
}

// named is a budget that was set or ended, as JSON.
type named struct {
	ID string `json:"id"`
}

func (a *app) setBudget(ctx context.Context, id string, n api.NewBudget) error {
	by := decouple.Actor{Kind: decouple.ActorPerson, ID: person()}
	return a.reach(ctx, "decouple budgets set",
		func(there *api.Client) error { return there.SetBudget(ctx, id, n, by) },
		func(o *owner) error {
			if n.Tenant == "" {
				n.Tenant = decouple.LocalTenant
			}
			b, err := n.Ledger(id)
			if err != nil {
				return err
			}
			return o.ledger.SetBudget(ctx, b, by)
		})
}

// budgetID names a budget by whom it is for. A name with characters that ids do not have is told from others by its hash.
func budgetID(n api.NewBudget) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '-'
	}, n.Name)
	if name != n.Name || len(name) > 80 {
		sum := sha256.Sum256([]byte(n.Name))
		name = name[:min(len(name), 60)] + "-" + hex.EncodeToString(sum[:4])
	}
	scope := string(n.Scope)
	if n.Scope == ledger.ForKey {
		scope = "for-key" // key: begins those that keys bring
	}
	if name == "" {
		return fmt.Sprintf("%s:%s", scope, n.Period)
	}
	return fmt.Sprintf("%s:%s:%s", scope, name, n.Period)
}

func newBudgetsRm(a *app) *cobra.Command {
	var tenant string
	var asJSON bool
	c := &cobra.Command{
		Use: "rm ID", Short: "End a budget", Args: exactly("the id of a budget"),
		Long:    "Ends a budget that was set. What keys bring with them is changed with `decouple keys change ID --usd-day 0`.",
		Example: "  decouple budgets rm team:search:month",
		RunE: func(c *cobra.Command, args []string) error {
			ctx, id := c.Context(), strings.TrimSpace(args[0])
			by := decouple.Actor{Kind: decouple.ActorPerson, ID: person()}
			err := a.reach(ctx, "decouple budgets rm",
				func(there *api.Client) error { return there.RemoveBudget(ctx, decouple.TenantID(tenant), id, by) },
				func(o *owner) error {
					t := decouple.TenantID(tenant)
					if t == "" {
						t = decouple.LocalTenant
					}
					return o.ledger.RemoveBudget(ctx, t, id, by)
				})
			if decouple.KindOf(err) == decouple.NotFound {
				return decouple.Errorf(decouple.NotFound, "there is no budget %s that was set; `decouple budgets ls` lists them", printable(id))
			}
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(named{id})
			}
			a.say("budget %s is gone", id)
			return nil
		},
	}
	c.Flags().StringVar(&tenant, "tenant", "", "`TENANT` that it is in (default: the caller's)")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}
