package meter_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/meter"
)

// mandatory are the columns that FOCUS 1.2 demands in every export, and of those the ones that may not be null.
var mandatory = strings.Fields(`BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd BillingPeriodStart ChargeCategory ChargeClass ChargeDescription ChargePeriodEnd
	ChargePeriodStart ContractedCost EffectiveCost InvoiceIssuerName ListCost PricingQuantity PricingUnit ProviderName PublisherName ServiceCategory ServiceName`)

var mayBeNull = []string{"BillingAccountName", "ChargeClass"}

func cells(r meter.FocusRow) map[string]string {
	out := map[string]string{}
	ids := meter.FocusColumns()
	for i, c := range r.Cells() {
		out[ids[i]] = c
	}
	return out
}

func TestFocusColumns(t *testing.T) {
	t.Parallel()
	ids := meter.FocusColumns()
	own := slices.IndexFunc(ids, func(s string) bool { return strings.HasPrefix(s, "x_") })
	if own != 57 || !slices.IsSorted(ids[:own]) || !slices.IsSorted(ids[own:]) {
		t.Errorf("%d columns of FOCUS in the order %v", own, ids)
	}
	for _, id := range ids[own:] {
		if !strings.HasPrefix(id, "x_") {
			t.Errorf("%s stands among our columns", id)
		}
	}
	var f meter.Focus
	f.Add(meter.Charge{At: time.Date(2026, 12, 31, 23, 59, 0, 0, time.UTC)})
	f.Add(meter.Charge{
		At: time.Date(2026, 12, 31, 23, 30, 0, 0, time.FixedZone("", -3600)), Tenant: "acme", Provider: "azure", Account: "prod", Model: "gpt-5.4", Endpoint: "azure/eu/gpt-5.4", Region: "swedencentral", Lab: "openai", Team: "search",
		Usage: decouple.Usage{TokensIn: 10, TokensOut: 5, Cost: 1_234_567_891},
	})
	rows := f.Rows()
	if len(rows) != 2 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, r := range rows {
		for _, id := range mandatory {
			v, ok := cells(r)[id]
			if !ok || v == "" && !slices.Contains(mayBeNull, id) {
				t.Errorf("%s is missing or null", id)
			}
		}
	}
	c := cells(rows[1])
	for id, want := range map[string]string{
		"BilledCost": "1.234567891", "ListCost": "1.234567891", "BillingPeriodStart": "2027-01-01T00:00:00Z", "BillingPeriodEnd": "2027-02-01T00:00:00Z", "ChargePeriodStart": "2027-01-01T00:00:00Z",
		"ChargePeriodEnd": "2027-01-02T00:00:00Z", "BillingAccountId": "prod", "ProviderName": "azure", "PublisherName": "openai", "PricingQuantity": "15", "ServiceCategory": "AI and Machine Learning",
		"Tags": `{"team":"search"}`, "x_BilledCostNanoUsd": "1234567891", "SubAccountId": "acme", "RegionId": "swedencentral", "ChargeCategory": "Usage",
	} {
		if c[id] != want {
			t.Errorf("%s is %q, want %q", id, c[id], want)
		}
	}
}

// TestFocusSum adds random ledgers: the exported column sums to the nano-dollar, whatever the order.
func TestFocusSum(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		dice := rand.New(rand.NewPCG(seed, 3))
		var list []meter.Charge
		var want decouple.Money
		var tokens int64
		for range 2_000 {
			u := decouple.Usage{TokensIn: dice.Int64N(1e6), TokensOut: dice.Int64N(1e6), Cost: decouple.Money(dice.Int64N(1e12) >> dice.IntN(40))}
			want, tokens = want+u.Cost, tokens+u.TokensIn+u.TokensOut
			list = append(list, meter.Charge{
				At: time.Unix(1_790_000_000+dice.Int64N(86_400*70), 0), Tenant: decouple.TenantID(fmt.Sprint("t", dice.IntN(3))), Team: fmt.Sprint("team", dice.IntN(4)), Endpoint: fmt.Sprint("e", dice.IntN(5)),
				Model: "m", Usage: u, Unpriced: dice.IntN(9) == 0, Source: []string{"reported", "unknown"}[dice.IntN(2)],
			})
		}
		var f, g meter.Focus
		for _, c := range list {
			f.Add(c)
		}
		dice.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		for _, c := range list {
			g.Add(c)
		}
		var got decouple.Money
		var calls, counted int64
		for _, r := range f.Rows() {
			c := cells(r)
			m, err := decouple.ParseMoney(c["BilledCost"])
			if err != nil {
				t.Fatal(err)
			}
			var n, q int64
			if _, err := fmt.Sscan(c["x_Calls"]+" "+c["PricingQuantity"], &n, &q); err != nil {
				t.Fatal(err)
			}
			got, calls, counted = got+m, calls+n, counted+q
		}
		if got != want || calls != 2_000 || counted != tokens {
			t.Errorf("seed %d: the export sums to %s of %d calls, the ledger to %s", seed, got, calls, want)
		}
		a, errA := json.Marshal(f.Rows())
		b, errB := json.Marshal(g.Rows())
		if string(a) != string(b) || errA != nil || errB != nil {
			t.Errorf("seed %d: another order of calls gives another export", seed)
		}
	}
}
