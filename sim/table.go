package sim

import (
	"slices"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
)

// Label stands on everything that shows the simulated clouds.
const Label = "calibrated to public figures, not a benchmark of any vendor"

// Row is a cloud in the table of clouds.
type Row struct {
	Name     string     `json:"name"`
	Vendor   Vendor     `json:"vendor"`
	URL      string     `json:"url"` // as an SDK of the vendor wants it
	Protocol string     `json:"protocol"`
	Hardware string     `json:"hardware,omitempty"`
	Regions  []string   `json:"regions"`
	First    string     `json:"ttft"`
	Rate     float64    `json:"tokens_per_second"`
	Models   []RowModel `json:"models"`
}

// RowModel is a model in the table of clouds.
type RowModel struct {
	ID   catalog.ModelID `json:"id"`
	Name string          `json:"name"`
	In   decouple.Money  `json:"in"`  // nano-dollars a million tokens
	Out  decouple.Money  `json:"out"` // likewise
}

// Table lists the clouds as people and programs are shown them.
func (s *Servers) Table() []Row {
	var out []Row
	for _, p := range s.Places() {
		c := p.Cloud
		row := Row{
			Name: c.Name, Vendor: c.Vendor, URL: p.URL + c.Vendor.root(), Protocol: c.Vendor.protocol(), Hardware: c.Hardware, Regions: c.Regions,
			First: c.First.P50.String() + "/" + c.First.P95.String(), Rate: c.Rate,
		}
		for _, m := range c.Models {
			r := RowModel{ID: m.ID, Name: m.Name}
			if _, t := priceAt(m.Prices, s.setup.Start, 0); t != nil {
				r.In, r.Out = t.In, t.Out
			}
			row.Models = append(row.Models, r)
		}
		out = append(out, row)
	}
	return out
}

// root is the path below which a vendor's SDKs want their base URL.
func (v Vendor) root() string {
	switch v {
	case OpenAI, Mantle, Cerebras, Compatible:
		return "/v1"
	case Groq:
		return "/openai/v1"
	case Vertex:
		return "/v1/projects/sim/locations/global"
	}
	return ""
}

func (v Vendor) protocol() string {
	switch v {
	case Azure:
		return "Azure OpenAI (v1, api-version)"
	case Anthropic:
		return "Anthropic Messages"
	case Bedrock:
		return "Bedrock Converse"
	case Gemini, Vertex:
		return "Gemini generateContent"
	case OpenAI:
		return "OpenAI (chat, responses, embeddings)"
	}
	return "OpenAI (chat)"
}

// Environment are the variables by which a program finds the clouds: those that the vendors' own SDKs read. Of two clouds of one vendor the first is named.
func (s *Servers) Environment() []string {
	var out []string
	seen := map[Vendor]bool{}
	for _, p := range s.Places() {
		v := p.Cloud.Vendor
		if seen[v] {
			continue
		}
		seen[v] = true
		url := p.URL + v.root()
		switch v {
		case OpenAI:
			out = append(out, "OPENAI_BASE_URL="+url, "OPENAI_API_KEY=sim")
		case Azure:
			out = append(out, "AZURE_OPENAI_ENDPOINT="+url, "AZURE_OPENAI_API_KEY=sim")
		case Anthropic:
			out = append(out, "ANTHROPIC_BASE_URL="+url, "ANTHROPIC_API_KEY=sim")
		case Bedrock:
			out = append(out, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME="+url, "AWS_BEARER_TOKEN_BEDROCK=sim", "AWS_REGION="+p.Cloud.Regions[0])
		case Gemini:
			out = append(out, "GOOGLE_GEMINI_BASE_URL="+url, "GEMINI_API_KEY=sim")
		case Cerebras:
			out = append(out, "CEREBRAS_BASE_URL="+p.URL, "CEREBRAS_API_KEY=sim")
		case Groq:
			out = append(out, "GROQ_BASE_URL="+p.URL, "GROQ_API_KEY=sim")
		case Compatible:
			out = append(out, "VLLM_BASE_URL="+url)
		}
	}
	return out
}

// Place gives the URL of a cloud, without the path of an interface; false is that there is no such cloud.
func (s *Servers) Place(cloud string) (string, bool) {
	all := s.Places()
	i := slices.IndexFunc(all, func(p Place) bool { return p.Cloud.Name == cloud })
	if i < 0 {
		return "", false
	}
	return all[i].URL, true
}
