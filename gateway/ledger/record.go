package ledger

import (
	"bytes"
	"encoding/json"
	"hash/crc32"
	"strconv"
	"time"

	"decouple.dev/decouple"
)

// A record is a line: CRC-32C in eight hex digits over what follows the first space, a space, a letter for the kind, a space, JSON, and a line feed.
// JSON has no line feed in it, so that a reader that meets a damaged line finds the next one.
const (
	recordHead    = 'h' // the first line of a segment
	recordBegin   = 'b' // a call is about to be made
	recordAttempt = 'a' // an endpoint is about to be asked
	recordSettle  = 's' // a call's settlement
	recordSeal    = 'j' // settlements are about to be journaled as one batch
	recordDone    = 'd' // the journal has all settlements up to a number
	recordWindow  = 'w' // a slice of a budget's window is about to be taken
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// prefixLen is the length of what precedes the JSON.
const prefixLen = len("xxxxxxxx k ")

// storedBegin is a call that was begun.
type storedBegin struct {
	ID      string             `json:"id"`
	At      int64              `json:"at"` // microseconds since 1970
	Tenant  decouple.TenantID  `json:"tenant"`
	Key     string             `json:"key,omitempty"`
	Team    string             `json:"team,omitempty"`
	Agent   decouple.AgentName `json:"agent,omitempty"`
	Run     decouple.RunID     `json:"run,omitempty"`
	Door    Door               `json:"door,omitempty"`
	Model   string             `json:"model,omitempty"`
	Class   string             `json:"class,omitempty"`
	Labels  []string           `json:"labels,omitempty"`
	Trace   decouple.TraceID   `json:"trace,omitempty"`
	USD     decouple.Money     `json:"usd,omitempty"` // reserved
	Tokens  int64              `json:"tokens,omitempty"`
	Budgets []string           `json:"budgets,omitempty"` // id/window of those that count it
}

// storedAttempt is an endpoint that was asked. What it reserves is added to what the call had reserved.
type storedAttempt struct {
	ID       string         `json:"id"`
	Endpoint string         `json:"endpoint"`
	Model    string         `json:"model,omitempty"`
	USD      decouple.Money `json:"usd,omitempty"`
	Tokens   int64          `json:"tokens,omitempty"`
}

// storedCall is a settled call, in the file and in the journal alike: the fields of what was begun, where USD and Tokens are what budgets count.
type storedCall struct {
	N int64 `json:"n"` // among the settlements of this folder, from 1
	storedBegin
	Lines    []storedLine `json:"lines,omitempty"`
	Outcome  Outcome      `json:"outcome,omitempty"`
	First    int64        `json:"first,omitempty"` // microseconds
	Took     int64        `json:"took,omitempty"`
	Decision string       `json:"decision,omitempty"`
	Won      int          `json:"won,omitempty"`
	Policy   string       `json:"policy,omitempty"`
	Signed   []string     `json:"signed,omitempty"`
	Refused  []Refused    `json:"refused,omitempty"`
}

// storedLine is what one endpoint used.
type storedLine struct {
	Attempt    int            `json:"attempt,omitempty"` // from 1; without one the line stands for all attempts
	Endpoint   string         `json:"endpoint,omitempty"`
	Model      string         `json:"model,omitempty"`
	In         int64          `json:"in,omitempty"`
	Out        int64          `json:"out,omitempty"`
	Cached     int64          `json:"cached,omitempty"`
	CacheWrite int64          `json:"cache_write,omitempty"`
	CacheLong  int64          `json:"cache_long,omitempty"`
	Thought    int64          `json:"thought,omitempty"`
	Cost       decouple.Money `json:"cost,omitempty"`
	Source     Source         `json:"source,omitempty"`
	Unpriced   bool           `json:"unpriced,omitempty"`
}

// storedHead begins a segment: what the lines before it came to.
type storedHead struct {
	Version int            `json:"version"`
	Segment int64          `json:"segment"`
	Settled int64          `json:"settled"` // number of the last settlement before
	Windows []storedWindow `json:"windows,omitempty"`
}

// storedWindow is a budget in a window, and what this folder's calls have used of it.
type storedWindow struct {
	Tenant decouple.TenantID `json:"tenant"`
	Budget string            `json:"budget"` // id/window
	Limit  storedAmount      `json:"limit,omitzero"`
	Scope  Scope             `json:"scope,omitempty"`
	Name   string            `json:"name,omitempty"`
	Period Period            `json:"period,omitempty"`
	USD    decouple.Money    `json:"usd,omitempty"`
	Tokens int64             `json:"tokens,omitempty"`
}

// storedSeal says which settlements a batch has, from the first to the last, and where each tenant's part of it goes.
type storedSeal struct {
	First   int64                              `json:"first"`
	Last    int64                              `json:"last"`
	Stream  string                             `json:"stream"`
	Expects map[decouple.TenantID]decouple.Seq `json:"expects"`
}

// storedDone says that the journal has all settlements up to a number.
type storedDone struct {
	Last int64 `json:"last"`
}

// start reserves the place of a record's head in b.
func start(b []byte, kind byte) []byte {
	return append(b, '0', '0', '0', '0', '0', '0', '0', '0', ' ', kind, ' ')
}

// seal ends the record that began at offset at.
func seal(b []byte, at int) []byte {
	sum := crc32.Checksum(b[at+9:], castagnoli)
	const digits = "0123456789abcdef"
	for i := range 8 {
		b[at+i] = digits[sum>>(28-4*i)&15]
	}
	return append(b, '\n')
}

// line splits a record without its line feed, and says whether it is whole.
func line(p []byte) (kind byte, body []byte, ok bool) {
	if len(p) < prefixLen || p[8] != ' ' || p[10] != ' ' {
		return 0, nil, false
	}
	sum, err := strconv.ParseUint(string(p[:8]), 16, 32)
	if err != nil || uint32(sum) != crc32.Checksum(p[9:], castagnoli) || !bytes.Equal(p[:8], bytes.ToLower(p[:8])) {
		return 0, nil, false
	}
	return p[9], p[prefixLen:], true
}

// appendJSON appends a record whose JSON need not be made fast.
func appendJSON(b []byte, kind byte, v any) ([]byte, error) {
	j, err := json.Marshal(v)
	if err != nil {
		return b, decouple.Errorf(decouple.Internal, "a record of the ledger cannot be written: %w", err)
	}
	at := len(b)
	b = append(start(b, kind), j...)
	return seal(b, at), nil
}

// fields appends members of a JSON object, and leaves out what is empty.
type fields struct {
	b     []byte
	comma bool
}

func (f *fields) name(name string) {
	if f.comma {
		f.b = append(f.b, ',')
	}
	f.comma = true
	f.b = append(f.b, '"')
	f.b = append(f.b, name...)
	f.b = append(f.b, '"', ':')
}

func (f *fields) text(name, v string) {
	if v != "" {
		f.name(name)
		f.b = appendText(f.b, v)
	}
}

func (f *fields) number(name string, v int64) {
	if v != 0 {
		f.name(name)
		f.b = strconv.AppendInt(f.b, v, 10)
	}
}

func (f *fields) texts(name string, list []string) {
	if len(list) == 0 {
		return
	}
	f.name(name)
	for i, s := range list {
		f.b = append(f.b, "[,"[min(i, 1)])
		f.b = appendText(f.b, s)
	}
	f.b = append(f.b, ']')
}

// appendText appends a JSON string.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, s[from:i]...)
			b = append(b, '\\', c)
			from = i + 1
		case c < ' ': // refused before it comes here
			b = append(b, s[from:i]...)
			b = append(b, ' ')
			from = i + 1
		}
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

// begun appends what a begin and a settlement have in common.
func (f *fields) begun(e *Entry, a Amount) {
	c := &e.call
	f.text("id", c.ID)
	f.number("at", e.begun.UnixMicro())
	f.text("tenant", string(c.Tenant))
	f.text("key", c.Key)
	f.text("team", c.Team)
	f.text("agent", string(c.Agent))
	f.text("run", string(c.Run))
	f.text("door", string(c.Door))
	f.text("model", c.Model)
	f.text("class", c.Class)
	f.texts("labels", c.Labels)
	f.text("trace", string(c.Trace))
	f.number("usd", int64(a.USD))
	f.number("tokens", a.Tokens)
	if len(e.accounts) == 0 {
		return
	}
	f.name("budgets")
	for i, acc := range e.accounts {
		f.b = append(f.b, "[,"[min(i, 1)])
		f.b = appendText(f.b, acc.stream)
	}
	f.b = append(f.b, ']')
}

func appendBegin(b []byte, e *Entry) []byte {
	at := len(b)
	f := fields{b: append(start(b, recordBegin), '{')}
	f.begun(e, e.reserved)
	return seal(append(f.b, '}'), at)
}

func appendAttempt(b []byte, id string, line Line, more Amount) []byte {
	at := len(b)
	f := fields{b: append(start(b, recordAttempt), '{')}
	f.text("id", id)
	f.text("endpoint", line.Endpoint)
	f.text("model", line.Model)
	f.number("usd", int64(more.USD))
	f.number("tokens", more.Tokens)
	return seal(append(f.b, '}'), at)
}

func appendSettle(b []byte, e *Entry, n int64, s *Settlement) []byte {
	at := len(b)
	f := fields{b: append(start(b, recordSettle), '{')}
	f.number("n", n)
	f.begun(e, e.spent)
	if len(s.Lines) > 0 {
		f.name("lines")
		for i := range s.Lines {
			f.b = append(f.b, "[,"[min(i, 1)])
			f.line(&s.Lines[i])
		}
		f.b = append(f.b, ']')
	}
	f.comma = true
	f.text("outcome", string(s.Outcome))
	f.number("first", s.First.Microseconds())
	f.number("took", s.Took.Microseconds())
	f.text("decision", s.Decision)
	f.number("won", int64(s.Won))
	f.text("policy", s.Policy)
	f.texts("signed", s.signed())
	if refused := s.kept(); len(refused) > 0 {
		f.name("refused")
		for i := range refused {
			f.b = append(f.b, "[,"[min(i, 1)])
			f.b, f.comma = append(f.b, '{'), false
			f.text("endpoint", refused[i].Endpoint)
			f.texts("clauses", refused[i].Clauses)
			f.b = append(f.b, '}')
		}
		f.b = append(f.b, ']')
	}
	return seal(append(f.b, '}'), at)
}

func (f *fields) line(l *Line) {
	f.b, f.comma = append(f.b, '{'), false
	f.number("attempt", int64(l.Attempt))
	f.text("endpoint", l.Endpoint)
	f.text("model", l.Model)
	u := &l.Usage
	f.number("in", u.TokensIn)
	f.number("out", u.TokensOut)
	f.number("cached", u.Cached)
	f.number("cache_write", u.CacheWrite)
	f.number("cache_long", u.CacheLong)
	f.number("thought", u.Thought)
	f.number("cost", int64(u.Cost))
	f.text("source", string(l.Source))
	if l.Unpriced {
		f.name("unpriced")
		f.b = append(f.b, "true"...)
	}
	f.b = append(f.b, '}')
}

// call is a begun call as it was given.
func (s *storedBegin) call() Call {
	return Call{
		ID: s.ID, Tenant: s.Tenant, Key: s.Key, Team: s.Team, Agent: s.Agent, Run: s.Run, Door: s.Door, Model: s.Model, Class: s.Class, Labels: s.Labels, Trace: s.Trace,
		Reserve: Amount{s.USD, s.Tokens},
	}
}

// began is when the call began.
func (s *storedBegin) began() time.Time { return time.UnixMicro(s.At).UTC() }

// usage is a line's usage as it was given.
func (l *storedLine) usage() decouple.Usage {
	return decouple.Usage{
		TokensIn: l.In, TokensOut: l.Out, Cost: l.Cost, Estimated: l.Source == Estimated || l.Source == Unknown,
		Cached: l.Cached, CacheWrite: l.CacheWrite, CacheLong: l.CacheLong, Thought: l.Thought,
	}
}

// tally is what a folder's lines come to. It is a fold: lines go in one by one, in order.
type tally struct {
	open    map[string]*openCall
	order   []string // of open, as they began; may hold ids that have been settled
	windows map[spentKey]*storedWindow
	settled int64 // number of the last settlement
	done    int64 // the journal has all up to here
	pending []storedAt
	seal    *storedSeal // of a batch that the journal may have or not
	damaged int         // lines that could not be read
}

// openCall is a call that was begun and not settled.
type openCall struct {
	storedBegin
	asked []storedAttempt
	at    place
}

// place is where a line is.
type place struct {
	segment int64
	offset  int64
	size    int
}

// storedAt is a settlement that the journal does not have.
type storedAt struct {
	n      int64
	tenant decouple.TenantID
	place
}

// spentKey names a window of a budget.
type spentKey struct {
	tenant decouple.TenantID
	budget string // id/window
}

func newTally() *tally {
	return &tally{open: map[string]*openCall{}, windows: map[spentKey]*storedWindow{}}
}

// read folds a segment.
func (t *tally) read(segment int64, p []byte) {
	for off := 0; off < len(p); {
		n := bytes.IndexByte(p[off:], '\n')
		if n < 0 {
			t.damaged++
			return
		}
		if kind, body, ok := line(p[off : off+n]); !ok || t.apply(kind, body, place{segment, int64(off), n + 1}) != nil {
			t.damaged++
		}
		off += n + 1
	}
}

// apply folds one line.
func (t *tally) apply(kind byte, body []byte, at place) error {
	switch kind {
	case recordHead:
		var h storedHead
		if err := json.Unmarshal(body, &h); err != nil {
			return err
		}
		t.settled = max(t.settled, h.Settled)
		clear(t.windows)
		for i := range h.Windows {
			t.windows[spentKey{h.Windows[i].Tenant, h.Windows[i].Budget}] = &h.Windows[i]
		}
	case recordWindow:
		var w storedWindow
		if err := json.Unmarshal(body, &w); err != nil {
			return err
		}
		had := t.window(spentKey{w.Tenant, w.Budget})
		w.USD, w.Tokens = had.USD, had.Tokens
		*had = w
	case recordBegin:
		o := &openCall{at: at}
		if err := json.Unmarshal(body, &o.storedBegin); err != nil {
			return err
		}
		if t.open[o.ID] == nil {
			t.order = append(t.order, o.ID)
		}
		t.open[o.ID] = o
	case recordAttempt:
		var a storedAttempt
		if err := json.Unmarshal(body, &a); err != nil {
			return err
		}
		if o := t.open[a.ID]; o != nil {
			o.USD, o.Tokens = o.USD+a.USD, o.Tokens+a.Tokens
			o.asked = append(o.asked, a)
		}
	case recordSettle:
		var c storedCall
		if err := json.Unmarshal(body, &c); err != nil {
			return err
		}
		t.settle(&c, at)
	case recordSeal:
		s := &storedSeal{}
		if err := json.Unmarshal(body, s); err != nil {
			return err
		}
		t.seal = s
	case recordDone:
		var d storedDone
		if err := json.Unmarshal(body, &d); err != nil {
			return err
		}
		t.finish(d.Last)
	default:
		return decouple.Errorf(decouple.Invalid, "there is no record %q", kind)
	}
	return nil
}

func (t *tally) window(k spentKey) *storedWindow {
	w := t.windows[k]
	if w == nil {
		w = &storedWindow{Tenant: k.tenant, Budget: k.budget}
		t.windows[k] = w
	}
	return w
}

func (t *tally) settle(c *storedCall, at place) {
	delete(t.open, c.ID)
	if c.N <= t.settled {
		return
	}
	t.settled = c.N
	for _, b := range c.Budgets {
		w := t.window(spentKey{c.Tenant, b})
		w.USD, w.Tokens = w.USD+c.USD, w.Tokens+c.Tokens
	}
	t.pending = append(t.pending, storedAt{c.N, c.Tenant, at})
}

// finish drops what the journal has.
func (t *tally) finish(last int64) {
	t.done = max(t.done, last)
	i := 0
	for i < len(t.pending) && t.pending[i].n <= t.done {
		i++
	}
	t.pending = t.pending[i:]
	if t.seal != nil && t.seal.Last <= t.done {
		t.seal = nil
	}
}
