package transport

import (
	"context"
	"crypto/tls"
	"net/url"
	"sync"
	"time"
)

// Config says how connections are made and kept. A zero field has the default that it names.
type Config struct {
	Connect   time.Duration // to have a connection, with proxy and TLS: 10 s
	FirstByte time.Duration // from the first byte written until the head of the answer is whole: 2 min; a Request may say otherwise
	Idle      time.Duration // how long a connection is kept unused: 50 s
	MaxIdle   int           // connections kept unused for each target: 256
	MaxHead   int           // bytes of the head of an answer: 64 kB

	TLS     *tls.Config // beside ServerName, NextProtos and the session cache, which are the client's own
	Private bool        // every target may reach private addresses

	// Proxy names the proxy for a URL, http or https, or nil for none; every request goes through it by CONNECT. It is never asked about a target that is [Target.Local]. The proxy resolves
	// the names, so addresses behind it are not judged here.
	Proxy func(target *url.URL) (*url.URL, error)
}

func (c Config) withDefaults() Config {
	orElse(&c.Connect, 10*time.Second)
	orElse(&c.FirstByte, 2*time.Minute)
	orElse(&c.Idle, 50*time.Second)
	orElse(&c.MaxIdle, 256)
	orElse(&c.MaxHead, 64<<10)
	return c
}

func orElse[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Client speaks to servers. It may be used by many goroutines.
type Client struct {
	cfg      Config
	sessions tls.ClientSessionCache

	mu    sync.RWMutex
	pools map[key]*pool
}

// New makes a client. Nothing runs until it is used.
func New(cfg Config) *Client {
	return &Client{cfg: cfg.withDefaults(), sessions: tls.NewLRUClientSessionCache(256), pools: map[key]*pool{}}
}

// staleness is how soon after a request a reused connection has to break for the cause to be that the server had closed it before: the round trip of the longest way. What breaks later may
// have been worked on, and is the caller's to judge.
const staleness = time.Second

// Do asks and gives back the answer as soon as its head is whole, whatever its status; a redirect is an answer like any other. The caller closes it. ctx ends the request and the reading of
// its body. An error is always an [*Error].
//
// A reused connection that breaks at once and without a byte is one that the server had closed meanwhile: the request then goes once more, over a fresh one.
func (c *Client) Do(ctx context.Context, r *Request) (*Response, error) {
	host := ""
	if r.Target != nil {
		host = r.Target.host
	}
	if err := r.check(); err != nil {
		return nil, &Error{Stage: StageWrite, Host: host, Err: err}
	}
	p := c.pool(r.Target)
	patience := r.FirstByte
	orElse(&patience, c.cfg.FirstByte)
	if cn := p.take(patience); cn != nil {
		began := time.Now()
		resp, failed := cn.exchange(ctx, r)
		if failed == nil {
			resp.Reused = true
			return resp, nil
		}
		if failed.Timeout || failed.Stage == StageHeader || ctx.Err() != nil || time.Since(began) > staleness {
			return nil, failed
		}
	}
	cn, err := p.dial(ctx, r.Target)
	if err != nil {
		return nil, err
	}
	cn.hurry(time.Now().Add(patience))
	resp, failed := cn.exchange(ctx, r)
	if failed != nil {
		return nil, failed
	}
	return resp, nil
}

// CloseIdle closes the connections that nobody uses. The client can be used on.
func (c *Client) CloseIdle() {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, p := range c.pools {
		p.sweep(0)
	}
}

// Idle is how many connections nobody uses.
func (c *Client) Idle() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := 0
	for _, p := range c.pools {
		n += p.size()
	}
	return n
}

// pool is the one of a target.
func (c *Client) pool(t *Target) *pool {
	c.mu.RLock()
	p := c.pools[t.key]
	c.mu.RUnlock()
	if p != nil {
		return p
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p = c.pools[t.key]; p == nil {
		p = &pool{client: c, key: t.key}
		c.pools[t.key] = p
	}
	return p
}
