package api

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/knowledge"
	"decouple.dev/decouple/registry"
)

// route is one thing that can be asked. The table of routes is the interface: the handlers, the OpenAPI document and the tests are made from it.
type route struct {
	method, path string
	right        registry.Right // that the caller needs; empty is anybody
	summary      string
	query        []param
	in, out      reflect.Type // of the JSON bodies; nil is none
	media        []string     // of an answer that is not JSON, or not only
	upload       bool         // the body is bytes
	starts       bool         // takes an Idempotency-Key
	local        bool         // on the owner's socket only
	status       int
	do           func(*call) error
}

// param is a parameter of the query.
type param struct{ name, kind, text string }

// ask makes a route whose answer follows from the request's line alone.
func ask[Out any](path string, right registry.Right, summary string, fn func(*call) (Out, error), query ...param) route {
	return route{method: http.MethodGet, path: path, right: right, summary: summary, query: query, out: reflect.TypeFor[Out](), status: http.StatusOK, do: func(c *call) error {
		if err := known(c, query); err != nil {
			return err
		}
		out, err := fn(c)
		if err == nil {
			reply(c.w, http.StatusOK, out)
		}
		return err
	}}
}

// tell makes a route that takes a JSON body.
func tell[In, Out any](method, path string, right registry.Right, summary string, fn func(*call, In) (Out, error)) route {
	rt := route{method: method, path: path, right: right, summary: summary, in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](), status: http.StatusOK}
	rt.do = func(c *call) error {
		if err := known(c, nil); err != nil {
			return err
		}
		var in In
		var text bytes.Buffer
		rest, err := decode(io.TeeReader(http.MaxBytesReader(c.w, c.r.Body, maxBody+1), &text), &in)
		if err == nil {
			err = exact(text.Bytes())
		}
		if err != nil {
			return err
		}
		if more, _ := io.ReadAll(io.LimitReader(rest, 1<<10)); strings.TrimSpace(string(more)) != "" {
			return decouple.Errorf(decouple.Invalid, "the request has more than one JSON value")
		}
		out, err := fn(c, in)
		if err == nil {
			reply(c.w, http.StatusOK, out)
		}
		return err
	}
	return rt
}

// exact refuses fields that are there twice, or in another case than theirs: two readers of the request would take different ones.
func exact(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	seen := map[string]bool{}
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil // nothing, or what has been refused
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil
		}
		field, _ := name.(string)
		switch {
		case seen[field]:
			return decouple.Errorf(decouple.Invalid, "the request's JSON has the field %q twice", field)
		case strings.ToLower(field) != field || strings.ContainsFunc(field, func(r rune) bool { return r > '~' }):
			return decouple.Errorf(decouple.Invalid, "the request's JSON has a field %q, and there is none: names are in small letters", field)
		}
		seen[field] = true
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil
		}
	}
	return nil
}

// begins makes a route that starts work: it takes an Idempotency-Key, which the engine keeps with what was asked.
func begins[In, Out any](path string, right registry.Right, summary string, fn func(*call, In) (Out, error)) route {
	rt := tell(http.MethodPost, path, right, summary, fn)
	rt.starts = true
	return rt
}

// raw makes a route that writes its answer itself.
func raw(path string, right registry.Right, summary string, media []string, out reflect.Type, fn func(*call) error, query ...param) route {
	return route{method: http.MethodGet, path: path, right: right, summary: summary, media: media, out: out, query: query, status: http.StatusOK, do: func(c *call) error {
		if err := known(c, query); err != nil {
			return err
		}
		return fn(c)
	}}
}

// known refuses parameters that nobody reads: a misspelt filter would select everything.
func known(c *call, query []param) error {
	for name := range c.r.URL.Query() {
		ok := false
		for _, p := range query {
			ok = ok || p.name == name
		}
		if !ok {
			var names []string
			for _, p := range query {
				names = append(names, p.name)
			}
			if len(names) == 0 {
				return decouple.Errorf(decouple.Invalid, "there is no parameter %q here; this takes none", name)
			}
			return decouple.Errorf(decouple.Invalid, "there is no parameter %q here; there are %s", name, strings.Join(names, ", "))
		}
	}
	return nil
}

// Parameters of lists.
var (
	afterRow   = param{"after", "integer", "the next of the page before"}
	afterEvent = param{"after", "integer", "events after this position; on a stream, Last-Event-ID goes before it"}
	limit      = param{"limit", "integer", "of the page, at most 1,000; default 100"}
	runFilter  = []param{{"id", "string", "this run"}, {"root", "string", "runs of this tree"}, {"roots", "boolean", "roots only"},
		{"status", "string", "ready, running, parked or ended; may be given again"}, {"wait", "string", "parked for this: child, person, tool, timer, ...; may be given again"},
		{"agent", "string", "runs of this agent"}, {"key", "string", "the run of this idempotency key"}, {"newest", "boolean", "newest first"}, afterRow, limit}
	uploadQuery = []param{{"path", "string", "absolute, of the note"}, {"folder", "string", "that it belongs to"}}
	underPath   = param{"path", "string", "notes at or under this path; may be given again"}
)

// routes is the interface.
func routes() []route {
	all := [][]route{{
		raw("/healthz", "", "Says that the process is alive", []string{"text/plain"}, nil, func(c *call) error {
			_, err := io.WriteString(c.w, "ok\n")
			return gone(err)
		}),
		ask("/readyz", "", "Says that the journal can be reached", (*call).ready),
		raw("/metrics", registry.RightRead, "Metrics in the format of Prometheus", []string{"text/plain"}, nil, (*call).metrics),
		raw("/api/v1/openapi.json", "", "This document", nil, reflect.TypeFor[json.RawMessage](), (*call).openAPI),
		ask("/api/v1/about", registry.RightRead, "Says who answers, and who you are", (*call).about),
		ask("/api/v1/nodes", registry.RightRead, "Lists the nodes", func(c *call) ([]journal.Node, error) { return full(c.Journal.Nodes(c.ctx())) }),
	}, runRoutes(), agentRoutes(), noteRoutes(), keyRoutes(), gatewayRoutes(), riskRoutes(), drillRoutes(), contractRoutes(), journalRoutes()}
	var out []route
	for _, some := range all {
		out = append(out, some...)
	}
	return out
}

func runRoutes() []route {
	return []route{
		begins("/api/v1/runs", registry.RightRun, "Starts a run", (*call).start),
		ask("/api/v1/runs", registry.RightRead, "Lists runs", (*call).runs, runFilter...),
		ask("/api/v1/runs/{id}", registry.RightRead, "Shows a run", (*call).show),
		ask("/api/v1/runs/{id}/tree", registry.RightRead, "Lists a run and all under it, in the tree's order", (*call).tree),
		raw("/api/v1/runs/{id}/events", registry.RightRead, "The events of a run and of all under it: a page of JSON, or a live stream for Accept: text/event-stream", []string{"text/event-stream"},
			reflect.TypeFor[EventList](), (*call).runEvents, afterEvent, limit),
		ask("/api/v1/runs/{id}/why", registry.RightRead, "Says what each unfinished run of a tree waits for", func(c *call) ([]engine.Standing, error) {
			return full(engine.Explain(c.ctx(), c.Journal, c.tenant(), c.run()))
		}),
		ask("/api/v1/runs/{id}/effects", registry.RightRead, "The ledger of calls with effects", func(c *call) ([]engine.EffectRecord, error) {
			return full(engine.Effects(c.ctx(), c.Journal, c.tenant(), c.run()))
		}),
		ask("/api/v1/runs/{id}/inbox", registry.RightRead, "Lists messages that the run has not taken", (*call).inbox),
		raw("/api/v1/runs/{id}/report", registry.RightRead, "The report of a research: JSON, or Markdown for Accept: text/markdown", []string{"text/markdown"}, reflect.TypeFor[json.RawMessage](), (*call).report),
		tell(http.MethodPost, "/api/v1/runs/{id}/cancel", registry.RightRun, "Ends a run and all under it", (*call).cancel),
		tell(http.MethodPost, "/api/v1/runs/{id}/resume", registry.RightRun, "Makes what was interrupted ready again", func(c *call, _ None) (Told, error) {
			if _, err := c.show(); err != nil {
				return Told{}, err
			}
			n, err := c.Engine.Resume(c.ctx(), c.tenant(), c.run().Root())
			return Told{n}, err
		}),
		begins("/api/v1/runs/{id}/fork", registry.RightRun, "Begins a run from a step of this one", (*call).fork),
		begins("/api/v1/runs/{id}/signals", registry.RightRun, "Sends a signal", func(c *call, in NewSignal) (None, error) {
			if err := c.mayTell(c.run()); err != nil {
				return None{}, err
			}
			return None{}, c.Engine.Deliver(c.ctx(), engine.Delivery{Tenant: c.tenant(), Run: c.run(), Name: in.Name, Body: in.Body, ID: c.key(), By: c.who.Actor})
		}),
		tell(http.MethodPost, "/api/v1/runs/{id}/calls/{step}/{ordinal}/resolve", registry.RightApprove, "Says what became of a call whose outcome is unknown", func(c *call, in NewResolution) (None, error) {
			return None{}, c.Engine.Resolve(c.ctx(), engine.Resolution{Tenant: c.tenant(), Run: c.run(), Call: c.callID(), Redo: in.Redo, Text: in.Text, Failed: in.Failed, Why: in.Why, By: c.who.Actor})
		}),
		ask("/api/v1/approvals", registry.RightRead, "Lists what waits for approval, oldest first", func(c *call) ([]engine.PendingApproval, error) {
			return full(engine.Approvals(c.ctx(), c.Journal, c.tenant(), decouple.RunID(c.r.URL.Query().Get("run"))))
		}, param{"run", "string", "of this run"}),
		ask("/api/v1/approvals/{id}/{step}/{ordinal}", registry.RightRead, "Shows exactly what is asked for", (*call).approval),
		tell(http.MethodPost, "/api/v1/approvals/{id}/{step}/{ordinal}", registry.RightApprove, "Decides on a call that waits for approval", (*call).decide),
		begins("/api/v1/sessions", registry.RightRun, "Opens a session with an agent", (*call).talk),
		ask("/api/v1/sessions", registry.RightRead, "Lists the sessions, newest first", (*call).sessions, afterRow, limit),
		ask("/api/v1/sessions/{id}", registry.RightRead, "Shows a session with its turns", (*call).turns),
		begins("/api/v1/sessions/{id}/input", registry.RightRun, "Says something in a session", func(c *call, in Saying) (Said, error) {
			if err := c.mayTell(c.run()); err != nil {
				return Said{}, err
			}
			id, err := c.Engine.Say(c.ctx(), engine.Input{Tenant: c.tenant(), Session: c.run(), Text: in.Text, ID: c.key(), By: c.who.Actor})
			return Said{id}, err
		}),
	}
}

func agentRoutes() []route {
	put := route{method: http.MethodPut, path: "/api/v1/agents/{name}", right: registry.RightDeploy, summary: "Deploys a version of an agent: the body is its Markdown file", upload: true,
		out: reflect.TypeFor[Agent](), status: http.StatusOK, do: (*call).putAgent}
	return []route{
		ask("/api/v1/agents", registry.RightRead, "Lists the agents", (*call).agents),
		ask("/api/v1/agents/{name}", registry.RightRead, "Shows the version of an agent that new runs begin with", (*call).agent),
		ask("/api/v1/agents/{name}/versions", registry.RightRead, "Lists the versions that the journal holds, oldest first", func(c *call) ([]engine.AgentVersion, error) {
			return full(engine.Versions(c.ctx(), c.Journal, c.tenant(), decouple.AgentName(c.r.PathValue("name"))))
		}),
		ask("/api/v1/agents/{name}/diff", registry.RightRead, "Says what a version changes", (*call).diff,
			param{"from", "string", "the beginning of a version's hash; default the one before to"}, param{"to", "string", "default the newest"}),
		put,
	}
}

func noteRoutes() []route {
	upload := route{method: http.MethodPut, path: "/api/v1/note", right: registry.RightRun, summary: "Adds a note, or a new version of it: the body is the file", upload: true, query: uploadQuery,
		out: reflect.TypeFor[knowledge.Summary](), status: http.StatusOK, do: (*call).upload}
	add := route{method: http.MethodPost, path: "/api/v1/notes", right: registry.RightRun, summary: "Adds files of the server's own machine", local: true, media: []string{"application/x-ndjson"}, upload: true,
		status: http.StatusOK, do: (*call).add}
	remove := ask("/api/v1/note", registry.RightRun, "Removes the note of an id or path, or all under a folder", func(c *call) (Removed, error) {
		b, err := c.base()
		if err != nil {
			return Removed{}, err
		}
		n, err := b.Remove(c.ctx(), c.who.Actor, c.r.URL.Query().Get("note"))
		return Removed{n}, err
	}, param{"note", "string", "its id, its path, or a folder"})
	remove.method = http.MethodDelete
	return []route{
		ask("/api/v1/notes", registry.RightRead, "Lists the notes", func(c *call) ([]knowledge.Note, error) {
			b, err := c.base()
			if err != nil {
				return nil, err
			}
			return full(b.List(c.ctx(), decouple.Sources{Paths: c.r.URL.Query()["path"]}))
		}, underPath),
		ask("/api/v1/note", registry.RightRead, "Shows a note", func(c *call) (knowledge.Note, error) {
			b, err := c.base()
			if err != nil {
				return knowledge.Note{}, err
			}
			return b.Get(c.ctx(), c.r.URL.Query().Get("note"))
		}, param{"note", "string", "its id or path"}),
		raw("/api/v1/note/text", registry.RightRead, "The quotable text of a note", []string{"text/plain"}, nil, (*call).noteText, param{"note", "string", "its id or path"}),
		tell(http.MethodPost, "/api/v1/notes/outline", registry.RightRead, "The headings of a note", func(c *call, in OutlineQuery) (decouple.Outline, error) {
			in.Sources.Tenant = c.tenant()
			return c.Library.Outline(c.ctx(), in.Sources, in.OutlineArgs)
		}),
		tell(http.MethodPost, "/api/v1/notes/search", registry.RightRead, "Searches the notes", func(c *call, in SearchQuery) (decouple.SearchResult, error) {
			in.Sources.Tenant = c.tenant()
			return c.Library.Search(c.ctx(), in.Sources, in.SearchArgs)
		}),
		add, upload, remove,
	}
}

func keyRoutes() []route {
	revoke := ask("/api/v1/keys/{id}", registry.RightKeys, "Revokes a key", (*call).revoke)
	revoke.method = http.MethodDelete
	return []route{
		ask("/api/v1/keys", registry.RightKeys, "Lists the keys of the tenant, or, for the installation's owner, of all", (*call).keys),
		tell(http.MethodPost, "/api/v1/keys", registry.RightKeys, "Makes a key; its bearer string is shown in this answer only", (*call).makeKey),
		tell(http.MethodPost, "/api/v1/keys/{id}/sigv4", registry.RightKeys, "Lets a key sign requests in the manner of AWS; the secret is shown in this answer only, and takes the place of an earlier one", (*call).signKey),
		tell(http.MethodPut, "/api/v1/keys/{id}", registry.RightKeys, "Changes what a key may do at the gateway", (*call).changeKey),
		revoke,
	}
}

func journalRoutes() []route {
	return []route{
		raw("/api/v1/events", registry.RightRead, "The events of the tenant in the order of the journal: a page of JSON, or a live stream for Accept: text/event-stream", []string{"text/event-stream"},
			reflect.TypeFor[EventList](), (*call).events, afterEvent, limit, param{"kind", "string", "of streams: run, agent, contract, note, memory, schedule or request"}),
		ask("/api/v1/streams/{kind}/{id}", registry.RightRead, "The events of one stream", (*call).stream, param{"after", "integer", "events after this sequence number"}, limit),
		raw("/api/v1/blobs/{id}", registry.RightRead, "A value that is too long for an event", []string{"application/octet-stream"}, nil, (*call).blob),
	}
}
