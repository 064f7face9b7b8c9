package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/risk/whatif"
)

// ListContracts lists what is agreed with a tenant, and what was signed off.
func ListContracts(ctx context.Context, k *registry.Contracts, tenant decouple.TenantID) (ContractList, error) {
	list, err := k.List(ctx, tenant)
	if err != nil {
		return ContractList{}, err
	}
	signed, err := k.SignOffs(ctx, tenant)
	if err != nil {
		return ContractList{}, err
	}
	out := ContractList{Contracts: list, SignOffs: signed}
	terms, err := k.Policy(tenant)
	if terms != nil {
		out.Version = terms.Version()
	}
	return out, err
}

// ContractDiff names two versions of a contract.
type ContractDiff struct {
	Tenant   decouple.TenantID
	ID       string
	From, To string // numbers or beginnings of hashes; by default the newest, and the one before
}

// DiffContracts says which lines a version of a contract changes.
func DiffContracts(ctx context.Context, k *registry.Contracts, d ContractDiff) (ContractChange, error) {
	to, err := k.Show(ctx, d.Tenant, d.ID, d.To)
	if err != nil {
		return ContractChange{}, err
	}
	from := registry.ContractVersion{ID: d.ID}
	if d.From == "" {
		history, err := k.History(ctx, d.Tenant, d.ID)
		if err != nil {
			return ContractChange{}, err
		}
		for _, v := range history {
			if v.Version < to.Version && !v.Withdrawn {
				d.From = itoa(int64(v.Version))
			}
		}
	}
	if d.From != "" {
		if from, err = k.Show(ctx, d.Tenant, d.ID, d.From); err != nil {
			return ContractChange{}, err
		}
	}
	out := ContractChange{ID: d.ID, From: from.Version, To: to.Version, Lines: registry.DiffContract(from, to)}
	if out.Lines == nil {
		out.Lines = []string{}
	}
	return out, nil
}

func contractPath(id, below string) string { return "/api/v1/contracts/" + url.PathEscape(id) + below }

// Contracts lists what is agreed.
func (c *Client) Contracts(ctx context.Context) (ContractList, error) {
	return get[ContractList](ctx, c, "/api/v1/contracts", nil)
}

// Contract shows a version of a contract with its text.
func (c *Client) Contract(ctx context.Context, id, version string) (registry.ContractVersion, error) {
	return get[registry.ContractVersion](ctx, c, contractPath(id, ""), given("version", version))
}

// ContractHistory lists the versions of a contract.
func (c *Client) ContractHistory(ctx context.Context, id string) ([]registry.ContractVersion, error) {
	return get[[]registry.ContractVersion](ctx, c, contractPath(id, "/history"), nil)
}

// DiffContract says which lines a version of a contract changes.
func (c *Client) DiffContract(ctx context.Context, d ContractDiff) (ContractChange, error) {
	return get[ContractChange](ctx, c, contractPath(d.ID, "/diff"), given("from", d.From, "to", d.To))
}

// PutContract puts a version of a contract in force.
func (c *Client) PutContract(ctx context.Context, id string, n registry.NewContract) (registry.ContractVersion, error) {
	return receive[registry.ContractVersion](ctx, c, request{method: http.MethodPut, path: contractPath(id, ""), query: given("file", n.File, "replaces", n.Replaces), body: bytes.NewReader(n.Text), by: n.By})
}

// WithdrawContract withdraws a contract.
func (c *Client) WithdrawContract(ctx context.Context, id string, w registry.Withdrawal) (registry.ContractVersion, error) {
	return receive[registry.ContractVersion](ctx, c, request{method: http.MethodDelete, path: contractPath(id, ""), query: given("why", w.Why), by: w.By})
}

// SignOff signs off a clause, or takes that back.
func (c *Client) SignOff(ctx context.Context, n registry.NewSignOff) (registry.SignedOff, error) {
	id, clause, _ := strings.Cut(n.Clause, "/")
	return post[registry.SignedOff](ctx, c, request{path: contractPath(id, "/sign-off"), by: n.By}, NewSignOff{Clause: clause, Class: n.Class, Run: n.Run, Why: n.Why, Expires: n.Expires, Over: n.Over})
}

// Placement says where a model may be asked.
func (c *Client) Placement(ctx context.Context, q PlacementQuery) (whatif.Answer, error) {
	return post[whatif.Answer](ctx, c, request{path: "/api/v1/placement/explain"}, q)
}

// Past explains recorded calls.
func (c *Client) Past(ctx context.Context, q PastQuery) ([]PastCall, error) {
	v := given("id", q.ID, "run", string(q.Run))
	if q.Step > 0 {
		v.Set("step", itoa(int64(q.Step)))
	}
	return get[[]PastCall](ctx, c, "/api/v1/placement/calls", v)
}

// Replay decides recorded calls again under drafts.
func (c *Client) Replay(ctx context.Context, q ReplayQuery) (whatif.Replayed, error) {
	return post[whatif.Replayed](ctx, c, request{path: "/api/v1/placement/replay"}, q)
}

// Standing says how promised shares and minimums of spend stand.
func (c *Client) Standing(ctx context.Context, q StandingQuery) (Standing, error) {
	return get[Standing](ctx, c, "/api/v1/placement/standing", given("since", stamp(q.Since), "as_of", stamp(q.AsOf)))
}

// Cedar is the contracts in force in the language of Cedar.
func (c *Client) Cedar(ctx context.Context, m placement.Moment) (string, error) {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: "/api/v1/placement/cedar", query: given("as_of", stamp(m.AsOf), "known", stamp(m.Known))})
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", decouple.Errorf(decouple.Unavailable, "the answer broke off: %w", err)
	}
	return string(b), nil
}

// given is a query of names and values, without those that are empty.
func given(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// stamp writes a time for a query; none for zero.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
