package transport

import (
	"net/netip"

	"decouple.dev/decouple"
)

// reserved are ranges that are not the public network, beside those that package netip knows.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carriers and clouds
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("fec0::/10"),
}

// metadata are the addresses at which clouds hand out credentials to whoever asks from a machine of theirs, beside the link-local ones. No leave opens them.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"),
	netip.MustParseAddr("100.100.100.200"),
	netip.MustParseAddr("168.63.129.16"),
}

// permit judges an address that a target's name has led to. It is asked after names are resolved, right before the connection is made, so that no name can lead elsewhere in between.
func (t *Target) permit(a netip.Addr, private bool) error {
	a = carried(a.Unmap().WithZone(""))
	switch {
	case t.Local():
		if !a.IsLoopback() {
			return decouple.Errorf(decouple.Denied, "a name of this machine leads to %s: nothing was sent there", a)
		}
	case !reachable(a):
		return decouple.Errorf(decouple.Denied, "%s leads to %s, where no model is served: nothing was sent there", t.key.name, a)
	case !public(a) && !private && !t.key.private:
		return decouple.Errorf(decouple.Denied, "%s leads to %s, an address inside a private network: nothing was sent there; if the server is yours, allow private addresses for it", t.key.name, a)
	}
	return nil
}

// reachable is false for addresses that are refused whatever is allowed: everybody's, nobody's, and those of metadata services.
func reachable(a netip.Addr) bool {
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() {
		return false
	}
	for _, m := range metadata {
		if a == m {
			return false
		}
	}
	return true
}

func public(a netip.Addr) bool {
	if a.IsPrivate() || a.IsLoopback() {
		return false
	}
	for _, p := range reserved {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// carried is the IPv4 address inside an IPv6 one that a gateway would translate (NAT64, 6to4, and the old compatible form), or the address itself.
func carried(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	b := a.As16()
	switch {
	case b[0] == 0x20 && b[1] == 0x02:
		return netip.AddrFrom4([4]byte(b[2:6]))
	case [12]byte(b[:12]) == [12]byte{0, 0x64, 0xff, 0x9b}, [12]byte(b[:12]) == [12]byte{} && !a.IsLoopback() && !a.IsUnspecified():
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return a
}
