package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
)

// seller is a provider, as the package and as the catalog names it.
type seller struct{ theirs, ours string }

func sellers() []seller {
	return []seller{
		{"openai", "openai"}, {"azure", "azure"}, {"anthropic", "anthropic"}, {"google", "gemini"}, {"aws", "bedrock"}, {"cerebras", "cerebras"}, {"groq", "groq"}, {"deepseek", "deepseek"},
		{"mistral", "mistral"}, {"x-ai", "xai"},
	}
}

// model is a model of the package.
type model struct {
	ID         string          `json:"id"`
	Deprecated bool            `json:"deprecated"`
	Prices     json.RawMessage `json:"prices"`
}

// conditional is a price that holds from a day on, or at some hours of the day.
type conditional struct {
	Constraint *struct {
		Type string `json:"type"`
		From string `json:"start_date"`
	} `json:"constraint"`
	Prices map[string]json.RawMessage `json:"prices"`
}

// rising is a price that changes with the tokens that are read.
type rising struct {
	Base  json.Number `json:"base"`
	Tiers []struct {
		Start int64       `json:"start"`
		Price json.Number `json:"price"`
	} `json:"tiers"`
}

// tier and price are written in the form that catalog.ParseOverlay reads.
type tier struct {
	Above  int64  `json:"above,omitempty"`
	In     string `json:"in"`
	Cached string `json:"cached,omitempty"`
	Write  string `json:"cache_write,omitempty"`
	Long   string `json:"cache_long,omitempty"`
	Out    string `json:"out"`
}

type price struct {
	From string `json:"from,omitempty"`
	tier
	Tiers []tier `json:"tiers,omitempty"`
}

var versionSuffix = regexp.MustCompile(`(-v\d+)?:\d+$|-v\d+$`)

// convert gives the file. A model without a price of what it reads is left out: nothing is known of it.
func convert(data []byte, source string, now time.Time) ([]byte, error) {
	all := map[string][]model{}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	lines := map[string][]byte{}
	for _, s := range sellers() {
		if len(all[s.theirs]) == 0 {
			return nil, fmt.Errorf("the package has no provider %s", s.theirs)
		}
		for _, m := range all[s.theirs] {
			list, err := pricesOf(m)
			if err != nil {
				return nil, fmt.Errorf("%s/%s: %w", s.theirs, m.ID, err)
			}
			if m.Deprecated || len(list) == 0 || strings.HasSuffix(m.ID, ":free") {
				continue
			}
			key := s.ours + "/" + m.ID
			if s.ours == "bedrock" {
				key = s.ours + "/" + versionSuffix.ReplaceAllString(strings.TrimPrefix(m.ID, "regional."), "")
			}
			b, err := json.Marshal(list)
			if err != nil {
				return nil, err
			}
			lines[key] = b
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "{\"date\": %q, \"source\": %q, \"prices\": {\n", now.Format(time.DateOnly), source)
	for i, key := range slices.Sorted(maps.Keys(lines)) {
		if i > 0 {
			out.WriteString(",\n")
		}
		fmt.Fprintf(&out, "%q: %s", key, lines[key])
	}
	out.WriteString("\n}}\n")
	return out.Bytes(), nil
}

// pricesOf reads a price, or a list of prices under conditions. Of prices that change with the hour of the day the highest is kept, so that no budget is passed.
func pricesOf(m model) ([]price, error) {
	var list []conditional
	if bytes.HasPrefix(bytes.TrimSpace(m.Prices), []byte("[")) {
		if err := json.Unmarshal(m.Prices, &list); err != nil {
			return nil, err
		}
	} else {
		var one map[string]json.RawMessage
		if err := json.Unmarshal(m.Prices, &one); err != nil {
			return nil, err
		}
		list = []conditional{{Prices: one}}
	}
	var out []price
	for _, c := range list {
		p, ok, err := priceOf(c.Prices, strings.Contains(m.ID, "claude"))
		if err != nil || !ok {
			return nil, err
		}
		switch {
		case c.Constraint == nil:
			out = append(out, p)
		case c.Constraint.Type == "start_date":
			p.From = c.Constraint.From
			out = append(out, p)
		case len(out) > 0:
			last := &out[len(out)-1]
			if last.tier, err = higher(last.tier, p.tier); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func higher(a, b tier) (tier, error) {
	for _, f := range []struct{ to, other *string }{{&a.In, &b.In}, {&a.Cached, &b.Cached}, {&a.Write, &b.Write}, {&a.Long, &b.Long}, {&a.Out, &b.Out}} {
		if *f.other == "" {
			continue
		}
		x, errX := decouple.ParseMoney(*f.other)
		y, errY := decouple.ParseMoney("0" + *f.to)
		if errX != nil || errY != nil {
			return a, fmt.Errorf("%q and %q cannot be compared", *f.to, *f.other)
		}
		if x > y {
			*f.to = *f.other
		}
	}
	return a, nil
}

// priceOf puts together what the package has by field.
func priceOf(fields map[string]json.RawMessage, claude bool) (price, bool, error) {
	read := map[string]rising{}
	starts := map[int64]bool{}
	for _, name := range []string{"input_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok", "output_mtok"} {
		raw, ok := fields[name]
		if !ok {
			continue
		}
		var r rising
		if json.Unmarshal(raw, &r.Base) != nil {
			if err := json.Unmarshal(raw, &r); err != nil {
				return price{}, false, fmt.Errorf("%s: %w", name, err)
			}
		}
		for _, t := range r.Tiers {
			starts[t.Start] = true
		}
		read[name] = r
	}
	if read["input_mtok"].Base == "" {
		return price{}, false, nil
	}
	p := price{tier: tierAt(read, 0, claude)}
	for _, s := range slices.Sorted(maps.Keys(starts)) {
		p.Tiers = append(p.Tiers, tierAt(read, s, claude))
	}
	return p, true, nil
}

// tierAt is the price of a call that reads more than a number of tokens. The package's 271,999 is the vendor's "over 272,000".
func tierAt(read map[string]rising, above int64, claude bool) tier {
	at := func(name string) string {
		r := read[name]
		v := r.Base
		for _, t := range r.Tiers {
			if t.Start <= above {
				v = t.Price
			}
		}
		return v.String()
	}
	t := tier{Above: above, In: at("input_mtok"), Cached: at("cache_read_mtok"), Write: at("cache_write_mtok"), Long: at("cache_write_1h_mtok"), Out: at("output_mtok")}
	if t.Out == "" {
		t.Out = "0" // what only reads, such as an embedding
	}
	if claude && t.Long == "" && t.Write != "" {
		t.Long = twice(t.In) // for an hour Claude's cache costs twice what is read, wherever it runs
	}
	if above == 271_999 {
		t.Above = 272_000
	}
	return t
}

func twice(s string) string {
	m, err := decouple.ParseMoney(s)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix((2 * m).String(), ".00")
}
