package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/knowledge"
	"decouple.dev/decouple/registry"
)

// full makes an empty list of a missing one.
func full[T any](list []T, err error) ([]T, error) {
	if list == nil {
		list = []T{}
	}
	return list, err
}

// gone is the error of writing to a caller: nobody is there to be told of it.
func gone(err error) error {
	if err != nil {
		return errAnswered
	}
	return nil
}

// ready says whether the journal can be reached.
func (c *call) ready() (None, error) {
	ctx, cancel := context.WithTimeout(c.ctx(), patience)
	defer cancel()
	_, err := c.Journal.Head(ctx)
	if err != nil {
		return None{}, decouple.Errorf(decouple.Unavailable, "the journal cannot be reached")
	}
	return None{}, nil
}

// metrics are of all tenants together, with the names of their agents.
func (c *call) metrics() error {
	if c.tenant() != decouple.LocalTenant {
		return decouple.Errorf(decouple.Denied, "metrics are of the whole installation: they need a key of the tenant %s", decouple.LocalTenant)
	}
	if c.Metrics == nil {
		return decouple.Errorf(decouple.NotFound, "this process has no metrics: `decouple serve` has")
	}
	c.Metrics.ServeHTTP(c.w, c.r)
	return nil
}

// labelled is labels with those that the caller's key puts on all its data, whatever it is sent to.
func (c *call) labelled(labels []string) []string {
	if c.who.Scope == nil {
		return labels
	}
	labels = slices.Clip(labels)
	for _, l := range c.who.Scope.Labels {
		if !slices.Contains(labels, l) {
			labels = append(labels, l)
		}
	}
	return labels
}

// team is that of the caller's key.
func (c *call) team() string {
	if c.who.Scope == nil {
		return ""
	}
	return c.who.Scope.Team
}

// mayTell refuses to give a run data of a key whose labels the run does not have: contracts would not know of them.
func (c *call) mayTell(id decouple.RunID) error {
	if c.who.Scope == nil || len(c.who.Scope.Labels) == 0 {
		return nil
	}
	s, err := engine.Load(c.ctx(), c.Journal, c.tenant(), id)
	if err != nil {
		return err
	}
	for _, l := range c.who.Scope.Labels {
		if !slices.Contains(s.Run.Labels, l) {
			return decouple.Errorf(decouple.Denied, "the data of this key has the label %s, and run %s does not: begin one with this key", l, id)
		}
	}
	return nil
}

// start starts a run.
func (c *call) start(in NewRun) (Begun, error) {
	in.Labels = c.labelled(in.Labels)
	e, err := in.Limits.envelope()
	if err == nil {
		err = marked(in.Labels, in.Site, in.Priority)
	}
	if err != nil {
		return Begun{}, err
	}
	switch {
	case in.Agent == "":
		return Begun{}, decouple.Errorf(decouple.Invalid, "agent: say which agent is to run; GET /api/v1/agents lists them")
	case strings.TrimSpace(in.Task.Question) == "":
		return Begun{}, decouple.Errorf(decouple.Invalid, "task.question: say what the run is to do")
	}
	id, err := c.Engine.Start(c.ctx(), engine.Start{Tenant: c.tenant(), Agent: in.Agent, Task: in.Task, Sources: in.Sources, Freeze: true, Envelope: e, Labels: in.Labels, Site: in.Site,
		Team: c.team(), Caller: c.who.Key, Priority: in.Priority, Key: c.key(), By: c.who.Actor})
	return Begun{id}, err
}

// whole reads a number of the query.
func (c *call) whole(name string, fallback, most int64) (int64, error) {
	s := c.r.URL.Query().Get(name)
	if s == "" {
		return fallback, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > most {
		return 0, decouple.Errorf(decouple.Invalid, "%s: %q is not a number from 0 to %d", name, s, most)
	}
	return n, nil
}

// flag reads a yes or no of the query.
func (c *call) flag(name string) (bool, error) {
	s := c.r.URL.Query().Get(name)
	if s == "" {
		return false, nil
	}
	v, err := strconv.ParseBool(s)
	if err != nil {
		return false, decouple.Errorf(decouple.Invalid, "%s: %q is neither true nor false", name, s)
	}
	return v, nil
}

// maxPage bounds a page of a list.
const maxPage = 1000

// page reads where a page begins and how long it may be.
func (c *call) page() (after int64, limit int, err error) {
	if after, err = c.whole("after", 0, 1<<62); err != nil {
		return 0, 0, err
	}
	n, err := c.whole("limit", 100, maxPage)
	return after, int(max(n, 1)), err
}

// runs lists runs.
func (c *call) runs() (RunList, error) {
	q := c.r.URL.Query()
	f := journal.RunFilter{Tenant: c.tenant(), ID: decouple.RunID(q.Get("id")), Root: decouple.RunID(q.Get("root")), Agent: decouple.AgentName(q.Get("agent")), Key: q.Get("key")}
	for _, s := range q["status"] {
		known := []decouple.RunStatus{decouple.RunReady, decouple.RunRunning, decouple.RunParked, decouple.RunEnded}
		if !slices.Contains(known, decouple.RunStatus(s)) {
			return RunList{}, decouple.Errorf(decouple.Invalid, "status: there is no status %q, only %v", s, known)
		}
		f.Status = append(f.Status, decouple.RunStatus(s))
	}
	for _, w := range q["wait"] {
		f.Wait = append(f.Wait, decouple.WaitKind(w))
	}
	after, limit, err := c.page()
	if err == nil {
		f.Roots, err = c.flag("roots")
	}
	if err == nil {
		f.Newest, err = c.flag("newest")
	}
	if err != nil {
		return RunList{}, err
	}
	f.After, f.Limit = after, limit+1
	rows, err := c.Journal.Runs(c.ctx(), f)
	if err != nil {
		return RunList{}, err
	}
	out := RunList{Runs: RunsOf(rows)}
	if len(rows) > limit {
		out.Runs, out.Next = out.Runs[:limit], rows[limit-1].Row
	}
	return out, nil
}

// show gives the run of the path.
func (c *call) show() (Run, error) {
	rows, err := c.Journal.Runs(c.ctx(), journal.RunFilter{Tenant: c.tenant(), ID: c.run()})
	if err == nil && (len(rows) == 0 || c.run() == "") {
		err = decouple.Errorf(decouple.NotFound, "there is no run %s", c.run())
	}
	if err != nil {
		return Run{}, err
	}
	return RunOf(rows[0]), nil
}

// tree lists a run and all under it.
func (c *call) tree() ([]Run, error) {
	rows, err := c.Journal.Runs(c.ctx(), journal.RunFilter{Tenant: c.tenant(), Root: c.run().Root()})
	rows = slices.DeleteFunc(rows, func(r journal.RunRow) bool { return !within(string(r.ID), c.run()) })
	if err == nil && len(rows) == 0 {
		err = decouple.Errorf(decouple.NotFound, "there is no run %s", c.run())
	}
	slices.SortFunc(rows, func(x, y journal.RunRow) int { return x.ID.Compare(y.ID) })
	return RunsOf(rows), err
}

// within says whether a stream is that of a run or of one under it.
func within(stream string, run decouple.RunID) bool {
	return stream == string(run) || strings.HasPrefix(stream, string(run)+".")
}

func (c *call) inbox() ([]Message, error) {
	if _, err := c.show(); err != nil {
		return nil, err
	}
	list, err := c.Journal.Inbox(c.ctx(), c.tenant(), c.run())
	out := []Message{}
	for _, m := range list {
		out = append(out, Message{m.Seq, m.Kind, m.From, m.Body})
	}
	return out, err
}

// report writes the report of a research.
func (c *call) report() error {
	state, err := engine.Load(c.ctx(), c.Journal, c.tenant(), c.run())
	if err != nil {
		return err
	}
	r, err := c.Reports.Report(c.ctx(), c.tenant(), c.run())
	if err != nil {
		return err
	}
	c.w.Header().Set(causeHeader, strings.Join([]string{string(r.Cause.Kind), string(r.Cause.Err), strconv.Itoa(len(r.Findings)), strconv.QuoteToASCII(r.Cause.Why)}, ";"))
	if accepts(c.r, "text/markdown") {
		folder := ""
		if len(state.Run.Sources.Paths) == 1 {
			folder = state.Run.Sources.Paths[0]
		}
		c.w.Header().Set("Content-Type", "text/markdown; charset=utf-8")
		_, err = io.WriteString(c.w, r.Markdown(folder))
		return gone(err)
	}
	b, err := r.JSON()
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	_, err = c.w.Write(b)
	return gone(err)
}

// causeHeader says how the run of a report has ended: its cause, the kind of error, how many findings there are, and why, quoted.
const causeHeader = "Decouple-Cause"

// accepts says whether a request asks for a media type by name.
func accepts(r *http.Request, media string) bool {
	return strings.Contains(r.Header.Get("Accept"), media)
}

func (c *call) cancel(in Reason) (Told, error) {
	n, err := c.Engine.Cancel(c.ctx(), c.tenant(), c.run(), engine.Cancellation{By: c.who.Actor.ID, Why: in.Why})
	return Told{n}, err
}

func (c *call) fork(in NewFork) (Begun, error) {
	e, err := in.Limits.envelope()
	if err != nil {
		return Begun{}, err
	}
	id, err := c.Engine.Fork(c.ctx(), engine.Fork{Tenant: c.tenant(), Run: c.run(), Step: in.Step, Effects: in.Effects, Envelope: e, Team: c.team(), Caller: c.who.Key, Key: c.key(), By: c.who.Actor})
	return Begun{id}, err
}

// callID is the tool call of the path.
func (c *call) callID() decouple.CallID {
	return decouple.CallID(c.r.PathValue("step") + "/" + c.r.PathValue("ordinal"))
}

// approval finds what the path names.
func (c *call) approval() (engine.PendingApproval, error) {
	list, err := engine.Approvals(c.ctx(), c.Journal, c.tenant(), c.run())
	for _, p := range list {
		if p.Call == c.callID() {
			return p, err
		}
	}
	if err == nil {
		err = decouple.Errorf(decouple.NotFound, "call %s of run %s does not wait for approval", c.callID(), c.run())
	}
	return engine.PendingApproval{}, err
}

// decide tells a run a decision. A hash binds it to what the caller has seen.
func (c *call) decide(in Verdict) (None, error) {
	return None{}, c.Engine.Decide(c.ctx(), engine.Decision{Tenant: c.tenant(), Run: c.run(), Call: c.callID(), Approve: in.Approve, Why: in.Why, Hash: in.Hash, By: c.who.Actor})
}

// talk opens a session.
func (c *call) talk(in NewTalk) (Begun, error) {
	in.Labels = c.labelled(in.Labels)
	e, err := in.Limits.envelope()
	if err == nil {
		err = marked(in.Labels, in.Site, 0)
	}
	if err != nil {
		return Begun{}, err
	}
	if in.Agent == "" {
		return Begun{}, decouple.Errorf(decouple.Invalid, "agent: say which agent to talk with; GET /api/v1/agents lists them")
	}
	id, err := c.Engine.OpenSession(c.ctx(), engine.NewSession{Tenant: c.tenant(), Agent: in.Agent, Label: in.Label, Busy: in.Busy, Envelope: e, Labels: in.Labels, Site: in.Site, Team: c.team(), Caller: c.who.Key, Key: c.key(), By: c.who.Actor})
	return Begun{id}, err
}

// sessions lists sessions.
func (c *call) sessions() (RunList, error) {
	after, limit, err := c.page()
	if err != nil {
		return RunList{}, err
	}
	rows, err := engine.Sessions(c.ctx(), c.Journal, c.tenant(), after, limit+1)
	if err != nil {
		return RunList{}, err
	}
	out := RunList{Runs: RunsOf(rows)}
	if len(rows) > limit {
		out.Runs, out.Next = out.Runs[:limit], rows[limit-1].Row
	}
	return out, nil
}

func (c *call) turns() (Talk, error) {
	r, err := c.show()
	if err != nil {
		return Talk{}, err
	}
	turns, err := engine.Turns(c.ctx(), c.Journal, c.tenant(), r.ID)
	return Talk{r, turns}, err
}

// agents lists the agents that the process was started with and those that were deployed.
func (c *call) agents() ([]Agent, error) {
	names := map[decouple.AgentName]bool{}
	for _, a := range c.Agents.Agents() {
		names[a.Name] = true
	}
	put, err := engine.Deployed(c.ctx(), c.Journal, c.tenant())
	if err != nil {
		return nil, err
	}
	for _, name := range put {
		names[name] = true
	}
	out := []Agent{}
	for name := range names {
		a, err := c.shown(name)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b Agent) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return out, nil
}

func (c *call) agent() (Agent, error) { return c.shown(decouple.AgentName(c.r.PathValue("name"))) }

// shown is an agent with where it is from.
func (c *call) shown(name decouple.AgentName) (Agent, error) {
	a, err := c.Engine.Agent(c.ctx(), c.tenant(), name)
	if err != nil {
		return Agent{}, err
	}
	own, err := c.Agents.Agent(name)
	if err == nil && own.Version == a.Version {
		return Agent{a, c.Agents.File(name)}, nil
	}
	return Agent{a, "deployed"}, nil
}

// putAgent deploys a version of an agent.
func (c *call) putAgent() error {
	if err := known(c, nil); err != nil {
		return err
	}
	if c.who.Actor.Kind == decouple.ActorAgent { // before the file says anything of itself
		return decouple.Errorf(decouple.Denied, "this key is that of the agent %s, and agents may not deploy agents: a person or a service has to", c.who.Actor.ID)
	}
	name := c.r.PathValue("name")
	data, err := io.ReadAll(io.LimitReader(c.r.Body, registry.MaxFile+1))
	if err != nil {
		return decouple.Errorf(decouple.Invalid, "the file did not come whole: %w", err)
	}
	if len(data) > registry.MaxFile {
		return decouple.Errorf(decouple.TooLarge, "an agent file has up to %d bytes", registry.MaxFile)
	}
	a, err := c.Agents.Check(name+".md", data)
	if err != nil {
		return err
	}
	if string(a.Name) != name {
		return decouple.Errorf(decouple.Invalid, "the file is of the agent %s, and the address says %s", a.Name, name)
	}
	if err := c.Engine.PutAgent(c.ctx(), c.tenant(), a, c.who.Actor); err != nil {
		return err
	}
	reply(c.w, http.StatusOK, Agent{a, "deployed"})
	return nil
}

// diff says what a version of an agent changes.
func (c *call) diff() (AgentChange, error) {
	name := decouple.AgentName(c.r.PathValue("name"))
	versions, err := engine.Versions(c.ctx(), c.Journal, c.tenant(), name)
	if err != nil {
		return AgentChange{}, err
	}
	return DiffVersions(name, versions, c.r.URL.Query().Get("from"), c.r.URL.Query().Get("to"))
}

// DiffVersions compares two versions of an agent, named by the beginnings of their hashes: by default the newest with the one before it.
func DiffVersions(name decouple.AgentName, versions []engine.AgentVersion, from, to string) (AgentChange, error) {
	find := func(hash string, fallback int) (int, error) {
		if hash == "" {
			return fallback, nil
		}
		for i := len(versions) - 1; i >= 0; i-- {
			if strings.HasPrefix(string(versions[i].Version), hash) {
				return i, nil
			}
		}
		return 0, decouple.Errorf(decouple.NotFound, "there is no version %s of agent %s", hash, name)
	}
	if len(versions) == 0 {
		return AgentChange{}, decouple.Errorf(decouple.NotFound, "the journal holds no version of an agent %s yet: a version is kept when it is deployed or first runs", name)
	}
	t, err := find(to, len(versions)-1)
	if err != nil {
		return AgentChange{}, err
	}
	f, err := find(from, t-1)
	switch {
	case err != nil:
		return AgentChange{}, err
	case f < 0:
		return AgentChange{}, decouple.Errorf(decouple.NotFound, "version %.12s of agent %s is its first: there is none before it to compare with", versions[t].Version, name)
	}
	changes, err := registry.Diff(versions[f].Agent, versions[t].Agent)
	return AgentChange{versions[f].Version, versions[t].Version, changes}, err
}

// noteText writes the quotable text of a note.
func (c *call) noteText() error {
	b, err := c.base()
	if err != nil {
		return err
	}
	text, err := b.Text(c.ctx(), c.r.URL.Query().Get("note"))
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err = io.WriteString(c.w, text)
	return gone(err)
}

// upload adds a note whose bytes are the body.
func (c *call) upload() error {
	if err := known(c, uploadQuery); err != nil {
		return err
	}
	q := c.r.URL.Query()
	if q.Get("path") == "" {
		return decouple.Errorf(decouple.Invalid, "path: say the absolute path of the note, such as ?path=/handbook/leave.md")
	}
	b, err := c.base()
	if err != nil {
		return err
	}
	sum, err := b.Add(c.ctx(), knowledge.Request{Stdin: http.MaxBytesReader(c.w, c.r.Body, knowledge.MaxSize+1), Path: q.Get("path"), Folder: q.Get("folder"), Actor: c.who.Actor})
	if err == nil {
		reply(c.w, http.StatusOK, sum)
	}
	return err
}

// add adds notes from paths of this machine and tells its progress line by line while it reads the note that the request may hold.
func (c *call) add() error {
	var what Addition
	rest, err := decode(c.r.Body, &what)
	if err == nil {
		err = what.check()
	}
	if err != nil {
		return err
	}
	b, err := c.base()
	if err != nil {
		return err
	}
	control := http.NewResponseController(c.w)
	if err := control.EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) { // HTTP/2 always is
		return err
	}
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	tell := func(f Frame) {
		if b, err := json.Marshal(f); err == nil {
			_, _ = c.w.Write(append(b, '\n')) // an asker who has gone also ends the request's context
			_ = control.Flush()
		}
	}
	last := time.Time{}
	req := knowledge.Request{Paths: what.Paths, Name: what.Name, Actor: what.Actor, Progress: func(p knowledge.Progress) {
		if now := time.Now(); now.Sub(last) > 100*time.Millisecond || p.Done == p.Files {
			last = now
			tell(Frame{Progress: &p})
		}
	}}
	if what.Stdin {
		req.Stdin = rest
	}
	sum, err := b.Add(c.ctx(), req)
	if err != nil {
		tell(Frame{Error: faultOf(err)})
		return errAnswered
	}
	tell(Frame{Summary: &sum})
	return nil
}

// check refuses paths that would mean another place to the owner than to the asker.
func (a Addition) check() error {
	for _, p := range a.Paths {
		if !filepath.IsAbs(p) {
			return decouple.Errorf(decouple.Invalid, "the path %q is not absolute", p)
		}
	}
	return nil
}

// keys lists keys.
func (c *call) keys() ([]registry.Key, error) {
	tenant := c.tenant()
	if c.who.Role.May(registry.RightTenants) {
		tenant = ""
	}
	k, err := c.keyring()
	if err != nil {
		return nil, err
	}
	return k.List(c.ctx(), tenant)
}

// keyring is where keys are kept: on the owner's socket nobody needs one, and they can be managed all the same.
func (c *call) keyring() (*registry.Keys, error) {
	if c.Keys != nil {
		return c.Keys, nil
	}
	log, ok := c.Journal.(registry.KeyLog)
	if !ok {
		return nil, decouple.Errorf(decouple.Unavailable, "keys cannot be managed here")
	}
	return registry.NewKeys(log), nil
}

func (c *call) makeKey(in NewKey) (MadeKey, error) {
	k, err := c.keyring()
	if err != nil {
		return MadeKey{}, err
	}
	if in.Tenant == "" {
		in.Tenant = c.tenant()
	}
	all := c.who.Role.May(registry.RightTenants)
	if in.Tenant != c.tenant() && !all {
		return MadeKey{}, decouple.Errorf(decouple.Denied, "the role %s makes keys of its own tenant only", c.who.Role)
	}
	if in.Role.May(registry.RightTenants) && !all {
		return MadeKey{}, decouple.Errorf(decouple.Denied, "only an owner makes keys of owners")
	}
	key, bearer, err := k.Create(c.ctx(), registry.Key{Tenant: in.Tenant, Actor: in.Actor, Role: in.Role, Label: in.Label, Expires: in.Expires, Scope: in.Scope, By: c.who.Actor})
	return MadeKey{key, bearer}, err
}

func (c *call) revoke() (None, error) {
	k, err := c.keyring()
	if err != nil {
		return None{}, err
	}
	id := c.r.PathValue("id")
	tenant, err := c.tenantOf(k, id)
	if err != nil {
		return None{}, err
	}
	return None{}, k.Revoke(c.ctx(), tenant, id, c.who.Actor)
}

// tenantOf is the tenant of a key as its caller may reach it: the caller's own, and any to the owner of the installation.
func (c *call) tenantOf(k *registry.Keys, id string) (decouple.TenantID, error) {
	if !c.who.Role.May(registry.RightTenants) {
		return c.tenant(), nil
	}
	list, err := k.List(c.ctx(), "")
	for _, key := range list {
		if key.ID == id {
			return key.Tenant, err
		}
	}
	return c.tenant(), err
}

// stream gives the events of one stream.
func (c *call) stream() (EventList, error) {
	kind := decouple.StreamKind(c.r.PathValue("kind"))
	if kind == decouple.StreamKey {
		return EventList{}, decouple.Errorf(decouple.NotFound, "the events of keys are not shown")
	}
	after, limit, err := c.page()
	if err != nil {
		return EventList{}, err
	}
	events, err := c.Journal.Read(c.ctx(), decouple.Stream{Tenant: c.tenant(), Kind: kind, ID: c.r.PathValue("id")}, decouple.Seq(after), limit+1)
	if err != nil {
		return EventList{}, err
	}
	out := EventList{Events: []Event{}}
	for i, e := range events {
		if i == limit {
			out.Next = int64(events[i-1].Seq)
			break
		}
		out.Events = append(out.Events, EventOf(e))
	}
	return out, nil
}

// blob writes a blob; one that is damaged breaks off.
func (c *call) blob() error {
	r, err := c.Journal.GetBlob(c.ctx(), c.tenant(), decouple.BlobID(c.r.PathValue("id")))
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	c.w.Header().Set("Content-Type", "application/octet-stream")
	if _, err := io.Copy(c.w, r); err != nil {
		if !errors.Is(err, context.Canceled) {
			c.log().Error("a blob could not be sent whole", "blob", c.r.PathValue("id"), "error", err)
		}
		panic(http.ErrAbortHandler) // the only way to say that a body is not whole
	}
	return nil
}

// OutlineQuery asks for the headings of a note.
type OutlineQuery struct {
	decouple.OutlineArgs
	Sources decouple.Sources `json:"sources,omitzero"`
}

// SearchQuery asks for what answers a question best.
type SearchQuery struct {
	decouple.SearchArgs
	Sources decouple.Sources `json:"sources,omitzero"`
}
