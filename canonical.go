package decouple

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"strconv"
	"strings"
)

// Canonical gives the one spelling of a JSON text: names sorted, each once (the last of several counts), without escapes and spaces that say nothing, whole numbers in
// plain digits. What is compared, bound by a hash and acted on must be the same bytes, or one spelling would be looked at and another one read. Invalid says that it is no JSON, or has
// something behind it.
func Canonical(text []byte) (json.RawMessage, error) {
	v, err := readJSON(text)
	if err != nil {
		return nil, Errorf(Invalid, "this is not one JSON value: %w", err)
	}
	b, err := json.Marshal(plain(v))
	if err != nil {
		return nil, Errorf(Invalid, "this JSON has no other form: %w", err)
	}
	return b, nil
}

// readJSON reads a text that is one JSON value, with its numbers as they are written.
func readJSON(text []byte) (any, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something behind it")
	}
	return v, nil
}

// plain writes the whole numbers in a value in plain digits.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, item := range v {
			v[name] = plain(item)
		}
	case []any:
		for i, item := range v {
			v[i] = plain(item)
		}
	case json.Number:
		if n, ok := exact(v.String()); ok && n.IsInt() {
			if digits := n.Num().String(); len(digits) <= maxDigits {
				return json.Number(digits)
			}
		}
	}
	return v
}

const (
	maxDigits   = 20  // of a whole number that is written in plain digits
	maxExponent = 400 // of a number that is compared: the next shorter text could stand for gigabytes of digits
)

// exact reads a number without rounding it; false is that it is none, or too long.
func exact(s string) (*big.Rat, bool) {
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		if n, err := strconv.Atoi(s[i+1:]); err != nil || n > maxExponent || n < -maxExponent {
			return nil, false
		}
	}
	if len(s) > 2*maxExponent || strings.ContainsAny(s, "/_xXpPiI") {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}
