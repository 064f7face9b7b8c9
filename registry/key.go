package registry

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// Role says what a principal may do.
type Role string

// The roles, each with its rights.
const (
	RoleViewer    Role = "viewer"    // read
	RoleDeveloper Role = "developer" // read, run, deploy
	RoleApprover  Role = "approver"  // read, approve
	RoleOperator  Role = "operator"  // read, run, deploy, approve, operate
	RoleAdmin     Role = "admin"     // all that an operator may, and the keys of its tenant
	RoleOwner     Role = "owner"     // all of it, for the keys of every tenant: the installation's owner
)

// Right is one thing that a role may do.
type Right string

// The rights.
const (
	RightRead    Right = "read"
	RightRun     Right = "run"     // start, signal, cancel, resume and fork runs, talk in sessions, add and remove notes
	RightDeploy  Right = "deploy"  // put agents
	RightApprove Right = "approve" // decide on approvals, and say what became of a call
	RightOperate Right = "operate" // run drills at the gateway
	RightKeys    Right = "keys"    // make and revoke keys of its tenant
	RightTenants Right = "tenants" // of every tenant
)

// rights is the one table of roles.
var rights = map[Role][]Right{
	RoleViewer:    {RightRead},
	RoleDeveloper: {RightRead, RightRun, RightDeploy},
	RoleApprover:  {RightRead, RightApprove},
	RoleOperator:  {RightRead, RightRun, RightDeploy, RightApprove, RightOperate},
	RoleAdmin:     {RightRead, RightRun, RightDeploy, RightApprove, RightOperate, RightKeys},
	RoleOwner:     {RightRead, RightRun, RightDeploy, RightApprove, RightOperate, RightKeys, RightTenants},
}

// Roles lists the roles, the weakest first.
func Roles() []Role {
	return []Role{RoleViewer, RoleApprover, RoleDeveloper, RoleOperator, RoleAdmin, RoleOwner}
}

// May says whether a role has a right.
func (r Role) May(right Right) bool { return slices.Contains(rights[r], right) }

// Principal is who calls.
type Principal struct {
	Tenant decouple.TenantID `json:"tenant"`
	Actor  decouple.Actor    `json:"actor"` // a person, a service or an agent
	Role   Role              `json:"role"`
	Key    string            `json:"key,omitempty"` // the id of the key it came with
	Scope  *Scope            `json:"scope,omitempty"`
}

// Key is a bearer key as it is shown: the secret itself is kept nowhere.
type Key struct {
	ID      string            `json:"id"`
	Tenant  decouple.TenantID `json:"tenant"`
	Actor   decouple.Actor    `json:"actor"`
	Role    Role              `json:"role"`
	Label   string            `json:"label,omitempty"`
	Created time.Time         `json:"created"`
	By      decouple.Actor    `json:"by"` // who made it
	Expires time.Time         `json:"expires,omitzero"`
	Revoked time.Time         `json:"revoked,omitzero"`
	Scope   *Scope            `json:"scope,omitempty"` // at the gateway; nil does not narrow it
	Signs   bool              `json:"signs,omitempty"` // requests, in the manner of AWS
}

// The kinds of event in a key's stream.
const (
	KeyCreated decouple.EventKind = "key.created"
	KeyRevoked decouple.EventKind = "key.revoked"
)

// keyCreated is what is stored of a new key. Hash is the SHA-256 of the bearer string, which holds 130 random bits and so needs no slow hash.
type keyCreated struct {
	Hash    string         `json:"hash"`
	Actor   decouple.Actor `json:"actor"`
	Role    Role           `json:"role"`
	Label   string         `json:"label,omitempty"`
	Expires time.Time      `json:"expires,omitzero"`
	Scope   *Scope         `json:"scope,omitempty"`
}

// KeyLog is the part of a journal that keys are kept in.
type KeyLog interface {
	Scan(ctx context.Context, f journal.Filter) ([]decouple.Event, error)
	Commit(ctx context.Context, m journal.Mutation) (journal.Receipt, error)
}

// Keys knows the bearer keys of all tenants.
type Keys struct {
	log KeyLog
	// Grace is how long keys are taken as they were last known when the journal cannot be read. It is set before the first use; by default nobody is let in
	// once what is known is older than a second.
	Grace time.Duration

	mu     sync.Mutex
	known  map[string]*knownKey // each of which is never changed
	upTo   decouple.Position
	unseen bool // something in known is not published

	now     atomic.Pointer[keySnapshot]
	flights sync.Mutex
	flight  *keyFlight // a refresh under way
}

type knownKey struct {
	Key
	hash   [32]byte
	sealed []byte // the secret that it signs with; empty does not sign
	seq    decouple.Seq
}

// inForce says that a key is neither revoked nor expired.
func (k *knownKey) inForce() bool {
	return k.Revoked.IsZero() && (k.Expires.IsZero() || k.Expires.After(time.Now()))
}

// principal is whom a key stands for.
func (k *knownKey) principal() Principal {
	return Principal{Tenant: k.Tenant, Actor: k.Actor, Role: k.Role, Key: k.ID, Scope: k.Scope}
}

// NewKeys reads the keys of a journal when it is first asked.
func NewKeys(log KeyLog) *Keys { return &Keys{log: log, known: map[string]*knownKey{}} }

// prefix begins every bearer string, so that a leaked one is found by whoever scans for secrets: dck_ID_SECRET.
const prefix = "dck_"

// firstKey is the id of the key that the installation's owner is shown at the first start.
const firstKey = "first"

// First makes the installation's first key, unless there has ever been one, and gives its bearer string.
func (k *Keys) First(ctx context.Context) (bearer string, made bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(ctx); err != nil || len(k.known) > 0 {
		return "", false, err
	}
	by := decouple.Actor{Kind: decouple.ActorSystem, ID: "first start"}
	bearer, err = k.create(ctx, firstKey, Key{Tenant: decouple.LocalTenant, Actor: decouple.Actor{Kind: decouple.ActorPerson, ID: "owner"}, Role: RoleOwner, Label: "made at the first start", By: by})
	if decouple.KindOf(err) == decouple.Conflict {
		return "", false, nil // another node was first
	}
	return bearer, err == nil, err
}

// Create makes a key. Its tenant, actor and role are required; the bearer string is given only here.
func (k *Keys) Create(ctx context.Context, want Key) (Key, string, error) {
	switch {
	case want.Tenant == "":
		want.Tenant = decouple.LocalTenant
	case !isName(string(want.Tenant)):
		return Key{}, "", decouple.Errorf(decouple.Invalid, "a tenant's name has up to 60 lower-case letters, digits and hyphens, which %q has not", want.Tenant)
	}
	if want.Actor.Kind != decouple.ActorPerson && want.Actor.Kind != decouple.ActorService && want.Actor.Kind != decouple.ActorAgent {
		return Key{}, "", decouple.Errorf(decouple.Invalid, "a key is for a person, a service or an agent, not for %q", want.Actor.Kind)
	}
	if id := want.Actor.ID; strings.TrimSpace(id) != id || id == "" || len(id) > 100 || strings.ContainsFunc(id, func(r rune) bool { return r < ' ' }) {
		return Key{}, "", decouple.Errorf(decouple.Invalid, "a key needs the name of whom it is for, of up to 100 characters, such as ada or ci")
	}
	if _, ok := rights[want.Role]; !ok {
		return Key{}, "", decouple.Errorf(decouple.Invalid, "there is no role %q: choose one of %v", want.Role, Roles())
	}
	if want.Actor.Kind == decouple.ActorAgent && want.Role.May(RightApprove) {
		return Key{}, "", decouple.Errorf(decouple.Denied, "an agent may never approve, and the role %s may: give it %s or %s", want.Role, RoleViewer, RoleDeveloper)
	}
	if len(want.Label) > 200 {
		return Key{}, "", decouple.Errorf(decouple.Invalid, "a label has up to 200 characters")
	}
	if !want.Expires.IsZero() && !want.Expires.After(time.Now()) {
		return Key{}, "", decouple.Errorf(decouple.Invalid, "the key would have expired at %s already", want.Expires.Format(time.RFC3339))
	}
	if err := want.Scope.check(); err != nil {
		return Key{}, "", err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	id := strings.ToLower(rand.Text()[:10])
	bearer, err := k.create(ctx, id, want)
	if err != nil {
		return Key{}, "", err
	}
	return k.known[id].Key, bearer, nil
}

// create commits a key. The caller holds mu.
func (k *Keys) create(ctx context.Context, id string, want Key) (string, error) {
	bearer := prefix + id + "_" + strings.ToLower(rand.Text())
	sum := sha256.Sum256([]byte(bearer))
	b, err := json.Marshal(keyCreated{Hash: hex.EncodeToString(sum[:]), Actor: want.Actor, Role: want.Role, Label: want.Label, Expires: want.Expires.UTC().Truncate(time.Microsecond), Scope: want.Scope})
	if err != nil {
		return "", err
	}
	_, err = k.log.Commit(ctx, journal.Mutation{
		ID: decouple.CommitID("key/" + id + "/" + rand.Text()[:10]), Stream: decouple.Stream{Tenant: want.Tenant, Kind: decouple.StreamKey, ID: id},
		Events: []journal.NewEvent{{Kind: KeyCreated, KindVersion: 1, Actor: want.By, Payload: b}},
	})
	if err != nil {
		return "", err
	}
	return bearer, k.refresh(ctx)
}

// Revoke ends a key of a tenant. It is refused here at once, and on other nodes within a second.
func (k *Keys) Revoke(ctx context.Context, tenant decouple.TenantID, id string, by decouple.Actor) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(ctx); err != nil {
		return err
	}
	key := k.known[id]
	switch {
	case key == nil || key.Tenant != tenant:
		return decouple.Errorf(decouple.NotFound, "there is no key %s; `decouple keys ls` lists them", id)
	case !key.Revoked.IsZero():
		return decouple.Errorf(decouple.Conflict, "the key %s was revoked at %s", id, key.Revoked.Format(time.RFC3339))
	case key.Role == RoleOwner && k.owners() == 1:
		return decouple.Errorf(decouple.Conflict, "%s is the last key of an owner: make another one first, or nobody could make keys", id)
	}
	_, err := k.log.Commit(ctx, journal.Mutation{
		ID: decouple.CommitID("key/" + id + "/" + rand.Text()[:10]), Stream: decouple.Stream{Tenant: tenant, Kind: decouple.StreamKey, ID: id}, Expect: key.seq,
		Events: []journal.NewEvent{{Kind: KeyRevoked, KindVersion: 1, Actor: by, Payload: []byte("{}")}},
	})
	if err != nil {
		return err
	}
	return k.refresh(ctx)
}

// owners counts the keys of owners that are in force. The caller holds mu.
func (k *Keys) owners() int {
	n := 0
	for _, key := range k.known {
		if key.Role == RoleOwner && key.inForce() {
			n++
		}
	}
	return n
}

// List gives the keys of a tenant, or of all if it is empty, oldest first.
func (k *Keys) List(ctx context.Context, tenant decouple.TenantID) ([]Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(ctx); err != nil {
		return nil, err
	}
	out := []Key{}
	for _, key := range k.known {
		if tenant == "" || key.Tenant == tenant {
			out = append(out, key.Key)
		}
	}
	slices.SortFunc(out, func(a, b Key) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return out, nil
}

// apply folds an event.
func (k *Keys) apply(e decouple.Event) error {
	switch e.Kind {
	case KeyCreated:
		var p keyCreated
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			return decouple.Errorf(decouple.Internal, "the event %s of the key %s cannot be read: %w", e.ID, e.Stream.ID, err)
		}
		key := &knownKey{Key: Key{ID: e.Stream.ID, Tenant: e.Stream.Tenant, Actor: p.Actor, Role: p.Role, Label: p.Label, Created: e.Time, By: e.Actor, Expires: p.Expires, Scope: p.Scope}, seq: e.Seq}
		if n, err := hex.Decode(key.hash[:], []byte(p.Hash)); err != nil || n != len(key.hash) {
			return decouple.Errorf(decouple.Internal, "the event %s of the key %s holds no hash", e.ID, e.Stream.ID)
		}
		k.known[key.ID] = key
	case KeyRevoked:
		if had := k.known[e.Stream.ID]; had != nil {
			key := *had
			key.Revoked, key.seq = e.Time, e.Seq
			k.known[key.ID] = &key
		}
	case KeyChanged:
		var p keyChanged
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			return decouple.Errorf(decouple.Internal, "the event %s of the key %s cannot be read: %w", e.ID, e.Stream.ID, err)
		}
		if had := k.known[e.Stream.ID]; had != nil {
			key := *had
			key.Scope, key.seq = p.Scope, e.Seq
			k.known[key.ID] = &key
		}
	case KeySealed:
		var p keySealed
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			return decouple.Errorf(decouple.Internal, "the event %s of the key %s cannot be read: %w", e.ID, e.Stream.ID, err)
		}
		if had := k.known[e.Stream.ID]; had != nil {
			key := *had
			key.Signs, key.sealed, key.seq = true, p.Secret, e.Seq
			k.known[key.ID] = &key
		}
	}
	return nil
}

// isName says whether a text is fit to name a tenant.
func isName(s string) bool {
	return s != "" && len(s) <= 60 && !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' })
}
