package registry

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/placement"
)

// MaxContract is how many bytes a contract's file may have: it is kept whole in one event.
const MaxContract = 48 << 10

// NewContract is a version of a contract that is to be put.
type NewContract struct {
	Tenant   decouple.TenantID
	File     string // its name, for messages
	Text     []byte
	Replaces string // the number or the beginning of the hash of the version in force, if there is one
	By       decouple.Actor
}

// Put puts a version of a contract in force: here at once, on other nodes within a second. The same text again is no new version. Conflict is that another version than the one
// it replaces is in force, or that a file of this node has the id.
func (c *Contracts) Put(ctx context.Context, n NewContract) (ContractVersion, error) {
	if n.By.Kind == decouple.ActorAgent {
		return ContractVersion{}, decouple.Errorf(decouple.Denied, "agents may not put contracts, which bind them: a person or a service has to")
	}
	if len(n.Text) > MaxContract {
		return ContractVersion{}, decouple.Errorf(decouple.TooLarge, "%s: a contract's file has up to %d bytes: put its clauses into several files", n.File, MaxContract)
	}
	parsed, err := placement.Parse(n.File, n.Text)
	if err != nil {
		return ContractVersion{}, err
	}
	if _, file := c.texts[parsed.ID]; file {
		return ContractVersion{}, decouple.Errorf(decouple.Conflict, "the contract %s is a file of this node (--contracts), which goes before the journal: take it out of there first", parsed.ID)
	}
	hash := HashContract(n.Text)
	payload, err := json.Marshal(contractPut{File: n.File, Hash: hash, Text: string(n.Text)})
	if err != nil {
		return ContractVersion{}, err
	}
	if len(payload) > journal.MaxPayload {
		return ContractVersion{}, decouple.Errorf(decouple.TooLarge, "%s: the contract's file is too long to be kept in one event: put its clauses into several files", n.File)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.state(ctx, n.Tenant, parsed.ID)
	if err != nil {
		return ContractVersion{}, err
	}
	if now, ok := s.current(); ok {
		switch replaced, err := s.named(n.Replaces); {
		case now.Hash == hash && s.err == nil:
			return now, nil
		case n.Replaces == "":
			return ContractVersion{}, decouple.Errorf(decouple.Conflict, "version %d of the contract %s is in force: see `decouple contracts diff`, and say that this replaces it (--replaces %d)", now.Version, now.ID, now.Version)
		case err != nil || s.versions[replaced].Version != now.Version:
			return ContractVersion{}, decouple.Errorf(decouple.Conflict, "version %d of the contract %s is in force, and this is to replace %s: somebody has changed it meanwhile; see `decouple contracts diff`", now.Version, now.ID, n.Replaces)
		}
	}
	if err := c.commit(ctx, s, change{n.Tenant, parsed.ID, ContractPut, payload, n.By}); err != nil {
		return ContractVersion{}, err
	}
	v, _ := c.known[n.Tenant][parsed.ID].current()
	return v, nil
}

// Withdraw ends a contract: what it says holds no longer.
func (c *Contracts) Withdraw(ctx context.Context, tenant decouple.TenantID, id string, w Withdrawal) (ContractVersion, error) {
	if w.By.Kind == decouple.ActorAgent {
		return ContractVersion{}, decouple.Errorf(decouple.Denied, "agents may not withdraw contracts, which bind them: a person or a service has to")
	}
	payload, err := json.Marshal(contractWithdrawn{w.Why})
	if err != nil {
		return ContractVersion{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.state(ctx, tenant, id)
	if err != nil {
		return ContractVersion{}, err
	}
	if _, ok := s.current(); !ok {
		return ContractVersion{}, c.noContract(id)
	}
	if err := c.commit(ctx, s, change{tenant, id, ContractWithdrawn, payload, w.By}); err != nil {
		return ContractVersion{}, err
	}
	s = c.known[tenant][id]
	return s.versions[len(s.versions)-1], nil
}

// Withdrawal says who withdraws a contract, and why.
type Withdrawal struct {
	Why string
	By  decouple.Actor
}

// NewSignOff is a sign-off that is to be given, or to be taken back.
type NewSignOff struct {
	Tenant  decouple.TenantID
	Clause  string // contract/clause
	Class   string // of work; empty is all
	Run     decouple.RunID
	Why     string
	Expires time.Time
	Over    bool // take it back
	By      decouple.Actor
}

// SignOff keeps a person's word that a clause which is disputed, or does not speak of a class, does not stand in the way; what denies is never lifted by it. Only persons sign off.
func (c *Contracts) SignOff(ctx context.Context, n NewSignOff) (SignedOff, error) {
	if n.By.Kind != decouple.ActorPerson || n.By.ID == "" {
		return SignedOff{}, decouple.Errorf(decouple.Denied, "only a person signs off a clause, and this is the key of %s %s", n.By.Kind, n.By.ID)
	}
	id, clause, ok := strings.Cut(n.Clause, "/")
	if !ok || id == "" || clause == "" {
		return SignedOff{}, decouple.Errorf(decouple.Invalid, "a clause is named contract/clause, unlike %.80q; `decouple contracts show CONTRACT` lists its clauses", n.Clause)
	}
	if !n.Expires.IsZero() && !n.Expires.After(time.Now()) {
		return SignedOff{}, decouple.Errorf(decouple.Invalid, "the sign-off would have expired at %s already", n.Expires.Format(time.RFC3339))
	}
	if strings.TrimSpace(n.Why) == "" && !n.Over {
		return SignedOff{}, decouple.Errorf(decouple.Invalid, "a sign-off says why: who audits it wants to know")
	}
	payload, err := json.Marshal(contractSignedOff{Clause: clause, Class: n.Class, Why: n.Why, Expires: n.Expires.UTC().Truncate(time.Microsecond), Run: n.Run})
	if err != nil || len(payload) > journal.MaxPayload {
		return SignedOff{}, decouple.Errorf(decouple.Invalid, "the sign-off is too long to be kept")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.state(ctx, n.Tenant, id)
	if err != nil {
		return SignedOff{}, err
	}
	if !c.hasClause(s, id, clause) {
		return SignedOff{}, decouple.Errorf(decouple.NotFound, "there is no clause %s; `decouple contracts ls` lists the contracts in force, and `decouple contracts show CONTRACT` its clauses", n.Clause)
	}
	kind := ContractSignedOff
	if n.Over {
		kind = ContractSignOffOver
		if !slices.ContainsFunc(s.signed, func(so SignedOff) bool {
			return so.Clause == n.Clause && so.Class == n.Class && so.Run == n.Run && so.HoldsAt(time.Now())
		}) {
			return SignedOff{}, decouple.Errorf(decouple.NotFound, "no sign-off of %s for this class and run is in force; `decouple contracts ls` lists them", n.Clause)
		}
	}
	if err := c.commit(ctx, s, change{n.Tenant, id, kind, payload, n.By}); err != nil {
		return SignedOff{}, err
	}
	for _, so := range slices.Backward(c.known[n.Tenant][id].signed) {
		if so.Clause == n.Clause && so.Class == n.Class && so.Run == n.Run {
			return so, nil
		}
	}
	return SignedOff{}, decouple.Errorf(decouple.Internal, "the sign-off of %s was kept and is not there", n.Clause)
}

// hasClause says whether a clause is in force, in the journal or in a file of this node. The caller holds mu.
func (c *Contracts) hasClause(s *contractState, id, clause string) bool {
	var of placement.Contract
	if _, ok := s.current(); ok {
		of = s.parsed[len(s.parsed)-1]
	}
	for _, f := range c.files {
		if f.ID == id {
			of = f
		}
	}
	return slices.ContainsFunc(of.Clauses, func(cl placement.Clause) bool { return cl.ID == clause })
}

// change is an event for a contract's stream.
type change struct {
	tenant  decouple.TenantID
	id      string
	kind    decouple.EventKind
	payload []byte
	by      decouple.Actor
}

// state is what is known of a contract now, nothing of one that there is none of. The caller holds mu.
func (c *Contracts) state(ctx context.Context, tenant decouple.TenantID, id string) (*contractState, error) {
	if err := c.refresh(ctx); err != nil {
		return nil, err
	}
	if s := c.known[tenant][id]; s != nil {
		return s, nil
	}
	return &contractState{}, nil
}

// commit appends an event and folds it. The caller holds mu.
func (c *Contracts) commit(ctx context.Context, s *contractState, ch change) error {
	_, err := c.log.Commit(ctx, journal.Mutation{
		ID: decouple.CommitID("contract/" + ch.id + "/" + rand.Text()[:10]), Stream: decouple.Stream{Tenant: ch.tenant, Kind: StreamContract, ID: ch.id}, Expect: s.seq,
		Events: []journal.NewEvent{{Kind: ch.kind, KindVersion: 1, Actor: ch.by, Payload: ch.payload}},
	})
	if err != nil {
		return err
	}
	return c.refresh(ctx)
}

func (c *Contracts) noContract(id string) error {
	if _, file := c.texts[id]; file {
		return decouple.Errorf(decouple.Conflict, "the contract %s is a file of this node (--contracts): take it out of there", id)
	}
	return decouple.Errorf(decouple.NotFound, "there is no contract %s in force; `decouple contracts ls` lists them", id)
}

// List gives the contracts of a tenant by id, the newest version of each, those of files of this node among them.
func (c *Contracts) List(ctx context.Context, tenant decouple.TenantID) ([]ContractVersion, error) {
	out := c.ofFiles()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refreshed(ctx); err != nil {
		return nil, err
	}
	for id, s := range c.known[tenant] {
		if _, file := c.texts[id]; !file && len(s.versions) > 0 {
			out = append(out, s.versions[len(s.versions)-1])
		}
	}
	slices.SortFunc(out, func(a, b ContractVersion) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// refreshed is refresh where there is a journal. The caller holds mu.
func (c *Contracts) refreshed(ctx context.Context) error {
	if c.log == nil {
		return nil
	}
	return c.refresh(ctx)
}

// ofFiles are the contracts of files of this node.
func (c *Contracts) ofFiles() []ContractVersion {
	out := []ContractVersion{}
	for _, f := range c.files {
		out = append(out, ContractVersion{ID: f.ID, Hash: HashContract([]byte(c.texts[f.ID])), Title: f.Title, File: f.File, Clauses: len(f.Clauses)})
	}
	return out
}

// SignOffs lists what was signed off for a tenant, the oldest first.
func (c *Contracts) SignOffs(ctx context.Context, tenant decouple.TenantID) ([]SignedOff, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refreshed(ctx); err != nil {
		return nil, err
	}
	out := []SignedOff{}
	for _, s := range c.known[tenant] {
		out = append(out, s.signed...)
	}
	slices.SortFunc(out, func(a, b SignedOff) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Clause, b.Clause)) })
	return out, nil
}

// History lists the versions of a contract, the oldest first, withdrawals among them.
func (c *Contracts) History(ctx context.Context, tenant decouple.TenantID, id string) ([]ContractVersion, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refreshed(ctx); err != nil {
		return nil, err
	}
	var out []ContractVersion
	if s := c.known[tenant][id]; s != nil {
		out = slices.Clone(s.versions)
	}
	for _, f := range c.ofFiles() {
		if f.ID == id {
			out = append(out, f)
		}
	}
	if len(out) == 0 {
		return nil, decouple.Errorf(decouple.NotFound, "there was never a contract %s; `decouple contracts ls` lists what there is", id)
	}
	return out, nil
}

// Show is a version of a contract with its text: that of a number or of the beginning of a hash, or, where none is named, the one in force or else the last that was.
func (c *Contracts) Show(ctx context.Context, tenant decouple.TenantID, id, version string) (ContractVersion, error) {
	for _, f := range c.ofFiles() {
		if f.ID == id && (version == "" || version == "0" || strings.HasPrefix(f.Hash, version)) {
			f.Text = c.texts[id]
			return f, nil
		}
	}
	list, err := c.History(ctx, tenant, id)
	if err != nil {
		return ContractVersion{}, err
	}
	s := contractState{versions: list}
	i, err := s.named(version)
	if err != nil {
		return ContractVersion{}, err
	}
	events, err := c.log.Read(ctx, decouple.Stream{Tenant: tenant, Kind: StreamContract, ID: id}, 0, 0)
	if err != nil {
		return ContractVersion{}, err
	}
	n := 0
	for _, e := range events {
		if e.Kind != ContractPut && e.Kind != ContractWithdrawn {
			continue
		}
		if n++; n == list[i].Version && e.Kind == ContractPut {
			p, err := payloadOf[contractPut](e)
			v := list[i]
			v.Text = p.Text
			return v, err
		}
	}
	return ContractVersion{}, decouple.Errorf(decouple.Internal, "version %d of the contract %s is not in the journal any more", list[i].Version, id)
}

// DiffContract is the lines in which two versions of a contract differ, each after + or -, and those beside them after a blank.
func DiffContract(from, to ContractVersion) []string {
	return diffLines(strings.Split(from.Text, "\n"), strings.Split(to.Text, "\n"))
}
