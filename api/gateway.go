package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/registry"
)

// gatewayRoutes are what is asked of the gateway beside its doors: what it can reach, why a call went where it went, what was used, and what may be.
func gatewayRoutes() []route {
	remove := ask("/api/v1/budgets/{id}", registry.RightKeys, "Ends a budget", (*call).removeBudget, ofTenant)
	remove.method = http.MethodDelete
	return []route{
		ask("/api/v1/endpoints", registry.RightRead, "Lists the endpoints of models, with their health, room and prices", func(c *call) (gateway.Inventory, error) {
			g, err := c.models()
			if err != nil {
				return gateway.Inventory{}, err
			}
			return g.Inventory(), nil
		}),
		tell(http.MethodPost, "/api/v1/endpoints/{id}/test", registry.RightRun, "Asks one endpoint for a few tokens, which costs what they cost; slashes in the id are written %2F", func(c *call, _ None) (gateway.Trial, error) {
			g, err := c.models()
			if err != nil {
				return gateway.Trial{}, err
			}
			return g.Try(c.ctx(), gateway.Caller{Tenant: c.tenant(), Key: c.who.Key, Actor: c.who.Actor}, catalog.EndpointID(c.r.PathValue("id")))
		}),
		ask("/api/v1/decisions", registry.RightRead, "Lists how the newest calls of this node went, newest first", (*call).decisions, limit, ofTenant),
		ask("/api/v1/decisions/{id}", registry.RightRead, "Says how a call went and why: the id is in the header x-decouple-decision of its answer", (*call).decision, ofTenant),
		ask("/api/v1/usage", registry.RightRead, "Sums what calls of models have used", (*call).usage, usageQuery...),
		ask("/api/v1/budgets", registry.RightRead, "Lists the budgets, those of keys among them, and how they stand", (*call).budgets, ofTenant),
		tell(http.MethodPut, "/api/v1/budgets/{id}", registry.RightKeys, "Sets a budget, or changes it", (*call).setBudget),
		remove,
	}
}

var (
	ofTenant   = param{"tenant", "string", "another than the caller's only for the installation's owner"}
	usageQuery = []param{{"by", "string", "what to sum by: tenant, key, team, agent, asked, model, endpoint, door, source, outcome, day or hour; may be given again"},
		{"since", "string", "a time in RFC 3339, included; in whole hours"}, {"until", "string", "a time in RFC 3339, not included"},
		{"tenant", "string", "another than the caller's only for the installation's owner, who gets all of them without it"}}
)

// UsageRow is a sum of usage. Of the group, the fields that were asked for are set.
type UsageRow struct {
	ledger.Group
	Calls      int64          `json:"calls"`
	TokensIn   int64          `json:"tokens_in"`
	TokensOut  int64          `json:"tokens_out"`
	Cached     int64          `json:"cached,omitempty"`      // of tokens_in, read from the prompt cache
	CacheWrite int64          `json:"cache_write,omitempty"` // of tokens_in, written to it for five minutes
	CacheLong  int64          `json:"cache_long,omitempty"`  // of tokens_in, written to it for an hour
	Thought    int64          `json:"thought,omitempty"`     // of tokens_out
	USD        string         `json:"usd" jsonschema:"the exact amount, as a decimal"`
	Cost       decouple.Money `json:"cost_nano_usd"`
	Unpriced   int64          `json:"unpriced,omitempty" jsonschema:"calls whose price is not known, which are not in the amount"`
	Unseen     int64          `json:"unseen,omitempty" jsonschema:"calls whose end was not seen: what was reserved for them is in the amounts"`
	Estimated  bool           `json:"estimated,omitempty" jsonschema:"a provider did not say what some call used"`
}

// Usage is what calls have used.
type Usage struct {
	Since time.Time  `json:"since,omitzero"`
	Until time.Time  `json:"until,omitzero"`
	Rows  []UsageRow `json:"rows"`
	Total UsageRow   `json:"total"`
}

// UsageOf is a ledger's sums as the interface shows them.
func UsageOf(q ledger.Query, rows []ledger.Row) Usage {
	out := Usage{Since: q.Since, Until: q.Until, Rows: []UsageRow{}}
	var total ledger.Row
	for _, r := range rows {
		out.Rows = append(out.Rows, rowOf(r))
		total.Calls, total.Unpriced, total.Unseen, total.Usage = total.Calls+r.Calls, total.Unpriced+r.Unpriced, total.Unseen+r.Unseen, total.Usage.Add(r.Usage)
	}
	out.Total = rowOf(total)
	return out
}

func rowOf(r ledger.Row) UsageRow {
	u := r.Usage
	return UsageRow{Group: r.Group, Calls: r.Calls, TokensIn: u.TokensIn, TokensOut: u.TokensOut, Cached: u.Cached, CacheWrite: u.CacheWrite, CacheLong: u.CacheLong, Thought: u.Thought,
		USD: u.Cost.String(), Cost: u.Cost, Unpriced: r.Unpriced, Unseen: r.Unseen, Estimated: u.Estimated}
}

// NewBudget sets a budget.
type NewBudget struct {
	Tenant decouple.TenantID `json:"tenant,omitempty" jsonschema:"another than the caller's only by the installation's owner"`
	Scope  ledger.Scope      `json:"scope" jsonschema:"tenant, key, team or agent"`
	Name   string            `json:"name,omitempty" jsonschema:"of the key, team or agent"`
	Period ledger.Period     `json:"period" jsonschema:"day, month or total"`
	USD    string            `json:"usd,omitempty" jsonschema:"dollars as a decimal, such as 12.50; nothing does not limit"`
	Tokens int64             `json:"tokens,omitempty" jsonschema:"in and out together; 0 does not limit"`
}

// Budget is a budget and how it stands.
type Budget struct {
	ID          string            `json:"id"`
	Tenant      decouple.TenantID `json:"tenant"`
	Scope       ledger.Scope      `json:"scope"`
	Name        string            `json:"name,omitempty"`
	Period      ledger.Period     `json:"period"`
	OfKey       bool              `json:"of_key,omitempty" jsonschema:"it is the key's own, which decouple keys change sets"`
	USD         string            `json:"usd,omitempty"`
	Limit       decouple.Money    `json:"limit_nano_usd,omitempty"`
	Tokens      int64             `json:"limit_tokens,omitempty"`
	Window      string            `json:"window"`
	Renews      time.Time         `json:"renews,omitzero"`
	SpentUSD    string            `json:"spent_usd"`
	Spent       decouple.Money    `json:"spent_nano_usd"`
	SpentTokens int64             `json:"spent_tokens"`
	Held        decouple.Money    `json:"held_nano_usd"` // by nodes in slices, what they have spent included
	HeldTokens  int64             `json:"held_tokens"`
}

// BudgetsOf is how budgets stand as the interface shows it.
func BudgetsOf(list []ledger.Standing) []Budget {
	out := []Budget{}
	for _, s := range list {
		b := Budget{ID: s.ID, Tenant: s.Tenant, Scope: s.Scope, Name: s.Name, Period: s.Period, OfKey: strings.HasPrefix(s.ID, keyBudget), Limit: s.Limit.USD, Tokens: s.Limit.Tokens, Window: s.Window, Renews: s.Renews,
			SpentUSD: s.Spent.USD.String(), Spent: s.Spent.USD, SpentTokens: s.Spent.Tokens, Held: s.Held.USD, HeldTokens: s.Held.Tokens}
		if s.Limit.USD > 0 {
			b.USD = s.Limit.USD.String()
		}
		out = append(out, b)
	}
	return out
}

// keyBudget begins the ids of budgets that keys bring with them.
const keyBudget = "key:"

// KeyBudgets are the budgets that a key's scope brings to all its calls.
func KeyBudgets(tenant decouple.TenantID, key string, s *registry.Scope) []ledger.Budget {
	if s == nil {
		return nil
	}
	var out []ledger.Budget
	for _, b := range s.Budgets {
		out = append(out, ledger.Budget{ID: keyBudget + key + ":" + b.Period, Tenant: tenant, Scope: ledger.ForKey, Name: key, Period: ledger.Period(b.Period), Limit: ledger.Amount{USD: b.USD, Tokens: b.Tokens}})
	}
	return out
}

// Ledger is the budget as a ledger keeps it.
func (n NewBudget) Ledger(id string) (ledger.Budget, error) {
	b := ledger.Budget{ID: id, Tenant: n.Tenant, Scope: n.Scope, Name: n.Name, Period: n.Period, Limit: ledger.Amount{Tokens: n.Tokens}}
	if strings.HasPrefix(id, keyBudget) {
		return b, decouple.Errorf(decouple.Invalid, "ids that begin with %s are of the limits that keys bring themselves: change those with `decouple keys change`", keyBudget)
	}
	if n.USD == "" {
		return b, nil
	}
	var err error
	if b.Limit.USD, err = decouple.ParseMoney(n.USD); err != nil {
		return b, decouple.Errorf(decouple.Invalid, "usd: %w", err)
	}
	return b, nil
}

// models is the gateway.
func (c *call) models() (*gateway.Gateway, error) {
	if c.Models == nil {
		return nil, decouple.Errorf(decouple.Unavailable, "this process asks no models: start one with `decouple serve`")
	}
	return c.Models, nil
}

// books is where accounts are kept.
func (c *call) books() (*ledger.Ledger, error) {
	if c.Ledger == nil {
		return nil, decouple.Errorf(decouple.Unavailable, "this process keeps no accounts: start one with `decouple serve`")
	}
	return c.Ledger, nil
}

// meant is the tenant that is asked about: the caller's, or one that the owner of the installation names.
func (c *call) meant(named decouple.TenantID) (decouple.TenantID, error) {
	if named == "" || named == c.tenant() {
		return c.tenant(), nil
	}
	if !c.who.Role.May(registry.RightTenants) {
		return "", decouple.Errorf(decouple.Denied, "tenant: the role %s sees its own tenant only", c.who.Role)
	}
	return named, nil
}

// meantAll is meant, and all tenants to the owner of the installation who names none.
func (c *call) meantAll() (decouple.TenantID, error) {
	named := decouple.TenantID(c.r.URL.Query().Get("tenant"))
	if named == "" && c.who.Role.May(registry.RightTenants) {
		return "", nil
	}
	return c.meant(named)
}

func (c *call) decisions() ([]gateway.Record, error) {
	g, err := c.models()
	if err != nil {
		return nil, err
	}
	tenant, err := c.meant(decouple.TenantID(c.r.URL.Query().Get("tenant")))
	if err != nil {
		return nil, err
	}
	n, err := c.whole("limit", 100, maxPage)
	return g.Recent(tenant, int(max(n, 1))), err
}

func (c *call) decision() (gateway.Record, error) {
	g, err := c.models()
	if err != nil {
		return gateway.Record{}, err
	}
	tenant, err := c.meant(decouple.TenantID(c.r.URL.Query().Get("tenant")))
	if err != nil {
		return gateway.Record{}, err
	}
	return g.Explain(tenant, c.r.PathValue("id"))
}

// usage sums what was used.
func (c *call) usage() (Usage, error) {
	l, err := c.books()
	if err != nil {
		return Usage{}, err
	}
	q := ledger.Query{}
	if q.Tenant, err = c.meantAll(); err != nil {
		return Usage{}, err
	}
	query := c.r.URL.Query()
	for _, by := range query["by"] {
		q.By = append(q.By, ledger.By(by))
	}
	if err := q.Check(); err != nil {
		return Usage{}, err
	}
	for name, into := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if text := query.Get(name); text != "" {
			if *into, err = time.Parse(time.RFC3339, text); err != nil {
				return Usage{}, decouple.Errorf(decouple.Invalid, "%s: %q is not a time such as 2026-01-31T00:00:00Z", name, text)
			}
		}
	}
	rows, err := l.Usage(c.ctx(), q)
	return UsageOf(q, rows), err
}

// budgets lists what is set, and what keys bring.
func (c *call) budgets() ([]Budget, error) {
	l, err := c.books()
	if err != nil {
		return nil, err
	}
	tenant, err := c.meantAll()
	if err != nil {
		return nil, err
	}
	keys, err := c.keyring()
	if err != nil {
		return nil, err
	}
	return Budgets(c.ctx(), l, keys, tenant)
}

func (c *call) setBudget(in NewBudget) (None, error) {
	l, err := c.books()
	if err != nil {
		return None{}, err
	}
	if in.Tenant, err = c.meant(in.Tenant); err != nil {
		return None{}, err
	}
	b, err := in.Ledger(c.r.PathValue("id"))
	if err != nil {
		return None{}, err
	}
	return None{}, l.SetBudget(c.ctx(), b, c.who.Actor)
}

func (c *call) removeBudget() (None, error) {
	l, err := c.books()
	if err != nil {
		return None{}, err
	}
	tenant, err := c.meant(decouple.TenantID(c.r.URL.Query().Get("tenant")))
	if err != nil {
		return None{}, err
	}
	return None{}, l.RemoveBudget(c.ctx(), tenant, c.r.PathValue("id"), c.who.Actor)
}

// changeKey gives a key another scope.
func (c *call) changeKey(in NewScope) (registry.Key, error) {
	k, err := c.keyring()
	if err != nil {
		return registry.Key{}, err
	}
	tenant, err := c.tenantOf(k, c.r.PathValue("id"))
	if err != nil {
		return registry.Key{}, err
	}
	return k.Change(c.ctx(), tenant, c.r.PathValue("id"), in.Scope, c.who.Actor)
}

// NewScope is what a key may do at the gateway from now on.
type NewScope struct {
	Scope *registry.Scope `json:"scope,omitempty" jsonschema:"none takes all limits away"`
}

// Signing is what a key signs requests with, in the manner of AWS. The secret is shown only here.
type Signing struct {
	ID     string `json:"access_key_id"`
	Secret string `json:"secret_access_key"`
}

// signKey lets a key sign.
func (c *call) signKey(None) (Signing, error) {
	k, err := c.keyring()
	if err != nil {
		return Signing{}, err
	}
	id := c.r.PathValue("id")
	tenant, err := c.tenantOf(k, id)
	if err != nil {
		return Signing{}, err
	}
	return Sign(c.ctx(), k, NewSigning{tenant, id, c.Seal, c.who.Actor})
}

// NewSigning says which key is to sign, and how its secret is made and sealed.
type NewSigning struct {
	Tenant decouple.TenantID
	Key    string
	Seal   func(key string) (sealed []byte, secret string, err error)
	By     decouple.Actor
}

// Sign lets a key sign requests, and gives what it signs with.
func Sign(ctx context.Context, k *registry.Keys, n NewSigning) (Signing, error) {
	if n.Seal == nil {
		return Signing{}, decouple.Errorf(decouple.Unavailable, "this process seals no secrets: start one with `decouple serve`")
	}
	sealed, secret, err := n.Seal(n.Key)
	if err != nil {
		return Signing{}, err
	}
	_, err = k.Seal(ctx, n.Tenant, n.Key, sealed, n.By)
	if err != nil {
		return Signing{}, err
	}
	return Signing{n.Key, secret}, nil
}
