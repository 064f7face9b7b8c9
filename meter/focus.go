package meter

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"decouple.dev/decouple"
)

// FocusVersion is the version of the FinOps Open Cost and Usage Specification that [Focus] writes.
const FocusVersion = "1.2"

// Charge is what one endpoint used for a call, as a cost export has it.
type Charge struct {
	At       time.Time
	Tenant   decouple.TenantID
	Key      string
	Team     string
	Agent    decouple.AgentName
	Class    string // of the workload
	Provider string // who sells it
	Account  string // whose credential it was called with
	Lab      string // who made the model
	Cloud    string
	Region   string
	Model    string
	Endpoint string
	Source   string // of the figures: reported, recovered, estimated, unknown
	Usage    decouple.Usage
	Unpriced bool // the cost is not known, and zero stands for it
}

// FocusRow is a row of the export: the charges of a day that have everything else in common.
type FocusRow struct {
	Charge   // At is the day; Usage is the sum
	Calls    int64
	Unpriced int64 // charges whose cost is not known
}

// Focus sums charges to the rows of a FOCUS export. The sum of BilledCost over all rows is that of the charges, to the nano-dollar. The zero value is empty.
type Focus struct{ rows map[Charge]*FocusRow }

// Add adds a charge.
func (f *Focus) Add(c Charge) {
	if f.rows == nil {
		f.rows = map[Charge]*FocusRow{}
	}
	k := c
	k.At, k.Usage, k.Unpriced = day(c.At), decouple.Usage{}, false
	r := f.rows[k]
	if r == nil {
		r = &FocusRow{Charge: k}
		f.rows[k] = r
	}
	r.Calls++
	r.Usage = r.Usage.Add(c.Usage)
	if c.Unpriced {
		r.Unpriced++
	}
}

func day(t time.Time) time.Time {
	y, m, d := t.UTC().Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// Rows are the rows, by day and then by what they are of.
func (f *Focus) Rows() []FocusRow {
	rows := make([]FocusRow, 0, len(f.rows))
	for _, r := range f.rows {
		rows = append(rows, *r)
	}
	slices.SortFunc(rows, func(a, b FocusRow) int {
		return cmp.Or(a.At.Compare(b.At), slices.Compare(a.names(), b.names()))
	})
	return rows
}

func (r *FocusRow) names() []string {
	return []string{string(r.Tenant), r.Provider, r.Account, r.Endpoint, r.Model, r.Team, r.Key, string(r.Agent), r.Class, r.Lab, r.Cloud, r.Region, r.Source}
}

// focusColumn is a column: its id, and what stands in it.
type focusColumn struct {
	id   string
	cell func(*FocusRow) string
}

// null is what stands where there is nothing: FOCUS knows no empty texts and no zeros for what is not known.
func null(*FocusRow) string { return "" }

func always(s string) func(*FocusRow) string { return func(*FocusRow) string { return s } }

func cost(r *FocusRow) string { return r.Usage.Cost.String() }

func tokens(r *FocusRow) string { return number(r.Usage.TokensIn + r.Usage.TokensOut) }

func number(n int64) string { return strconv.FormatInt(n, 10) }

func stamp(t time.Time) string { return t.Format("2006-01-02T15:04:05Z") }

// focusColumns are all 57 columns of FOCUS 1.2 by their ids, and behind them those of ours.
func focusColumns() []focusColumn {
	month := func(r *FocusRow, n int) string {
		y, m, _ := r.At.Date()
		return stamp(time.Date(y, m+time.Month(n), 1, 0, 0, 0, 0, time.UTC))
	}
	return append([]focusColumn{
		{"AvailabilityZone", null}, {"BilledCost", cost},
		{"BillingAccountId", func(r *FocusRow) string { return cmp.Or(r.Account, r.Provider, "local") }}, {"BillingAccountName", func(r *FocusRow) string { return r.Account }},
		{"BillingAccountType", null}, {"BillingCurrency", always("USD")},
		{"BillingPeriodEnd", func(r *FocusRow) string { return month(r, 1) }}, {"BillingPeriodStart", func(r *FocusRow) string { return month(r, 0) }},
		{"CapacityReservationId", null}, {"CapacityReservationStatus", null},
		{"ChargeCategory", always("Usage")}, {"ChargeClass", null}, {"ChargeDescription", func(r *FocusRow) string {
			return "Tokens of " + cmp.Or(r.Model, "a model that is not known") + " at " + cmp.Or(r.Endpoint, "no endpoint")
		}},
		{"ChargeFrequency", always("Usage-Based")},
		{"ChargePeriodEnd", func(r *FocusRow) string { return stamp(r.At.AddDate(0, 0, 1)) }}, {"ChargePeriodStart", func(r *FocusRow) string { return stamp(r.At) }},
		{"CommitmentDiscountCategory", null}, {"CommitmentDiscountId", null}, {"CommitmentDiscountName", null}, {"CommitmentDiscountQuantity", null}, {"CommitmentDiscountStatus", null},
		{"CommitmentDiscountType", null}, {"CommitmentDiscountUnit", null},
		{"ConsumedQuantity", tokens}, {"ConsumedUnit", always("Tokens")}, {"ContractedCost", cost}, {"ContractedUnitPrice", null}, {"EffectiveCost", cost},
		{"InvoiceId", null}, {"InvoiceIssuerName", func(r *FocusRow) string { return cmp.Or(r.Provider, "local") }}, {"ListCost", cost}, {"ListUnitPrice", null},
		{"PricingCategory", always("Standard")}, {"PricingCurrency", always("USD")}, {"PricingCurrencyContractedUnitPrice", null}, {"PricingCurrencyEffectiveCost", cost}, {"PricingCurrencyListUnitPrice", null},
		{"PricingQuantity", tokens}, {"PricingUnit", always("Tokens")},
		{"ProviderName", func(r *FocusRow) string { return cmp.Or(r.Provider, "local") }}, {"PublisherName", func(r *FocusRow) string { return cmp.Or(r.Lab, r.Provider, "local") }},
		{"RegionId", func(r *FocusRow) string { return r.Region }}, {"RegionName", func(r *FocusRow) string { return r.Region }},
		{"ResourceId", func(r *FocusRow) string { return r.Endpoint }}, {"ResourceName", func(r *FocusRow) string { return r.Endpoint }}, {"ResourceType", always("Model Endpoint")},
		{"ServiceCategory", always("AI and Machine Learning")}, {"ServiceName", func(r *FocusRow) string { return cmp.Or(r.Model, "not known") }}, {"ServiceSubcategory", always("Generative AI")},
		{"SkuId", func(r *FocusRow) string { return cmp.Or(r.Provider, "local") + "/" + r.Model }}, {"SkuMeter", always("Tokens")}, {"SkuPriceDetails", null},
		{"SkuPriceId", func(r *FocusRow) string { return cmp.Or(r.Provider, "local") + "/" + r.Model }},
		{"SubAccountId", func(r *FocusRow) string { return string(r.Tenant) }}, {"SubAccountName", func(r *FocusRow) string { return string(r.Tenant) }}, {"SubAccountType", always("Tenant")},
		{"Tags", (*FocusRow).tags},
	}, ownColumns()...)
}

// ownColumns are the columns that FOCUS does not have.
func ownColumns() []focusColumn {
	return []focusColumn{
		{"x_Agent", func(r *FocusRow) string { return string(r.Agent) }}, {"x_BilledCostNanoUsd", func(r *FocusRow) string { return number(int64(r.Usage.Cost)) }},
		{"x_Calls", func(r *FocusRow) string { return number(r.Calls) }}, {"x_Cloud", func(r *FocusRow) string { return r.Cloud }}, {"x_Endpoint", func(r *FocusRow) string { return r.Endpoint }},
		{"x_FigureSource", func(r *FocusRow) string { return r.Source }}, {"x_Key", func(r *FocusRow) string { return r.Key }}, {"x_Model", func(r *FocusRow) string { return r.Model }},
		{"x_ModelLab", func(r *FocusRow) string { return r.Lab }}, {"x_Team", func(r *FocusRow) string { return r.Team }}, {"x_Tenant", func(r *FocusRow) string { return string(r.Tenant) }},
		{"x_TokensCacheWrite", func(r *FocusRow) string { return number(r.Usage.CacheWrite) }}, {"x_TokensCacheWriteLong", func(r *FocusRow) string { return number(r.Usage.CacheLong) }},
		{"x_TokensCached", func(r *FocusRow) string { return number(r.Usage.Cached) }}, {"x_TokensIn", func(r *FocusRow) string { return number(r.Usage.TokensIn) }},
		{"x_TokensOut", func(r *FocusRow) string { return number(r.Usage.TokensOut) }}, {"x_TokensThought", func(r *FocusRow) string { return number(r.Usage.Thought) }},
		{"x_UnpricedCharges", func(r *FocusRow) string { return number(r.Unpriced) }}, {"x_WorkloadClass", func(r *FocusRow) string { return r.Class }},
	}
}

// tags are who it was for, as a JSON object; empty is null.
func (r *FocusRow) tags() string {
	tags := map[string]string{}
	for k, v := range map[string]string{"agent": string(r.Agent), "key": r.Key, "team": r.Team, "workload_class": r.Class} {
		if v != "" {
			tags[k] = v
		}
	}
	if len(tags) == 0 {
		return ""
	}
	b, err := json.Marshal(tags)
	if err != nil {
		return ""
	}
	return string(b)
}

// FocusColumns are the ids of the columns: those of FOCUS 1.2 in alphabetical order, and behind them ours, which begin with x_.
func FocusColumns() []string {
	var ids []string
	for _, c := range focusColumns() {
		ids = append(ids, c.id)
	}
	return ids
}

// Cells are what stands in the columns; an empty one is null.
func (r *FocusRow) Cells() []string {
	var cells []string
	for _, c := range focusColumns() {
		cells = append(cells, c.cell(r))
	}
	return cells
}
