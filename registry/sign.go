package registry

import (
	"context"
	"crypto/rand"
	"encoding/json"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// KeySealed says that a key may sign requests from now on, instead of being sent with them. The secret that it signs with is kept sealed: nothing here can read it.
const KeySealed decouple.EventKind = "key.sealed"

type keySealed struct {
	Secret []byte `json:"secret"`
}

// maxSealed bounds a sealed secret in bytes.
const maxSealed = 1 << 10

// Seal lets a key of a tenant sign requests. Whoever verifies them must be able to open what is sealed; it takes the place of what was sealed before.
func (k *Keys) Seal(ctx context.Context, tenant decouple.TenantID, id string, sealed []byte, by decouple.Actor) (Key, error) {
	if len(sealed) == 0 || len(sealed) > maxSealed {
		return Key{}, decouple.Errorf(decouple.Invalid, "a sealed secret has up to %d bytes", maxSealed)
	}
	b, err := json.Marshal(keySealed{sealed})
	if err != nil {
		return Key{}, err
	}
	return k.amend(ctx, amendment{tenant, id, KeySealed, b}, by)
}

// Sealed gives whom a key in force stands for that may sign, and its sealed secret; false says that there is no such key, and not why.
func (k *Keys) Sealed(ctx context.Context, id string) (Principal, []byte, bool, error) {
	s, err := k.fresh(ctx)
	if err != nil {
		return Principal{}, nil, false, err
	}
	key := s.keys[id]
	if key == nil || len(key.sealed) == 0 || !key.inForce() {
		return Principal{}, nil, false, nil
	}
	return key.principal(), key.sealed, true, nil
}

// amendment is a further event of a key.
type amendment struct {
	tenant  decouple.TenantID
	id      string
	kind    decouple.EventKind
	payload []byte
}

// amend changes a key that is not revoked. It holds here at once, and on other nodes within a second.
func (k *Keys) amend(ctx context.Context, a amendment, by decouple.Actor) (Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(ctx); err != nil {
		return Key{}, err
	}
	key := k.known[a.id]
	switch {
	case key == nil || key.Tenant != a.tenant:
		return Key{}, decouple.Errorf(decouple.NotFound, "there is no key %s; `decouple keys ls` lists them", a.id)
	case !key.Revoked.IsZero():
		return Key{}, decouple.Errorf(decouple.Conflict, "the key %s is revoked: make another one", a.id)
	}
	_, err := k.log.Commit(ctx, journal.Mutation{
		ID: decouple.CommitID("key/" + a.id + "/" + rand.Text()[:10]), Stream: decouple.Stream{Tenant: a.tenant, Kind: decouple.StreamKey, ID: a.id}, Expect: key.seq,
		Events: []journal.NewEvent{{Kind: a.kind, KindVersion: 1, Actor: by, Payload: a.payload}},
	})
	if err != nil {
		return Key{}, err
	}
	if err := k.refresh(ctx); err != nil {
		return Key{}, err
	}
	return k.known[a.id].Key, nil
}
