package telemetry

import (
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
)

// other is the model of whoever asks for none that the catalog knows.
const other = "other"

// known is what a catalog knows, made ready for labels: a caller cannot make new ones.
type known struct {
	labels map[string]string // a name that callers use to the one that is counted
	places map[catalog.EndpointID]place
}

// place is where an endpoint is.
type place struct {
	host string
	port int
}

// book is the newest of known.
type book struct{ at atomic.Pointer[known] }

// Know takes a new catalog.
func (b *book) Know(cat *catalog.Catalog) {
	k := &known{labels: map[string]string{}, places: map[catalog.EndpointID]place{}}
	for id, m := range cat.Models {
		for _, n := range m.Names {
			k.labels[n] = string(id)
		}
	}
	for id, e := range cat.Endpoints {
		k.labels[e.Name] = string(e.Model)
		k.places[id] = placeOf(e.URL)
	}
	for id := range cat.Endpoints {
		k.labels[string(id)] = string(id)
	}
	for id := range cat.Models {
		k.labels[string(id)] = string(id)
	}
	for name := range cat.Aliases {
		k.labels[name] = name
	}
	b.at.Store(k)
}

// model is the label of what a call asked for. A name that the catalog only understands counts as the model that it led to.
func (b *book) model(f *gateway.Facts) string {
	if l, ok := b.at.Load().labels[f.Asked]; ok {
		return l
	}
	if len(f.Attempts) > 0 {
		return string(f.Attempts[0].Model)
	}
	return other
}

func (b *book) place(id catalog.EndpointID) place { return b.at.Load().places[id] }

// placeOf takes the host and the port out of a URL.
func placeOf(raw string) place {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return place{}
	}
	p := place{host: u.Hostname(), port: 443}
	if u.Scheme == "http" {
		p.port = 80
	}
	if n, err := strconv.Atoi(u.Port()); err == nil {
		p.port = n
	}
	return p
}

// longest is as much of a name as is sent: it is a provider's or a caller's.
const longest = 128

// clip makes a name of others fit to be sent, and lets go of the text that it was cut out of.
func clip(s string) string {
	if len(s) > longest {
		s = s[:longest]
	}
	return strings.Clone(strings.ToValidUTF8(s, "?"))
}
