package main

import (
	"testing"

	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/risk/drill"
	"decouple.dev/decouple/risk/exposure"
)

func TestWhatADrillTakesAway(t *testing.T) {
	t.Parallel()
	cat, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	facts, err := exposure.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	gone := func(s drill.Selector) drill.Loss { return drill.Loss{What: drill.Outage, Selector: s, Share: 1} }
	for name, test := range map[string]struct {
		losses []drill.Loss
		want   string // empty: nothing that exposure knows
	}{
		"a vendor":                      {[]drill.Loss{gone(drill.Selector{Vendor: "openai"})}, "seller:openai"},
		"the same, then in part":        {[]drill.Loss{gone(drill.Selector{Vendor: "openai"}), {What: drill.StallFirst, Selector: drill.Selector{Vendor: "openai"}, Share: 0.45}}, "seller:openai"},
		"in part only":                  {[]drill.Loss{{What: drill.Outage, Selector: drill.Selector{Vendor: "openai"}, Share: 0.5}}, ""},
		"merely dearer":                 {[]drill.Loss{{What: drill.Price, Selector: drill.Selector{Vendor: "openai"}, Share: 1}}, ""},
		"one model of a vendor":         {[]drill.Loss{gone(drill.Selector{Vendor: "azure", Model: "gpt-5.4"})}, ""},
		"a region, by vendor":           {[]drill.Loss{gone(drill.Selector{Vendor: "azure", Regions: []string{"swedencentral"}})}, "region:azure/swedencentral"},
		"a region, by cloud":            {[]drill.Loss{gone(drill.Selector{Cloud: "aws", Regions: []string{"us-east-1"}})}, "region:aws/us-east-1"},
		"several regions":               {[]drill.Loss{gone(drill.Selector{Vendor: "azure", Regions: []string{"a", "b"}})}, ""},
		"a cloud":                       {[]drill.Loss{gone(drill.Selector{Cloud: "gcp"})}, "cloud:gcp"},
		"a lab":                         {[]drill.Loss{gone(drill.Selector{Lab: "anthropic"})}, "lab:anthropic"},
		"an endpoint":                   {[]drill.Loss{gone(drill.Selector{Endpoint: "groq/m"})}, "endpoint:groq/m"},
		"a network":                     {[]drill.Loss{{What: drill.Outage, Ancestor: "cloudflare", Share: 1}}, "cdn:cloudflare"},
		"an ancestor by kind":           {[]drill.Loss{{What: drill.Auth, Ancestor: "identity:okta", Share: 1}}, "identity:okta"},
		"an ancestor that nobody knows": {[]drill.Loss{{What: drill.Auth, Ancestor: "moon", Share: 1}}, ""},
		"two things at once":            {[]drill.Loss{gone(drill.Selector{Vendor: "openai"}), gone(drill.Selector{Vendor: "groq"})}, ""},
		"nothing":                       {nil, ""},
	} {
		n, ok := takenAway(test.losses, cat, facts)
		if ok != (test.want != "") || ok && n.String() != test.want {
			t.Errorf("%s: %s, %v", name, n, ok)
		}
	}
}
