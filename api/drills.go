package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/risk/drill"
)

// NewDrill asks for a drill.
type NewDrill struct {
	Scenario string        `json:"scenario,omitempty" jsonschema:"the id of one that ships with the program"`
	File     string        `json:"file,omitempty" jsonschema:"instead: a scenario file, in YAML"`
	Name     string        `json:"name,omitempty" jsonschema:"of the file, for errors"`
	Mode     drill.Mode    `json:"mode" jsonschema:"sim, shadow or live"`
	Seed     uint64        `json:"seed,omitempty" jsonschema:"of a simulation; 1"`
	Short    time.Duration `json:"short_ns,omitempty" jsonschema:"of a simulation: no loss is longer"`
	Since    time.Time     `json:"since,omitzero" jsonschema:"of a shadow drill: calls from then on; the last 30 days"`
	Canary   drill.Canary  `json:"canary,omitzero" jsonschema:"of a live drill"`
}

// BegunDrill is a drill that goes on by itself.
type BegunDrill struct {
	ID string `json:"id"`
}

// Drill is a drill and, of one that has ended, its result in a DSSE envelope.
type Drill struct {
	drill.Entry
	Envelope string `json:"envelope,omitempty" jsonschema:"as it was signed: decouple drill verify checks it"`
}

// Asked is the drill that is asked for.
func (n NewDrill) Asked() (drill.Ask, error) {
	a := drill.Ask{Mode: n.Mode, Seed: n.Seed, Since: n.Since, Canary: n.Canary}
	var err error
	switch {
	case (n.File == "") == (n.Scenario == ""):
		return a, decouple.Errorf(decouple.Invalid, "name a scenario, or give a file: one of them")
	case n.File != "":
		name := n.Name
		if name == "" {
			name = "scenario"
		}
		a.Scenario, err = drill.Read(name, []byte(n.File))
	default:
		a.Scenario, err = drill.Find(n.Scenario)
	}
	if err == nil && n.Short > 0 {
		a.Scenario = a.Scenario.Short(max(n.Short, time.Minute))
	}
	return a, err
}

// drillRoutes are what is asked of drills.
func drillRoutes() []route {
	return []route{
		ask("/api/v1/drills", registry.RightRead, "Lists the drills, the newest first", func(c *call) ([]drill.Entry, error) {
			tenant, err := c.meant(decouple.TenantID(c.r.URL.Query().Get("tenant")))
			if err != nil {
				return nil, err
			}
			return full(drill.List(c.ctx(), c.Journal, tenant, time.Now()))
		}, ofTenant),
		tell(http.MethodPost, "/api/v1/drills", registry.RightOperate, "Begins a drill, which goes on by itself: a live one pretends faults at this node's gateway for a canary of the tenant's calls", (*call).startDrill),
		ask("/api/v1/drills/{id}", registry.RightRead, "Shows a drill, with its signed result when it has ended", func(c *call) (Drill, error) {
			tenant, err := c.meant(decouple.TenantID(c.r.URL.Query().Get("tenant")))
			if err != nil {
				return Drill{}, err
			}
			e, envelope, err := drill.Get(c.ctx(), c.Journal, tenant, c.r.PathValue("id"), time.Now())
			return Drill{e, string(envelope)}, err
		}, ofTenant),
		tell(http.MethodPost, "/api/v1/drills/{id}/abort", registry.RightOperate, "Ends a live drill of this node at once; the id now stands for whichever is under way", (*call).abortDrill),
	}
}

func (c *call) startDrill(in NewDrill) (BegunDrill, error) {
	if c.Drills == nil {
		return BegunDrill{}, noDesk()
	}
	a, err := in.Asked()
	if err != nil {
		return BegunDrill{}, err
	}
	a.Tenant, a.By = c.tenant(), c.who.Actor
	id, err := c.Drills.Start(c.ctx(), a)
	return BegunDrill{id}, err
}

func (c *call) abortDrill(None) (BegunDrill, error) {
	if c.Drills == nil {
		return BegunDrill{}, noDesk()
	}
	id := c.r.PathValue("id")
	if id == anyDrill {
		id = ""
	}
	id, err := c.Drills.Abort(c.tenant(), id, c.who.Actor)
	return BegunDrill{id}, err
}

// anyDrill stands for whichever drill is under way.
const anyDrill = "now"

func noDesk() error {
	return decouple.Errorf(decouple.Unavailable, "this process plays no drills: start one with `decouple serve`")
}

// StartDrill begins a drill at the server, and gives its id.
func (c *Client) StartDrill(ctx context.Context, n NewDrill, by decouple.Actor) (string, error) {
	out, err := post[BegunDrill](ctx, c, request{path: "/api/v1/drills", by: by}, n)
	return out.ID, err
}

// Drills lists the drills, the newest first.
func (c *Client) Drills(ctx context.Context) ([]drill.Entry, error) {
	return get[[]drill.Entry](ctx, c, "/api/v1/drills", nil)
}

// Drill shows a drill.
func (c *Client) Drill(ctx context.Context, id string) (Drill, error) {
	return get[Drill](ctx, c, "/api/v1/drills/"+url.PathEscape(id), nil)
}

// AbortDrill ends a live drill of the server, or whichever is under way, and gives its id.
func (c *Client) AbortDrill(ctx context.Context, id string, by decouple.Actor) (string, error) {
	if id == "" {
		id = anyDrill
	}
	out, err := post[BegunDrill](ctx, c, request{path: "/api/v1/drills/" + url.PathEscape(id) + "/abort", by: by}, None{})
	return out.ID, err
}
