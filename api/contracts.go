package api

import (
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/risk/whatif"
)

// contractRoutes are what is agreed, and what follows from it.
func contractRoutes() []route {
	put := route{method: http.MethodPut, path: "/api/v1/contracts/{id}", right: registry.RightDeploy, upload: true, status: http.StatusOK, out: reflect.TypeFor[registry.ContractVersion](), query: putQuery,
		summary: "Puts a version of a contract in force: the body is its YAML file. The same text again is no new version", do: (*call).putContract}
	withdraw := ask("/api/v1/contracts/{id}", registry.RightDeploy, "Withdraws a contract", (*call).withdrawContract, param{"why", "string", "it is kept with the withdrawal"})
	withdraw.method = http.MethodDelete
	return []route{
		ask("/api/v1/contracts", registry.RightRead, "Lists the contracts, the newest version of each, and what was signed off", func(c *call) (ContractList, error) {
			d, err := c.desk()
			if err != nil {
				return ContractList{}, err
			}
			return ListContracts(c.ctx(), d.Contracts, c.tenant())
		}),
		ask("/api/v1/contracts/{id}", registry.RightRead, "Shows a version of a contract with its text", func(c *call) (registry.ContractVersion, error) {
			d, err := c.desk()
			if err != nil {
				return registry.ContractVersion{}, err
			}
			return d.Contracts.Show(c.ctx(), c.tenant(), c.r.PathValue("id"), c.r.URL.Query().Get("version"))
		}, param{"version", "string", "its number or the beginning of its hash; default the newest"}),
		ask("/api/v1/contracts/{id}/history", registry.RightRead, "Lists the versions of a contract, oldest first", func(c *call) ([]registry.ContractVersion, error) {
			d, err := c.desk()
			if err != nil {
				return nil, err
			}
			return full(d.Contracts.History(c.ctx(), c.tenant(), c.r.PathValue("id")))
		}),
		ask("/api/v1/contracts/{id}/diff", registry.RightRead, "Says which lines a version of a contract changes", func(c *call) (ContractChange, error) {
			d, err := c.desk()
			if err != nil {
				return ContractChange{}, err
			}
			q := c.r.URL.Query()
			return DiffContracts(c.ctx(), d.Contracts, ContractDiff{c.tenant(), c.r.PathValue("id"), q.Get("from"), q.Get("to")})
		}, param{"from", "string", "a version's number or the beginning of its hash; default the one before to"}, param{"to", "string", "default the newest"}),
		put, withdraw,
		tell(http.MethodPost, "/api/v1/contracts/{id}/sign-off", registry.RightApprove, "Signs off a disputed or held clause, or takes that back: a person's word", (*call).signOff),
		tell(http.MethodPost, "/api/v1/placement/explain", registry.RightRead, "Says where a model may be asked, and why not elsewhere: as of a day, by what was known on a day, under drafts", func(c *call, in PlacementQuery) (whatif.Answer, error) {
			d, err := c.desk()
			if err != nil {
				return whatif.Answer{}, err
			}
			return d.Placement(c.ctx(), c.tenant(), in)
		}),
		ask("/api/v1/placement/calls", registry.RightRead, "Explains recorded calls, by the contracts as of when they were made", (*call).pastCalls,
			param{"id", "string", "of the decision"}, param{"run", "string", "calls of this run"}, param{"step", "integer", "of the run"}),
		tell(http.MethodPost, "/api/v1/placement/replay", registry.RightRead, "Decides recorded calls again under drafts: who loses a place, where the calls would go and at what cost, which shares break", func(c *call, in ReplayQuery) (whatif.Replayed, error) {
			d, err := c.desk()
			if err != nil {
				return whatif.Replayed{}, err
			}
			return d.Replay(c.ctx(), c.tenant(), in, nil)
		}),
		ask("/api/v1/placement/standing", registry.RightRead, "Says how promised shares and minimums of spend stand, and what was used by vendor, cloud, region and class", (*call).standing,
			param{"since", "string", "of the parts: a time in RFC 3339; default the beginning of the month"}, param{"as_of", "string", "a time in RFC 3339; default now"}),
		raw("/api/v1/placement/cedar", registry.RightRead, "The contracts in force in the language of Cedar", []string{"text/plain"}, nil, (*call).cedar,
			param{"as_of", "string", "a time in RFC 3339; default now"}, param{"known", "string", "a time in RFC 3339; default everything that is known"}),
	}
}

var putQuery = []param{{"file", "string", "the file's name, for messages"}, {"replaces", "string", "the number or the beginning of the hash of the version in force, if there is one: another one in force is a conflict"}}

// ContractList is what is agreed.
type ContractList struct {
	Version   string                     `json:"version" jsonschema:"of everything that holds: the same on every node, and kept with every call; empty where nothing does"`
	Contracts []registry.ContractVersion `json:"contracts"`
	SignOffs  []registry.SignedOff       `json:"sign_offs"`
}

// ContractChange is what a version changes.
type ContractChange struct {
	ID    string   `json:"id"`
	From  int      `json:"from"` // versions
	To    int      `json:"to"`
	Lines []string `json:"lines"` // each after +, - or a blank
}

// NewSignOff is a person's word on a clause.
type NewSignOff struct {
	Clause  string         `json:"clause" jsonschema:"its id within the contract"`
	Class   string         `json:"class,omitempty" jsonschema:"of work; default all"`
	Run     decouple.RunID `json:"run,omitempty" jsonschema:"for this run only"`
	Why     string         `json:"why,omitempty"`
	Expires time.Time      `json:"expires,omitzero"`
	Over    bool           `json:"over,omitempty" jsonschema:"take it back"`
}

// desk is where questions about placement are answered.
func (c *call) desk() (*Desk, error) {
	if c.Desk == nil {
		return nil, decouple.Errorf(decouple.Unavailable, "this process keeps no contracts: start one with `decouple serve`")
	}
	return c.Desk, nil
}

// putContract puts a version of a contract in force.
func (c *call) putContract() error {
	if err := known(c, putQuery); err != nil {
		return err
	}
	d, err := c.desk()
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(c.r.Body, registry.MaxContract+1))
	if err != nil {
		return decouple.Errorf(decouple.Invalid, "the file did not come whole: %w", err)
	}
	id, q := c.r.PathValue("id"), c.r.URL.Query()
	n := registry.NewContract{Tenant: c.tenant(), File: q.Get("file"), Text: data, Replaces: q.Get("replaces"), By: c.who.Actor}
	if n.File == "" || len(n.File) > 200 || strings.ContainsFunc(n.File, func(r rune) bool { return r < ' ' }) {
		n.File = id + ".yaml"
	}
	if parsed, err := placement.Parse(n.File, data); err == nil && parsed.ID != id {
		return decouple.Errorf(decouple.Invalid, "the file is of the contract %s, and the address says %s", parsed.ID, id)
	}
	v, err := d.Contracts.Put(c.ctx(), n)
	if err == nil {
		reply(c.w, http.StatusOK, v)
	}
	return err
}

func (c *call) withdrawContract() (registry.ContractVersion, error) {
	d, err := c.desk()
	if err != nil {
		return registry.ContractVersion{}, err
	}
	return d.Contracts.Withdraw(c.ctx(), c.tenant(), c.r.PathValue("id"), registry.Withdrawal{Why: c.r.URL.Query().Get("why"), By: c.who.Actor})
}

func (c *call) signOff(in NewSignOff) (registry.SignedOff, error) {
	d, err := c.desk()
	if err == nil && in.Run != "" && !in.Over {
		err = c.Engine.MaySign(c.ctx(), c.tenant(), in.Run, c.who.Actor)
	}
	if err != nil {
		return registry.SignedOff{}, err
	}
	return d.Contracts.SignOff(c.ctx(), registry.NewSignOff{Tenant: c.tenant(), Clause: c.r.PathValue("id") + "/" + in.Clause, Class: in.Class, Run: in.Run, Why: in.Why, Expires: in.Expires, Over: in.Over, By: c.who.Actor})
}

func (c *call) pastCalls() ([]PastCall, error) {
	d, err := c.desk()
	if err != nil {
		return nil, err
	}
	step, err := c.whole("step", 0, 1<<30)
	q := PastQuery{ID: c.r.URL.Query().Get("id"), Run: decouple.RunID(c.r.URL.Query().Get("run")), Step: int(step)}
	if err == nil && q.ID == "" && q.Run == "" {
		err = decouple.Errorf(decouple.Invalid, "name a call by the id of its decision, or by its run and step")
	}
	if err != nil {
		return nil, err
	}
	return d.Past(c.ctx(), c.tenant(), q)
}

func (c *call) standing() (Standing, error) {
	d, err := c.desk()
	if err != nil {
		return Standing{}, err
	}
	var q StandingQuery
	if err := c.times(map[string]*time.Time{"since": &q.Since, "as_of": &q.AsOf}); err != nil {
		return Standing{}, err
	}
	return d.Standing(c.ctx(), c.tenant(), q)
}

// times reads times of the query.
func (c *call) times(into map[string]*time.Time) error {
	for name, at := range into {
		text := c.r.URL.Query().Get(name)
		if text == "" {
			continue
		}
		var err error
		if *at, err = time.Parse(time.RFC3339, text); err != nil {
			return decouple.Errorf(decouple.Invalid, "%s: %q is not a time such as 2026-01-31T00:00:00Z", name, text)
		}
	}
	return nil
}

func (c *call) cedar() error {
	d, err := c.desk()
	if err != nil {
		return err
	}
	var m placement.Moment
	if err := c.times(map[string]*time.Time{"as_of": &m.AsOf, "known": &m.Known}); err != nil {
		return err
	}
	text, err := d.Cedar(c.ctx(), c.tenant(), m)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err = io.WriteString(c.w, text)
	return gone(err)
}
