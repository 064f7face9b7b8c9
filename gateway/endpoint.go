package gateway

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"

	"decouple.dev/decouple"
)

const chatPath = "/chat/completions"

// endpoint is where requests go.
type endpoint struct {
	url   *url.URL
	local bool // named by a loopback address
}

// newEndpoint reads the URL of a server. What is wrong with it is Invalid, and says so without repeating it: it may hold a secret.
func newEndpoint(raw string) (endpoint, error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	switch {
	case raw == "":
		return endpoint{}, decouple.Errorf(decouple.Invalid, "no model server is named: give its URL, for example --model-url http://127.0.0.1:11434/v1")
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return endpoint{}, decouple.Errorf(decouple.Invalid, "the URL of the model server must look like https://host/v1 or http://127.0.0.1:8080/v1")
	case u.User != nil:
		return endpoint{}, decouple.Errorf(decouple.Invalid, "the URL of the model server holds a user or password: take them out, and set OPENAI_API_KEY")
	}
	u.Fragment = ""
	u.Path = strings.TrimRight(u.Path, "/")
	switch {
	case u.Path == "":
		u.Path = "/v1" + chatPath
	case !strings.HasSuffix(u.Path, chatPath):
		u.Path += chatPath
	}
	u.RawPath = ""
	return endpoint{url: u, local: loopback(u.Hostname())}, nil
}

// loopback says that a host's name can only mean this machine.
func loopback(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// describe is the line that says which model answers and where its text goes.
func (e endpoint) describe(model string) string {
	if model == "" {
		model = "as each agent names it"
	}
	where := "text leaves this machine and goes to " + e.url.Host
	if e.local {
		where = "text stays on this machine"
	} else if e.url.Scheme == "http" {
		where += ", unencrypted"
	}
	return fmt.Sprintf("model: %s, on %s; %s", model, e.url.Host, where)
}

// client follows redirects within the same server only, and reaches a local server on this machine only.
func (e endpoint) client(c Config) *http.Client {
	dialer := &net.Dialer{Timeout: c.Connect}
	transport := &http.Transport{
		Proxy:               c.Proxy,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: c.Connect,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     c.BetweenTokens,
	}
	if e.local {
		transport.Proxy = nil
		dialer.Control = refuseForeign
	}
	return &http.Client{Transport: transport, CheckRedirect: e.checkRedirect}
}

// refuseForeign keeps the promise that text stays on this machine, whatever a name resolves to.
func refuseForeign(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !a.Addr().Unmap().IsLoopback() {
		return decouple.Errorf(decouple.Denied, "a name of this machine leads to %s: nothing was sent there", address)
	}
	return nil
}

// checkRedirect stops at a redirect that leaves the server or drops the request's body; the redirect itself is then the answer.
func (e endpoint) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > 3 || req.Method != http.MethodPost || req.URL.Scheme != e.url.Scheme || !strings.EqualFold(req.URL.Host, e.url.Host) {
		return http.ErrUseLastResponse
	}
	return nil
}
