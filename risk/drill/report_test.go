package drill_test

import (
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/risk/drill"
)

// TestHostileNames has markup in everything that a file can name: a page shows it and does not obey it, and its charts are well formed.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	const evil = `<script>alert(1)</script> | "x" & [y](javascript:z)`
	quoted, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := drill.Read("own.yaml", []byte(strings.ReplaceAll(`
id: own
title: EVIL
source: EVIL
facts: EVIL
simplified: [EVIL]
lose: [{what: outage, vendor: azure, to: 5m}]
expect: {no_alternate: []}
contracts: [{id: home, confidence: signed, clauses: [{id: azure, kind: residency, text: EVIL, binds: {label: letters}, in: {vendor: azure}}]}]
workloads: [{name: "<b>chat</b>", labels: [letters], model: gpt-5.4}]
`, "EVIL", string(quoted))))
	if err != nil {
		t.Fatal(err)
	}
	r := simulate(t, s)
	page, text := r.HTML(), r.Markdown()
	if strings.Contains(page, "<script") || strings.Contains(page, "<b>chat") || !strings.Contains(page, "&lt;script&gt;") {
		t.Error("the page has the markup of a name")
	}
	if strings.Contains(text, "<script") || strings.Contains(strings.ReplaceAll(text, `\[`, ""), "[y](") {
		t.Error("the Markdown has the markup of a name")
	}
	for _, chart := range []string{r.Chart.Success(), r.Chart.Answers()} {
		d := xml.NewDecoder(strings.NewReader(chart))
		for {
			if _, err := d.Token(); err != nil {
				if err.Error() != "EOF" {
					t.Errorf("a chart is no XML: %v", err)
				}
				break
			}
		}
	}
	if len(r.Gaps) != 1 || r.Passed {
		t.Errorf("%+v", r.Gaps)
	}
}

// TestNoCall has a live drill that no call met: its report says that nothing was measured.
func TestNoCall(t *testing.T) {
	t.Parallel()
	r := &drill.Result{Mode: drill.Live}
	if text := r.Markdown(); !strings.Contains(text, "nothing was measured") || strings.Contains(text, "came to be well") {
		t.Error(text)
	}
}

// TestCutOff has a drill whose node ended before it could tell: it runs until its time has passed, and counts for nothing after that.
func TestCutOff(t *testing.T) {
	t.Parallel()
	_, store := newDesk(t)
	_, err := store.Commit(t.Context(), journal.Mutation{ID: "one", Stream: decouple.Stream{Tenant: "local", Kind: drill.StreamDrill, ID: "own-1"},
		Events: []journal.NewEvent{{Kind: drill.Started, KindVersion: 1, Actor: me, Payload: []byte(`{"scenario":"own","mode":"live"}`)}}})
	if err != nil {
		t.Fatal(err)
	}
	for later, want := range map[time.Duration]drill.State{0: drill.Running, time.Hour: drill.Lost} {
		list, err := drill.List(t.Context(), store, "local", time.Now().Add(later))
		if err != nil || len(list) != 1 || list[0].State != want {
			t.Errorf("after %s: %+v %v", later, list, err)
		}
	}
	if latest, err := drill.Latest(t.Context(), store, "local", time.Now().Add(time.Hour)); err != nil || len(latest) != 0 {
		t.Errorf("%+v %v", latest, err)
	}
}
