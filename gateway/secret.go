package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"unicode"
)

// Secret is a text that is never printed: every way to format, log or marshal it gives "[key]".
type Secret string

const hidden = "[key]"

// Format prints the placeholder, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// String is the placeholder.
func (s Secret) String() string { return hidden }

// MarshalText is the placeholder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// maxSaid is how many runes of a server's words are shown.
const maxSaid = 400

// cleaner makes a server's words fit to be shown: the key is taken out, in each form it may have there, before anything is cut;
// control characters, which could drive a terminal, become spaces. A key of under four bytes is no secret and stays.
func (s Secret) cleaner() func(string) string {
	var pairs []string
	if len(s) >= 4 {
		quoted, _ := json.Marshal(string(s)) // a string always marshals
		for _, form := range []string{string(s), strings.Trim(string(quoted), `"`), url.QueryEscape(string(s)), url.PathEscape(string(s))} {
			pairs = append(pairs, form, hidden)
		}
	}
	replacer := strings.NewReplacer(pairs...)
	return func(said string) string {
		said = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return ' '
			}
			return r
		}, replacer.Replace(said))
		said = strings.TrimSuffix(strings.Join(strings.Fields(said), " "), ".")
		if runes := []rune(said); len(runes) > maxSaid {
			said = string(runes[:maxSaid]) + "..."
		}
		return said
	}
}
