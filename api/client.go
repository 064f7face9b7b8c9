package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/knowledge"
)

// Client asks the process that owns a data folder.
type Client struct {
	http *http.Client
	dir  string
}

// Dial finds the process that owns a data folder. NotFound says that there is none.
func Dial(ctx context.Context, dir string) (*Client, error) {
	c := &Client{dir: dir, http: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, dir) },
	}}}
	_, err := c.Owner(ctx)
	return c, err
}

// Owner says who answers.
func (c *Client) Owner(ctx context.Context) (Owner, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var o Owner
	err := c.ask(ctx, http.MethodGet, "/v1/owner", nil, &o)
	return o, err
}

// Cancel cancels a run and everything under it, and says how many runs were told.
func (c *Client) Cancel(ctx context.Context, id decouple.RunID, why engine.Cancellation) (int, error) {
	var t told
	err := c.ask(ctx, http.MethodPost, "/v1/runs/"+url.PathEscape(string(id))+"/cancel", why, &t)
	return t.Told, err
}

// Decide tells a run a decision.
func (c *Client) Decide(ctx context.Context, d engine.Decision) error {
	return c.ask(ctx, http.MethodPost, "/v1/decide", d, &none{})
}

// Resolve tells a run what became of a call.
func (c *Client) Resolve(ctx context.Context, r engine.Resolution) error {
	return c.ask(ctx, http.MethodPost, "/v1/resolve", r, &none{})
}

// Deliver sends a run a signal.
func (c *Client) Deliver(ctx context.Context, d engine.Delivery) error {
	return c.ask(ctx, http.MethodPost, "/v1/signal", d, &none{})
}

// Fork begins a run from a step of another.
func (c *Client) Fork(ctx context.Context, f engine.Fork) (decouple.RunID, error) {
	var b begun
	err := c.ask(ctx, http.MethodPost, "/v1/fork", f, &b)
	return b.Run, err
}

// Remove removes the note of an id or path, or all under a folder, and says how many.
func (c *Client) Remove(ctx context.Context, actor decouple.Actor, idOrPath string) (int, error) {
	var r removed
	err := c.ask(ctx, http.MethodDelete, "/v1/notes", removal{idOrPath, actor}, &r)
	return r.Removed, err
}

// ask sends a request and decodes its answer.
func (c *Client) ask(ctx context.Context, method, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return decouple.Errorf(decouple.Internal, "the request cannot be written: %w", err)
	}
	resp, err := c.send(ctx, method, path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(into); err != nil {
		return decouple.Errorf(decouple.Unavailable, "the answer of the owner of %s broke off: %w", c.dir, err)
	}
	return nil
}

// send sends a request; an answer that is an error is returned as one.
func (c *Client) send(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://owner"+path, body)
	if err != nil {
		return nil, decouple.Errorf(decouple.Invalid, "the request cannot be made: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var own *decouple.Error
		if errors.As(err, &own) {
			return nil, own
		}
		return nil, decouple.Errorf(orUnavailable(err), "the owner of the data folder %s did not answer: %w", c.dir, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	var f Frame
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&f); err != nil || f.Error == nil {
		return nil, decouple.Errorf(decouple.Unavailable, "the owner of the data folder %s answered %s", c.dir, resp.Status)
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

// Add has the owner add notes. Paths must be absolute.
func (c *Client) Add(ctx context.Context, r knowledge.Request) (knowledge.Summary, error) {
	head, err := json.Marshal(Addition{Paths: r.Paths, Stdin: r.Stdin != nil, Name: r.Name, Actor: r.Actor})
	if err != nil {
		return knowledge.Summary{}, decouple.Errorf(decouple.Internal, "the request cannot be written: %w", err)
	}
	body := io.Reader(bytes.NewReader(head))
	if r.Stdin != nil {
		body = io.MultiReader(body, r.Stdin)
	}
	resp, err := c.send(ctx, http.MethodPost, "/v1/notes", body)
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
