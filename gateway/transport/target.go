package transport

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"decouple.dev/decouple"
)

// Target is a server: scheme, host and port. It does not change, and may be shared.
type Target struct {
	key  key
	host string // as it stands in the Host field
	path string
}

// key is what connections of a pool have in common.
type key struct {
	secure  bool
	name    string // lower case, without brackets
	port    string
	private bool
}

// NewTarget reads the URL of a server, http or https. What is wrong with it is Invalid, and says so without repeating it: it may hold a secret.
func NewTarget(rawURL string) (*Target, error) {
	u, err := url.Parse(strings.TrimSpace(rawURL))
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, decouple.Errorf(decouple.Invalid, "the URL of a server must look like https://host/path or http://127.0.0.1:8080/path")
	case u.User != nil:
		return nil, decouple.Errorf(decouple.Invalid, "the URL of a server holds a user or password: take them out, and give them as a credential")
	}
	name := strings.ToLower(u.Hostname())
	if !plainHost(name) {
		return nil, decouple.Errorf(decouple.Invalid, "the host in the URL of a server has letters that a host name cannot have: write an international name in its xn-- form")
	}
	t := &Target{key: key{secure: u.Scheme == "https", name: name, port: u.Port()}, path: u.EscapedPath()}
	own := "80"
	if t.key.secure {
		own = "443"
	}
	if t.key.port == "" {
		t.key.port = own
	}
	if n, err := strconv.Atoi(t.key.port); err != nil || n < 1 || n > 65535 {
		return nil, decouple.Errorf(decouple.Invalid, "the port in the URL of a server must be from 1 to 65535")
	}
	bare, _, _ := strings.Cut(name, "%") // a zone means something on this machine only
	t.host = bare
	if strings.Contains(bare, ":") {
		t.host = "[" + bare + "]"
	}
	if t.key.port != own {
		t.host += ":" + t.key.port
	}
	return t, nil
}

// plainHost says that a name has nothing but letters, digits and what stands in addresses.
func plainHost(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune(".-_:%", rune(c)) {
			return false
		}
	}
	return true
}

// Private gives the same target with leave to reach private addresses: for a server that an operator has named and that is known to be inside.
func (t *Target) Private() *Target {
	p := *t
	p.key.private = true
	return &p
}

// Host is the host, with the port if it is not the scheme's own.
func (t *Target) Host() string { return t.host }

// Name is the host without a port.
func (t *Target) Name() string { return t.key.name }

// Path is the escaped path of the URL that the target was made from; requests name their own.
func (t *Target) Path() string { return t.path }

// Secure says that it is spoken to by TLS.
func (t *Target) Secure() bool { return t.key.secure }

// Local says that it is named by a loopback address: nothing sent to it leaves this machine.
func (t *Target) Local() bool {
	name := strings.TrimSuffix(t.key.name, ".")
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(name)
	return err == nil && a.Unmap().IsLoopback()
}

// String is scheme, host and port.
func (t *Target) String() string {
	scheme := "http"
	if t.key.secure {
		scheme = "https"
	}
	return fmt.Sprintf("%s://%s", scheme, t.host)
}

// url is what a proxy function is asked about.
func (t *Target) url() *url.URL {
	u := &url.URL{Scheme: "http", Host: t.host, Path: "/"}
	if t.key.secure {
		u.Scheme = "https"
	}
	return u
}

// address is what is dialled.
func (k key) address() string { return net.JoinHostPort(k.name, k.port) }
