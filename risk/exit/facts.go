package exit

import (
	"cmp"
	"context"
	"encoding/csv"
	"maps"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/meter"
)

// Flow is calls that have everything but their time in common: what was sent where.
type Flow struct {
	Tenant   decouple.TenantID `json:"tenant"`
	Class    string            `json:"class,omitempty"`
	Agent    string            `json:"agent,omitempty"`
	Labels   []string          `json:"labels,omitempty"` // of the data
	Endpoint string            `json:"endpoint"`
	Provider string            `json:"provider"` // who sells it; empty is that the catalog does not know the endpoint any more
	Account  string            `json:"account,omitempty"`
	Cloud    string            `json:"cloud,omitempty"`
	Region   string            `json:"region,omitempty"`
	Geo      string            `json:"geo,omitempty"`
	Model    string            `json:"model,omitempty"`
	Lab      string            `json:"lab,omitempty"`
	Calls    int64             `json:"calls"`
	Spend    decouple.Money    `json:"spend_nano_usd"`
	Year     decouple.Money    `json:"spend_year_nano_usd"` // of the twelve months before now
	First    time.Time         `json:"first"`
	Last     time.Time         `json:"last"`
}

// here says that the model runs in this program: no third party is asked.
func (f *Flow) here() bool { return f.Provider == "builtin" }

// where is what the catalog knows of an endpoint.
func where(cat *catalog.Catalog, endpoint, model string) Flow {
	f := Flow{Endpoint: endpoint, Model: model}
	if ep, ok := cat.Endpoints[catalog.EndpointID(endpoint)]; ok {
		p := gateway.PlaceOf(cat, ep)
		f.Provider, f.Account, f.Cloud, f.Region, f.Geo, f.Lab = ep.Provider, ep.Account, p.Cloud, p.Region, p.Geo, p.Lab
		f.Model = cmp.Or(f.Model, p.Model)
	} else if provider, _, ok := strings.Cut(endpoint, "/"); ok {
		f.Provider = provider // endpoints are named provider/account/...
	}
	if f.here() {
		f.Geo = "this machine"
	}
	if f.Lab == "" {
		f.Lab = cat.Models[catalog.ModelID(f.Model)].Lab
	}
	return f
}

// Flows sums the recorded calls of a span by what was sent where, in an order that does not change.
func Flows(ctx context.Context, log journal.Reader, cat *catalog.Catalog, span ledger.Span, now time.Time) ([]Flow, error) {
	sums := map[string]*Flow{}
	err := ledger.Calls(ctx, log, span, func(c ledger.Recorded) error {
		for _, l := range c.Lines {
			key := strings.Join(append([]string{string(c.Tenant), c.Class, string(c.Agent), l.Endpoint, l.Model}, c.Labels...), "\x00")
			f := sums[key]
			if f == nil {
				at := where(cat, l.Endpoint, l.Model)
				f = &at
				f.Tenant, f.Class, f.Agent, f.Labels, f.First = c.Tenant, c.Class, string(c.Agent), slices.Clone(c.Labels), c.At
				sums[key] = f
			}
			f.Calls++
			f.Spend += l.Usage.Cost
			if c.At.After(now.AddDate(-1, 0, 0)) {
				f.Year += l.Usage.Cost
			}
			if c.At.Before(f.First) {
				f.First = c.At
			}
			if c.At.After(f.Last) {
				f.Last = c.At
			}
		}
		return nil
	})
	keys := slices.Sorted(maps.Keys(sums))
	out := make([]Flow, len(keys))
	for i, k := range keys {
		out[i] = *sums[k]
	}
	return out, err
}

// Charges sums the recorded calls of a span to the rows of a FOCUS export.
func Charges(ctx context.Context, log journal.Reader, cat *catalog.Catalog, span ledger.Span) ([]meter.FocusRow, error) {
	var f meter.Focus
	known := map[[2]string]Flow{}
	err := ledger.Calls(ctx, log, span, func(c ledger.Recorded) error {
		for _, l := range c.Lines {
			k := [2]string{l.Endpoint, l.Model}
			at, ok := known[k]
			if !ok {
				at = where(cat, l.Endpoint, l.Model)
				known[k] = at
			}
			f.Add(meter.Charge{
				At: c.At, Tenant: c.Tenant, Key: c.Key, Team: c.Team, Agent: c.Agent, Class: c.Class, Provider: at.Provider, Account: at.Account, Lab: at.Lab, Cloud: at.Cloud, Region: at.Region,
				Model: at.Model, Endpoint: l.Endpoint, Source: string(l.Source), Usage: l.Usage, Unpriced: l.Unpriced,
			})
		}
		return nil
	})
	return f.Rows(), err
}

// WriteFocus writes the head and the rows of a FOCUS export.
func WriteFocus(w *csv.Writer, rows []meter.FocusRow) error {
	if err := w.Write(meter.FocusColumns()); err != nil {
		return err
	}
	for i := range rows {
		cells := rows[i].Cells()
		for j, c := range cells {
			cells[j] = plainCell(c)
		}
		if err := w.Write(cells); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}
