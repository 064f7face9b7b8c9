package registry_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/registry"
)

const euOnly = `id: house
title: House rules
confidence: signed
clauses:
  - id: eu-only
    kind: residency
    text: Personal data of Europeans stays in the EU.
    binds: {label: eu-personal}
    in: [{geo: eu}]
`

const quarrel = `id: quarrel
confidence: announced
clauses:
  - id: runtime
    kind: exclusive_host
    text: The runtime is at one cloud, or at two.
    classes: [stateful_runtime]
    binds: {lab: openai}
    host: [azure]
    readings:
      - {reads: deny, by: one, text: It is at one cloud., confidence: reported}
      - {reads: allow, by: the other, text: It is at two., confidence: reported}
`

var (
	ada  = decouple.Actor{Kind: decouple.ActorPerson, ID: "ada"}
	inEU = placement.Place{ID: "azure/swedencentral/gpt-5.4", Vendor: "azure", Cloud: "azure", Region: "swedencentral", Geo: "eu", Model: "gpt-5.4", Lab: "openai"}
	inUS = placement.Place{ID: "bedrock/us-east-2/gpt-5.4", Vendor: "bedrock", Cloud: "aws", Region: "us-east-2", Geo: "us", Model: "gpt-5.4", Lab: "openai"}
)

func contracts(t *testing.T, log registry.ContractLog, files ...registry.ContractFile) *registry.Contracts {
	t.Helper()
	c, err := registry.NewContracts(log, files...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// effect is what a tenant's contracts say now of personal data at a place.
func effect(t *testing.T, c *registry.Contracts, tenant decouple.TenantID, p placement.Place) placement.Effect {
	t.Helper()
	terms, err := c.Policy(tenant)
	if err != nil {
		t.Fatal(err)
	}
	if terms == nil {
		return placement.Go
	}
	return terms.Judge(&placement.Need{Action: placement.CallModel, Class: "stateless_api", Labels: []string{"eu-personal"}}, &p).Effect
}

func put(tenant decouple.TenantID, text, replaces string) registry.NewContract {
	return registry.NewContract{Tenant: tenant, File: "f.yaml", Text: []byte(text), Replaces: replaces, By: ada}
}

func TestContracts(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, _ := openKeys(t)
	c := contracts(t, store)
	if terms, err := c.Policy("acme"); terms != nil || err != nil {
		t.Fatalf("without a contract: %v %v", terms, err)
	}
	v1, err := c.Put(ctx, put("acme", euOnly, ""))
	if err != nil || v1.Version != 1 || v1.ID != "house" || v1.Clauses != 1 || v1.By != ada || v1.Hash != registry.HashContract([]byte(euOnly)) {
		t.Fatalf("%+v %v", v1, err)
	}
	if effect(t, c, "acme", inEU) != placement.Go || effect(t, c, "acme", inUS) != placement.Stop || effect(t, c, "globex", inUS) != placement.Go {
		t.Error("it is not in force, or for another tenant too")
	}
	if again, err := c.Put(ctx, put("acme", euOnly, "")); err != nil || again != v1 {
		t.Errorf("the same text again: %+v %v", again, err)
	}
	changed := strings.Replace(euOnly, "eu}", "[eu, us]}", 1)
	for name, replaces := range map[string]string{"nothing": "", "another": "7", "another hash": "abcdef"} {
		if _, err := c.Put(ctx, put("acme", changed, replaces)); decouple.KindOf(err) != decouple.Conflict {
			t.Errorf("a change that replaces %s: %v", name, err)
		}
	}
	v2, err := c.Put(ctx, put("acme", changed, v1.Hash[:8]))
	if err != nil || v2.Version != 2 || effect(t, c, "acme", inUS) != placement.Go {
		t.Errorf("%+v %v", v2, err)
	}
	if _, err := c.Put(ctx, put("acme", euOnly, "1")); decouple.KindOf(err) != decouple.Conflict {
		t.Errorf("a change of the version before: %v", err)
	}
	if v, err := c.Show(ctx, "acme", "house", "1"); err != nil || v.Text != euOnly || v.Version != 1 {
		t.Errorf("%+v %v", v, err)
	}
	v, err := c.Show(ctx, "acme", "house", "")
	if err != nil || v.Text != changed {
		t.Errorf("%+v %v", v, err)
	}
	other := contracts(t, store) // another node
	if effect(t, other, "acme", inUS) != placement.Go {
		t.Error("the other node knows another version")
	}
	a, _ := c.Policy("acme")
	if b, err := other.Policy("acme"); err != nil || a.Version() != b.Version() || len(a.Version()) != 12 {
		t.Errorf("versions %q and %q, %v", a.Version(), b.Version(), err)
	}
	if again, err := c.Policy("acme"); again != a || err != nil {
		t.Errorf("nothing changed, and the policy did: %v", err)
	}
	if v, err := c.Withdraw(ctx, "acme", "house", registry.Withdrawal{Why: "it is over", By: ada}); err != nil || !v.Withdrawn || v.Version != 3 {
		t.Errorf("%+v %v", v, err)
	}
	if _, err := c.Withdraw(ctx, "acme", "house", registry.Withdrawal{By: ada}); decouple.KindOf(err) != decouple.NotFound {
		t.Errorf("twice: %v", err)
	}
	if list, err := c.History(ctx, "acme", "house"); err != nil || len(list) != 3 || list[2].Why != "it is over" {
		t.Errorf("%+v %v", list, err)
	}
	if _, err := c.History(ctx, "globex", "house"); decouple.KindOf(err) != decouple.NotFound {
		t.Errorf("another tenant: %v", err)
	}
	if v, err := c.Put(ctx, put("acme", euOnly, "")); err != nil || v.Version != 4 || effect(t, c, "acme", inUS) != placement.Stop {
		t.Errorf("after it was withdrawn: %+v %v", v, err)
	}
}

// TestContractMoments compiles what held when, by what the journal knew when.
func TestContractMoments(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, _ := openKeys(t)
	c := contracts(t, store)
	first, err := c.Put(ctx, put("acme", strings.Replace(euOnly, "eu}", "[eu, us]}", 1), ""))
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.Put(ctx, put("acme", euOnly, "1"))
	if err != nil {
		t.Fatal(err)
	}
	book, err := c.Book(ctx, "acme")
	if err != nil || len(book.Contracts) != 2 {
		t.Fatalf("%+v %v", book, err)
	}
	now := time.Now()
	for known, want := range map[time.Time]placement.Effect{first.Entered: placement.Go, second.Entered: placement.Stop, now: placement.Stop} {
		p, err := placement.Compile(book, placement.Moment{AsOf: now, Known: known})
		if err != nil {
			t.Fatal(err)
		}
		if r := p.Judge(&placement.Need{Action: placement.CallModel, Labels: []string{"eu-personal"}}, &inUS); r.Effect != want {
			t.Errorf("known at %s: %+v", known, r)
		}
	}
}

func TestContractRights(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, _ := openKeys(t)
	c := contracts(t, store)
	robot := decouple.Actor{Kind: decouple.ActorAgent, ID: "lead"}
	n := put("acme", euOnly, "")
	n.By = robot
	if _, err := c.Put(ctx, n); decouple.KindOf(err) != decouple.Denied {
		t.Errorf("an agent puts: %v", err)
	}
	if _, err := c.Put(ctx, put("acme", quarrel, "")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Withdraw(ctx, "acme", "quarrel", registry.Withdrawal{By: robot}); decouple.KindOf(err) != decouple.Denied {
		t.Errorf("an agent withdraws: %v", err)
	}
	for _, who := range []decouple.Actor{robot, {Kind: decouple.ActorService, ID: "ci"}, {Kind: decouple.ActorSystem, ID: "x"}, {Kind: decouple.ActorPerson}} {
		if _, err := c.SignOff(ctx, registry.NewSignOff{Tenant: "acme", Clause: "quarrel/runtime", Why: "x", By: who}); decouple.KindOf(err) != decouple.Denied {
			t.Errorf("%v signs off: %v", who, err)
		}
	}
	for text, kind := range map[string]decouple.Kind{"id: x\nfoo: 1\n": decouple.Invalid, strings.Repeat("#", registry.MaxContract+1): decouple.TooLarge} {
		if _, err := c.Put(ctx, put("acme", text, "")); decouple.KindOf(err) != kind {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

// runtime is what a tenant's contracts say now of a stateful runtime.
func runtime(t *testing.T, c *registry.Contracts, signed ...string) placement.Effect {
	t.Helper()
	terms, err := c.Policy("acme")
	if err != nil {
		t.Fatal(err)
	}
	return terms.Judge(&placement.Need{Action: placement.CallModel, Class: "stateful_runtime", Signed: signed}, &inUS).Effect
}

func TestSignOff(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, _ := openKeys(t)
	c := contracts(t, store)
	if _, err := c.Put(ctx, put("acme", quarrel, "")); err != nil {
		t.Fatal(err)
	}
	if runtime(t, c) != placement.Hold {
		t.Fatal("a disputed clause does not hold")
	}
	n := registry.NewSignOff{Tenant: "acme", Clause: "quarrel/runtime", Class: "stateful_runtime", Why: "counsel agrees", Run: "r1", By: ada}
	if s, err := c.SignOff(ctx, n); err != nil || s.By != ada || s.Run != "r1" {
		t.Fatalf("%+v %v", s, err)
	}
	if runtime(t, c) != placement.Hold {
		t.Error("what is signed off for one run holds for all")
	}
	signed, err := c.Signed(ctx, "acme", "r1", "stateful_runtime")
	if err != nil || len(signed) != 1 || runtime(t, c, signed...) != placement.Go {
		t.Errorf("%v %v", signed, err)
	}
	if signed, _ := c.Signed(ctx, "acme", "r2", "stateful_runtime"); len(signed) != 0 {
		t.Errorf("another run has %v", signed)
	}
	n.Run = ""
	if _, err := c.SignOff(ctx, n); err != nil || runtime(t, c) != placement.Go || runtime(t, contracts(t, store)) != placement.Go {
		t.Errorf("for everybody: %v", err)
	}
	n.Over = true
	if s, err := c.SignOff(ctx, n); err != nil || s.Over.IsZero() || runtime(t, c) != placement.Hold {
		t.Errorf("taken back: %+v %v", s, err)
	}
	if _, err := c.SignOff(ctx, n); decouple.KindOf(err) != decouple.NotFound {
		t.Errorf("taken back twice: %v", err)
	}
	if list, err := c.SignOffs(ctx, "acme"); err != nil || len(list) != 2 {
		t.Errorf("%+v %v", list, err)
	}
	n.Over = false
	for clause, kind := range map[string]decouple.Kind{"quarrel/other": decouple.NotFound, "other/runtime": decouple.NotFound, "runtime": decouple.Invalid} {
		n.Clause = clause
		if _, err := c.SignOff(ctx, n); decouple.KindOf(err) != kind {
			t.Errorf("%s: %v", clause, err)
		}
	}
	n.Clause, n.Why = "quarrel/runtime", " "
	if _, err := c.SignOff(ctx, n); decouple.KindOf(err) != decouple.Invalid {
		t.Errorf("without a reason: %v", err)
	}
}

// TestContractFiles has files of a node hold for every tenant, and go before the journal.
func TestContractFiles(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, _ := openKeys(t)
	if _, err := contracts(t, store).Put(ctx, put("acme", strings.Replace(euOnly, "eu}", "[eu, us]}", 1), "")); err != nil {
		t.Fatal(err)
	}
	file := registry.ContractFile{Name: "house.yaml", Text: []byte(euOnly)}
	for name, c := range map[string]*registry.Contracts{"with a journal": contracts(t, store, file), "without": contracts(t, nil, file)} {
		if effect(t, c, "acme", inUS) != placement.Stop || effect(t, c, "globex", inUS) != placement.Stop || effect(t, c, "globex", inEU) != placement.Go {
			t.Errorf("%s: the file is not in force", name)
		}
		if list, err := c.List(ctx, "acme"); err != nil || len(list) != 1 || list[0].Version != 0 || list[0].File != "house.yaml" {
			t.Errorf("%s: %+v %v", name, list, err)
		}
		if v, err := c.Show(ctx, "acme", "house", ""); err != nil || v.Text != euOnly {
			t.Errorf("%s: %+v %v", name, v, err)
		}
		if _, err := c.Put(ctx, put("acme", euOnly, "1")); decouple.KindOf(err) != decouple.Conflict {
			t.Errorf("%s: put over a file: %v", name, err)
		}
	}
	if _, err := registry.NewContracts(nil, file, registry.ContractFile{Name: "again.yaml", Text: []byte(euOnly)}); err == nil || !strings.Contains(err.Error(), "house.yaml") {
		t.Errorf("one id in two files: %v", err)
	}
	if _, err := registry.NewContracts(nil, registry.ContractFile{Name: "bad.yaml", Text: []byte("id: x\nclausess: []\n")}); err == nil || !strings.Contains(err.Error(), "bad.yaml:2") {
		t.Errorf("a file that is wrong: %v", err)
	}
}

// silent is a journal that can be made not to answer.
type silent struct {
	registry.ContractLog
	down atomic.Bool
}

func (s *silent) Scan(ctx context.Context, f journal.Filter) ([]decouple.Event, error) {
	if s.down.Load() {
		return nil, errors.New("the disk is gone")
	}
	return s.ContractLog.Scan(ctx, f)
}

// memory is a journal of contracts in memory, which synctest can wait for.
type memory struct {
	mu     sync.Mutex
	events []decouple.Event
}

func (m *memory) Scan(_ context.Context, f journal.Filter) ([]decouple.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.events[min(int(f.After), len(m.events)):], nil
}

func (m *memory) Read(context.Context, decouple.Stream, decouple.Seq, int) ([]decouple.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.events, nil
}

func (m *memory) Commit(_ context.Context, mu journal.Mutation) (journal.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range mu.Events {
		n := len(m.events) + 1
		m.events = append(m.events, decouple.Event{Stream: mu.Stream, Seq: mu.Expect + 1, Position: decouple.Position(n), Kind: e.Kind, KindVersion: e.KindVersion, Time: time.Now(), Actor: e.Actor, Payload: e.Payload})
	}
	return journal.Receipt{}, nil
}

// TestContractsFresh has another node see a change within a second, and go on with what it knows when the journal does not answer; when nothing is known, nothing is allowed.
func TestContractsFresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &silent{ContractLog: &memory{}}
		here, there := contracts(t, log), contracts(t, log)
		if effect(t, there, "acme", inUS) != placement.Go {
			t.Error("there is no contract yet")
		}
		if _, err := here.Put(t.Context(), put("acme", euOnly, "")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second + time.Millisecond)
		if effect(t, there, "acme", inUS) != placement.Stop {
			t.Error("after a second the other node does not know it")
		}
		log.down.Store(true)
		time.Sleep(time.Hour)
		began := time.Now()
		if effect(t, there, "acme", inUS) != placement.Stop || effect(t, there, "acme", inEU) != placement.Go {
			t.Error("what was known does not hold while the journal is silent")
		}
		if effect(t, there, "acme", inUS) != placement.Stop || time.Since(began) > time.Second {
			t.Errorf("two questions took %s", time.Since(began))
		}
		if _, err := contracts(t, log).Policy("acme"); decouple.KindOf(err) != decouple.Unavailable {
			t.Errorf("a node that knows nothing says %v", err)
		}
		log.down.Store(false)
		time.Sleep(2 * time.Second)
		if effect(t, there, "acme", inUS) != placement.Stop {
			t.Error("it does not come back")
		}
		synctest.Wait()
	})
}

// TestContractUnreadable closes a tenant whose contract this program cannot read, and no other; a later version that can be read opens it.
func TestContractUnreadable(t *testing.T) {
	t.Parallel()
	store, _ := openKeys(t)
	c := contracts(t, store)
	commit := func(seq decouple.Seq, kind decouple.EventKind, version int, payload string) {
		t.Helper()
		_, err := store.Commit(t.Context(), journal.Mutation{ID: decouple.CommitID(payload + string(kind)), Stream: decouple.Stream{Tenant: "acme", Kind: registry.StreamContract, ID: "house"}, Expect: seq,
			Events: []journal.NewEvent{{Kind: kind, KindVersion: version, Payload: []byte(payload)}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	commit(0, registry.ContractPut, 1, `{"file":"f","hash":"h","text":"id: house\nclauses: [{id: a, kind: of_the_future, text: x}]\n"}`)
	if _, err := c.Policy("acme"); decouple.KindOf(err) != decouple.Unavailable || !strings.Contains(err.Error(), "house") {
		t.Errorf("it says %v", err)
	}
	if terms, err := c.Policy("globex"); terms != nil || err != nil {
		t.Errorf("another tenant: %v %v", terms, err)
	}
	if _, err := c.Put(t.Context(), put("acme", euOnly, "1")); err != nil {
		t.Fatal(err)
	}
	if effect(t, c, "acme", inUS) != placement.Stop {
		t.Error("a version that can be read does not hold")
	}
	commit(2, "contract.of_the_future", 1, `{}`)
	if _, err := contracts(t, store).Policy("acme"); decouple.KindOf(err) != decouple.Unavailable {
		t.Errorf("an event that is not known: %v", err)
	}
}

// TestContractRace puts two changes of one version at once: one of them is refused.
func TestContractRace(t *testing.T) {
	t.Parallel()
	store, _ := openKeys(t)
	a, b := contracts(t, store), contracts(t, store)
	if _, err := a.Put(t.Context(), put("acme", euOnly, "")); err != nil {
		t.Fatal(err)
	}
	var done [2]chan error
	for i, c := range []*registry.Contracts{a, b} {
		done[i] = make(chan error, 1)
		go func() {
			_, err := c.Put(t.Context(), put("acme", euOnly+strings.Repeat("#", i+1)+"\n", "1"))
			done[i] <- err
		}()
	}
	one, two := <-done[0], <-done[1]
	if (one == nil) == (two == nil) || decouple.KindOf(cmpErr(one, two)) != decouple.Conflict {
		t.Errorf("%v and %v", one, two)
	}
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// TestSignOffOfWords puts versions over a clause that is signed off: one that leaves it as it is leaves the sign-off, one that changes it ends it.
func TestSignOffOfWords(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, _ := openKeys(t)
	c := contracts(t, store)
	if _, err := c.Put(ctx, put("acme", quarrel, "")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SignOff(ctx, registry.NewSignOff{Tenant: "acme", Clause: "quarrel/runtime", Why: "counsel agrees", By: ada}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(ctx, put("acme", "# as before\n"+quarrel, "1")); err != nil || runtime(t, c) != placement.Go {
		t.Errorf("a note in the file ends a sign-off: %v", err)
	}
	if _, err := c.Put(ctx, put("acme", strings.Replace(quarrel, "host: [azure]", "host: [gcp]", 1), "2")); err != nil {
		t.Fatal(err)
	}
	if runtime(t, c) != placement.Hold || runtime(t, contracts(t, store)) != placement.Hold {
		t.Error("another clause is signed off by what was said of the one before it")
	}
	if list, err := c.SignOffs(ctx, "acme"); err != nil || len(list) != 1 || list[0].Over.IsZero() {
		t.Errorf("%+v %v", list, err)
	}
}

// TestSignOffOfRunEnds has a sign-off for one run expire: what holds is another version then, so that calls under way are judged again.
func TestSignOffOfRunEnds(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, _ := openKeys(t)
	c := contracts(t, store)
	if _, err := c.Put(ctx, put("acme", quarrel, "")); err != nil {
		t.Fatal(err)
	}
	ends := time.Now().Add(time.Second)
	if _, err := c.SignOff(ctx, registry.NewSignOff{Tenant: "acme", Clause: "quarrel/runtime", Run: "r1", Why: "counsel agrees", By: ada, Expires: ends}); err != nil {
		t.Fatal(err)
	}
	before, err := c.Policy("acme")
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Until(ends) + 10*time.Millisecond)
	if after, err := c.Policy("acme"); err != nil || after == before {
		t.Errorf("the same holds as before: %v", err)
	}
}
