package route_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/route"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the scenarios print into their files")

// TestScenarios plays text files of "commands, ----, what they print". Times are durations from the start. The commands are:
//
//	endpoint ID model=M [account=A] [region=R] [rpm=N] [tpm=N] [in=N] [out=N] [concurrent=N] [admit_max] [price=IN/CACHED/OUT] [context=N]
//	alias STRATEGY [hedge=D] [ENDPOINT=WEIGHT]...      the endpoints of later decisions, in order
//	at TIME                                            what follows happens then; "+D" is later by D
//	decide [id=X] [tokens=N] [max=N] [key=K] [tried=A,B] [sticky=S] [deadline=D] [stream] [random=N] [denied=E] [prefer=A,B]
//	take ...                                           decide, and begin what was chosen
//	begin X ENDPOINT [...] / first X ENDPOINT / end X ENDPOINT KIND [status=N] [after=D] [in=N] [out=N] [requests=REMAINING/LIMIT/RESET] [tokens_left=...]
//	calls N ENDPOINT KIND [every=D] [took=D] [first=D] [key=K] ...   whole calls, one after another
//	retry N / snapshot / drop ENDPOINT                 drop takes it out of the catalog
//	enqueue X [tenant=T] [key=K] [priority=N] [tokens=N] [max=N] [deadline=D] / next [N] [not=PREFIX] / expire / forget X / queue [max=N] [wait=D]
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(b))
			if *update {
				if err := os.WriteFile(f, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if d := cmp.Diff(string(b), got); d != "" {
				t.Error(d)
			}
		})
	}
}

// play runs a file and gives it back with what came out.
func play(t *testing.T, text string) string {
	var out strings.Builder
	p := &player{t: t, now: start, cat: &catalog.Catalog{
		Models: map[catalog.ModelID]catalog.Model{}, Endpoints: map[catalog.EndpointID]catalog.Endpoint{}, Prices: map[string][]catalog.Price{},
	}}
	for i, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		command, _, _ := strings.Cut(block, "\n----")
		if i > 0 {
			out.WriteString("\n")
		}
		p.out.Reset()
		for _, line := range strings.Split(command, "\n") {
			if !strings.HasPrefix(line, "#") {
				p.do(strings.Fields(line))
			}
		}
		fmt.Fprintf(&out, "%s\n----\n%s", command, p.out.String())
	}
	return out.String()
}

type player struct {
	t     *testing.T
	now   time.Time
	cat   *catalog.Catalog
	s     *route.State
	q     *route.Queue
	alias catalog.Alias
	ids   []catalog.EndpointID
	needs map[string]route.Need
	calls int
	out   strings.Builder
}

// words are a command's arguments.
type words struct {
	t    *testing.T
	args []string
	opts map[string]string
}

func parse(t *testing.T, ws []string) words {
	w := words{t, nil, map[string]string{}}
	for _, x := range ws {
		if k, v, ok := strings.Cut(x, "="); ok {
			w.opts[k] = v
		} else {
			w.args = append(w.args, x)
		}
	}
	return w
}

func (w words) num(k string) int64 {
	if w.opts[k] == "" {
		return 0
	}
	n, err := strconv.ParseInt(w.opts[k], 10, 64)
	if err != nil {
		w.t.Fatalf("%s: %v", k, err)
	}
	return n
}

func (w words) dur(k string) time.Duration {
	if w.opts[k] == "" {
		return 0
	}
	return duration(w.t, w.opts[k])
}

func (w words) has(flag string) bool {
	for _, a := range w.args {
		if a == flag {
			return true
		}
	}
	return false
}

func duration(t *testing.T, s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (p *player) state() *route.State {
	if p.s == nil {
		p.s = route.New(p.cat, route.Config{})
		p.needs = map[string]route.Need{}
	}
	return p.s
}

func (p *player) do(ws []string) {
	w := parse(p.t, ws[1:])
	switch ws[0] {
	case "endpoint":
		p.endpoint(w)
	case "drop":
		delete(p.cat.Endpoints, catalog.EndpointID(w.args[0]))
		p.state().With(p.cat)
	case "alias":
		p.setAlias(ws)
	case "at":
		if after, ok := strings.CutPrefix(ws[1], "+"); ok {
			p.now = p.now.Add(duration(p.t, after))
		} else {
			p.now = start.Add(duration(p.t, ws[1]))
		}
	case "decide":
		p.show(p.state().Decide(p.need(w), p.now))
	case "take":
		n := p.need(w)
		d := p.state().Take(n, p.now)
		p.needs[n.ID] = n
		p.show(d)
	case "begin":
		n := p.need(w)
		n.ID = w.args[0]
		p.state().Begin(n.ID, catalog.EndpointID(w.args[1]), n, p.now)
	case "first":
		p.state().FirstToken(w.args[0], catalog.EndpointID(w.args[1]), p.now)
	case "end":
		o := p.outcome(w, w.args[2])
		o.Call, o.Endpoint = w.args[0], catalog.EndpointID(w.args[1])
		p.advice(p.state().End(o, p.now))
	case "calls":
		p.many(w)
	case "retry":
		n, _ := strconv.Atoi(w.args[0])
		yes := 0
		for range n {
			if p.state().Retry(p.now) {
				yes++
			}
		}
		fmt.Fprintf(&p.out, "%d of %d\n", yes, n)
	case "snapshot":
		p.snapshot()
	default:
		p.queue(ws[0], w)
	}
}

func (p *player) endpoint(w words) {
	id := catalog.EndpointID(w.args[0])
	provider, _, _ := strings.Cut(w.args[0], "/")
	e := catalog.Endpoint{
		ID: id, Provider: provider, Account: w.opts["account"], Region: w.opts["region"], Model: catalog.ModelID(w.opts["model"]), Name: w.args[0],
		Limits: catalog.Limits{Requests: w.num("rpm"), Tokens: w.num("tpm"), TokensIn: w.num("in"), TokensOut: w.num("out"), Concurrent: w.num("concurrent"), AdmitMax: w.has("admit_max")},
	}
	p.cat.Endpoints[id] = e
	p.cat.Models[e.Model] = catalog.Model{ID: e.Model, Context: w.num("context")}
	if w.opts["price"] != "" {
		var m [3]decouple.Money
		for i, s := range strings.Split(w.opts["price"], "/") {
			var err error
			if m[i], err = decouple.ParseMoney(s); err != nil {
				p.t.Fatal(err)
			}
		}
		p.cat.Prices[provider+"/"+e.Name] = []catalog.Price{{Tiers: []catalog.Tier{{In: m[0], Cached: m[1], Out: m[2]}}}}
	}
	p.ids = append(p.ids, id)
	if p.s != nil {
		p.s.With(p.cat)
	}
}

func (p *player) setAlias(ws []string) {
	p.alias = catalog.Alias{Name: "smart", Strategy: catalog.Strategy(ws[1])}
	var ids []catalog.EndpointID
	for _, x := range ws[2:] {
		k, v, _ := strings.Cut(x, "=")
		if k == "hedge" {
			p.alias.Hedge = duration(p.t, v)
			continue
		}
		n, _ := strconv.Atoi(v)
		p.alias.Targets = append(p.alias.Targets, catalog.Target{Endpoint: catalog.EndpointID(k), Weight: n})
		ids = append(ids, catalog.EndpointID(k))
	}
	if ids != nil {
		p.ids = ids
	}
}

func (p *player) need(w words) route.Need {
	p.calls++
	n := route.Need{
		ID: w.opts["id"], Alias: p.alias, Endpoints: p.ids, TokensIn: w.num("tokens"), MaxOut: w.num("max"), Tenant: w.opts["tenant"], Key: w.opts["key"],
		Priority: int(w.num("priority")), Sticky: w.opts["sticky"], Random: uint64(w.num("random")), Stream: w.has("stream"),
	}
	if n.ID == "" {
		n.ID = fmt.Sprint("call", p.calls)
	}
	if d := w.dur("deadline"); d != 0 {
		n.Deadline = p.now.Add(d)
	}
	for _, id := range strings.Split(w.opts["prefer"], ",") {
		if id != "" {
			if n.Prefer == nil {
				n.Prefer = map[catalog.EndpointID]string{}
			}
			n.Prefer[catalog.EndpointID(id)] = "azure-2026/primary-share"
		}
	}
	if w.opts["tried"] != "" {
		for _, id := range strings.Split(w.opts["tried"], ",") {
			n.Tried = append(n.Tried, catalog.EndpointID(id))
		}
	}
	if id := catalog.EndpointID(w.opts["denied"]); id != "" {
		n.Refused = []route.Candidate{{Endpoint: id, Why: "a clause keeps this data in the EU"}}
		n.Endpoints = nil
		for _, e := range p.ids {
			if e != id {
				n.Endpoints = append(n.Endpoints, e)
			}
		}
	}
	return n
}

func (p *player) outcome(w words, kind string) route.Outcome {
	o := route.Outcome{Kind: route.Kind(kind), Status: int(w.num("status")), RetryAfter: w.dur("after"), FirstToken: w.dur("first"), TokensIn: w.num("in"), TokensOut: w.num("out")}
	limit := func(k string) (l route.Limit) {
		if w.opts[k] == "" {
			return l
		}
		parts := strings.Split(w.opts[k], "/")
		l.Remaining, _ = strconv.ParseInt(parts[0], 10, 64)
		l.Limit, _ = strconv.ParseInt(parts[1], 10, 64)
		l.Reset = duration(p.t, parts[2])
		return l
	}
	o.Limits.Requests, o.Limits.Tokens = limit("requests"), limit("tokens_left")
	return o
}

// many plays calls one after another and prints what was advised, once per change.
func (p *player) many(w words) {
	n, _ := strconv.Atoi(w.args[0])
	id := catalog.EndpointID(w.args[1])
	last := ""
	for range n {
		need := p.need(w)
		began := p.now
		p.state().Begin(need.ID, id, need, began)
		p.now = began.Add(w.dur("took"))
		o := p.outcome(w, w.args[2])
		o.Call, o.Endpoint = need.ID, id
		a := p.s.End(o, p.now)
		if a.Judge && last != a.Why {
			p.advice(a)
			last = a.Why
		}
		p.now = began.Add(w.dur("every") + w.dur("took"))
	}
}

func (p *player) advice(a route.Advice) {
	fmt.Fprintf(&p.out, "retry=%v judge=%v: %s\n", a.Retry, a.Judge, a.Why)
}

func (p *player) since(t time.Time) string { return t.Sub(start).Round(time.Millisecond).String() }

func (p *player) show(d route.Decision) {
	switch {
	case d.Chosen != "":
		fmt.Fprintf(&p.out, "%s", d.Chosen)
		if d.Probe {
			p.out.WriteString(" probe")
		}
		if d.Judge {
			p.out.WriteString(" judge")
		}
		if d.Hedge != "" {
			fmt.Fprintf(&p.out, ", %s after %s", d.Hedge, d.After)
		}
	case !d.Wait.IsZero():
		fmt.Fprintf(&p.out, "wait until %s", p.since(d.Wait))
	default:
		fmt.Fprintf(&p.out, "refused: %s", d.Refused)
		if d.RetryAfter > 0 {
			fmt.Fprintf(&p.out, ", retry after %s", d.RetryAfter.Round(time.Millisecond))
		}
	}
	fmt.Fprintf(&p.out, ": %s\n", d.Why)
	for _, c := range d.Candidates {
		fmt.Fprintf(&p.out, "  %s %s", c.Endpoint, c.Verdict)
		if c.Total != 0 {
			fmt.Fprintf(&p.out, " score=%.2f first=%s total=%s room=%.0f%%", c.Score, c.FirstToken.Round(time.Millisecond), c.Total.Round(time.Millisecond), c.Headroom*100)
		}
		if c.Priced {
			fmt.Fprintf(&p.out, " price=%.4f", c.Price.Dollars())
		}
		if c.Warm {
			p.out.WriteString(" warm")
		}
		if !c.Until.IsZero() {
			fmt.Fprintf(&p.out, " until=%s", p.since(c.Until))
		}
		fmt.Fprintf(&p.out, ": %s\n", c.Why)
	}
}

func (p *player) snapshot() {
	for _, h := range p.s.Snapshot(p.now) {
		fmt.Fprintf(&p.out, "%s %s room=%.0f%% in_flight=%d", h.Endpoint, h.State, h.Headroom*100, h.InFlight)
		if h.Learned > 0 {
			fmt.Fprintf(&p.out, " learned=%.0f/min", h.Learned)
		}
		if h.FailShare > 0 {
			fmt.Fprintf(&p.out, " fails=%.0f%%", h.FailShare*100)
		}
		if h.RefuseShare > 0 {
			fmt.Fprintf(&p.out, " refuses=%.0f%%", h.RefuseShare*100)
		}
		if h.Opened > 0 {
			fmt.Fprintf(&p.out, " opened=%d", h.Opened)
		}
		if !h.Until.IsZero() {
			fmt.Fprintf(&p.out, " until=%s", p.since(h.Until))
		}
		fmt.Fprintf(&p.out, ": %s\n", h.Why)
	}
}

func (p *player) queue(verb string, w words) {
	switch verb {
	case "queue":
		p.q = route.NewQueue(route.QueueConfig{Max: int(w.num("max")), Wait: w.dur("wait")})
	case "enqueue":
		a := p.q.Enqueue(w.args[0], p.need(w), p.now)
		if a.Refused != "" {
			fmt.Fprintf(&p.out, "%s refused: %s, retry after %s: %s\n", w.args[0], a.Refused, a.RetryAfter, a.Why)
			return
		}
		fmt.Fprintf(&p.out, "%s at %d", w.args[0], a.Position)
		if a.Evicted != "" {
			fmt.Fprintf(&p.out, " instead of %s", a.Evicted)
		}
		p.out.WriteString("\n")
	case "next":
		n := 1
		if len(w.args) > 0 {
			n, _ = strconv.Atoi(w.args[0])
		}
		var got []string
		for range n {
			id, _, ok := p.q.Next(p.now, func(id string, _ *route.Need) bool {
				return w.opts["not"] == "" || !strings.HasPrefix(id, w.opts["not"])
			})
			if !ok {
				got = append(got, "nobody")
				break
			}
			got = append(got, id)
		}
		fmt.Fprintln(&p.out, strings.Join(got, " "))
	case "expire":
		fmt.Fprintln(&p.out, strings.Join(p.q.Expire(p.now), " "), "/", p.q.Len(), "left")
	case "forget":
		fmt.Fprintln(&p.out, p.q.Drop(w.args[0]))
	default:
		p.t.Fatalf("no command %s", verb)
	}
}
