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

// choice is what a name that a caller gave stands for.
type choice struct {
	alias   Alias
	members []EndpointID
	known   bool   // the name means something, whether or not an endpoint serves it
	place   string // the geography that the name asks for, as eu.anthropic.claude-... does
}

// Resolve says what a name stands for: an alias, an endpoint's id, a model's id, or any name that a vendor has for a model: with a lab or a provider before it (anthropic/,
// azure/, us.anthropic.), a date, a version or a publisher's path. Aliases go first, so that an operator can say what any name shall mean. For a name that is no alias one is made, of balanced
// choice. A provider's or an account's name before a model keeps to it, and a geography of Bedrock keeps to that. A name that nothing is known of, or that no account can reach, is NotFound.
func (c *Catalog) Resolve(name string) (Alias, error) {
	ch, ok := c.quick.choices[name]
	if !ok {
		ch = c.choose(name)
	}
	if !ch.known {
		return Alias{}, decouple.Errorf(decouple.NotFound, "there is no model or alias %q: GET /v1/models lists what there is", printable(name))
	}
	if len(ch.members) == 0 {
		where := ""
		if ch.place != "" {
			where = " in " + ch.place
		}
		return Alias{}, decouple.Errorf(decouple.NotFound, "no endpoint%s serves %q: give the key of a provider that does, or make it an alias for another model", where, printable(name))
	}
	return ch.alias, nil
}

// Members are the endpoints of an alias: of its targets in their order, and of one target by id. The builtin model is among them only where nothing else is. The list belongs to the catalog.
func (c *Catalog) Members(a Alias) []EndpointID {
	if ch, ok := c.quick.choices[a.Name]; ok && sameList(ch.alias.Targets, a.Targets) {
		return ch.members
	}
	return c.membersOf(a.Targets)
}

// sameList says that two lists are one in memory.
func sameList(a, b []Target) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// index is what makes look-ups quick: what the names stand for that callers are most likely to use.
type index struct {
	names   map[string]ModelID
	served  map[ModelID][]EndpointID
	choices map[string]choice
}

// indexed is c's index, made anew for a catalog that was put together by hand.
func (c *Catalog) indexed() index {
	if c.quick.served != nil {
		return c.quick
	}
	ix := index{names: map[string]ModelID{}, served: map[ModelID][]EndpointID{}}
	for _, id := range slices.Sorted(maps.Keys(c.Models)) {
		for _, n := range c.Models[id].Names {
			if _, taken := ix.names[n]; !taken {
				ix.names[n] = id
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.Endpoints)) {
		e := c.Endpoints[id]
		ix.served[e.Model] = append(ix.served[e.Model], id)
		if _, taken := ix.names[e.Name]; !taken {
			ix.names[e.Name] = e.Model
		}
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
	choices := make(map[string]choice, len(names))
	for _, n := range names {
		if _, done := choices[n]; done {
			continue
		}
		choices[n] = c.choose(n)
	}
	c.quick.choices = choices
}

func (c *Catalog) choose(name string) choice {
	if a, ok := c.Aliases[name]; ok {
		return choice{alias: a, members: c.membersOf(a.Targets), known: true}
	}
	made := func(targets ...Target) Alias { return Alias{Name: name, Strategy: Balanced, Targets: targets} }
	if e, ok := c.Endpoints[EndpointID(name)]; ok {
		return choice{alias: made(Target{Endpoint: e.ID}), members: []EndpointID{e.ID}, known: true}
	}
	id, ok := c.modelNamed(name)
	if !ok {
		return choice{}
	}
	all := c.indexed().served[id]
	ch := choice{alias: made(Target{Model: id}), members: all, known: true, place: placeOf(name)}
	if from, _, cut := strings.Cut(name, "/"); cut && c.Models[id].Lab != from && id != ModelID(name) {
		if some := c.only(all, func(e Endpoint) bool { return e.Account == from || e.Provider == from }); len(some) > 0 || c.Providers[from].ID != "" {
			ch.members = some
		}
	}
	if ch.place != "" {
		ch.members = c.only(ch.members, func(e Endpoint) bool { return c.Place(e.Region) == ch.place })
	}
	if len(ch.members) < len(all) {
		ch.alias.Targets = nil
		for _, id := range ch.members {
			ch.alias.Targets = append(ch.alias.Targets, Target{Endpoint: id})
		}
	}
	return ch
}

func (c *Catalog) membersOf(targets []Target) []EndpointID {
	served := c.indexed().served
	var list []EndpointID
	for _, t := range targets {
		if _, ok := c.Endpoints[t.Endpoint]; ok {
			list = append(list, t.Endpoint)
		}
		list = append(list, served[t.Model]...)
	}
	if others := c.only(list, func(e Endpoint) bool { return e.Provider != builtinProvider }); len(others) > 0 {
		list = others
	}
	seen := make(map[EndpointID]bool, len(list))
	return slices.DeleteFunc(list, func(id EndpointID) bool {
		again := seen[id]
		seen[id] = true
		return again
	})
}

func (c *Catalog) only(list []EndpointID, keep func(Endpoint) bool) []EndpointID {
	var out []EndpointID
	for _, id := range list {
		if keep(c.Endpoints[id]) {
			out = append(out, id)
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
