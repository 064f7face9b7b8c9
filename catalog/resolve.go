package catalog

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"decouple.dev/decouple"
)

// builtinProvider is the model in this program. It answers when it is asked for by name, or when an alias that names it has nothing else.
const builtinProvider = "builtin"

// Choice is what a name that a caller gave stands for. Its slices belong to the catalog and are not changed.
type Choice struct {
	Name      string
	Alias     Alias      // the alias of this name, or one of balanced choice made for the model or endpoint
	Named     bool       // Name is an alias of the catalog
	Model     ModelID    // set where Name means one model
	Place     string     // the geography that Name asks for, as eu.anthropic.claude-... does: Endpoints has no others
	Endpoints []Endpoint // of the targets in their order, and of one target by id
}

// Resolve says what a name stands for: an alias, an endpoint's id, a model's id, or any name that a vendor has for a model: with a lab or a provider before it (anthropic/,
// azure/, us.anthropic.), a date, a version or a publisher's path. Aliases go first, so that an operator can say what any name shall mean. A name that
// nothing is known of, or that no account can reach, is NotFound.
func (c *Catalog) Resolve(name string) (Choice, error) {
	if ch, ok := c.quick.choices[name]; ok {
		return ch, nil
	}
	ch, ok := c.choose(name)
	if !ok {
		return Choice{}, decouple.Errorf(decouple.NotFound, "there is no model or alias %q: GET /v1/models lists what there is", printable(name))
	}
	if len(ch.Endpoints) == 0 {
		where := ""
		if ch.Place != "" {
			where = " in " + ch.Place
		}
		return Choice{}, decouple.Errorf(decouple.NotFound, "no endpoint%s serves %q: give a provider's key that does, or make it an alias for another model", where, printable(name))
	}
	return ch, nil
}

// index is what makes look-ups quick: what the names stand for that callers are most likely to use.
type index struct {
	names   map[string]ModelID
	served  map[ModelID][]Endpoint
	choices map[string]Choice
}

// indexed is c's index, made anew for a catalog that was put together by hand.
func (c *Catalog) indexed() index {
	if c.quick.served != nil {
		return c.quick
	}
	ix := index{names: map[string]ModelID{}, served: map[ModelID][]Endpoint{}}
	for _, id := range slices.Sorted(maps.Keys(c.Models)) {
		for _, n := range c.Models[id].Names {
			if _, taken := ix.names[n]; !taken {
				ix.names[n] = id
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.Endpoints)) {
		e := c.Endpoints[id]
		ix.served[e.Model] = append(ix.served[e.Model], e)
	}
	return ix
}

// makeQuick keeps the index, with the choices of all names that are known.
func (c *Catalog) makeQuick() {
	c.quick = c.indexed()
	names := slices.Collect(maps.Keys(c.Aliases))
	for id, e := range c.Endpoints {
		names = append(names, string(id), e.Name)
	}
	for id, m := range c.Models {
		names = append(append(names, string(id)), m.Names...)
	}
	choices := make(map[string]Choice, len(names))
	for _, n := range names {
		if _, done := choices[n]; done {
			continue
		}
		if ch, ok := c.choose(n); ok && len(ch.Endpoints) > 0 {
			choices[n] = ch
		}
	}
	c.quick.choices = choices
}

func (c *Catalog) choose(name string) (Choice, bool) {
	served := c.indexed().served
	if a, ok := c.Aliases[name]; ok {
		return Choice{Name: name, Alias: a, Named: true, Endpoints: c.ofAlias(a, served)}, true
	}
	if e, ok := c.Endpoints[EndpointID(name)]; ok {
		return Choice{Name: name, Model: e.Model, Endpoints: []Endpoint{e}, Alias: Alias{Name: name, Strategy: Balanced, Targets: []Target{{Endpoint: e.ID}}}}, true
	}
	id, ok := c.modelNamed(name)
	if !ok {
		return Choice{}, false
	}
	ch := Choice{Name: name, Model: id, Endpoints: served[id], Alias: Alias{Name: name, Strategy: Balanced, Targets: []Target{{Model: id}}}}
	if from, _, cut := strings.Cut(name, "/"); cut && c.Models[id].Lab != from && id != ModelID(name) {
		if some := only(ch.Endpoints, func(e Endpoint) bool { return e.Account == from || e.Provider == from }); len(some) > 0 || c.Providers[from].ID != "" {
			ch.Endpoints = some
		}
	}
	if ch.Place = placeOf(name); ch.Place != "" {
		ch.Endpoints = only(ch.Endpoints, func(e Endpoint) bool { return c.Place(e.Region) == ch.Place })
	}
	return ch, true
}

func (c *Catalog) ofAlias(a Alias, served map[ModelID][]Endpoint) []Endpoint {
	var list []Endpoint
	for _, t := range a.Targets {
		if e, ok := c.Endpoints[t.Endpoint]; ok {
			list = append(list, e)
		}
		list = append(list, served[t.Model]...)
	}
	if others := only(list, func(e Endpoint) bool { return e.Provider != builtinProvider }); len(others) > 0 && len(a.Targets) > 1 {
		list = others
	}
	seen := map[EndpointID]bool{}
	return only(list, func(e Endpoint) bool {
		first := !seen[e.ID]
		seen[e.ID] = true
		return first
	})
}

func only(list []Endpoint, keep func(Endpoint) bool) []Endpoint {
	var out []Endpoint
	for _, e := range list {
		if keep(e) {
			out = append(out, e)
		}
	}
	return out
}

// Place is the geography of a region, such as us or eu; of a region that is not known, what stands before its first dash.
func (c *Catalog) Place(region string) string {
	if p, ok := c.Places[region]; ok {
		return p
	}
	before, _, _ := strings.Cut(region, "-")
	return before
}

var (
	profile  = regexp.MustCompile(`^(us-gov|us|eu|apac|au|jp|ca|in|sa|uk|me)\.[a-z0-9-]+\.`)
	seller   = regexp.MustCompile(`^(global|us-gov|us|eu|apac|au|jp|ca|in|sa|uk|me)\.`)
	maker    = regexp.MustCompile(`^(anthropic|openai|amazon|meta|mistral|deepseek|google|qwen|nvidia|cohere|ai21|writer)\.`)
	version  = regexp.MustCompile(`(-v\d+)?:\d+$|-v\d+$|-latest$`)
	snapshot = regexp.MustCompile(`[-@]20\d{2}-?\d{2}-?\d{2}$|@default$|-00\d$`)
)

// placeOf is the geography in a cross-region name of Bedrock; global asks for none.
func placeOf(name string) string {
	if m := profile.FindStringSubmatch(name[strings.LastIndexByte(name, '/')+1:]); m != nil {
		return m[1]
	}
	return ""
}

// modelNamed finds a model by any name. Each step takes away what vendors put around a model's name, and the first hit wins, so that a name that the catalog has is never read as another.
func (c *Catalog) modelNamed(name string) (ModelID, bool) {
	names := c.indexed().names
	find := func(n string) (ModelID, bool) {
		if _, ok := c.Models[ModelID(n)]; ok {
			return ModelID(n), true
		}
		id, ok := names[n]
		return id, ok
	}
	if id, ok := find(name); ok {
		return id, true
	}
	for _, n := range spellings(name) {
		if id, ok := find(n); ok {
			return id, true
		}
	}
	return "", false
}

// spellings are the names that a name may be meant as, from as it is to bare.
func spellings(name string) []string {
	if name == "" || len(name) > 300 {
		return nil
	}
	list := make([]string, 1, 12)
	list[0] = name
	add := func(s string) {
		if s != "" && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	bare := func(n string) {
		add(n)
		for range 3 {
			n = version.ReplaceAllString(n, "")
			add(n)
			n = snapshot.ReplaceAllString(n, "")
			add(n)
		}
	}
	n := strings.ToLower(name)
	bare(n)
	for i := strings.IndexByte(n, '/'); i >= 0; i = strings.IndexByte(n, '/') {
		n = n[i+1:]
		bare(n)
	}
	n = seller.ReplaceAllString(n, "")
	bare(n)
	bare(maker.ReplaceAllString(n, ""))
	return list
}

func itoa(i int) string { return strconv.Itoa(i) }
