package main

import (
	"context"
	"net/http"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/credential"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/registry"
)

// doorKeys lets the bearers of keys in at the gateway's doors.
type doorKeys struct {
	keys  *registry.Keys
	seals *sealer  // of the secrets that keys sign with
	made  sync.Map // by scope, which is never changed: the caller that it makes of a key, so that a call does not make it again
}

// Caller says who calls with a bearer string.
func (k *doorKeys) Caller(ctx context.Context, bearer string) (gateway.Caller, error) {
	who, err := k.keys.Authenticate(ctx, bearer)
	if err != nil {
		return gateway.Caller{}, err
	}
	return k.admit(who)
}

// Signed says who signed a request in the manner of AWS. The id of a key alone proves nothing, and only keys that may sign are looked at.
func (k *doorKeys) Signed(r *http.Request, body []byte) (gateway.Caller, error) {
	id, _ := credential.SignedBy(r)
	who, sealed, known, err := k.keys.Sealed(r.Context(), id)
	if err != nil {
		return gateway.Caller{}, err
	}
	secret := ""
	if known {
		if secret, err = k.seals.open(id, sealed); err != nil {
			return gateway.Caller{}, err
		}
	}
	secretOf := func(asked string) (credential.Secret, bool) {
		return credential.NewSecret(secret), known && asked == id
	}
	if err := credential.VerifySigV4(r, body, secretOf, time.Now()); err != nil {
		return gateway.Caller{}, err
	}
	return k.admit(who)
}

// admit makes a caller of whoever a key is for.
func (k *doorKeys) admit(who registry.Principal) (gateway.Caller, error) {
	if !who.Role.May(registry.RightRun) {
		return gateway.Caller{}, decouple.Errorf(decouple.Denied, "the role %s of this key may not ask models: make one with the role developer", who.Role)
	}
	if who.Scope == nil {
		return callerOf(who), nil
	}
	if c, ok := k.made.Load(who.Scope); ok {
		return c.(gateway.Caller), nil
	}
	c := callerOf(who)
	k.made.Store(who.Scope, c)
	return c, nil
}

// callerOf is what a key may do at the gateway. What its scope leaves out is not limited.
func callerOf(who registry.Principal) gateway.Caller {
	c := gateway.Caller{Tenant: who.Tenant, Key: who.Key, Actor: who.Actor}
	if who.Actor.Kind == decouple.ActorAgent {
		c.Agent = decouple.AgentName(who.Actor.ID)
	}
	s := who.Scope
	if s == nil {
		return c
	}
	c.Team, c.Labels, c.Priority, c.Rate = s.Team, s.Labels, s.Priority, ledger.Rate{Requests: s.Requests, Tokens: s.Tokens}
	if len(s.Models) > 0 {
		c.Models = s.Models
	}
	if len(s.Classes) > 0 {
		c.Classes = s.Classes
	}
	c.Budgets = api.KeyBudgets(who.Tenant, who.Key, s)
	return c
}
