package credential

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"unicode"

	"decouple.dev/decouple"
)

const hidden = "[key]"

// Secret is a text that is never printed: every way to format, log or marshal it gives "[key]". The text is behind a pointer, so that it does not show in the
// unexported field of a printed struct either, where no method is called. The zero value is empty.
type Secret struct{ text *string }

// NewSecret hides a text.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{&s}
}

// Reveal is the text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Empty says that there is no text.
func (s Secret) Empty() bool { return s.text == nil }

// Equal compares in constant time.
func (s Secret) Equal(t Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(t.Reveal())) == 1
}

// Format prints the placeholder, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// String is the placeholder.
func (s Secret) String() string { return hidden }

// MarshalText is the placeholder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// maxSaid is how many runes of a server's words are shown.
const maxSaid = 400

// Cleaner makes a server's words fit to be shown: secrets are taken out, in each form they may have there, before anything is cut; control characters, which could drive a terminal, become
// spaces. A secret of under four bytes is none and stays.
func Cleaner(secrets ...Secret) func(string) string {
	var pairs []string
	for _, s := range secrets {
		text := s.Reveal()
		if len(text) < 4 {
			continue
		}
		quoted, _ := json.Marshal(text) // a string always marshals
		for _, form := range []string{text, strings.Trim(string(quoted), `"`), url.QueryEscape(text), url.PathEscape(text)} {
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

// Source says where a secret is: env:NAME or file:PATH. A secret itself never stands in a config file.
type Source string

// maxKeyFile bounds a file with a key.
const maxKeyFile = 64 << 10

// Read gets the secret. The environment is read through env. What is wrong is an error that names the source, never its content.
func (s Source) Read(env func(string) string) (Secret, error) {
	scheme, name, _ := strings.Cut(string(s), ":")
	switch {
	case scheme == "env" && name != "":
		v := env(name)
		if strings.TrimSpace(v) == "" {
			return Secret{}, decouple.Errorf(decouple.Invalid, "%s is not set in the environment", name)
		}
		return checked(name, v)
	case scheme == "file" && name != "":
		f, err := os.Open(name)
		if err != nil {
			return Secret{}, decouple.Errorf(decouple.Invalid, "the file of a key cannot be read: %w", err)
		}
		defer func() { _ = f.Close() }()
		b, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
		if err != nil {
			return Secret{}, decouple.Errorf(decouple.Invalid, "the file of a key cannot be read: %w", err)
		}
		return checked(name, string(b))
	}
	return Secret{}, decouple.Errorf(decouple.Invalid, "a key is named as env:NAME or file:PATH, and is never written out itself")
}

// checked takes the white space around a key away and refuses what cannot be sent in a header.
func checked(where, v string) (Secret, error) {
	v = strings.TrimSpace(v)
	switch {
	case v == "":
		return Secret{}, decouple.Errorf(decouple.Invalid, "%s is empty: a key belongs there", where)
	case strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return Secret{}, decouple.Errorf(decouple.Invalid, "%s holds characters that no key has: is it one key, on one line?", where)
	}
	return NewSecret(v), nil
}
