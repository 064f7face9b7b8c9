package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/credential"
	"decouple.dev/decouple/gateway/dialect"
	"decouple.dev/decouple/gateway/transport"
	"decouple.dev/decouple/placement"
)

const (
	providerBuiltin    = "builtin"
	providerCompatible = "compatible" // a server that the operator has named, wherever it is
	providerAnthropic  = "anthropic"
)

// world is what the gateway knows at one time. It is never changed: a new one takes its place.
type world struct {
	catalog   *catalog.Catalog
	endpoints map[catalog.EndpointID]*endpoint
}

// endpoint is an endpoint of the catalog with all that is needed to call it.
type endpoint struct {
	catalog.Endpoint
	format      dialect.Format
	client      dialect.Client
	target      *transport.Target
	auth        credential.Authorizer // adds what is not the same for every call; nil adds nothing
	header      []transport.Field     // the same for every call
	remedy      string                // what to do when the account is refused
	clean       func(string) string   // takes the credential out of a server's words, and makes them fit to be shown
	quoted      []byte                // Name in JSON
	whole       string                // path of a call
	streamed    string                // path of a streamed call
	vectors     string                // path of a call for vectors
	drains      bool                  // goes on with a call, and its bill, when who asked hangs up
	onlyVectors bool                  // it is declared to give vectors and nothing else
	model       catalog.Model
	place       placement.Place // as contracts see it
	number      int             // among all
	learned     atomic.Pointer[learned]
	price       atomic.Pointer[dated]
}

// dated is a price that was looked up at a time.
type dated struct {
	price catalog.Price
	known bool
	at    time.Time
}

// priceAt is what the endpoint charges at a time. It is looked up once a minute: prices change by the day.
func (w *world) priceAt(ep *endpoint, at time.Time) (*catalog.Price, bool) {
	d := ep.price.Load()
	if d == nil || at.Sub(d.at).Abs() > time.Minute {
		d = &dated{at: at}
		d.price, d.known = w.catalog.PriceOf(ep.Endpoint, at)
		ep.price.Store(d)
	}
	return &d.price, d.known
}

// learned is what a server has refused before.
type learned struct{ noUsage, newLimit bool }

// drainers are the providers that bill a call to its end although the caller has hung up, or do not say that they would not.
var drainers = map[string]bool{"bedrock": true, "vertex": true, "gemini": true, "azure": true, "groq": true, "deepseek": true}

// newWorld makes everything ready that calls need. An account that cannot be called is an error that names it.
func newWorld(c Config, old *world) (*world, error) {
	cat := c.Catalog
	w := &world{catalog: cat, endpoints: map[catalog.EndpointID]*endpoint{}}
	byName := map[string]credential.Account{}
	for _, a := range c.Accounts {
		byName[a.Name] = a
	}
	for id, e := range cat.Endpoints {
		ep, err := newEndpoint(e, byName[e.Account])
		if err != nil {
			return nil, decouple.Errorf(decouple.Invalid, "the endpoint %s: %w", id, err)
		}
		ep.model, ep.number = cat.Models[e.Model], len(w.endpoints)
		ep.place = placeFor(cat, ep, c.Site)
		if old != nil && old.endpoints[id] != nil {
			ep.learned.Store(old.endpoints[id].learned.Load())
		}
		w.endpoints[id] = ep
	}
	return w, nil
}

func newEndpoint(e catalog.Endpoint, account credential.Account) (*endpoint, error) {
	ep := &endpoint{Endpoint: e, format: dialect.Format(e.Format), drains: drainers[e.Provider], remedy: account.Remedy(), clean: account.Cleaner()}
	ep.learned.Store(&learned{})
	if e.Provider == providerBuiltin {
		return ep, nil
	}
	if ep.format == dialect.Embeddings {
		ep.format, ep.onlyVectors = dialect.Chat, true // whose errors and accounts are the same
	}
	client, _, ok := dialect.Of(ep.format)
	if !ok {
		return nil, decouple.Errorf(decouple.Invalid, "nobody here speaks the wire format %q", e.Format)
	}
	ep.client = client
	var err error
	if ep.quoted, err = json.Marshal(e.Name); err != nil {
		return nil, err
	}
	if ep.target, err = transport.NewTarget(e.URL); err != nil {
		return nil, err
	}
	if account.Private || e.Provider == providerCompatible {
		ep.target = ep.target.Private()
	}
	ep.whole, ep.streamed = pathOf(catalog.CallURL(e, false)), pathOf(catalog.CallURL(e, true))
	vectors := e
	vectors.Format = "openai.embeddings"
	ep.vectors = pathOf(catalog.CallURL(vectors, false))
	ep.header = []transport.Field{{Name: "Content-Type", Value: "application/json"}, {Name: "User-Agent", Value: "decouple"}}
	if err := ep.prove(account); err != nil {
		return nil, err
	}
	if ep.format == dialect.Messages {
		ep.header = append(ep.header, transport.Field{Name: "Anthropic-Version", Value: "2023-06-01"})
	}
	return ep, nil
}

// pathOf is what follows the host in a URL.
func pathOf(raw string) string {
	_, rest, _ := strings.Cut(raw, "://")
	if at := strings.IndexByte(rest, '/'); at >= 0 {
		return rest[at:]
	}
	return "/"
}

// host is where the endpoint is, for people.
func (e *endpoint) host() string {
	if e.target == nil {
		return "this process"
	}
	return e.target.Host()
}

// prove makes ready what proves who calls: a key goes into the headers of every call, what depends on the call is worked out for each.
func (e *endpoint) prove(account credential.Account) error {
	auth, err := account.Authorizer()
	if err != nil {
		return err
	}
	switch account.Auth.Method {
	case credential.SigV4, credential.Entra, credential.GoogleAuth:
		e.auth = auth
		return nil
	}
	fields, err := auth.Authorize(context.Background(), credential.Call{})
	for _, f := range fields {
		e.header = append(e.header, transport.Field(f))
	}
	return err
}

// authorize adds what proves who calls, where that is not the same for every call.
func (e *endpoint) authorize(ctx context.Context, path string, header []transport.Field, body []byte) ([]transport.Field, error) {
	if e.auth == nil {
		return header, nil
	}
	c := credential.Call{Method: http.MethodPost, URL: e.target.String() + path, Body: body}
	for _, f := range header {
		c.Header = append(c.Header, credential.Field(f))
	}
	fields, err := e.auth.Authorize(ctx, c)
	if err != nil {
		return nil, err
	}
	signed := make([]transport.Field, 0, len(fields))
	for _, f := range fields {
		signed = append(signed, transport.Field(f))
	}
	return signed, nil
}

// local says whether text stays on this machine.
func (e *endpoint) local() bool {
	return e.Provider == providerBuiltin || e.target.Local()
}

// describe is the line for people that says which model answers and where its text goes.
func describe(asked string, eps []*endpoint) string {
	var hosts, away []string
	clear := false
	for _, e := range eps {
		h := e.host()
		if e.Provider == providerBuiltin || slices.Contains(hosts, h) {
			continue
		}
		hosts = append(hosts, h)
		if !e.local() {
			away = append(away, h)
			clear = clear || !e.target.Secure()
		}
	}
	if len(hosts) == 0 {
		return Builtin{}.Describe()
	}
	if len(eps) == 1 {
		asked = strings.Replace(asked, string(eps[0].ID), eps[0].Name, 1)
	}
	where := "text stays on this machine"
	if len(away) > 0 {
		where = "text leaves this machine and goes to " + strings.Join(away, ", ")
	}
	if clear {
		where += ", unencrypted"
	}
	return "model: " + asked + ", on " + strings.Join(hosts, ", ") + "; " + where
}
