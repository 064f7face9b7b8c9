package transport

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"decouple.dev/decouple"
)

// dial makes a connection to the pool's target.
func (p *pool) dial(ctx context.Context, t *Target) (*conn, error) {
	cfg := &p.client.cfg
	within, cancel := context.WithTimeout(ctx, cfg.Connect)
	defer cancel()
	cn, stage, err := p.connect(within, t)
	if err == nil {
		return cn, nil
	}
	if ctx.Err() == nil && within.Err() != nil {
		err = within.Err()
	}
	return nil, fault(ctx, stage, t.host, err)
}

// connect is dial with all that lies between.
func (p *pool) connect(ctx context.Context, t *Target) (*conn, Stage, error) {
	proxy, err := p.client.proxy(t)
	if err != nil {
		return nil, StageDial, err
	}
	address := t.key.address()
	if proxy != nil {
		address = proxyAddress(proxy)
	}
	tcp, err := p.reach(ctx, t, address, proxy != nil)
	if err != nil {
		return nil, StageDial, err
	}
	cn, err := newConn(p, tcp)
	if err != nil {
		_ = tcp.Close()
		return nil, StageDial, err
	}
	if proxy != nil {
		if err := cn.tunnel(ctx, t, proxy); err != nil {
			cn.close()
			return nil, StageDial, err
		}
	}
	if t.key.secure {
		if err := cn.encrypt(ctx, t.key.name); err != nil {
			cn.close()
			return nil, StageTLS, err
		}
	}
	return cn, "", nil
}

// reach makes a TCP connection; its address is judged unless it is a proxy's, which the operator has named.
func (p *pool) reach(ctx context.Context, t *Target, address string, proxied bool) (*net.TCPConn, error) {
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 4}}
	private := p.client.cfg.Private
	if !proxied {
		d.Control = func(_, resolved string, _ syscall.RawConn) error {
			a, err := netip.ParseAddrPort(resolved)
			if err != nil {
				return decouple.Errorf(decouple.Denied, "%s leads to no address: nothing was sent there", t.key.name)
			}
			return t.permit(a.Addr(), private)
		}
	} else if a, err := netip.ParseAddr(t.key.name); err == nil {
		if err := t.permit(a, private); err != nil {
			return nil, err
		}
	}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// encrypt puts TLS over the connection.
func (c *conn) encrypt(ctx context.Context, name string) error {
	client := c.pool.client
	cfg := &tls.Config{}
	if client.cfg.TLS != nil {
		cfg = client.cfg.TLS.Clone()
	}
	cfg.ServerName = name
	cfg.NextProtos = []string{"http/1.1"}
	cfg.ClientSessionCache = client.sessions
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	secure := tls.Client(c.rw, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		if plain, ok := err.(tls.RecordHeaderError); ok && string(plain.RecordHeader[:]) == "HTTP/" {
			return decouple.Errorf(decouple.Invalid, "it does not speak https: if it is yours, name it with http://")
		}
		return err
	}
	if got := secure.ConnectionState().NegotiatedProtocol; got != "" && got != "http/1.1" {
		return errNotHTTP
	}
	c.rw = secure
	return nil
}

// proxy is the one for a target, or nil.
func (c *Client) proxy(t *Target) (*url.URL, error) {
	if c.cfg.Proxy == nil || t.Local() {
		return nil, nil
	}
	u, err := c.cfg.Proxy(t.url())
	if err != nil {
		return nil, decouple.Errorf(decouple.Invalid, "the proxy that is set is no URL") // the error may repeat its password
	}
	if u != nil && (u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "") {
		return nil, decouple.Errorf(decouple.Invalid, "the proxy that is set must look like http://host:port or https://host:port")
	}
	return u, nil
}

func proxyAddress(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// tunnel asks a proxy for a way to the target.
func (c *conn) tunnel(ctx context.Context, t *Target, proxy *url.URL) error {
	if proxy.Scheme == "https" {
		if err := c.encrypt(ctx, proxy.Hostname()); err != nil {
			return fmt.Errorf("the proxy: %w", err)
		}
	}
	at, _ := ctx.Deadline()
	c.hurry(at)
	stop := context.AfterFunc(ctx, c.expire)
	defer stop()
	to := t.key.address()
	b := fmt.Appendf(nil, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", to, to)
	if u := proxy.User; u != nil {
		password, _ := u.Password()
		b = fmt.Appendf(b, "Proxy-Authorization: Basic %s\r\n", base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	if _, err := c.rw.Write(append(b, "\r\n"...)); err != nil {
		return fmt.Errorf("the proxy: %w", err)
	}
	stage := StageFirstByte
	h, err := c.readHead(&stage)
	switch {
	case err != nil:
		return fmt.Errorf("the proxy: %w", err)
	case h.status == 407:
		return decouple.Errorf(decouple.Denied, "the proxy wants a user and a password, or refuses those that are set")
	case h.status != 200:
		return fmt.Errorf("the proxy makes no connection: it answers with status %d", h.status)
	case c.r != c.w:
		return fmt.Errorf("the proxy: %w", errHead)
	}
	if !stop() {
		return ctx.Err()
	}
	c.hurry(time.Time{})
	return nil
}
