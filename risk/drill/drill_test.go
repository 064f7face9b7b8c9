package drill_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/risk/drill"
)

var update = flag.Bool("update", false, "rewrite golden files")

var me = decouple.Actor{Kind: decouple.ActorPerson, ID: "ada"}

// order is the same at any time, so that reports are.
func order() drill.Order {
	return drill.Order{ID: "drill-1", Ran: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), By: me, Seed: 1}
}

// golden compares a text with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Error(d)
	}
}

func simulate(t *testing.T, s drill.Scenario) *drill.Result {
	t.Helper()
	r, err := drill.Simulate(t.Context(), s, order())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestIncidents drills the nine incidents in short form: all expectations hold, and what the reports say is kept in a file.
func TestIncidents(t *testing.T) {
	t.Parallel()
	all, err := drill.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 9 {
		t.Fatalf("%d scenarios ship, not nine", len(all))
	}
	for _, s := range all {
		t.Run(s.ID, func(t *testing.T) {
			t.Parallel()
			r := simulate(t, s.Short(20*time.Minute))
			for _, c := range r.Checks {
				if !c.Passed {
					t.Errorf("%s: wanted %s, got %s", c.What, c.Want, c.Got)
				}
			}
			golden(t, s.ID+".md", r.Markdown())
			if again := simulate(t, s.Short(20*time.Minute)); again.Trace != r.Trace || again.Markdown() != r.Markdown() {
				t.Error("two drills with one seed differ")
			}
		})
	}
}

// TestResidencyHolds is the incident of Sweden Central: data that must stay in the Union does, and what cannot go anywhere else is named.
func TestResidencyHolds(t *testing.T) {
	t.Parallel()
	s, err := drill.Find("azure-2026-01-27")
	if err != nil {
		t.Fatal(err)
	}
	r := simulate(t, s.Short(20*time.Minute))
	if r.Total.Residency != 0 || r.Total.Contract != 0 {
		t.Errorf("breaches: %+v", r.Total)
	}
	claims, letters := r.Workloads[0], r.Workloads[1]
	if !claims.Alternate || claims.FailedShare() > 0.01 || claims.Shares[0].Endpoint != "openai/eu/gpt-5.4" {
		t.Errorf("claims: %+v", claims)
	}
	if letters.Alternate || letters.During.Failed == 0 || len(r.Gaps) != 1 || r.Gaps[0].Workload != "patient letters" || r.Gaps[0].Calls != letters.During.Failed {
		t.Errorf("letters: %+v, gaps %+v", letters, r.Gaps)
	}
	if !strings.Contains(strings.Join(r.Gaps[0].Refused, " "), "data-protection/health-at-azure") {
		t.Errorf("the gap does not say which clause keeps it from going elsewhere: %q", r.Gaps[0].Refused)
	}
	// Without the contracts the letters would have gone to Norway: it is the contracts that hold them, and the count of breaches sees it.
	s.Contracts = nil
	if loose := simulate(t, s.Short(20*time.Minute)); loose.Total.Residency == 0 || loose.Total.Contract != 0 || loose.Passed {
		t.Errorf("without contracts: %+v", loose.Total)
	}
}

// TestTwentyHours plays the incident of March 2026 in its full length.
func TestTwentyHours(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		return
	}
	s, err := drill.Find("azure-2026-03-09")
	if err != nil {
		t.Fatal(err)
	}
	r := simulate(t, s)
	if !r.Passed || r.Naive.FailedShare() < 0.9 {
		t.Errorf("%+v, a router that trusts status codes lost %.2f", r.Checks, r.Naive.FailedShare())
	}
	for _, f := range r.Workloads {
		if f.Recover == nil || *f.Recover > 30*time.Second {
			t.Errorf("%s: recovered %v", f.Workload, f.Recover)
		}
	}
}
