package registry_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/registry"
)

// TestContractHistory reads events as the first version wrote them, for ever.
func TestContractHistory(t *testing.T) {
	t.Parallel()
	store, _ := openKeys(t)
	seq := decouple.Seq(0)
	sample := func(kind decouple.EventKind) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join("testdata", "history", string(kind)+".1.json"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = store.Commit(t.Context(), journal.Mutation{ID: decouple.CommitID(kind), Stream: decouple.Stream{Tenant: "acme", Kind: "contract", ID: "house"}, Expect: seq,
			Events: []journal.NewEvent{{Kind: kind, KindVersion: 1, Actor: ada, Payload: b}}})
		if err != nil {
			t.Fatal(err)
		}
		seq++
	}
	sample("contract.put")
	sample("contract.signed_off")
	c := contracts(t, store)
	if effect(t, c, "acme", inUS) != placement.Stop || effect(t, c, "acme", inEU) != placement.Go {
		t.Error("the contract does not hold")
	}
	if signed, err := c.Signed(t.Context(), "acme", "r1", "batch"); err != nil || len(signed) != 1 || signed[0] != "house/eu-only" {
		t.Errorf("%v %v", signed, err)
	}
	sample("contract.sign_off_over")
	sample("contract.withdrawn")
	c = contracts(t, store)
	list, err := c.History(t.Context(), "acme", "house")
	if err != nil || len(list) != 2 || list[0].File != "house.yaml" || list[0].Clauses != 2 || list[1].Why != "it is over" || effect(t, c, "acme", inUS) != placement.Go {
		t.Errorf("%+v %v", list, err)
	}
	if so, err := c.SignOffs(t.Context(), "acme"); err != nil || len(so) != 1 || so[0].Over.IsZero() || so[0].Why != "counsel agrees" {
		t.Errorf("%+v %v", so, err)
	}
}

// FuzzContractEvent folds anything: a tenant is closed by what cannot be read, and never wide open by it.
func FuzzContractEvent(f *testing.F) {
	names, err := filepath.Glob(filepath.Join("testdata", "history", "contract.*.json"))
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for kind := range 5 {
			f.Add(kind, 1, b)
		}
	}
	first, err := os.ReadFile(filepath.Join("testdata", "history", "contract.put.1.json"))
	if err != nil {
		f.Fatal(err)
	}
	kinds := []decouple.EventKind{registry.ContractPut, registry.ContractWithdrawn, registry.ContractSignedOff, registry.ContractSignOffOver, "contract.other"}
	f.Fuzz(func(t *testing.T, kind, version int, payload []byte) {
		stream := decouple.Stream{Tenant: "acme", Kind: registry.StreamContract, ID: "house"}
		k := kinds[max(kind, -kind, 0)%len(kinds)]
		log := &memory{events: []decouple.Event{
			{Stream: stream, Seq: 1, Position: 1, Kind: registry.ContractPut, KindVersion: 1, Payload: first},
			{Stream: stream, Seq: 2, Position: 2, Kind: k, KindVersion: version, Payload: payload},
		}}
		c := contracts(t, log)
		terms, err := c.Policy("acme")
		list, _ := c.History(t.Context(), "acme", "house")
		if err != nil {
			if k := decouple.KindOf(err); k != decouple.Unavailable && k != decouple.Internal {
				t.Errorf("it says %s: %v", k, err)
			}
			return
		}
		changed := len(list) > 1
		r := terms.Judge(&placement.Need{Action: placement.CallModel, Class: "batch"}, &placement.Place{ID: "groq/x", Vendor: "groq", Model: "x"})
		if !changed && r.Effect == placement.Go {
			t.Errorf("%s of version %s lets a call go that is forbidden: %s", k, strconv.Itoa(version), r.Why)
		}
	})
}
