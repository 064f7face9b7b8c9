package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/registry"
)

func newKeys(a *app) *cobra.Command {
	return group("keys", "Make, list, change and revoke the keys of whoever calls a server", newKeysLs(a), newKeysCreate(a), newKeysChange(a), newKeysRevoke(a))
}

func newKeysLs(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List the keys; their secrets are kept nowhere", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			var list []registry.Key
			var err error
			err = a.reach(ctx, "decouple keys ls",
				func(there *api.Client) error { list, err = there.Keys(ctx); return err },
				func(o *owner) error { list, err = registry.NewKeys(o.store).List(ctx, ""); return err })
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(list)
			}
			var rows [][]string
			for _, k := range list {
				state := "in force"
				switch {
				case !k.Revoked.IsZero():
					state = "revoked " + k.Revoked.Local().Format("2006-01-02")
				case !k.Expires.IsZero() && k.Expires.Before(time.Now()):
					state = "expired " + k.Expires.Local().Format("2006-01-02")
				case !k.Expires.IsZero():
					state = "until " + k.Expires.Local().Format("2006-01-02")
				}
				rows = append(rows, []string{k.ID, string(k.Tenant), string(k.Actor.Kind) + " " + printable(k.Actor.ID), string(k.Role), state, clip(printable(k.Label), 40), clip(scopeText(k.Scope), 60)})
			}
			if len(rows) == 0 {
				a.say("there are no keys yet: the first start of `decouple serve` makes one")
				return nil
			}
			return a.print(table("ID TENANT FOR ROLE STATE LABEL SCOPE", rows))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write a JSON array")
	return c
}

func newKeysCreate(a *app) *cobra.Command {
	var want api.NewKey
	var human, service, agent string
	var valid time.Duration
	var asJSON bool
	var scope scopeFlags
	var sign bool
	c := &cobra.Command{
		Use: "create", Short: "Make a key and show it, this once",
		Long: fmt.Sprintf(`Makes a key for a person, a service or an agent. The key goes to standard output and is kept nowhere: only its hash is.
Roles, each with what the ones before it may not: viewer (read), approver (read, approve), developer (read, run, deploy),
operator (all of these), admin (and the keys of its tenant), owner (and those of every tenant).
An agent's key may never approve, nor deploy agents; nor may whoever started a run decide on its approvals. Roles: %v.

With a team, models, budgets or rates the key is narrowed at the gateway's doors; each can be changed later with `+"`decouple keys change`"+`.

--sigv4 is for programs whose AWS SDK signs its requests and cannot send a bearer: the secret is kept, sealed with a key of the data folder
(seal.key), or with DECOUPLE_SEAL_KEY where nodes share a journal.`, registry.Roles()),
		Example: `  decouple keys create --person ada --role operator
  decouple keys create --service ci --role developer --tenant acme --valid 2160h
  decouple keys create --service shop --role developer --team search --model smart --model fast --usd-day 5 --usd-month 100 --rpm 60`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for kind, id := range map[decouple.ActorKind]string{decouple.ActorPerson: human, decouple.ActorService: service, decouple.ActorAgent: agent} {
				if id == "" {
					continue
				}
				if want.Actor.ID != "" {
					return decouple.Errorf(decouple.Invalid, "a key is for one: give --person, --service or --agent")
				}
				want.Actor = decouple.Actor{Kind: kind, ID: id}
			}
			if want.Actor.ID == "" {
				return decouple.Errorf(decouple.Invalid, "say whom the key is for: --person NAME, --service NAME or --agent NAME")
			}
			if valid < 0 {
				return decouple.Errorf(decouple.Invalid, "--valid must be a time to come, such as 720h")
			}
			want.Scope = scope.over(c.Flags(), nil)
			if valid > 0 {
				want.Expires = time.Now().Add(valid).UTC()
			}
			made, err := a.createKey(c.Context(), want, sign)
			if err != nil {
				return err
			}
			return a.showKey(made, asJSON)
		},
	}
	f := c.Flags()
	scope.add(f)
	f.StringVar(&human, "person", "", "`NAME` of the person that it is for")
	f.StringVar(&service, "service", "", "`NAME` of the service that it is for")
	f.StringVar(&agent, "agent", "", "`NAME` of the agent that it is for")
	f.StringVar((*string)(&want.Role), "role", string(registry.RoleViewer), "`ROLE` of the key")
	f.StringVar((*string)(&want.Tenant), "tenant", "", "`TENANT` that it belongs to (default: the caller's)")
	f.StringVar(&want.Label, "label", "", "`TEXT` to know it by")
	f.DurationVar(&valid, "valid", 0, "how long it is in force, such as 720h (default: until it is revoked)")
	f.BoolVar(&sign, "sigv4", false, "also give an access key id and a secret, for AWS SDKs that sign requests")
	f.BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

// newKey is a key as it is shown, this once.
type newKey struct {
	api.MadeKey
	Signing *api.Signing `json:"sigv4,omitempty"`
}

func (a *app) showKey(made newKey, asJSON bool) error {
	if asJSON {
		return a.json(made)
	}
	a.say("key %s for %s %s, %s in tenant %s; it is shown only now:", made.ID, made.Actor.Kind, made.Actor.ID, made.Role, made.Tenant)
	text := made.Bearer + "\n"
	if made.Signing != nil {
		text += "AWS_ACCESS_KEY_ID=" + made.Signing.ID + "\nAWS_SECRET_ACCESS_KEY=" + made.Signing.Secret + "\n"
	}
	return a.print(text)
}

// createKey makes a key, and what it signs with if it is to.
func (a *app) createKey(ctx context.Context, want api.NewKey, sign bool) (newKey, error) {
	var made newKey
	by := decouple.Actor{Kind: decouple.ActorPerson, ID: person()}
	signing := func(s api.Signing, err error) error {
		if err != nil {
			return decouple.Errorf(decouple.KindOf(err), "the key %s was made, and cannot sign: %w; revoke it with `decouple keys revoke %s`", made.ID, err, made.ID)
		}
		made.Signing, made.Signs = &s, true
		return nil
	}
	err := a.reach(ctx, "decouple keys create",
		func(there *api.Client) (err error) {
			if made.MadeKey, err = there.CreateKey(ctx, want, by); err == nil && sign {
				err = signing(there.SignKey(ctx, made.ID, by))
			}
			return err
		},
		func(o *owner) (err error) {
			keys := registry.NewKeys(o.store)
			made.Key, made.Bearer, err = keys.Create(ctx, registry.Key{Tenant: want.Tenant, Actor: want.Actor, Role: want.Role, Label: want.Label, Expires: want.Expires, Scope: want.Scope, By: by})
			if err == nil && sign {
				err = signing(api.Sign(ctx, keys, api.NewSigning{Tenant: made.Tenant, Key: made.ID, Seal: o.seals.make, By: by}))
			}
			return err
		})
	return made, err
}

func newKeysRevoke(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "revoke ID", Short: "End a key: within a second every node refuses it", Args: exactly("the id of a key"),
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			by := decouple.Actor{Kind: decouple.ActorPerson, ID: person()}
			id := strings.TrimSpace(args[0])
			err := a.reach(ctx, "decouple keys revoke",
				func(there *api.Client) error { return there.RevokeKey(ctx, id, by) },
				func(o *owner) error {
					keys := registry.NewKeys(o.store)
					k, err := findKey(ctx, keys, id)
					if err != nil {
						return err
					}
					return keys.Revoke(ctx, k.Tenant, id, by)
				})
			if err != nil {
				return err
			}
			a.say("key %s is revoked", id)
			if asJSON {
				return a.json(struct {
					Revoked string `json:"revoked"`
				}{id})
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}
