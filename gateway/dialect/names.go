package dialect

import (
	"strconv"
	"strings"

	"decouple.dev/decouple"
)

// maxName is how many bytes a tool's name may have on the wire.
const maxName = 64

// Names maps the names of tools to those that are permitted on the wire, [a-zA-Z0-9_-]{1,64}, and back: notes.search is
// notes_search there. No two tools share a name on the wire. The zero value maps every name to itself.
type Names struct {
	wire map[string]string
	own  map[string]string
	max  int  // bytes that a name may have
	any  bool // every character is permitted
}

// NewNames maps the tools that a request offers, and those that its conversation has called. A permitted name stays as it is; of
// several that look alike on the wire the first is plain and the others are numbered.
func NewNames(req decouple.Request) Names {
	return mapped(toolNames(req), Names{max: maxName})
}

// callIDs maps the ids of a request's calls to those that a format permits: so long at most, and of letters, digits, _ and - unless any will do.
func callIDs(req decouple.Request, longest int, any bool) Names {
	var all []string
	for _, m := range req.Messages {
		for _, p := range m.Parts {
			switch {
			case p.Call != nil:
				all = append(all, p.Call.ID)
			case p.Result != nil:
				all = append(all, p.Result.ID)
			}
		}
	}
	return mapped(all, Names{max: longest, any: any})
}

func mapped(all []string, n Names) Names {
	n.wire, n.own = map[string]string{}, map[string]string{}
	for _, name := range all {
		if n.permits(name) {
			n.wire[name], n.own[name] = name, name
		}
	}
	for _, name := range all {
		n.add(name)
	}
	return n
}

// toolNames lists the offered tools first, so that an unknown name in the conversation never takes the name of one.
func toolNames(req decouple.Request) []string {
	var all []string
	for _, t := range req.Tools {
		all = append(all, t.Name)
	}
	for _, m := range req.Messages {
		for _, c := range m.Calls() {
			all = append(all, c.Name)
		}
	}
	return all
}

func (n Names) add(name string) {
	if _, ok := n.wire[name]; ok {
		return
	}
	plain := strings.Map(func(r rune) rune {
		if r < 0x80 && permittedByte(byte(r)) {
			return r
		}
		return '_'
	}, name)
	if plain == "" {
		plain = "_"
	}
	w := plain[:min(len(plain), n.max)]
	for i := 2; n.taken(w); i++ {
		number := "_" + strconv.Itoa(i)
		w = plain[:min(len(plain), n.max-len(number))] + number
	}
	n.wire[name], n.own[w] = w, name
}

func (n Names) taken(wire string) bool {
	_, ok := n.own[wire]
	return ok
}

// Wire is the name on the wire.
func (n Names) Wire(name string) string {
	if w, ok := n.wire[name]; ok {
		return w
	}
	return name
}

// Own is the tool that a name on the wire stands for; a name that was not offered stays as it is.
func (n Names) Own(wire string) string {
	if o, ok := n.own[wire]; ok {
		return o
	}
	return wire
}

func (n Names) permits(name string) bool {
	for i := range len(name) {
		if !n.any && !permittedByte(name[i]) {
			return false
		}
	}
	return name != "" && len(name) <= n.max
}

func permittedByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}
