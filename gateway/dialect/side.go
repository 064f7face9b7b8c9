package dialect

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"decouple.dev/decouple"
)

// What a model thought can be proved to its maker only. Where it is shown to a caller in another maker's format, the place for a signature there holds a token
// of ours instead, by which the thought is itself again when the caller sends it back. It is base64, as every format's own signatures are.
const (
	tokenMark   = "decouple1"    // of nine bytes, so that every token begins with the same letters
	tokenPrefix = "ZGVjb3VwbGUx" // which are these
)

type sideToken struct {
	Maker     string `json:"m"`
	Signature string `json:"s,omitempty"`
	Opaque    string `json:"o,omitempty"`
	ID        string `json:"i,omitempty"`
	Call      bool   `json:"c,omitempty"` // the signature is that of the call that comes next
}

// sign is the token of a thought.
func sign(t decouple.Thought) string {
	return sideToken{Maker: t.Maker, Signature: t.Signature, Opaque: t.Opaque, ID: t.ID}.encode()
}

// signCall is the token of a call's signature.
func signCall(signature string) string {
	return sideToken{Maker: string(Generate), Signature: signature, Call: true}.encode()
}

func (t sideToken) encode() string {
	return base64.StdEncoding.EncodeToString(append([]byte(tokenMark), must(t)...))
}

// readToken reads a token; false is that it is none, and the maker's own.
func readToken(s string) (sideToken, bool) {
	var t sideToken
	if !strings.HasPrefix(s, tokenPrefix) {
		return t, false
	}
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(data) < len(tokenMark) || json.Unmarshal(data[len(tokenMark):], &t) != nil {
		return sideToken{}, false
	}
	return t, true
}

// own says that a thought may go out in a format, for it came in it.
func own(f Format, t *decouple.Thought) bool { return t.Maker == string(f) }

// restore is the thought that a caller sent back in a format, with the signature, or what is there instead of a text, as its place holds it.
func restore(f Format, t decouple.Thought) (thought decouple.Thought, forCall string) {
	for _, place := range []string{t.Signature, t.Opaque} {
		if k, ok := readToken(place); ok {
			if k.Call {
				return decouple.Thought{}, k.Signature
			}
			return decouple.Thought{Text: t.Text, Signature: k.Signature, Opaque: k.Opaque, ID: k.ID, Maker: k.Maker}, ""
		}
	}
	t.Maker = string(f)
	return t, ""
}
