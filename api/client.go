package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/knowledge"
	"decouple.dev/decouple/registry"
)

// Client asks a server: one at an address, with a key, or the process that owns a data folder, through its socket. It is the remote journal (it has
// all methods of a journal.Reader), the remote engine and the remote notes, so that a command works the same way here and there.
type Client struct {
	http   *http.Client
	base   string // of every request
	name   string // of the server, in messages
	bearer string
	local  bool // the owner's socket
}

// Dial finds the process that owns a data folder. NotFound says that there is none.
func Dial(ctx context.Context, dir string) (*Client, error) {
	c := &Client{base: "http://owner", name: "the process that owns the data folder " + dir, local: true, http: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, dir) },
	}}}
	_, err := c.About(ctx)
	return c, err
}

// Connect makes a client of the server at an address such as http://127.0.0.1:8080, with a key. Nothing is asked yet.
func Connect(address, bearer string, roots *http.Transport) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, decouple.Errorf(decouple.Invalid, "the server must be an address such as http://127.0.0.1:8080, not %q", address)
	}
	if u.User != nil {
		return nil, decouple.Errorf(decouple.Invalid, "the server's address may not hold a password: give the key in DECOUPLE_KEY")
	}
	if bearer == "" {
		return nil, decouple.Errorf(decouple.Unauthenticated, "a server needs a key: set DECOUPLE_KEY, or name a file that holds it with --key-file")
	}
	if host := u.Hostname(); u.Scheme == "http" && host != "localhost" && !net.ParseIP(host).IsLoopback() {
		return nil, decouple.Errorf(decouple.Denied, "a key is not sent over plain http to %s: use https", host)
	}
	if roots == nil {
		roots = &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 8, ForceAttemptHTTP2: true}
	}
	return &Client{http: &http.Client{Transport: roots}, base: strings.TrimRight(u.String(), "/"), name: "the server " + u.Host, bearer: bearer}, nil
}

// Close ends idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// About says who answers.
func (c *Client) About(ctx context.Context) (About, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return get[About](ctx, c, "/api/v1/about", nil)
}

// request is one question.
type request struct {
	method, path string
	query        url.Values
	body         io.Reader
	accept       string
	key          string // of idempotency
	by           decouple.Actor
	last         string // Last-Event-ID
}

// send sends a request; an answer that is an error is returned as one.
func (c *Client) send(ctx context.Context, q request) (*http.Response, error) {
	address := c.base + q.path
	if len(q.query) > 0 {
		address += "?" + q.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, q.method, address, q.body)
	if err != nil {
		return nil, decouple.Errorf(decouple.Invalid, "the request cannot be made: %w", err)
	}
	for name, v := range map[string]string{"Accept": q.accept, "Idempotency-Key": q.key, "Last-Event-ID": q.last} {
		if v != "" {
			req.Header.Set(name, v)
		}
	}
	if c.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	if c.local && q.by.ID != "" {
		req.Header.Set(actorHeader, string(q.by.Kind)+"/"+q.by.ID)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var own *decouple.Error
		if errors.As(err, &own) {
			return nil, own
		}
		return nil, decouple.Errorf(orUnavailable(err), "%s did not answer: %w", c.name, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	var f Failure
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&f); err != nil || f.Error.Kind == "" {
		return nil, decouple.Errorf(decouple.Unavailable, "%s answered %s", c.name, resp.Status)
	}
	return nil, f.Error.asError()
}

// orUnavailable is the kind of an error of the connection.
func orUnavailable(err error) decouple.Kind {
	if k := decouple.KindOf(err); k != decouple.Internal {
		return k
	}
	return decouple.Unavailable
}

// receive sends a request and decodes its answer.
func receive[T any](ctx context.Context, c *Client, q request) (T, error) {
	var out T
	resp, err := c.send(ctx, q)
	if err != nil {
		return out, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return out, decouple.Errorf(decouple.Unavailable, "the answer of %s broke off: %w", c.name, err)
	}
	return out, nil
}

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	return receive[T](ctx, c, request{method: http.MethodGet, path: path, query: query})
}

// post sends a value. What is not answered is not known to have been done, unless it has a key and can be sent again.
func post[Out, In any](ctx context.Context, c *Client, q request, in In) (Out, error) {
	b, err := json.Marshal(in)
	if err != nil {
		var none Out
		return none, decouple.Errorf(decouple.Internal, "the request cannot be written: %w", err)
	}
	q.method, q.body = http.MethodPost, bytes.NewReader(b)
	return receive[Out](ctx, c, q)
}

func runPath(id decouple.RunID, below string) string {
	return "/api/v1/runs/" + url.PathEscape(string(id)) + below
}

// Start makes a root run.
func (c *Client) Start(ctx context.Context, st engine.Start) (decouple.RunID, error) {
	b, err := post[Begun](ctx, c, request{path: "/api/v1/runs", key: st.Key, by: st.By}, NewRun{Agent: st.Agent, Task: st.Task, Sources: st.Sources, Limits: LimitsOf(st.Envelope), Labels: st.Labels, Site: st.Site, Priority: st.Priority})
	return b.Run, err
}

// Cancel cancels a run and everything under it, and says how many runs were told.
func (c *Client) Cancel(ctx context.Context, _ decouple.TenantID, id decouple.RunID, why engine.Cancellation) (int, error) {
	t, err := post[Told](ctx, c, request{path: runPath(id, "/cancel"), by: decouple.Actor{Kind: decouple.ActorPerson, ID: why.By}}, Reason{why.Why})
	return t.Told, err
}

// Resume makes what was interrupted ready again.
func (c *Client) Resume(ctx context.Context, _ decouple.TenantID, root decouple.RunID) (int, error) {
	t, err := post[Told](ctx, c, request{path: runPath(root, "/resume")}, None{})
	return t.Told, err
}

// Decide tells a run a decision.
func (c *Client) Decide(ctx context.Context, d engine.Decision) error {
	_, err := post[None](ctx, c, request{path: "/api/v1/approvals/" + url.PathEscape(string(d.Run)) + "/" + string(d.Call), by: d.By}, Verdict{Approve: d.Approve, Why: d.Why, Hash: d.Hash})
	return err
}

// Resolve tells a run what became of a call.
func (c *Client) Resolve(ctx context.Context, r engine.Resolution) error {
	_, err := post[None](ctx, c, request{path: runPath(r.Run, "/calls/"+string(r.Call)+"/resolve"), by: r.By}, NewResolution{Redo: r.Redo, Text: r.Text, Failed: r.Failed, Why: r.Why})
	return err
}

// Deliver sends a run a signal.
func (c *Client) Deliver(ctx context.Context, d engine.Delivery) error {
	_, err := post[None](ctx, c, request{path: runPath(d.Run, "/signals"), key: d.ID, by: d.By}, NewSignal{Name: d.Name, Body: d.Body})
	return err
}

// Fork begins a run from a step of another.
func (c *Client) Fork(ctx context.Context, f engine.Fork) (decouple.RunID, error) {
	b, err := post[Begun](ctx, c, request{path: runPath(f.Run, "/fork"), key: f.Key, by: f.By}, NewFork{Step: f.Step, Effects: f.Effects, Limits: LimitsOf(f.Envelope)})
	return b.Run, err
}

// OpenSession opens a session.
func (c *Client) OpenSession(ctx context.Context, n engine.NewSession) (decouple.RunID, error) {
	b, err := post[Begun](ctx, c, request{path: "/api/v1/sessions", key: n.Key, by: n.By}, NewTalk{Agent: n.Agent, Label: n.Label, Busy: n.Busy, Limits: LimitsOf(n.Envelope), Labels: n.Labels, Site: n.Site})
	return b.Run, err
}

// Sessions lists the newest sessions, at most limit.
func (c *Client) Sessions(ctx context.Context, limit int) ([]Run, error) {
	page, err := get[RunList](ctx, c, "/api/v1/sessions", url.Values{"limit": {itoa(int64(limit))}})
	return page.Runs, err
}

// Say says something in a session.
func (c *Client) Say(ctx context.Context, in engine.Input) (string, error) {
	s, err := post[Said](ctx, c, request{path: "/api/v1/sessions/" + url.PathEscape(string(in.Session)) + "/input", key: in.ID, by: in.By}, Saying{in.Text})
	return s.Input, err
}

// Agents lists the agents.
func (c *Client) Agents(ctx context.Context) ([]Agent, error) {
	return get[[]Agent](ctx, c, "/api/v1/agents", nil)
}

// Agent shows the version of an agent that new runs begin with.
func (c *Client) Agent(ctx context.Context, name decouple.AgentName) (Agent, error) {
	return get[Agent](ctx, c, "/api/v1/agents/"+url.PathEscape(string(name)), nil)
}

// PutAgent deploys a version of an agent from its file.
func (c *Client) PutAgent(ctx context.Context, name string, file []byte, by decouple.Actor) (Agent, error) {
	return receive[Agent](ctx, c, request{method: http.MethodPut, path: "/api/v1/agents/" + url.PathEscape(name), body: bytes.NewReader(file), by: by})
}

// Report is the report of a research, as Markdown or JSON, and how its run has ended: the cause, the number of findings.
func (c *Client) Report(ctx context.Context, id decouple.RunID, asJSON bool) ([]byte, decouple.Cause, int, error) {
	q := request{method: http.MethodGet, path: runPath(id, "/report"), accept: "text/markdown"}
	if asJSON {
		q.accept = "application/json"
	}
	resp, err := c.send(ctx, q)
	if err != nil {
		return nil, decouple.Cause{}, 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, decouple.Cause{}, 0, decouple.Errorf(decouple.Unavailable, "the report broke off: %w", err)
	}
	cause, found := readCause(resp.Header.Get(causeHeader))
	return b, cause, found, nil
}

// Keys lists the keys.
func (c *Client) Keys(ctx context.Context) ([]registry.Key, error) {
	return get[[]registry.Key](ctx, c, "/api/v1/keys", nil)
}

// CreateKey makes a key.
func (c *Client) CreateKey(ctx context.Context, k NewKey, by decouple.Actor) (MadeKey, error) {
	return post[MadeKey](ctx, c, request{path: "/api/v1/keys", by: by}, k)
}

// RevokeKey revokes a key.
func (c *Client) RevokeKey(ctx context.Context, id string, by decouple.Actor) error {
	_, err := receive[None](ctx, c, request{method: http.MethodDelete, path: "/api/v1/keys/" + url.PathEscape(id), by: by})
	return err
}

// Watch follows a run and all under it until it has ended: its events, each once and in order, and what goes on beside them. A connection that breaks
// is made again where it broke.
func (c *Client) Watch(ctx context.Context, id decouple.RunID, after decouple.Position, event func(decouple.Event) error, live func(Live)) error {
	return c.watch(ctx, request{method: http.MethodGet, path: runPath(id, "/events"), accept: "text/event-stream"}, after, func(e decouple.Event) error {
		if err := event(e); err != nil {
			return err
		}
		if e.Kind == ended && e.Stream.ID == string(id) {
			return errOver
		}
		return nil
	}, live)
}

// Tries of a stream that gives nothing.
const (
	maxTries = 30
	rest     = time.Second
)

func (c *Client) watch(ctx context.Context, q request, after decouple.Position, event func(decouple.Event) error, live func(Live)) error {
	for tries := 0; ; tries++ {
		q.last = ""
		if after > 0 {
			q.last = json.Number(itoa(int64(after))).String()
		}
		err := c.stream(ctx, q, func(e decouple.Event) error {
			after, tries = e.Position, 0
			return event(e)
		}, live)
		switch {
		case errors.Is(err, errOver):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.Is(err, io.EOF) && decouple.KindOf(err) != decouple.Unavailable || tries >= maxTries:
			return err
		}
		pause(ctx, rest)
	}
}

// stream reads one stream to its end, which is io.EOF.
func (c *Client) stream(ctx context.Context, q request, event func(decouple.Event) error, live func(Live)) error {
	resp, err := c.send(ctx, q)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusNoContent {
		return errOver
	}
	var kind string
	var data []byte
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return decouple.Errorf(decouple.Unavailable, "the stream of events broke off: %w", io.EOF)
		}
		line = bytes.TrimRight(line, "\r\n")
		switch name, value, _ := bytes.Cut(line, []byte(": ")); {
		case len(line) > 0 && string(name) == "event":
			kind = string(value)
		case len(line) > 0 && string(name) == "data":
			data = append(data, value...)
		case len(line) == 0 && len(data) > 0:
			if err := dispatch(kind, data, event, live); err != nil {
				return err
			}
			kind, data = "", nil
		}
	}
}

// dispatch hands on what came.
func dispatch(kind string, data []byte, event func(decouple.Event) error, live func(Live)) error {
	if kind == "live" {
		var l Live
		if json.Unmarshal(data, &l) == nil && live != nil {
			live(l)
		}
		return nil
	}
	var e Event
	if err := json.Unmarshal(data, &e); err != nil {
		return decouple.Errorf(decouple.Internal, "an event of the server cannot be read: %w", err)
	}
	ev, err := e.event()
	if err != nil {
		return err
	}
	return event(ev)
}

// Add has the owner of a data folder add notes. Paths must be absolute, and are the owner's.
func (c *Client) Add(ctx context.Context, r knowledge.Request) (knowledge.Summary, error) {
	if !c.local {
		return c.upload(ctx, r)
	}
	head, err := json.Marshal(Addition{Paths: r.Paths, Stdin: r.Stdin != nil, Name: r.Name, Actor: r.Actor})
	if err != nil {
		return knowledge.Summary{}, decouple.Errorf(decouple.Internal, "the request cannot be written: %w", err)
	}
	body := io.Reader(bytes.NewReader(head))
	if r.Stdin != nil {
		body = io.MultiReader(body, r.Stdin)
	}
	resp, err := c.send(ctx, request{method: http.MethodPost, path: "/api/v1/notes", body: body})
	if err != nil {
		return knowledge.Summary{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	return follow(resp.Body, r.Progress)
}

// follow reads the frames of an addition to its last.
func follow(body io.Reader, progress func(knowledge.Progress)) (knowledge.Summary, error) {
	d := json.NewDecoder(body)
	for {
		var f Frame
		if err := d.Decode(&f); err != nil {
			return knowledge.Summary{}, decouple.Errorf(decouple.Unknown, "the process that owns the data folder ended before it had added everything (%w): add the same again, what is there already costs nothing", err)
		}
		switch {
		case f.Error != nil:
			return knowledge.Summary{}, f.Error.asError()
		case f.Summary != nil:
			return *f.Summary, nil
		case f.Progress != nil && progress != nil:
			progress(*f.Progress)
		}
	}
}

// upload sends what is under paths of this machine, file by file, and removes what is gone from a folder.
func (c *Client) upload(ctx context.Context, r knowledge.Request) (knowledge.Summary, error) {
	var sum knowledge.Summary
	put := func(path, folder string, body io.Reader) error {
		q := url.Values{"path": {filepath.ToSlash(path)}}
		if folder != "" {
			q.Set("folder", filepath.ToSlash(folder))
		}
		s, err := receive[knowledge.Summary](ctx, c, request{method: http.MethodPut, path: "/api/v1/note", query: q, body: body})
		sum.Added, sum.Changed, sum.Unchanged, sum.Bytes = sum.Added+s.Added, sum.Changed+s.Changed, sum.Unchanged+s.Unchanged, sum.Bytes+s.Bytes
		sum.Skipped, sum.Position = append(sum.Skipped, s.Skipped...), max(sum.Position, s.Position)
		return err
	}
	if r.Stdin != nil {
		name := strings.Trim(r.Name, "/ ")
		if name == "" {
			name = "note"
		}
		if err := put("/stdin/"+name, "", r.Stdin); err != nil {
			return sum, err
		}
	}
	skips, gone, err := knowledge.Walk(r.Paths, r.Progress, put)
	if err != nil {
		return sum, err
	}
	sum.Skipped = append(sum.Skipped, skips...)
	for _, folder := range r.Paths {
		list, err := c.List(ctx, decouple.Sources{Paths: []string{folder}})
		if err != nil {
			return sum, err
		}
		for _, n := range list {
			if n.Folder != "" && gone(n.Path) {
				if _, err := c.Remove(ctx, r.Actor, string(n.ID)); err != nil {
					return sum, err
				}
				sum.Removed++
			}
		}
	}
	about, err := c.About(ctx)
	sum.Position = max(sum.Position, about.Head)
	return sum, err
}
