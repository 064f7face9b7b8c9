package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/registry"
)

// Endpoints lists the endpoints of models.
func (c *Client) Endpoints(ctx context.Context) (gateway.Inventory, error) {
	return get[gateway.Inventory](ctx, c, "/api/v1/endpoints", nil)
}

// TryEndpoint asks one endpoint for a few tokens.
func (c *Client) TryEndpoint(ctx context.Context, id catalog.EndpointID, by decouple.Actor) (gateway.Trial, error) {
	return post[gateway.Trial](ctx, c, request{path: "/api/v1/endpoints/" + url.PathEscape(string(id)) + "/test", by: by}, None{})
}

// Decision says how a call went, and why.
func (c *Client) Decision(ctx context.Context, tenant decouple.TenantID, id string) (gateway.Record, error) {
	return get[gateway.Record](ctx, c, "/api/v1/decisions/"+url.PathEscape(id), about(tenant))
}

// Decisions lists how the newest calls went, newest first.
func (c *Client) Decisions(ctx context.Context, tenant decouple.TenantID, limit int) ([]gateway.Record, error) {
	q := about(tenant)
	q.Set("limit", itoa(int64(limit)))
	return get[[]gateway.Record](ctx, c, "/api/v1/decisions", q)
}

// about is the query for a tenant, if one is named.
func about(tenant decouple.TenantID) url.Values {
	q := url.Values{}
	if tenant != "" {
		q.Set("tenant", string(tenant))
	}
	return q
}

// Usage sums what calls have used.
func (c *Client) Usage(ctx context.Context, in ledger.Query) (Usage, error) {
	q := about(in.Tenant)
	for _, by := range in.By {
		q.Add("by", string(by))
	}
	for name, at := range map[string]time.Time{"since": in.Since, "until": in.Until} {
		if !at.IsZero() {
			q.Set(name, at.UTC().Format(time.RFC3339))
		}
	}
	return get[Usage](ctx, c, "/api/v1/usage", q)
}

// Budgets lists the budgets and how they stand.
func (c *Client) Budgets(ctx context.Context, tenant decouple.TenantID) ([]Budget, error) {
	return get[[]Budget](ctx, c, "/api/v1/budgets", about(tenant))
}

// SetBudget sets a budget, or changes it.
func (c *Client) SetBudget(ctx context.Context, id string, b NewBudget, by decouple.Actor) error {
	_, err := put[None](ctx, c, request{path: "/api/v1/budgets/" + url.PathEscape(id), by: by}, b)
	return err
}

// RemoveBudget ends a budget.
func (c *Client) RemoveBudget(ctx context.Context, tenant decouple.TenantID, id string, by decouple.Actor) error {
	_, err := receive[None](ctx, c, request{method: http.MethodDelete, path: "/api/v1/budgets/" + url.PathEscape(id), query: about(tenant), by: by})
	return err
}

// ChangeKey gives a key another scope; nil takes all limits away.
func (c *Client) ChangeKey(ctx context.Context, id string, scope *registry.Scope, by decouple.Actor) (registry.Key, error) {
	return put[registry.Key](ctx, c, request{path: "/api/v1/keys/" + url.PathEscape(id), by: by}, NewScope{scope})
}

// SignKey lets a key sign requests in the manner of AWS, and gives what it signs with.
func (c *Client) SignKey(ctx context.Context, id string, by decouple.Actor) (Signing, error) {
	return post[Signing](ctx, c, request{path: "/api/v1/keys/" + url.PathEscape(id) + "/sigv4", by: by}, None{})
}

// put sends a value that takes the place of another.
func put[Out, In any](ctx context.Context, c *Client, q request, in In) (Out, error) {
	b, err := json.Marshal(in)
	if err != nil {
		var none Out
		return none, decouple.Errorf(decouple.Internal, "the request cannot be written: %w", err)
	}
	q.method, q.body = http.MethodPut, bytes.NewReader(b)
	return receive[Out](ctx, c, q)
}

// Budgets lists the budgets of a tenant, or of all, those of keys in force among them, and how they stand.
func Budgets(ctx context.Context, l *ledger.Ledger, keys *registry.Keys, tenant decouple.TenantID) ([]Budget, error) {
	list, err := l.Budgets(ctx, tenant)
	if err != nil {
		return nil, err
	}
	all, err := keys.List(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var own []ledger.Budget
	for _, k := range all {
		if k.Revoked.IsZero() {
			own = append(own, KeyBudgets(k.Tenant, k.ID, k.Scope)...)
		}
	}
	stand, err := l.Stand(ctx, own)
	return BudgetsOf(append(list, stand...)), err
}
