package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/knowledge"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// readCause reads the header that comes with a report.
func readCause(header string) (decouple.Cause, int) {
	parts := strings.SplitN(header, ";", 4)
	if len(parts) != 4 {
		return decouple.Cause{}, 0
	}
	n, _ := strconv.Atoi(parts[2])
	why, _ := strconv.Unquote(parts[3])
	return decouple.Cause{Kind: decouple.CauseKind(parts[0]), Err: decouple.Kind(parts[1]), Why: why}, n
}

// Read returns events of a stream, as a journal does. The tenant is that of the client's key, whatever the stream says.
func (c *Client) Read(ctx context.Context, s decouple.Stream, after decouple.Seq, limit int) ([]decouple.Event, error) {
	path := "/api/v1/streams/" + url.PathEscape(string(s.Kind)) + "/" + url.PathEscape(s.ID)
	return c.pages(ctx, path, nil, int64(after), limit)
}

// Scan returns events of streams of a kind, as a journal does.
func (c *Client) Scan(ctx context.Context, f journal.Filter) ([]decouple.Event, error) {
	if f.Limit == 0 {
		f.Limit = maxPage
	}
	q := url.Values{}
	if f.Kind != "" {
		q.Set("kind", string(f.Kind))
	}
	return c.pages(ctx, "/api/v1/events", q, int64(f.After), f.Limit)
}

// pages reads pages of events until it has as many as wanted, or all.
func (c *Client) pages(ctx context.Context, path string, q url.Values, after int64, want int) ([]decouple.Event, error) {
	var out []decouple.Event
	if q == nil {
		q = url.Values{}
	}
	for {
		n := maxPage
		if want > 0 {
			n = min(n, want-len(out))
		}
		q.Set("after", itoa(after))
		q.Set("limit", strconv.Itoa(n))
		page, err := get[EventList](ctx, c, path, q)
		if err != nil {
			return nil, err
		}
		for _, e := range page.Events {
			ev, err := e.event()
			if err != nil {
				return nil, err
			}
			out = append(out, ev)
		}
		if after = page.Next; after == 0 || want > 0 && len(out) >= want {
			return out, nil
		}
	}
}

// Follow calls fn for every event of the tenant after a position and waits for new ones.
func (c *Client) Follow(ctx context.Context, after decouple.Position, fn func(decouple.Event) error) error {
	return c.watch(ctx, request{method: http.MethodGet, path: "/api/v1/events", accept: "text/event-stream"}, after, fn, nil)
}

// Head is the position of the newest event.
func (c *Client) Head(ctx context.Context) (decouple.Position, error) {
	a, err := c.About(ctx)
	return a.Head, err
}

// Runs lists rows of the view of runs.
func (c *Client) Runs(ctx context.Context, f journal.RunFilter) ([]journal.RunRow, error) {
	q := url.Values{"roots": {strconv.FormatBool(f.Roots)}, "newest": {strconv.FormatBool(f.Newest)}}
	for name, v := range map[string]string{"id": string(f.ID), "root": string(f.Root), "agent": string(f.Agent), "key": f.Key} {
		if v != "" {
			q.Set(name, v)
		}
	}
	for _, s := range f.Status {
		q.Add("status", string(s))
	}
	for _, w := range f.Wait {
		q.Add("wait", string(w))
	}
	var out []journal.RunRow
	for after := f.After; ; {
		n := maxPage
		if f.Limit > 0 {
			n = min(n, f.Limit-len(out))
		}
		q.Set("after", itoa(after))
		q.Set("limit", strconv.Itoa(n))
		page, err := get[RunList](ctx, c, "/api/v1/runs", q)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Runs {
			out = append(out, r.row())
		}
		if after = page.Next; after == 0 || f.Limit > 0 && len(out) >= f.Limit {
			return out, nil
		}
	}
}

// Nodes lists the nodes.
func (c *Client) Nodes(ctx context.Context) ([]journal.Node, error) {
	return get[[]journal.Node](ctx, c, "/api/v1/nodes", nil)
}

// Inbox lists the messages of a run that are not consumed.
func (c *Client) Inbox(ctx context.Context, _ decouple.TenantID, id decouple.RunID) ([]journal.Message, error) {
	list, err := get[[]Message](ctx, c, runPath(id, "/inbox"), nil)
	var out []journal.Message
	for _, m := range list {
		out = append(out, journal.Message{Seq: m.Seq, Kind: m.Kind, From: m.From, Body: m.Body})
	}
	return out, err
}

// GetBlob opens a blob.
func (c *Client) GetBlob(ctx context.Context, _ decouple.TenantID, id decouple.BlobID) (io.ReadCloser, error) {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: "/api/v1/blobs/" + url.PathEscape(string(id))})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// List gives the notes that sources allow.
func (c *Client) List(ctx context.Context, src decouple.Sources) ([]knowledge.Note, error) {
	return get[[]knowledge.Note](ctx, c, "/api/v1/notes", url.Values{"path": src.Paths})
}

// Get finds a note by its id or path.
func (c *Client) Get(ctx context.Context, idOrPath string) (knowledge.Note, error) {
	return get[knowledge.Note](ctx, c, "/api/v1/note", url.Values{"note": {idOrPath}})
}

// Text gives the quotable text of a note.
func (c *Client) Text(ctx context.Context, idOrPath string) (string, error) {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: "/api/v1/note/text", query: url.Values{"note": {idOrPath}}})
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", decouple.Errorf(decouple.Unavailable, "the text of the note broke off: %w", err)
	}
	return string(b), nil
}

// Outline gives the headings of a note.
func (c *Client) Outline(ctx context.Context, src decouple.Sources, args decouple.OutlineArgs) (decouple.Outline, error) {
	return post[decouple.Outline](ctx, c, request{path: "/api/v1/notes/outline"}, OutlineQuery{args, src})
}

// Search finds the units that answer a question best.
func (c *Client) Search(ctx context.Context, src decouple.Sources, args decouple.SearchArgs) (decouple.SearchResult, error) {
	return post[decouple.SearchResult](ctx, c, request{path: "/api/v1/notes/search"}, SearchQuery{args, src})
}

// Remove removes the note of an id or path, or all under a folder, and says how many.
func (c *Client) Remove(ctx context.Context, actor decouple.Actor, idOrPath string) (int, error) {
	r, err := receive[Removed](ctx, c, request{method: http.MethodDelete, path: "/api/v1/note", query: url.Values{"note": {idOrPath}}, by: actor})
	return r.Removed, err
}
