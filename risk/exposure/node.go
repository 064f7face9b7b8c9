package exposure

import (
	"strings"

	"decouple.dev/decouple"
)

// Kind says what a node of the graph is.
type Kind string

// The kinds of nodes.
const (
	OfEndpoint Kind = "endpoint"
	OfAccount  Kind = "account"  // of the config file: what only this customer knows of it
	OfSeller   Kind = "seller"   // who sells the calls
	OfLab      Kind = "lab"      // who made the model
	OfCloud    Kind = "cloud"    // whose machines they run on
	OfRegion   Kind = "region"   // cloud/region
	OfHardware Kind = "hardware" // the accelerator
	OfMaker    Kind = "maker"    // who makes it
	OfIdentity Kind = "identity" // who says who calls
	OfCDN      Kind = "cdn"      // whose network is in front
	OfDNS      Kind = "dns"      // who resolves its names
	OfParent   Kind = "parent"   // the group of companies
)

// kinds lists them in the order of reports.
var kinds = []Kind{OfSeller, OfLab, OfCloud, OfRegion, OfHardware, OfMaker, OfIdentity, OfCDN, OfDNS, OfParent, OfAccount, OfEndpoint}

// dimensions are the kinds by which concentration is measured: of each, a call hangs on one node, or its share is divided.
var dimensions = []Kind{OfSeller, OfLab, OfCloud, OfRegion, OfHardware, OfMaker, OfIdentity, OfCDN, OfDNS}

// shared are the kinds whose loss takes everything away that hangs on them at once: an alternate is independent if it has none of them in common.
var shared = []Kind{OfLab, OfCloud, OfRegion, OfIdentity, OfCDN, OfDNS, OfParent}

// Node is one thing that calls can hang on, written kind:name, such as cloud:azure.
type Node struct {
	Kind Kind
	Name string
}

// String is kind:name.
func (n Node) String() string { return string(n.Kind) + ":" + n.Name }

// MarshalText is kind:name.
func (n Node) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads kind:name of a report, whose names are those that callers and accounts have, whatever they are.
func (n *Node) UnmarshalText(b []byte) error {
	kind, name, ok := strings.Cut(string(b), ":")
	if !ok {
		return decouple.Errorf(decouple.Invalid, "a node is written kind:name")
	}
	*n = Node{Kind(kind), name}
	return nil
}

// maxNode is the longest name of a node, in bytes.
const maxNode = 200

// ParseNode reads kind:name.
func ParseNode(s string) (Node, error) {
	kind, name, ok := strings.Cut(s, ":")
	n := Node{Kind(kind), name}
	switch {
	case !ok || name == "" || strings.TrimSpace(name) != name || len(name) > maxNode || strings.ContainsFunc(name, unprintable):
		return n, decouple.Errorf(decouple.Invalid, "%q is no node: write kind:name, such as cloud:azure", clip(s))
	case rank(n.Kind) == len(kinds):
		var all []string
		for _, k := range kinds {
			all = append(all, string(k))
		}
		return n, decouple.Errorf(decouple.Invalid, "%q: there is no kind %q: there are %s", clip(s), clip(kind), strings.Join(all, ", "))
	}
	return n, nil
}

func unprintable(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\ufffd' }

// clip keeps an error short.
func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "..."
	}
	return s
}

// rank is the place of a kind in reports.
func rank(k Kind) int {
	for i := range kinds {
		if kinds[i] == k {
			return i
		}
	}
	return len(kinds)
}

// before orders nodes by kind and name.
func before(a, b Node) int {
	if d := rank(a.Kind) - rank(b.Kind); d != 0 {
		return d
	}
	return strings.Compare(a.Name, b.Name)
}
