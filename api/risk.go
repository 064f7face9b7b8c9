package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/risk/exposure"
	"decouple.dev/decouple/risk/parity"
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

// ParityDesk runs parity evaluations and knows what came of them.
type ParityDesk interface {
	Evaluate(ctx context.Context, tenant decouple.TenantID, q ParityQuery, by decouple.Actor) ([]parity.Report, error)
	Latest(ctx context.Context, tenant decouple.TenantID) ([]parity.Report, error)
}

// ParityQuery says which endpoints are compared, and how.
type ParityQuery struct {
	Primary    catalog.EndpointID   `json:"primary"`
	Alternates []catalog.EndpointID `json:"alternates"`
	File       string               `json:"file,omitempty" jsonschema:"the name of the file of cases, for errors and for the report"`
	Cases      string               `json:"cases,omitempty" jsonschema:"a file of cases: YAML, as docs/risk.md describes it; without it, those that ship"`
	Class      string               `json:"class,omitempty" jsonschema:"of the work as which it is asked: contracts judge it"`
	Labels     []string             `json:"labels,omitempty" jsonschema:"of the data, likewise"`
	Team       string               `json:"-"` // of the caller's key
	Caller     string               `json:"-"` // that key's id
	Repeats    int                  `json:"repeats,omitempty" jsonschema:"of every case; 1"`
	Parallel   int                  `json:"parallel,omitempty" jsonschema:"cases at once; 4"`
	Margin     float64              `json:"margin,omitempty" jsonschema:"how much worse an alternate may be, as a share; 0.1"`
	Seed       uint64               `json:"seed,omitempty" jsonschema:"of the bootstrap"`
}

// ParityReport is what an evaluation has found of one alternate.
type ParityReport struct{ parity.Report }

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
		tell(http.MethodPost, "/api/v1/parity", registry.RightRun, "Gives a primary and its alternates the same cases and compares what they do: it answers when all are asked, and costs what the calls cost", func(c *call, q ParityQuery) ([]ParityReport, error) {
			if c.Parity == nil {
				return nil, errNoRisk
			}
			q.Labels, q.Team, q.Caller = c.labelled(q.Labels), c.team(), c.who.Key
			list, err := c.Parity.Evaluate(c.ctx(), c.tenant(), q, c.who.Actor)
			return reportsOf(list), err
		}),
		ask("/api/v1/parity", registry.RightRead, "Lists the newest parity report for every pair of primary and alternate", func(c *call) ([]ParityReport, error) {
			if c.Parity == nil {
				return nil, errNoRisk
			}
			list, err := c.Parity.Latest(c.ctx(), c.tenant())
			return reportsOf(list), err
		}),
	}
}

// errNoRisk is of a process that asks no models.
var errNoRisk = decouple.Errorf(decouple.Unavailable, "this process cannot assess risk: start one with `decouple serve`")

func reportsOf(list []parity.Report) []ParityReport {
	out := []ParityReport{}
	for _, r := range list {
		out = append(out, ParityReport{r})
	}
	return out
}

func (c *call) risk(q RiskQuery) (Exposure, error) {
	if c.Risk == nil {
		return Exposure{}, errNoRisk
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

// EvaluateParity compares endpoints by the same cases. It takes as long as all the calls do.
func (c *Client) EvaluateParity(ctx context.Context, q ParityQuery, by decouple.Actor) ([]parity.Report, error) {
	list, err := post[[]ParityReport](ctx, c, request{path: "/api/v1/parity", by: by}, q)
	return plainReports(list), err
}

// ParityReports lists the newest report for every pair.
func (c *Client) ParityReports(ctx context.Context) ([]parity.Report, error) {
	list, err := get[[]ParityReport](ctx, c, "/api/v1/parity", nil)
	return plainReports(list), err
}

func plainReports(list []ParityReport) []parity.Report {
	out := []parity.Report{}
	for _, r := range list {
		out = append(out, r.Report)
	}
	return out
}
