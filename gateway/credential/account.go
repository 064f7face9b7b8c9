package credential

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"decouple.dev/decouple/catalog"
)

// Account is what an organisation has at a provider of models.
type Account struct {
	Name     string   // its endpoints' ids begin with it
	Provider string   // of the catalog's
	URL      string   // empty is the provider's own
	Project  string   // of Google Cloud
	Regions  []string // empty is the provider's first
	Auth     Auth
	Models   map[catalog.ModelID]string // what may be called, and the account's own name for it (a deployment); empty is all that the catalog has for the provider
	Tier     string                     // of its limits
	Global   bool                       // calls may be answered in all regions, where the provider can
	Labels   []string
	Private  bool   // its URL may lead to addresses of a private network: the operator has named it
	From     string // where its proof comes from, for people: OPENAI_API_KEY
}

// Authorizer makes the account's proof ready.
func (a Account) Authorizer() (Authorizer, error) { return a.Auth.Authorizer() }

// Cleaner makes a server's words fit to be shown: without the account's secrets and without control characters.
func (a Account) Cleaner() func(string) string { return Cleaner(a.Auth.secrets()...) }

// Remedy says what to do when the provider refuses the account.
func (a Account) Remedy() string {
	if a.From == "" {
		return "give the account " + a.Name + " a key that " + a.Provider + " takes"
	}
	return "look at " + a.From
}

// Format prints what is no secret.
func (a Account) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "account "+a.Name+" at "+a.Provider+" ("+string(a.Auth.Method)+" of "+a.From+")")
}

// Endpoints lists what accounts give access to, by id. An account of a server that says itself what it serves, and names no models, gives none: ask it ([catalog.ListURL]) and set Models.
func Endpoints(cat *catalog.Catalog, accounts []Account) []catalog.Endpoint {
	var list []catalog.Endpoint
	seen := map[catalog.EndpointID]bool{}
	for _, a := range accounts {
		for _, e := range cat.Offer(a.grant()) {
			if !seen[e.ID] {
				seen[e.ID] = true
				list = append(list, e)
			}
		}
	}
	slices.SortFunc(list, func(a, b catalog.Endpoint) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return list
}

func (a Account) grant() catalog.Grant {
	return catalog.Grant{
		Account: a.Name, Provider: a.Provider, URL: a.URL, Project: a.Project, Regions: a.Regions, Models: a.Models, Tier: a.Tier, Global: a.Global, Labels: a.Labels,
	}
}
