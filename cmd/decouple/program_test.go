package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"

	"decouple.dev/decouple"
)

// opKind is what a step of a program does.
type opKind string

const (
	opPut     opKind = "put"     // sets a counter: idempotent
	opKeyed   opKind = "keyed"   // adds to a counter once, by the platform's key
	opOnce    opKind = "once"    // adds to a counter; must never be repeated; whoever asks can find out
	opBlind   opKind = "blind"   // likewise, and only a person can find out
	opApprove opKind = "approve" // adds once after a person has said yes
	opDeny    opKind = "deny"    // a person says no
	opFlaky   opKind = "flaky"   // the server is unavailable twice
	opSleep   opKind = "sleep"
	opRead    opKind = "read" // reads a number
	opSpawn   opKind = "spawn"
)

// op is one call of a step.
type op struct {
	kind  opKind
	id    string // of its counter
	value int
	child *program
}

// program is what one agent does: its steps, each with calls that are made at once. Its result is the sum of the values that its calls brought.
type program struct {
	id    string
	steps [][]op
}

// newProgram makes a program by chance. Room is how many agents may still be made.
func newProgram(chance *rand.Rand, id string, depth int, room *int) *program {
	p := &program{id: id}
	for i := range 1 + chance.IntN(4) {
		var step []op
		for j := range 1 + chance.IntN(3) {
			o := op{id: fmt.Sprintf("%s-%d-%d", id, i, j), value: 1 + chance.IntN(1000)}
			kinds := []opKind{opPut, opKeyed, opKeyed, opOnce, opBlind, opApprove, opDeny, opFlaky, opSleep, opRead}
			o.kind = kinds[chance.IntN(len(kinds))]
			if depth < 6 && *room > 0 && chance.IntN(3) > 0 {
				*room--
				o.kind = opSpawn
				o.child = newProgram(chance, fmt.Sprintf("%s.%d-%d", id, i, j), depth+1, room)
			}
			step = append(step, o)
		}
		p.steps = append(p.steps, step)
	}
	return p
}

// want is the sum that a program must come to, worked out without running it.
func (p *program) want() int {
	sum := 0
	for _, o := range p.ops() {
		switch o.kind {
		case opSpawn:
			sum += o.child.want()
		case opSleep, opDeny:
		default:
			sum += o.value
		}
	}
	return sum
}

func (p *program) ops() []op {
	var all []op
	for _, s := range p.steps {
		all = append(all, s...)
	}
	return all
}

// each visits a program and all under it.
func (p *program) each(fn func(*program)) {
	fn(p)
	for _, o := range p.ops() {
		if o.child != nil {
			o.child.each(fn)
		}
	}
}

// world is what the programs work on: a model that speaks them, and a server with counters.
type world struct {
	model, web *httptest.Server

	mu       sync.Mutex
	chance   *rand.Rand
	programs map[string]*program
	value    map[string]int             // of what was put
	keys     map[string]map[string]bool // that a counter was added to under
	hits     map[string]int             // requests that a counter was added to by
	flakes   map[string]int
}

func newWorld(seed uint64) *world {
	w := &world{chance: rand.New(rand.NewPCG(seed, 1)), programs: map[string]*program{}, value: map[string]int{}, keys: map[string]map[string]bool{}, hits: map[string]int{}, flakes: map[string]int{}}
	w.model = httptest.NewServer(http.HandlerFunc(w.answer))
	w.web = httptest.NewServer(http.HandlerFunc(w.count))
	return w
}

func (w *world) close() {
	for _, s := range []*httptest.Server{w.model, w.web} {
		s.CloseClientConnections()
		s.Close()
	}
}

func (w *world) add(p *program) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p.each(func(q *program) { w.programs[q.id] = q })
}

// dice gives a number below n.
func (w *world) dice(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.chance.IntN(n)
}

// answer is the model: what a program does next follows from the conversation alone.
func (w *world) answer(rw http.ResponseWriter, r *http.Request) {
	var in wire
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(rw, `{"error":{"message":"not JSON"}}`, http.StatusBadRequest)
		return
	}
	<-time.After(time.Duration(w.dice(8)) * time.Millisecond) // the time that a model takes
	req := in.request()
	done, sum, p := 0, 0, (*program)(nil)
	for _, m := range req.Messages {
		switch {
		case m.Role == decouple.Assistant:
			done++
		case p == nil && m.Role == decouple.User:
			_, rest, _ := strings.Cut(m.Text(), "program ")
			id, _, _ := strings.Cut(rest, ";")
			w.mu.Lock()
			p = w.programs[id]
			w.mu.Unlock()
		}
		for _, part := range m.Parts {
			if part.Result != nil {
				sum += brought(part.Result.Text)
			}
		}
	}
	if p == nil {
		http.Error(rw, `{"error":{"message":"no such program"}}`, http.StatusBadRequest)
		return
	}
	a := decouple.Answer{Finish: decouple.FinishStop, Usage: decouple.Usage{TokensIn: int64(100 + 10*done), TokensOut: 20}}
	if done >= len(p.steps) || req.NoTools {
		a.Message = decouple.Text(decouple.Assistant, fmt.Sprintf("value=%d;", sum))
	} else {
		a.Message.Role = decouple.Assistant
		for j, o := range p.steps[done] {
			a.Message.Parts = append(a.Message.Parts, decouple.Part{Call: w.call(fmt.Sprintf("c%d_%d", done, j), o)})
		}
	}
	writeAnswer(rw, a)
}

// brought is the value in a result, 0 if it holds none.
func brought(text string) int {
	_, rest, ok := strings.Cut(text, "value=")
	if !ok {
		return 0
	}
	digits, _, _ := strings.Cut(rest, ";")
	n, _ := strconv.Atoi(digits)
	return n
}

// call is an op as a model asks for it.
func (w *world) call(id string, o op) *decouple.ToolCall {
	c := &decouple.ToolCall{ID: id}
	args := map[string]string{"method": "POST", "url": fmt.Sprintf("%s/%s/%s?v=%d", w.web.URL, o.kind, o.id, o.value)}
	switch o.kind {
	case opSpawn:
		b, _ := json.Marshal(decouple.SpawnArgs{Agent: "prog", Task: decouple.Task{Question: "program " + o.child.id + ";"}})
		c.Name, c.Args = decouple.ToolSpawn, b
		return c
	case opSleep:
		c.Name, c.Args = decouple.ToolSleep, json.RawMessage(fmt.Sprintf(`{"for":"%dms"}`, 20+o.value/4))
		return c
	case opRead:
		c.Name, args["method"] = "http.get", "GET"
	case opPut:
		c.Name, args["method"] = "http.put", "PUT"
	case opOnce:
		c.Name, args["query_url"] = "http.once", w.web.URL+"/asked/"+o.id
	case opBlind:
		c.Name = "http.once"
	default:
		c.Name = "http.request"
	}
	c.Args, _ = json.Marshal(args)
	return c
}

// count is the server with counters. It is slow by chance, before or after it has counted, and now and then says nothing of what it did.
func (w *world) count(rw http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) != 2 {
		http.NotFound(rw, r)
		return
	}
	kind, id, key := opKind(parts[0]), parts[1], r.Header.Get("Idempotency-Key")
	v, _ := strconv.Atoi(r.URL.Query().Get("v"))
	<-time.After(time.Duration(w.dice(15)) * time.Millisecond)
	w.mu.Lock()
	lost := false
	switch kind {
	case opPut:
		w.value[id] = v
	case opRead:
	case "asked":
		if v = w.hits[id]; v == 0 {
			w.mu.Unlock()
			http.NotFound(rw, r)
			return
		}
		v = w.value[id]
	case opFlaky:
		if w.flakes[id]++; w.flakes[id] <= 2 {
			w.mu.Unlock()
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.keyed(id, key)
	case opOnce, opBlind:
		w.hits[id]++
		w.value[id] = v
		lost = w.chance.IntN(12) == 0
	default:
		w.keyed(id, key)
	}
	w.mu.Unlock()
	if lost {
		panic(http.ErrAbortHandler) // it has happened, and nobody is told
	}
	<-time.After(time.Duration(w.dice(10)) * time.Millisecond)
	fmt.Fprintf(rw, "value=%d;", v)
}

// keyed adds to a counter under a key. The caller holds mu.
func (w *world) keyed(id, key string) {
	if w.keys[id] == nil {
		w.keys[id] = map[string]bool{}
	}
	w.keys[id][key] = true
}

// happened says whether a call that must not be repeated has happened, and its value.
func (w *world) happened(id string) (bool, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hits[id] > 0, w.value[id]
}

// wrong says what the counters of a program have that they must not have: of one that came to its end everything happened exactly once, of another at most once.
func (w *world) wrong(p *program, whole bool) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	fault := func(o op, format string, args ...any) {
		out = append(out, fmt.Sprintf("%s %s: ", o.kind, o.id)+fmt.Sprintf(format, args...))
	}
	p.each(func(q *program) {
		for _, o := range q.ops() {
			n, least := 0, 1
			switch o.kind {
			case opPut:
				if v, ok := w.value[o.id]; whole && v != o.value || ok && v != o.value {
					fault(o, "is %d, not %d", v, o.value)
				}
				continue
			case opSpawn, opSleep, opRead:
				continue
			case opDeny:
				n, least = len(w.keys[o.id]), 0
				if n > 0 {
					fault(o, "happened although it was denied")
				}
			case opOnce, opBlind:
				n = w.hits[o.id]
			default:
				n = len(w.keys[o.id])
			}
			if n > 1 || whole && n < least {
				fault(o, "happened %d times", n)
			}
		}
	})
	return out
}
