package gateway_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/placement"
)

func TestPlaceGuessesNothing(t *testing.T) {
	t.Parallel()
	cat := &catalog.Catalog{
		Models: map[catalog.ModelID]catalog.Model{"m": {ID: "m", Lab: "lab"}, "old": {ID: "old", Lab: "lab", Open: true, Retires: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)}},
		Places: map[string]string{"eu-west-2": "uk", "eu-central-1": "eu"},
	}
	for name, test := range map[string]struct {
		ep   catalog.Endpoint
		want placement.Place
	}{
		"the table says where a region is": {
			catalog.Endpoint{ID: "e", Provider: "azure", Cloud: "azure", Region: "eu-west-2", Model: "m", Hardware: "h100"},
			placement.Place{ID: "e", Vendor: "azure", Cloud: "azure", Region: "eu-west-2", Geo: "uk", Model: "m", Lab: "lab", Hardware: "h100"},
		},
		"a region that the table does not know has no geography, whatever its name begins with": {
			catalog.Endpoint{ID: "e", Provider: "azure", Region: "eu-atlantis-1", Model: "x"},
			placement.Place{ID: "e", Vendor: "azure", Region: "eu-atlantis-1", Model: "x"},
		},
		"a profile that any region may answer for is nowhere": {
			catalog.Endpoint{ID: "e", Provider: "bedrock", Cloud: "aws", Region: "eu-central-1", Model: "m", Name: "global.lab.m-v1:0"},
			placement.Place{ID: "e", Vendor: "bedrock", Cloud: "aws", Model: "m", Lab: "lab"},
		},
		"a profile of a geography is there": {
			catalog.Endpoint{ID: "e", Provider: "bedrock", Cloud: "aws", Region: "eu-central-1", Model: "m", Name: "eu.lab.m-v1:0"},
			placement.Place{ID: "e", Vendor: "bedrock", Cloud: "aws", Region: "eu-central-1", Geo: "eu", Model: "m", Lab: "lab"},
		},
		"labels are facts, and an operator knows where his machines are": {
			catalog.Endpoint{ID: "e", Provider: "compatible", Region: "hall-7", Model: "m", Labels: []string{"on-prem", "training=none", "geo=ch", "=odd"}},
			placement.Place{ID: "e", Vendor: "compatible", Region: "hall-7", Geo: "ch", Model: "m", Lab: "lab", Labels: []string{"on-prem", "training=none", "geo=ch", "=odd"}, Facts: map[string]string{"training": "none", "geo": "ch"}},
		},
		"a model retires, its weights are open, and the endpoint goes later": {
			catalog.Endpoint{ID: "e", Provider: "azure", Model: "old", Retires: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)},
			placement.Place{ID: "e", Vendor: "azure", Model: "old", Lab: "lab", Open: true, Facts: map[string]string{"retires": "2026-12-01"}},
		},
	} {
		if got := gateway.PlaceOf(cat, test.ep); !cmp.Equal(got, test.want) {
			t.Errorf("%s:\n%s", name, cmp.Diff(test.want, got))
		}
	}
}
