package tool

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"unicode"

	"decouple.dev/decouple"
)

// Host is the host of an address as contracts and the list of those that may be reached name it; empty is that it names none.
func Host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return hostOf(u)
}

func hostOf(u *url.URL) string { return strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")) }

// reachKey is where a request's context has the function that asks the contracts.
type reachKey struct{}

// reaching has a request, and those that it is redirected to, ask the contracts before they leave.
func reaching(ctx context.Context, reach func(host string) error) context.Context {
	if reach == nil {
		return ctx
	}
	return context.WithValue(ctx, reachKey{}, reach)
}

// allowed refuses an address that is not on the list, or that contracts do not allow.
func (h *httpCaller) allowed(ctx context.Context, u *url.URL) error {
	if err := h.listed(u); err != nil {
		return err
	}
	if reach, ok := ctx.Value(reachKey{}).(func(string) error); ok {
		return reach(hostOf(u))
	}
	return nil
}

// listed refuses an address that is not on the list.
func (h *httpCaller) listed(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return decouple.Errorf(decouple.Denied, "only http and https can be reached, not %q", u.Scheme)
	case u.User != nil:
		return decouple.Errorf(decouple.Denied, "an address must not hold a user or a password")
	case u.Hostname() == "":
		return decouple.Errorf(decouple.Invalid, "the url names no host")
	case strings.ContainsFunc(u.Hostname(), func(r rune) bool { return r > unicode.MaxASCII }): // package http would make another name of it
		return decouple.Errorf(decouple.Invalid, "the host of the url is to be written in ASCII, as it is asked for in DNS (xn--...)")
	}
	host := hostOf(u)
	for _, a := range h.cfg.Allow {
		name, port, ported := strings.Cut(strings.ToLower(a), ":")
		if ported && port != u.Port() || !ported && u.Port() != "" && u.Port() != map[string]string{"http": "80", "https": "443"}[u.Scheme] {
			continue
		}
		if under, wild := strings.CutPrefix(name, "*."); name == host || wild && strings.HasSuffix(host, "."+under) {
			return nil
		}
	}
	return decouple.Errorf(decouple.Denied, "the host %s is not among those that may be reached: %s", u.Host, strings.Join(h.cfg.Allow, ", "))
}

// redirect follows to hosts on the list only, and takes what identifies the caller to no other host.
func (h *httpCaller) redirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return decouple.Errorf(decouple.Unavailable, "the server redirects more than %d times", maxRedirects)
	}
	if err := h.allowed(req.Context(), req.URL); err != nil {
		return decouple.Errorf(decouple.Denied, "the server redirects to %s: %w", req.URL.Redacted(), err)
	}
	if first := via[0].URL; req.URL.Host != first.Host || first.Scheme == "https" && req.URL.Scheme != "https" {
		kept := http.Header{}
		for _, name := range []string{"Accept", "Content-Type", "User-Agent", "Idempotency-Key"} {
			if v := req.Header.Values(name); len(v) > 0 {
				kept[name] = v
			}
		}
		req.Header = kept
	}
	return nil
}

// guard refuses addresses that are not of the public network. It sees what names have become, at the moment of each connection.
func (h *httpCaller) guard(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return decouple.Errorf(decouple.Denied, "the address %s cannot be judged", address)
	}
	if !h.cfg.Private && !public(ap.Addr()) {
		return decouple.Errorf(decouple.Denied, "the host is at %s, which is not an address of the public network", ap.Addr())
	}
	return nil
}

// reserved are the ranges that are no part of the public network, beside those that package netip knows.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("fec0::/10"),
}

func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range reserved {
		if p.Contains(a) {
			return false
		}
	}
	return a.IsGlobalUnicast() && !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast()
}

// traced notes when a request begins to be written: from then on the server may have seen it.
func traced(ctx context.Context, wrote *atomic.Bool) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaderField: func(string, []string) { wrote.Store(true) },
		WroteHeaders:     func() { wrote.Store(true) },
	})
}
