package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/registry"
)

// scopeFlags say what a key may do at the gateway.
type scopeFlags struct {
	team                    string
	models, classes, labels []string
	priority                int
	rpm, tpm                limitFlag
	usd                     [3]moneyFlag
	tokens                  [3]limitFlag
}

// periods of a key's budgets, in the order of the flags.
var periods = [3]string{"day", "month", "total"}

func (s *scopeFlags) add(f *pflag.FlagSet) {
	f.StringVar(&s.team, "team", "", "`TEAM` whose usage and budgets its calls count in")
	f.StringArrayVar(&s.models, "model", nil, "`NAME` of a model or alias that it may ask for; may be repeated (default: all)")
	f.StringArrayVar(&s.classes, "class", nil, "`CLASS` of work that it may do; the first is that of calls that name none; may be repeated")
	f.StringArrayVar(&s.labels, "data-label", nil, "`LABEL` of the data of all its calls; may be repeated")
	f.IntVar(&s.priority, "priority", 0, "`N` from -100 to 100: calls with more go first when endpoints are full")
	for i, p := range periods {
		f.Var(&s.usd[i], "usd-"+p, "`USD` that it may spend in a "+p)
		f.Var(&s.tokens[i], "tokens-"+p, "tokens, in and out, that it may use in a "+p)
		if p == "total" {
			f.Lookup("usd-"+p).Usage, f.Lookup("tokens-"+p).Usage = "`USD` that it may spend in all", "tokens, in and out, that it may use in all"
		}
	}
	f.Var(&s.rpm, "rpm", "calls that it may make in a minute")
	f.Var(&s.tpm, "tpm", "tokens, in and out, that it may use in a minute")
}

// over lays the flags that were given over a scope. One that limits nothing is nil. An empty text, or 0, takes a limit away.
func (s *scopeFlags) over(f *pflag.FlagSet, had *registry.Scope) *registry.Scope {
	var out registry.Scope
	if had != nil {
		out = *had
	}
	given := func(name string) bool { return f.Changed(name) }
	if given("team") {
		out.Team = s.team
	}
	for name, list := range map[string]struct{ from, to *[]string }{"model": {&s.models, &out.Models}, "class": {&s.classes, &out.Classes}, "data-label": {&s.labels, &out.Labels}} {
		if given(name) {
			*list.to = slices.DeleteFunc(slices.Clone(*list.from), func(n string) bool { return n == "" })
		}
	}
	if given("priority") {
		out.Priority = s.priority
	}
	if given("rpm") {
		out.Requests = s.rpm.n
	}
	if given("tpm") {
		out.Tokens = s.tpm.n
	}
	var budgets []registry.KeyBudget
	for i, p := range periods {
		b := registry.KeyBudget{Period: p}
		if at := slices.IndexFunc(out.Budgets, func(h registry.KeyBudget) bool { return h.Period == p }); at >= 0 {
			b = out.Budgets[at]
		}
		if given("usd-" + p) {
			b.USD = s.usd[i].money
		}
		if given("tokens-" + p) {
			b.Tokens = s.tokens[i].n
		}
		if b.USD != 0 || b.Tokens != 0 {
			budgets = append(budgets, b)
		}
	}
	out.Budgets = budgets
	if scopeText(&out) == "" {
		return nil
	}
	return &out
}

// scopeText is a scope in a few words; nothing if it limits nothing.
func scopeText(s *registry.Scope) string {
	if s == nil {
		return ""
	}
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if s.Team != "" {
		say("team %s", s.Team)
	}
	if len(s.Models) > 0 {
		say("models %s", strings.Join(s.Models, ","))
	}
	if len(s.Classes) > 0 {
		say("class %s", strings.Join(s.Classes, ","))
	}
	if len(s.Labels) > 0 {
		say("data %s", strings.Join(s.Labels, ","))
	}
	for _, b := range s.Budgets {
		per := "/" + b.Period
		if b.Period == "total" {
			per = " in all"
		}
		if b.USD > 0 {
			say("$%s%s", b.USD, per)
		}
		if b.Tokens > 0 {
			say("%s tokens%s", short(b.Tokens), per)
		}
	}
	if s.Requests > 0 {
		say("%d rpm", s.Requests)
	}
	if s.Tokens > 0 {
		say("%s tpm", short(s.Tokens))
	}
	if s.Priority != 0 {
		say("priority %d", s.Priority)
	}
	return strings.Join(out, " ")
}

// findKey finds a key of any tenant.
func findKey(ctx context.Context, keys *registry.Keys, id string) (registry.Key, error) {
	list, err := keys.List(ctx, "")
	return pickKey(list, id, err)
}

func pickKey(list []registry.Key, id string, err error) (registry.Key, error) {
	for _, k := range list {
		if k.ID == id {
			return k, err
		}
	}
	if err == nil {
		err = decouple.Errorf(decouple.NotFound, "there is no key %s; `decouple keys ls` lists them", printable(id))
	}
	return registry.Key{}, err
}

func newKeysChange(a *app) *cobra.Command {
	var scope scopeFlags
	var unlimited, asJSON bool
	c := &cobra.Command{
		Use: "change ID", Short: "Change what a key may do at the gateway: within a second at every node", Args: exactly("the id of a key"),
		Long: `Changes the team, models, classes, budgets and rates of a key. What is not given stays as it is; an empty text, or 0, takes a limit away,
and --unlimited takes all of them. What was spent in a period counts for its new budget too.`,
		Example: `  decouple keys change k3v9x2m1qd --usd-day 20
  decouple keys change k3v9x2m1qd --model smart --model fast --rpm 0
  decouple keys change k3v9x2m1qd --unlimited`,
		RunE: func(c *cobra.Command, args []string) error {
			ctx, id := c.Context(), strings.TrimSpace(args[0])
			by := decouple.Actor{Kind: decouple.ActorPerson, ID: person()}
			if c.Flags().NFlag() == 0 {
				return decouple.Errorf(decouple.Invalid, "say what is to change: `decouple keys change --help` lists the flags")
			}
			next := func(k registry.Key) *registry.Scope {
				if unlimited {
					return scope.over(c.Flags(), nil)
				}
				return scope.over(c.Flags(), k.Scope)
			}
			var key registry.Key
			err := a.reach(ctx, "decouple keys change",
				func(there *api.Client) error {
					list, err := there.Keys(ctx)
					if key, err = pickKey(list, id, err); err == nil {
						key, err = there.ChangeKey(ctx, id, next(key), by)
					}
					return err
				},
				func(o *owner) (err error) {
					keys := registry.NewKeys(o.store)
					if key, err = findKey(ctx, keys, id); err == nil {
						key, err = keys.Change(ctx, key.Tenant, id, next(key), by)
					}
					return err
				})
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(key)
			}
			text := scopeText(key.Scope)
			if text == "" {
				text = "no limits at the gateway"
			}
			a.say("key %s: %s", key.ID, printable(text))
			return nil
		},
	}
	scope.add(c.Flags())
	c.Flags().BoolVar(&unlimited, "unlimited", false, "take all limits away that are not given here")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}
