package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
	"decouple.dev/decouple/gateway/ledger"
)

// Caller is who calls, and what his key lets him do. What is nil is not limited.
type Caller struct {
	Tenant   decouple.TenantID
	Key      string // its id
	Team     string
	Actor    decouple.Actor
	Agent    decouple.AgentName
	Models   []string // aliases and models that it may ask for
	Classes  []string // of work; the first is that of calls that name none
	Labels   []string // of the data of all its calls
	Priority int
	Budgets  []ledger.Budget // beside those that are set
	Rate     ledger.Rate
}

// Keys says who calls with a bearer string. An Unauthenticated error does not say what is wrong with it.
type Keys interface {
	Caller(ctx context.Context, bearer string) (Caller, error)
}

// Signed says who calls with a request that is signed instead of carrying a bearer string.
type Signed interface {
	Signed(r *http.Request, body []byte) (Caller, error)
}

// Doors says whether a path is one of the gateway's.
func Doors(path string) bool {
	return strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/v1beta/") || strings.HasPrefix(path, "/model/") || strings.HasPrefix(path, "/openai/")
}

// visit is one request at a front door.
type visit struct {
	g      *Gateway
	w      http.ResponseWriter
	r      *http.Request
	door   dialect.Format // whose words errors are in
	who    Caller
	body   []byte
	model  string // where the path names it
	stream bool   // where the path says so
	told   bool   // the call is one that the watcher is told of at its end
}

// door is one way in.
type door struct {
	format dialect.Format
	method string
	reads  bool // a body
	do     func(v *visit) error
}

// ServeHTTP answers at the front doors.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := &visit{g: g, w: w, r: r, door: dialect.Chat}
	d, err := v.find()
	if err == nil {
		v.door = d.format
		err = v.enter(d)
	}
	if err == nil {
		err = d.do(v)
	}
	if err != nil && !errors.Is(err, errAnswered) {
		v.turnedAway(err)
		v.refuse(err)
	}
}

// errAnswered says that an error was told to the caller already.
var errAnswered = errors.New("answered")

// The doors. Each is found by its path.
var (
	chatDoor      = door{dialect.Chat, http.MethodPost, true, (*visit).complete}
	embedDoor     = door{dialect.Chat, http.MethodPost, true, (*visit).embed}
	messagesDoor  = door{dialect.Messages, http.MethodPost, true, (*visit).complete}
	countDoor     = door{dialect.Messages, http.MethodPost, true, (*visit).count}
	generateDoor  = door{dialect.Generate, http.MethodPost, true, (*visit).complete}
	converseDoor  = door{dialect.Converse, http.MethodPost, true, (*visit).complete}
	responsesDoor = door{dialect.Responses, http.MethodPost, true, (*visit).respond}
	modelsDoor    = door{dialect.Chat, http.MethodGet, false, (*visit).models}
	storedDoor    = door{dialect.Responses, http.MethodGet, false, (*visit).stored}
)

// find says which door a request is at.
func (v *visit) find() (door, error) {
	path := v.r.URL.Path
	switch path {
	case "/v1/chat/completions":
		return chatDoor, nil
	case "/v1/messages":
		return messagesDoor, nil
	case "/v1/embeddings":
		return embedDoor, nil
	case "/v1/messages/count_tokens":
		return countDoor, nil
	case "/v1/responses":
		return responsesDoor, nil
	}
	switch {
	case path == "/v1/models" || strings.HasPrefix(path, "/v1/models/"):
		if v.r.Method == http.MethodPost || v.r.Header.Get("X-Goog-Api-Key") != "" { // Google's SDKs call the version v1, too
			v.door = dialect.Generate
			return v.findGemini(path)
		}
		d := modelsDoor
		if v.r.Header.Get("Anthropic-Version") != "" {
			d.format = dialect.Messages
		}
		return d, nil
	case strings.HasPrefix(path, "/v1/responses/"):
		d := storedDoor
		d.method = v.r.Method // stored looks at it
		return d, nil
	case strings.HasPrefix(path, "/v1beta/models"), strings.HasPrefix(path, "/v1/publishers/google/models/"), strings.HasPrefix(path, "/v1beta1/"):
		v.door = dialect.Generate
		return v.findGemini(path)
	case strings.HasPrefix(path, "/model/"):
		v.door = dialect.Converse
		return v.findBedrock()
	case strings.HasPrefix(path, "/openai/"):
		return v.findAzure(path)
	}
	return door{}, decouple.Errorf(decouple.NotFound, "there is no door at %s %s: the doors are /v1/chat/completions, /v1/responses, /v1/embeddings, /v1/models, /v1/messages, /v1beta/models/NAME:generateContent and /model/NAME/converse", v.r.Method, path)
}

func (v *visit) findGemini(path string) (door, error) {
	_, name, _ := strings.Cut(path, "/models")
	name = strings.TrimPrefix(name, "/")
	if at := strings.LastIndexByte(name, ':'); at >= 0 && v.r.Method == http.MethodPost {
		v.model = name[:at]
		switch name[at+1:] {
		case "generateContent":
			return generateDoor, nil
		case "streamGenerateContent":
			v.stream = true
			return generateDoor, nil
		case "countTokens":
			d := countDoor
			d.format = dialect.Generate
			return d, nil
		}
		return door{}, decouple.Errorf(decouple.NotFound, "models have the methods generateContent, streamGenerateContent and countTokens here, and not %s", name[at+1:])
	}
	d := modelsDoor
	d.format = dialect.Generate
	return d, nil
}

func (v *visit) findBedrock() (door, error) {
	// The model's id may hold slashes and colons, escaped or not.
	rest := strings.TrimPrefix(v.r.URL.Path, "/model/")
	at := strings.LastIndexByte(rest, '/')
	if at <= 0 {
		return door{}, decouple.Errorf(decouple.NotFound, "a call is POST /model/NAME/converse or /model/NAME/converse-stream")
	}
	v.model = rest[:at]
	switch rest[at+1:] {
	case "converse":
		return converseDoor, nil
	case "converse-stream":
		v.stream = true
		return converseDoor, nil
	}
	return door{}, decouple.Errorf(decouple.NotFound, "models have the operations converse and converse-stream here, and not %s", rest[at+1:])
}

// findAzure lets SDKs that were made for Azure's paths in: /openai/v1/... and /openai/deployments/NAME/...
func (v *visit) findAzure(path string) (door, error) {
	if rest, ok := strings.CutPrefix(path, "/openai/v1/"); ok {
		v.r.URL.Path = "/v1/" + rest
		return v.find()
	}
	rest, _ := strings.CutPrefix(path, "/openai/deployments/")
	name, op, ok := strings.Cut(rest, "/")
	if !ok || op != "chat/completions" && op != "embeddings" {
		return door{}, decouple.Errorf(decouple.NotFound, "there is no door at %s: of Azure's paths there are /openai/v1/... and /openai/deployments/NAME/chat/completions", path)
	}
	v.model = name
	if op == "embeddings" {
		return embedDoor, nil
	}
	return chatDoor, nil
}

// enter finds out who calls and reads what he sends. Whoever may not call is refused before anything is read.
func (v *visit) enter(d door) error {
	if v.r.Method != d.method {
		v.w.Header().Set("Allow", d.method)
		return decouple.Errorf(decouple.NotFound, "%s takes %s, not %s", v.r.URL.Path, d.method, v.r.Method)
	}
	bearer := v.bearer()
	signed := bearer == "" && strings.HasPrefix(v.r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	var err error
	if !signed {
		if v.who, err = v.g.keys.Caller(v.r.Context(), bearer); err != nil {
			return err
		}
	}
	if d.reads || v.r.Method == http.MethodPost {
		if v.body, err = v.read(); err != nil {
			return err
		}
	}
	if signed {
		v.who, err = v.g.signed(v.r, v.body)
	}
	return err
}

// bearer is the key, from whichever header the caller's SDK puts it in.
func (v *visit) bearer() string {
	h := v.r.Header
	if s, ok := strings.CutPrefix(h.Get("Authorization"), "Bearer "); ok {
		return strings.TrimSpace(s)
	}
	for _, name := range []string{"X-Api-Key", "Api-Key", "X-Goog-Api-Key"} {
		if s := h.Get(name); s != "" {
			return s
		}
	}
	return v.r.URL.Query().Get("key")
}

// read reads the body, which may be neither too large nor too slow.
func (v *visit) read() ([]byte, error) {
	limit := v.g.cfg.MaxBody
	if v.r.ContentLength > limit {
		return nil, v.tooLarge()
	}
	rc := http.NewResponseController(v.w)
	_ = rc.SetReadDeadline(time.Now().Add(v.g.cfg.BodyTime)) // where it cannot be set, the server's own limits hold
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()   // or the caller would count as gone when it passes
	if n := v.r.ContentLength; n >= 0 {
		body, err := readFull(v.r.Body, int(n))
		if err != nil {
			return nil, decouple.Errorf(decouple.Invalid, "the request's body could not be read: %w", err)
		}
		return body, nil
	}
	body, err := io.ReadAll(io.LimitReader(v.r.Body, limit+1))
	switch {
	case err != nil:
		return nil, decouple.Errorf(decouple.Invalid, "the request's body could not be read: %w", err)
	case int64(len(body)) > limit:
		return nil, v.tooLarge()
	}
	return body, nil
}

// readFull reads n bytes. Memory is taken as they come, for a length costs nothing to claim.
func readFull(r io.Reader, n int) ([]byte, error) {
	const first = 256 << 10
	body := make([]byte, min(n, first))
	for at := 0; ; {
		if _, err := io.ReadFull(r, body[at:]); err != nil {
			return nil, err
		}
		if at = len(body); at == n {
			return body, nil
		}
		more := make([]byte, min(n, 4*at))
		copy(more, body)
		body = more
	}
}

func (v *visit) tooLarge() error {
	return decouple.Errorf(decouple.TooLarge, "the request is larger than %d MB", v.g.cfg.MaxBody>>20)
}

// complete is a call of a model.
func (v *visit) complete() error {
	c, err := v.g.newCall(v)
	if err != nil {
		return err
	}
	return c.serve(v.r.Context(), &caller{v: v, c: c})
}

// refuse tells the caller what is wrong in the words of its format.
func (v *visit) refuse(err error) {
	f := v.g.faultOf(err)
	status, body := dialect.RenderFault(v.door, f)
	h := v.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Decouple-Error", string(decouple.KindOf(err)))
	if v.door == dialect.Converse {
		h.Set("X-Amzn-Errortype", dialect.FaultType(v.door, f))
	}
	if after := retryAfter(err); after > 0 {
		h.Set("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
	}
	if status == http.StatusUnauthorized {
		h.Set("Www-Authenticate", `Bearer realm="decouple"`)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	v.w.WriteHeader(status)
	_, _ = v.w.Write(body) // whoever has gone does not read it
}

// Values of headers that are the same for all answers.
var (
	noCache      = []string{"no-cache"}
	noBuffer     = []string{"no"}
	contentTypes = func() map[dialect.Format]map[bool][]string {
		all := map[dialect.Format]map[bool][]string{}
		for _, f := range []dialect.Format{dialect.Chat, dialect.Responses, dialect.Messages, dialect.Generate, dialect.Converse} {
			all[f] = map[bool][]string{false: {dialect.ContentType(f, false)}, true: {dialect.ContentType(f, true)}}
		}
		return all
	}()
)

// caller is the outlet to a caller's connection.
type caller struct {
	v      *visit
	c      *call
	stream bool
	copyTo *[]byte   // what was written, for the cache
	slow   time.Time // when the caller has to have taken what is written
}

// slowest is how long a caller may take to read what is written to it, and longWrite what counts as much to read.
const (
	slowest   = 2 * time.Minute
	longWrite = 64 << 10
)

// hurry bounds how long the next write may take. Setting a deadline costs more than an eighth of the patience is worth.
func (o *caller) hurry(size int) {
	if !o.stream && size < longWrite {
		return
	}
	if now := time.Now(); o.slow.Sub(now) < slowest-slowest/8 {
		o.slow = now.Add(slowest)
		_ = http.NewResponseController(o.v.w).SetWriteDeadline(o.slow) // where it cannot be set, the server's own limits hold
	}
}

// relax takes the bound away from the connection, which serves other requests after this one.
func (o *caller) relax() {
	if !o.slow.IsZero() {
		_ = http.NewResponseController(o.v.w).SetWriteDeadline(time.Time{})
	}
}

// begin sends the status and the headers.
func (o *caller) begin(a *attempt, streamed bool, size int) error {
	if !o.c.win(a) {
		return errBeaten
	}
	o.stream = streamed
	h := o.v.w.Header()
	h["Content-Type"] = contentTypes[o.v.door][streamed && !o.c.array]
	if streamed {
		h["Cache-Control"], h["X-Accel-Buffering"] = noCache, noBuffer
	} else {
		h["Content-Length"] = []string{strconv.Itoa(size)}
	}
	o.c.mark(h, a)
	o.v.w.WriteHeader(http.StatusOK)
	return nil
}

// write sends bytes and, of a stream, sees that they leave.
func (o *caller) write(p []byte) error {
	if o.copyTo != nil {
		*o.copyTo = append(*o.copyTo, p...)
	}
	a := o.c.winner.Load()
	if a != nil && a.gone.Load() {
		return nil // it is read on for its usage only
	}
	o.hurry(len(p))
	if _, err := o.v.w.Write(p); err != nil {
		if a != nil && a.drain() {
			return nil
		}
		return errGone
	}
	if o.stream {
		if f, ok := o.v.w.(http.Flusher); ok {
			f.Flush()
		}
	}
	return nil
}
