package placement_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple/placement"
)

// read reads the contracts of a folder, in the order of their names.
func read(t testing.TB, dir string) []placement.Contract {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no contracts in %s: %v", dir, err)
	}
	var all []placement.Contract
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		c, err := placement.Parse(filepath.Base(f), b)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

func date(t testing.TB, s string) time.Time {
	t.Helper()
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func at(t testing.TB, asOf, known string) placement.Moment {
	m := placement.Moment{AsOf: date(t, asOf)}
	if known != "" {
		m.Known = date(t, known)
	}
	return m
}

func policy(t testing.TB, b placement.Book, m placement.Moment) *placement.Policy {
	t.Helper()
	p, err := placement.Compile(b, m)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const history = "../examples/contracts"

var (
	bedrock = placement.Place{ID: "bedrock/us-east-2/gpt-5.5", Vendor: "bedrock", Cloud: "aws", Region: "us-east-2", Geo: "us", Model: "gpt-5.5", Lab: "openai"}
	azure   = placement.Place{ID: "azure/swedencentral/gpt-5.4", Vendor: "azure", Cloud: "azure", Region: "swedencentral", Geo: "eu", Model: "gpt-5.4", Lab: "openai"}
	third   = placement.Place{ID: "gcp/gpt-5.4", Vendor: "vertex", Cloud: "gcp", Region: "us-central1", Geo: "us", Model: "gpt-5.4", Lab: "openai"}
)

// golden are the cases that are public history.
var golden = []struct {
	asOf, class string
	place       placement.Place
	verdict     placement.Verdict
	needs       string
	clause      string // that decides
	labels      []string
}{
	{"2024-06-01", "stateless_api", bedrock, placement.Deny, "", "openai-microsoft/api-exclusive-2019", nil},
	{"2025-01-25", "new_capacity", third, placement.Deny, "ROFR waiver", "openai-microsoft/capacity-rofr", nil},
	{"2025-01-25", "new_capacity", azure, placement.Allow, "", "openai-microsoft/capacity-rofr", nil},
	{"2025-02-01", "stateless_api", bedrock, placement.Deny, "", "openai-microsoft/api-exclusive-2025", nil},
	{"2025-11-15", "new_capacity", third, placement.Allow, "", "openai-microsoft/capacity-free", nil},
	{"2025-12-01", "stateless_api", bedrock, placement.Allow, "", "openai-microsoft/api-national-security", []string{"us-national-security"}},
	{"2025-12-01", "product", bedrock, placement.Allow, "", "openai-microsoft/products-non-api", nil},
	{"2026-05-10", "stateless_api", azure, placement.Allow, "", "openai-microsoft/microsoft-licence", nil},
	{"2025-11-15", "new_capacity", bedrock, placement.Allow, "", "openai-aws/aws-capacity", nil},
	{"2025-12-01", "stateless_api", bedrock, placement.Deny, "", "openai-microsoft/api-exclusive-2025b", nil},
	{"2025-12-01", "stateless_api", azure, placement.Allow, "", "openai-microsoft/api-exclusive-2025b", nil},
	{"2026-02-26", "stateful_runtime", bedrock, placement.Unknown, "", "openai-microsoft/api-exclusive-2025b", nil},
	{"2026-03-01", "agent_platform", third, placement.Deny, "", "openai-aws/frontier-distribution", nil},
	{"2026-03-01", "agent_platform", azure, placement.Allow, "", "openai-aws/frontier-distribution", nil},
	{"2026-03-21", "stateful_runtime", bedrock, placement.Disputed, "sign-off", "openai-aws/stateful-runtime", nil},
	{"2026-03-21", "stateless_api", bedrock, placement.Deny, "", "openai-microsoft/api-exclusive-2025b", nil},
	{"2026-04-28", "stateful_runtime", bedrock, placement.Allow, "", "openai-aws/bedrock", nil},
	{"2026-04-28", "stateless_api", bedrock, placement.Allow, "", "openai-aws/bedrock", nil},
	{"2026-05-10", "product", bedrock, placement.Deny, "first_ship exception", "openai-microsoft/ships-first", nil},
	{"2026-05-10", "product", azure, placement.Allow, "", "openai-microsoft/ships-first", nil},
	{"2026-05-10", "stateful_runtime", third, placement.Allow, "", "openai-microsoft/any-cloud", nil},
	{"2027-01-01", "batch", bedrock, placement.Unknown, "", "openai-aws/aws-capacity", nil},
}

// TestGolden asks each case by what was known on its day, by what is known in the end, and by everything.
func TestGolden(t *testing.T) {
	t.Parallel()
	book := placement.Book{Contracts: read(t, history)}
	for _, c := range golden {
		for _, known := range []string{c.asOf, "2027-06-01", ""} {
			p := policy(t, book, at(t, c.asOf, known))
			r := p.Judge(&placement.Need{Action: placement.CallModel, Class: c.class, Labels: c.labels}, &c.place)
			if r.Verdict != c.verdict || strings.Join(r.Needs, ",") != c.needs {
				t.Errorf("%s %s at %s, known %s: %s needs %q, want %s %q: %s", c.asOf, c.class, c.place.ID, known, r.Verdict, r.Needs, c.verdict, c.needs, r.Why)
			}
			if !slices.ContainsFunc(r.Clauses, func(x placement.Cited) bool { return x.ID == c.clause }) {
				t.Errorf("%s %s at %s, known %s: decided by %v, and not by %s", c.asOf, c.class, c.place.ID, known, r.Clauses, c.clause)
			}
		}
	}
}

// TestOpenWeightsAreFree asks on every day of change, and for every class.
func TestOpenWeightsAreFree(t *testing.T) {
	t.Parallel()
	book := placement.Book{Contracts: read(t, history)}
	for _, vendor := range []string{"bedrock", "cerebras", "groq", "compatible"} {
		for _, asOf := range []string{"2024-06-01", "2025-01-25", "2025-12-01", "2026-02-28", "2026-03-21", "2026-04-28", "2026-12-01"} {
			for _, class := range []string{"stateless_api", "stateful_runtime", "product", "new_capacity", "batch", ""} {
				place := placement.Place{Vendor: vendor, Cloud: map[string]string{"bedrock": "aws"}[vendor], Model: "gpt-oss-120b", Lab: "openai", Open: true}
				r := policy(t, book, at(t, asOf, "")).Judge(&placement.Need{Action: placement.CallModel, Class: class}, &place)
				if r.Verdict != placement.Allow || r.Why != "no clause" || len(r.Clauses) != 0 {
					t.Errorf("%s, %s at %s: %+v", asOf, class, vendor, r)
				}
			}
		}
	}
}

// TestKnownThen asks what was thought to be allowed by those who did not know yet.
func TestKnownThen(t *testing.T) {
	t.Parallel()
	book := placement.Book{Contracts: read(t, history)}
	for _, c := range []struct {
		asOf, known, class string
		want               placement.Verdict
	}{
		{"2026-04-28", "2026-04-01", "stateless_api", placement.Deny},        // the amendment was not known
		{"2026-04-28", "2026-04-01", "stateful_runtime", placement.Disputed}, // nor the end of the quarrel
		{"2026-03-21", "2026-03-01", "stateful_runtime", placement.Allow},    // Microsoft's reading was not known
		{"2026-03-01", "2026-02-26", "stateful_runtime", placement.Unknown},  // nothing of it was
		{"2025-12-01", "2025-02-01", "new_capacity", placement.Deny},         // the right of first refusal had no end
		{"2027-01-01", "2025-12-01", "stateless_api", placement.Deny},
	} {
		r := policy(t, book, at(t, c.asOf, c.known)).Judge(&placement.Need{Action: placement.CallModel, Class: c.class}, &bedrock)
		if r.Verdict != c.want {
			t.Errorf("%s as known on %s, %s: %s, want %s: %s", c.asOf, c.known, c.class, r.Verdict, c.want, r.Why)
		}
	}
}
