package drill

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/risk/parity"
)

// proofHolds is how long a parity evaluation says something of today.
const proofHolds = 180 * 24 * time.Hour

// Unproved is an alternate that calls would have, and that no parity evaluation has found as good.
type Unproved struct {
	Primary   string `json:"primary"`
	Alternate string `json:"alternate"`
	Calls     int64  `json:"calls"`
}

func (u *Unproved) say() string {
	return fmt.Sprintf("%s for %s, %d calls: `decouple parity --primary %s --alternate %s` says whether it is as good", u.Alternate, u.Primary, u.Calls, u.Primary, u.Alternate)
}

// proofs knows which alternates have passed, and keeps those that calls would have without that.
type proofs struct {
	catalog *catalog.Catalog
	passed  map[[2]string]bool // model that was the primary's, alternate
	without map[[2]string]int64
}

// proofsOf reads the parity evaluations of a tenant. One against the same model elsewhere counts too.
func (d *Desk) proofsOf(ctx context.Context, tenant decouple.TenantID, now time.Time) (*proofs, error) {
	p := &proofs{d.Catalog(), map[[2]string]bool{}, map[[2]string]int64{}}
	list, err := parity.Latest(ctx, d.Log, tenant)
	for _, r := range list {
		if r.Verdict == parity.Pass && now.Sub(r.At) < proofHolds {
			p.passed[[2]string{p.model(r.Primary.Endpoint), string(r.Alternate.Endpoint)}] = true
		}
	}
	return p, err
}

// model is what an endpoint serves.
func (p *proofs) model(id catalog.EndpointID) string { return string(p.catalog.Endpoints[id].Model) }

// count takes in that a call would go to an alternate.
func (p *proofs) count(primary, alternate catalog.EndpointID) {
	if primary != alternate && !p.passed[[2]string{p.model(primary), string(alternate)}] {
		p.without[[2]string{string(primary), string(alternate)}]++
	}
}

// unproved lists what was counted, most calls first.
func (p *proofs) unproved() []Unproved {
	var out []Unproved
	for _, k := range slices.SortedFunc(maps.Keys(p.without), func(a, b [2]string) int {
		return cmp.Or(cmp.Compare(p.without[b], p.without[a]), slices.Compare(a[:], b[:]))
	}) {
		out = append(out, Unproved{k[0], k[1], p.without[k]})
	}
	return out
}

// unprovedWords are the alternates that nobody has proved, in words.
func (r *Result) unprovedWords() []string {
	var out []string
	for i := range r.Unproved {
		out = append(out, r.Unproved[i].say())
	}
	return out
}
