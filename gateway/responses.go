package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
)

// maxBehind bounds how many responses a node makes in the background at once.
const maxBehind = 1000

// maxChain bounds how many responses a conversation may go back over.
const maxChain = 500

// respond is a call of the Responses interface: with what came before it, and stored unless the caller does not want that.
func (v *visit) respond() error {
	s, err := dialect.SketchOf(v.door, dialect.Inbound{Body: v.body})
	if err != nil {
		return err
	}
	if s.Kept {
		return &decouple.Error{Kind: decouple.Invalid, Msg: "conversation: conversations are kept by previous_response_id here", Err: &paramError{"conversation"}}
	}
	keeps := !s.NoStore && v.g.cfg.Store != nil
	switch {
	case s.Background && s.NoStore:
		return &decouple.Error{Kind: decouple.Invalid, Msg: "store: a response in the background is stored, or nobody could ask for it", Err: &paramError{"store"}}
	case s.Background && s.Stream:
		return &decouple.Error{Kind: decouple.Invalid, Msg: "stream: a response in the background is polled here, and not streamed", Err: &paramError{"stream"}}
	case (s.Background || s.Previous != "") && v.g.cfg.Store == nil:
		return decouple.Errorf(decouple.Invalid, "this gateway stores no responses: send the whole conversation as input")
	}
	r := &StoredResponse{Tenant: v.who.Tenant, Key: v.who.Key, Team: v.who.Team, Body: v.body, Previous: s.Previous, Background: s.Background, Caller: v.who, Created: time.Now()}
	if v.body, err = v.g.continued(v.r.Context(), r); err != nil {
		return err
	}
	if v.g.omit != atChain {
		v.who.Labels = with(v.who.Labels, r.Labels)
	}
	c, err := v.g.newCall(v) // in the background, too: what cannot be asked is refused now
	if err != nil {
		return err
	}
	r.Labels = c.labels
	if s.Background {
		return v.behind(r, c)
	}
	if keeps {
		c.storeAs = r
	}
	return c.serve(v.r.Context(), &caller{v: v, c: c})
}

// continued is the body of a call of its own for a request that goes on from an earlier response: with all that was said before. It sets the items that r adds, and the labels of what
// was said.
func (g *Gateway) continued(ctx context.Context, r *StoredResponse) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(r.Body, &fields); err != nil {
		return nil, decouple.Errorf(decouple.Invalid, "the request is no JSON object: %w", err)
	}
	items, err := dialect.InputItems(r.Body)
	if err != nil {
		return nil, err
	}
	if items == nil {
		items = []json.RawMessage{}
	}
	if r.Items, err = json.Marshal(items); err != nil {
		return nil, err
	}
	delete(fields, "previous_response_id")
	delete(fields, "background")
	fields["store"] = json.RawMessage("false") // kept here, where it can be gone on from at any endpoint
	var chain []json.RawMessage
	size := int64(len(r.Body))
	for id, n := r.Previous, 0; id != ""; n++ {
		if n == maxChain {
			return nil, decouple.Errorf(decouple.TooLarge, "the conversation goes back over more than %d responses: begin a new one with a summary", maxChain)
		}
		before, err := g.storedFor(ctx, r.Tenant, r.Team, id)
		if err != nil {
			return nil, err
		}
		if size += int64(len(before.Items) + len(before.Object)); size > g.cfg.MaxBody {
			return nil, decouple.Errorf(decouple.TooLarge, "the conversation has grown larger than %d MB: begin a new one with a summary", g.cfg.MaxBody>>20)
		}
		if before.Object == nil {
			return nil, decouple.Errorf(decouple.Conflict, "the response %s is still being made: wait until its status is completed", id)
		}
		said, err := outputOf(before.Object)
		if err != nil {
			return nil, err
		}
		var asked []json.RawMessage
		if err := json.Unmarshal(before.Items, &asked); err != nil {
			return nil, err
		}
		chain = append(append(asked, said...), chain...)
		r.Labels = with(r.Labels, before.Labels)
		id = before.Previous
	}
	if chain != nil {
		if fields["input"], err = json.Marshal(append(chain, items...)); err != nil {
			return nil, err
		}
	}
	return json.Marshal(fields)
}

// storedFor gives a stored response to those who may see it: the keys of the team that it was made for, or, made by a key of no team, those of none.
func (g *Gateway) storedFor(ctx context.Context, tenant decouple.TenantID, team, id string) (StoredResponse, error) {
	r, err := g.cfg.Store.Get(ctx, tenant, id)
	if err == nil && r.Team != team {
		return StoredResponse{}, noResponse(id)
	}
	return r, err
}

// with is a list of labels with further ones; the list stays as it is.
func with(labels, more []string) []string {
	labels = slices.Clip(labels)
	for _, l := range more {
		if !slices.Contains(labels, l) {
			labels = append(labels, l)
		}
	}
	return labels
}

// outputOf gives the items that a response has said. Thoughts that only the server that made them can read are left out: it kept nothing.
func outputOf(object []byte) ([]json.RawMessage, error) {
	items, err := dialect.OutputItems(object)
	if err != nil {
		return nil, err
	}
	out := items[:0]
	for _, item := range items {
		var head struct {
			Type      string `json:"type"`
			Encrypted string `json:"encrypted_content"`
		}
		if json.Unmarshal(item, &head) == nil && head.Type == "reasoning" && head.Encrypted == "" {
			continue
		}
		out = append(out, item)
	}
	return out, nil
}

// store keeps the response that a call has brought, before its last byte is sent.
func (c *call) store(ctx context.Context, last []byte) error {
	if c.storeAs == nil {
		return nil
	}
	object := c.linked(responseObject(last))
	var head struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(object, &head); err != nil || head.ID == "" {
		return decouple.Errorf(decouple.Unavailable, "the answer holds no response that could be stored")
	}
	r := c.storeAs
	if r.ID != "" { // in the background it has an id already
		r.Object = withID(object, r)
		return c.g.cfg.Store.Commit(ctx, r, ResponseEnded)
	}
	r.ID, r.Object = head.ID, object
	return c.g.cfg.Store.Commit(context.WithoutCancel(ctx), r, ResponseCreated)
}

// linked says in an answer of the Responses interface which response it goes on from, of which its server was not told.
func (c *call) linked(answer []byte) []byte {
	if c.storeAs == nil || c.storeAs.Previous == "" {
		return answer
	}
	id, err := json.Marshal(c.storeAs.Previous)
	if err != nil {
		return answer
	}
	for _, none := range []string{`"previous_response_id":null`, `"previous_response_id": null`} {
		answer = bytes.ReplaceAll(answer, []byte(none), append([]byte(`"previous_response_id":`), id...))
	}
	return answer
}

// withID gives a response made in the background the id that its caller knows.
func withID(object []byte, r *StoredResponse) []byte {
	var fields map[string]json.RawMessage
	if json.Unmarshal(object, &fields) != nil {
		return object
	}
	fields["id"], _ = json.Marshal(r.ID)
	fields["background"] = json.RawMessage("true")
	fields["store"] = json.RawMessage("true")
	fields["created_at"] = json.RawMessage(strconv.FormatInt(r.Created.Unix(), 10))
	if r.Previous != "" {
		fields["previous_response_id"], _ = json.Marshal(r.Previous)
	}
	if b, err := json.Marshal(fields); err == nil {
		return b
	}
	return object
}

// pendingObject is how a response looks that is being made in the background, or that nothing came of.
func pendingObject(r *StoredResponse, model, status string, f *dialect.Fault) []byte {
	type fault struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	o := struct {
		ID         string            `json:"id"`
		Object     string            `json:"object"`
		Created    int64             `json:"created_at"`
		Status     string            `json:"status"`
		Background bool              `json:"background"`
		Model      string            `json:"model"`
		Output     []json.RawMessage `json:"output"`
		Error      *fault            `json:"error"`
		Previous   *string           `json:"previous_response_id"`
		Store      bool              `json:"store"`
	}{r.ID, "response", r.Created.Unix(), status, true, model, []json.RawMessage{}, nil, nil, true}
	if r.Previous != "" {
		o.Previous = &r.Previous
	}
	if f != nil {
		o.Error = &fault{"server_error", f.Message}
	}
	b, _ := json.Marshal(o) // of texts only
	return b
}

// behind begins a response that nobody waits for: it is acknowledged when the journal has it, and made even if this process dies.
func (v *visit) behind(r *StoredResponse, c *call) error {
	v.g.mu.Lock()
	many := len(v.g.behind) >= maxBehind
	v.g.mu.Unlock()
	if many {
		return decouple.Errorf(decouple.RateLimited, "this node makes %d responses in the background already, which is as many as it may: ask again when some have ended", maxBehind)
	}
	r.Caller.Labels, r.Caller.Priority = c.labels, c.need.Priority // as this call was allowed them
	if c.class != "" {
		r.Caller.Classes = []string{c.class}
	}
	r.ID = newID("resp")
	r.Body = v.body
	if err := v.g.cfg.Store.Commit(v.r.Context(), r, ResponseCreated); err != nil {
		return err
	}
	v.g.running.Add(1)
	go func() {
		defer v.g.running.Done()
		v.g.make(r)
	}()
	return v.reply(http.StatusOK, pendingObject(r, c.asked, "queued", nil))
}

// make makes a response in the background, unless another node does.
func (g *Gateway) make(r *StoredResponse) {
	ctx, cancel := context.WithCancel(g.stop)
	defer cancel()
	r.Node = g.cfg.Node
	if r.Object != nil || g.cfg.Store.Commit(ctx, r, ResponseStarted) != nil {
		return // another node has it, or it was canceled
	}
	g.mu.Lock()
	g.behind[r.ID] = cancel
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		delete(g.behind, r.ID)
		g.mu.Unlock()
	}()
	sketch, err := dialect.SketchOf(dialect.Responses, dialect.Inbound{Body: r.Body})
	c := g.blank(r.Caller)
	if err == nil {
		_, c.server, _ = dialect.Of(dialect.Responses)
		c.door, c.in, c.sketch, c.asked, c.storeAs = dialect.Responses, dialect.Inbound{Body: r.Body}, sketch, sketch.Model, r
		err = c.choose()
	}
	if err == nil {
		err = c.live(ctx, discard{c})
		g.keep(c)
	}
	if g.stop.Err() != nil || err == nil {
		return // a process that stops leaves it to the next one
	}
	status := "failed"
	if ctx.Err() != nil {
		status = "cancelled"
	}
	last, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer done()
	if again, err := g.cfg.Store.Get(last, r.Tenant, r.ID); err == nil { // a wish to cancel has moved the stream
		*r = again
	}
	if r.Object != nil || r.Node != g.cfg.Node {
		return // it was canceled, or another node has taken it over
	}
	r.Object = pendingObject(r, sketch.Model, status, g.faultOf(err))
	if err := g.cfg.Store.Commit(last, r, ResponseEnded); err != nil {
		g.log.Error("a response in the background could not be ended", "response", r.ID, "error", err)
	}
}

// discard is the outlet of a call that nobody listens to.
type discard struct{ c *call }

func (d discard) begin(a *attempt, _ bool, _ int) error {
	if !d.c.win(a) {
		return errBeaten
	}
	return nil
}
func (discard) write([]byte) error { return nil }

// Takeover makes the responses that nodes had begun in the background which are not alive any more.
func (g *Gateway) Takeover(ctx context.Context, alive func(decouple.NodeID) bool) error {
	if g.cfg.Store == nil {
		return nil
	}
	open, err := g.cfg.Store.Unfinished(ctx)
	if err != nil {
		return err
	}
	for _, r := range open {
		g.mu.Lock()
		_, here := g.behind[r.ID]
		g.mu.Unlock()
		if here || r.Node != "" && r.Node != g.cfg.Node && alive(r.Node) {
			continue
		}
		g.running.Add(1)
		go func() {
			defer g.running.Done()
			g.make(&r)
		}()
	}
	return nil
}

// stored answers what is asked of a stored response.
func (v *visit) stored() error {
	if v.g.cfg.Store == nil {
		return decouple.Errorf(decouple.NotFound, "this gateway stores no responses")
	}
	id, op, _ := strings.Cut(strings.TrimPrefix(v.r.URL.Path, "/v1/responses/"), "/")
	ctx := v.r.Context()
	if v.r.Method == http.MethodPost && op == "input_tokens" || id == "input_tokens" {
		return decouple.Errorf(decouple.NotFound, "tokens are counted by /v1/messages/count_tokens here")
	}
	r, err := v.g.storedFor(ctx, v.who.Tenant, v.who.Team, id)
	if err != nil {
		return err
	}
	switch {
	case v.r.Method == http.MethodGet && op == "":
		return v.reply(http.StatusOK, v.g.show(&r))
	case v.r.Method == http.MethodGet && op == "input_items":
		return v.inputItems(&r)
	case v.r.Method == http.MethodDelete && op == "":
		if err := v.g.cfg.Store.Commit(ctx, &r, ResponseDeleted); err != nil {
			return err
		}
		v.g.hangUp(r.ID)
		return v.reply(http.StatusOK, []byte(`{"id":"`+r.ID+`","object":"response","deleted":true}`))
	case v.r.Method == http.MethodPost && op == "cancel":
		return v.cancel(&r)
	}
	return decouple.Errorf(decouple.NotFound, "of a response there are GET, DELETE, POST cancel and GET input_items, and not %s %s", v.r.Method, op)
}

// show is a response as its caller sees it now.
func (g *Gateway) show(r *StoredResponse) []byte {
	if r.Object != nil {
		return r.Object
	}
	status := "queued"
	if r.Node != "" {
		status = "in_progress"
	}
	s, _ := dialect.SketchOf(dialect.Responses, dialect.Inbound{Body: r.Body}) // it was read before
	return pendingObject(r, s.Model, status, nil)
}

// cancel ends a response in the background. One that is there already stays as it is.
func (v *visit) cancel(r *StoredResponse) error {
	if !r.Background {
		return decouple.Errorf(decouple.Invalid, "only a response in the background can be canceled")
	}
	if r.Object == nil {
		s, _ := dialect.SketchOf(dialect.Responses, dialect.Inbound{Body: r.Body}) // it was read before
		r.Object = pendingObject(r, s.Model, "cancelled", nil)
		err := v.g.cfg.Store.Commit(v.r.Context(), r, ResponseEnded)
		if decouple.KindOf(err) == decouple.Conflict { // it moved meanwhile: look again
			again, got := v.g.cfg.Store.Get(v.r.Context(), r.Tenant, r.ID)
			if got != nil {
				return got
			}
			if again.Object == nil {
				return v.cancel(&again)
			}
			*r, err = again, nil
		}
		if err != nil {
			return err
		}
		v.g.hangUp(r.ID)
	}
	return v.reply(http.StatusOK, r.Object)
}

// hangUp stops the making of a response at this node.
func (g *Gateway) hangUp(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if stop := g.behind[id]; stop != nil {
		stop()
	}
}

// inputItems lists what a request added to its conversation.
func (v *visit) inputItems(r *StoredResponse) error {
	var items []json.RawMessage
	if err := json.Unmarshal(r.Items, &items); err != nil {
		return err
	}
	type page struct {
		Object  string            `json:"object"`
		Data    []json.RawMessage `json:"data"`
		First   string            `json:"first_id"`
		Last    string            `json:"last_id"`
		HasMore bool              `json:"has_more"`
	}
	p := page{Object: "list", Data: []json.RawMessage{}}
	ids := make([]string, len(items))
	for i, item := range items {
		ids[i], items[i] = named(item, r.ID, i)
	}
	q := v.r.URL.Query()
	if q.Get("order") != "asc" { // the newest first is the interface's default
		for i, j := 0, len(items)-1; i < j; i, j = i+1, j-1 {
			items[i], items[j], ids[i], ids[j] = items[j], items[i], ids[j], ids[i]
		}
	}
	limit := 20
	if s := q.Get("limit"); s != "" {
		var err error
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > 100 {
			return &decouple.Error{Kind: decouple.Invalid, Msg: "limit: it is a number from 1 to 100", Err: &paramError{"limit"}}
		}
	}
	after := q.Get("after")
	for i := range items {
		if after != "" {
			if ids[i] == after {
				after = ""
			}
			continue
		}
		if len(p.Data) == limit {
			p.HasMore = true
			break
		}
		if p.Data = append(p.Data, items[i]); p.First == "" {
			p.First = ids[i]
		}
		p.Last = ids[i]
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return v.reply(http.StatusOK, b)
}

// named gives an item an id, if it has none.
func named(item json.RawMessage, response string, n int) (string, json.RawMessage) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(item, &fields) != nil {
		return "", item
	}
	var id string
	if json.Unmarshal(fields["id"], &id) == nil && id != "" {
		return id, item
	}
	id = "item_" + strings.TrimPrefix(response, "resp_") + "_" + strconv.Itoa(n)
	fields["id"], _ = json.Marshal(id)
	if fields["type"] == nil {
		fields["type"] = json.RawMessage(`"message"`)
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return "", item
	}
	return id, b
}

// reply writes a whole JSON answer.
func (v *visit) reply(status int, body []byte) error {
	h := v.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	v.w.WriteHeader(status)
	if _, err := v.w.Write(body); err != nil && !errors.Is(err, http.ErrHandlerTimeout) {
		return errAnswered
	}
	return nil
}

// responseObject is the response in what ends an answer of the Responses interface: all of a whole one, or the field of the event that ends a stream.
func responseObject(last []byte) []byte {
	if len(last) > 0 && last[0] == '{' {
		return last
	}
	for frame := range bytes.SplitSeq(last, []byte("\n\n")) {
		for line := range bytes.SplitSeq(frame, []byte("\n")) {
			data, ok := bytes.CutPrefix(line, []byte("data:"))
			if !ok {
				continue
			}
			var e struct {
				Type     string          `json:"type"`
				Response json.RawMessage `json:"response"`
			}
			if json.Unmarshal(data, &e) == nil && (e.Type == "response.completed" || e.Type == "response.incomplete") && len(e.Response) > 0 {
				return e.Response
			}
		}
	}
	return nil
}
