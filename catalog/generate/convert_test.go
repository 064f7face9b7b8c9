package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
)

// TestConvert turns the package's forms of price into the catalog's: plain, by tokens read, from a day on, by the hour of the day.
func TestConvert(t *testing.T) {
	t.Parallel()
	all := map[string]json.RawMessage{}
	for _, s := range sellers() {
		all[s.theirs] = json.RawMessage(`[{"id":"plain","prices":{"input_mtok":0.003625,"output_mtok":2}}]`)
	}
	all["openai"] = json.RawMessage(`[
		{"id":"long","prices":{"input_mtok":{"base":2.5,"tiers":[{"start":271999,"price":5}]},"cache_read_mtok":{"base":0.25,"tiers":[{"start":271999,"price":0.5}]},"output_mtok":15}},
		{"id":"cut","prices":[{"prices":{"input_mtok":1,"output_mtok":6}},{"constraint":{"type":"start_date","start_date":"2026-07-30"},"prices":{"input_mtok":0.2,"output_mtok":1.2}},
			{"constraint":{"type":"time_of_date","start_time":"01:00:00Z"},"prices":{"input_mtok":0.4,"output_mtok":1.1}}]},
		{"id":"embed","prices":{"input_mtok":0.02}},
		{"id":"old","deprecated":true,"prices":{"input_mtok":1,"output_mtok":1}},
		{"id":"nothing","prices":{}}]`)
	all["aws"] = json.RawMessage(`[{"id":"regional.anthropic.claude-x-v1:0","prices":{"input_mtok":3.3,"cache_write_mtok":4.125,"output_mtok":16.5}}]`)
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC)
	file, err := convert(data, "test 1.0", now)
	if err != nil {
		t.Fatal(err)
	}
	o, err := catalog.ParseOverlay(file)
	if err != nil {
		t.Fatal(err)
	}
	if !o.Date.Equal(now.Truncate(24 * time.Hour)) {
		t.Errorf("dated %s", o.Date)
	}
	const usd = decouple.USD
	if p := o.Prices["openai/long"]; len(p) != 1 || len(p[0].Tiers) != 2 || p[0].Tiers[1] != (catalog.Tier{Above: 272_000, In: 5 * usd, Cached: usd / 2, CacheWrite: 5 * usd, CacheLong: 5 * usd, Out: 15 * usd}) || p[0].Source != "test 1.0" {
		t.Errorf("by tokens read: %+v", p)
	}
	if p := o.Prices["openai/cut"]; len(p) != 2 || p[0].Tiers[0].In != usd || p[1].Tiers[0].In != usd*4/10 || p[1].Tiers[0].Out != usd*12/10 {
		t.Errorf("from a day on, the dearest of it: %+v", p)
	}
	if p := o.Prices["openai/embed"]; len(p) != 1 || p[0].Tiers[0].Out != 0 || p[0].Tiers[0].In != usd/50 {
		t.Errorf("what only reads: %+v", p)
	}
	if p := o.Prices["groq/plain"]; len(p) != 1 || p[0].Tiers[0].In != 3_625_000 {
		t.Errorf("no digit is lost: %+v", p)
	}
	if p := o.Prices["bedrock/anthropic.claude-x"]; len(p) != 1 || p[0].Tiers[0].CacheLong != usd*66/10 {
		t.Errorf("an hour of Claude's cache: %+v", p)
	}
	for _, gone := range []string{"openai/old", "openai/nothing"} {
		if _, there := o.Prices[gone]; there {
			t.Errorf("%s was to be left out", gone)
		}
	}
	delete(all, "groq")
	if data, err = json.Marshal(all); err != nil {
		t.Fatal(err)
	}
	if _, err := convert(data, "x", now); err == nil || !strings.Contains(err.Error(), "groq") {
		t.Errorf("a provider that is gone: %v", err)
	}
}
