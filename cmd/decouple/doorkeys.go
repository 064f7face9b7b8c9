package main

import (
	"context"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/registry"
)

// doorKeys lets the bearers of keys in at the gateway's doors.
type doorKeys struct{ keys *registry.Keys }

// Caller says who calls with a bearer string.
func (k doorKeys) Caller(ctx context.Context, bearer string) (gateway.Caller, error) {
	who, err := k.keys.Authenticate(ctx, bearer)
	if err != nil {
		return gateway.Caller{}, err
	}
	if !who.Role.May(registry.RightRun) {
		return gateway.Caller{}, decouple.Errorf(decouple.Denied, "the role %s of this key may not ask models", who.Role)
	}
	return gateway.Caller{Tenant: who.Tenant, Key: who.Key, Actor: who.Actor}, nil
}
