package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/risk/exposure"
)

// RiskFunc assesses what the calls of a tenant hang on.
type RiskFunc func(ctx context.Context, tenant decouple.TenantID, q RiskQuery) (exposure.Report, error)

// RiskQuery says what is assessed.
type RiskQuery struct {
	Since time.Time `json:"since,omitzero" jsonschema:"calls from then on; without it, all"`
	File  string    `json:"file,omitempty" jsonschema:"the name of the file of facts, for errors"`
	Facts string    `json:"facts,omitempty" jsonschema:"a file of facts that is laid over those of the server: YAML, as docs/risk.md describes it"`
}

// Exposure is what calls hang on.
type Exposure struct{ exposure.Report }

// riskRoutes are what is asked of risk.
func riskRoutes() []route {
	return []route{
		ask("/api/v1/risk", registry.RightRead, "Says what the calls of models hang on, how concentrated they are, what is lost without each, and grades vendors and critical workloads", func(c *call) (Exposure, error) {
			var q RiskQuery
			if text := c.r.URL.Query().Get("since"); text != "" {
				var err error
				if q.Since, err = time.Parse(time.RFC3339, text); err != nil {
					return Exposure{}, decouple.Errorf(decouple.Invalid, "since: %q is not a time such as 2026-01-31T00:00:00Z", text)
				}
			}
			return c.risk(q)
		}, param{"since", "string", "a time in RFC 3339: calls from then on"}, ofTenant),
		tell(http.MethodPost, "/api/v1/risk", registry.RightRead, "The same, under facts that are given: who stands behind whom, and how critical workloads are", (*call).risk),
	}
}

func (c *call) risk(q RiskQuery) (Exposure, error) {
	if c.Risk == nil {
		return Exposure{}, decouple.Errorf(decouple.Unavailable, "this process cannot assess risk: start one with `decouple serve`")
	}
	tenant, err := c.meant(decouple.TenantID(c.r.URL.Query().Get("tenant")))
	if err != nil {
		return Exposure{}, err
	}
	r, err := c.Risk(c.ctx(), tenant, q)
	return Exposure{r}, err
}

// Risk says what the calls of models hang on.
func (c *Client) Risk(ctx context.Context, q RiskQuery) (exposure.Report, error) {
	if q.Facts == "" {
		query := url.Values{}
		if !q.Since.IsZero() {
			query.Set("since", q.Since.UTC().Format(time.RFC3339))
		}
		r, err := get[Exposure](ctx, c, "/api/v1/risk", query)
		return r.Report, err
	}
	r, err := post[Exposure](ctx, c, request{path: "/api/v1/risk"}, q)
	return r.Report, err
}
