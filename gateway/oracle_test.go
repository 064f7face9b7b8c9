package gateway_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"decouple.dev/decouple/placement"
)

// term is a clause in the simplest words there are, and the oracle's reading of it is written here once more, without any code of the room that it checks.
type term struct {
	kind     string // residency, forbid, training, allowlist, exclusive
	label    string
	lab      string
	classes  []string
	places   []string // geographies, clouds, or hosts
	models   map[string][]string
	disputed bool
}

// asker is a need in the same words.
type asker struct {
	class, team string
	labels      []string
	signed      []string
}

// says is what a term says to a need at a place: deny, hold, names (and not the class) or nothing.
func (c *term) says(id string, n *asker, p *placement.Place) string {
	switch c.kind {
	case "residency": // the data may be in these geographies only; one that is not known is none of them
		if slices.Contains(n.labels, c.label) && !slices.Contains(c.places, p.Geo) {
			return "deny"
		}
	case "forbid": // the data may not be at these clouds; a cloud that is not known may be one of them
		if slices.Contains(n.labels, c.label) && (p.Cloud == "" || slices.Contains(c.places, p.Cloud)) {
			return "deny"
		}
	case "training":
		if slices.Contains(n.labels, c.label) && p.Facts["training"] != "none" {
			return "deny"
		}
	case "allowlist":
		list, ok := c.models[n.team]
		if !ok || n.team == "" {
			list = c.models["*"]
		}
		if !slices.Contains(list, p.Model) {
			return "deny"
		}
	case "exclusive": // the models of a lab are at these clouds only, for these classes of work; open weights are free
		if p.Lab != c.lab || p.Open {
			return ""
		}
		if !slices.Contains(c.classes, n.class) {
			return "names"
		}
		switch {
		case slices.Contains(c.places, p.Cloud) || slices.Contains(c.places, p.Vendor):
		case !c.disputed:
			return "deny"
		case !slices.Contains(n.signed, id):
			return "hold"
		}
		return "speaks"
	}
	return ""
}

// allows says whether a need may go to a place: no term denies or holds it, and where terms name the lab, one speaks of the class or is signed off.
func allows(terms []term, n *asker, p *placement.Place) bool {
	named, spoken := false, false
	for i := range terms {
		id := fmt.Sprintf("c/t%d", i)
		switch terms[i].says(id, n, p) {
		case "deny", "hold":
			return false
		case "names":
			named = true
			spoken = spoken || slices.Contains(n.signed, id)
		case "speaks":
			spoken = true
		}
	}
	return !named || spoken
}

// compile makes the contract of terms.
func compile(t testing.TB, terms []term) *placement.Policy {
	t.Helper()
	k := placement.Contract{ID: "c", Confidence: placement.Signed}
	for i, c := range terms {
		x := placement.Clause{ID: fmt.Sprintf("t%d", i), Text: "a term", Confidence: placement.Signed}
		if c.label != "" {
			x.Binds.Labels = []string{c.label}
		}
		switch c.kind {
		case "residency":
			x.Kind, x.In = placement.Residency, []placement.Match{{Geos: c.places}}
		case "forbid":
			x.Kind, x.At = placement.Forbid, []placement.Match{{Clouds: c.places}}
		case "training":
			x.Kind, x.Requires = placement.NoTraining, map[string]string{"training": "none"}
		case "allowlist":
			x.Kind, x.Models = placement.AllowList, c.models
		case "exclusive":
			x.Kind, x.Binds.Labs, x.Classes, x.Host = placement.ExclusiveHost, []string{c.lab}, c.classes, c.places
			if c.disputed {
				x.Readings = []placement.Reading{{Reads: placement.Deny, Text: "it does"}, {Reads: placement.Allow, Text: "it does not"}}
			}
		}
		k.Clauses = append(k.Clauses, x)
	}
	p, err := placement.Compile(placement.Book{Contracts: []placement.Contract{k}}, placement.Moment{AsOf: time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What plans are made of.
var (
	someClasses = []string{"", "stateless_api", "stateful_runtime", "batch"}
	someLabels  = []string{"personal", "secret", "health"}
	someTeams   = []string{"", "search", "legal"}
	someClouds  = []string{"azure", "aws", "gcp", "", "groq"}
	someVendors = map[string]string{"azure": "azure", "aws": "bedrock", "gcp": "vertex", "": "compatible", "groq": "groq"}
	someRegions = []string{"r-eu", "r-us", "r-uk", "r-atlantis", ""}
	someGeos    = map[string]string{"r-eu": "eu", "r-us": "us", "r-uk": "uk"}
	someModels  = []string{"m1", "m2", "m3"}
	someLabs    = map[string]string{"m1": "openai", "m2": "anthropic", "m3": "openai"} // m3 has open weights
)

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// part is some of a list, with the chance of one in n for each.
func part[T any](r *rand.Rand, list []T, n int) []T {
	var out []T
	for _, x := range list {
		if r.IntN(n) == 0 {
			out = append(out, x)
		}
	}
	return out
}

// terms are up to six of any kind; now and then none.
func terms(r *rand.Rand) []term {
	var out []term
	for range r.IntN(7) {
		c := term{label: pick(r, someLabels)}
		switch r.IntN(5) {
		case 0:
			c.kind, c.places = "residency", append(part(r, []string{"us", "uk"}, 2), "eu")
		case 1:
			c.kind, c.places = "forbid", []string{pick(r, someClouds[:3])}
		case 2:
			c.kind = "training"
		case 3:
			c.kind, c.label, c.models = "allowlist", "", map[string][]string{"search": append(part(r, someModels, 2), pick(r, someModels)), "*": append(part(r, someModels, 2), pick(r, someModels))}
		case 4:
			c.kind, c.label, c.lab, c.disputed = "exclusive", "", pick(r, []string{"openai", "anthropic"}), r.IntN(3) == 0
			c.classes, c.places = append(part(r, someClasses[2:], 2), "stateless_api"), append(part(r, someClouds[:3], 3), pick(r, someClouds[:3]))
		}
		out = append(out, c)
	}
	return out
}
