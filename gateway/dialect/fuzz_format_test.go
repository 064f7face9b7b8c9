package dialect_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
)

func pick(n uint) dialect.Format {
	all := formats()
	return all[n%uint(len(all))]
}

func seed(f *testing.F, kind string) {
	f.Helper()
	for n, format := range formats() {
		for _, file := range files(f, "testdata/"+string(format)+"/"+kind+"/*") {
			if filepath.Ext(file) != ".want" {
				f.Add(uint(n), wire(f, file))
			}
		}
	}
}

// FuzzParse parses requests and encodes what came of them in every format: JSON, or an error that names a field.
func FuzzParse(f *testing.F) {
	seed(f, "request")
	f.Fuzz(func(t *testing.T, n uint, body []byte) {
		_, s := both(t, pick(n))
		req, err := s.Parse(dialect.Inbound{Body: body, Model: "m"})
		if err != nil {
			if decouple.KindOf(err) != decouple.Invalid {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, to := range formats() {
			c, _ := both(t, to)
			data, _, err := c.Encode(req, dialect.Options{Asked: pick(n), Stream: true})
			switch kind := decouple.KindOf(err); {
			case err == nil && !json.Valid(data):
				t.Fatalf("%s: not JSON: %q", to, data)
			case err != nil && kind != decouple.Invalid:
				t.Fatalf("%s: %v", to, err)
			}
		}
	})
}

// FuzzDecode decodes whole answers; what came of them can be stored, sent again, and rendered in every format.
func FuzzDecode(f *testing.F) {
	seed(f, "answer")
	f.Fuzz(func(t *testing.T, n uint, body []byte) {
		c, _ := both(t, pick(n))
		a, err := c.Decode(body, offered())
		_, _, _, lookErr := dialect.UsageOf(pick(n), body)
		fine(t, lookErr)
		if fine(t, err); err != nil {
			return
		}
		check(t, a, err)
		for _, to := range formats() {
			_, s := both(t, to)
			if data, err := s.Render(a, dialect.Head{}); err != nil || !json.Valid(data) {
				t.Fatalf("%s: %v %q", to, err, data)
			}
		}
	})
}

// fine says that an error is of the sort that a server's answer may bring.
func fine(t *testing.T, err error) {
	t.Helper()
	var f *dialect.Fault
	if err != nil && !errors.As(err, &f) && decouple.KindOf(err) != decouple.Unavailable {
		t.Fatalf("%v", err)
	}
}

// FuzzReader reads streams whole and byte by byte, which must come to the same, and writes what came of them in every format.
func FuzzReader(f *testing.F) {
	seed(f, "stream")
	f.Fuzz(func(t *testing.T, n uint, data []byte) {
		c, _ := both(t, pick(n))
		events, a, err := listen(c.Reader(offered()), data, max(1, len(data)))
		fine(t, err)
		again, b, berr := listen(c.Reader(offered()), data, 1)
		if d := cmp.Diff(heard(events), heard(again)); d != "" || (err == nil) != (berr == nil) {
			t.Fatalf("%v, %v (-whole +pieces):\n%s", err, berr, d)
		}
		if err != nil {
			return
		}
		if d := cmp.Diff(a, b); d != "" {
			t.Fatal(d)
		}
		check(t, a, err)
		for _, to := range formats() {
			rc, s := both(t, to)
			w := s.Writer(dialect.Head{ID: "x", Model: "m"})
			var out []byte
			for _, e := range events {
				out = w.Event(out, e)
			}
			if _, _, err := listen(rc.Reader(dialect.Names{}), out, len(out)); err != nil {
				t.Fatalf("%s: %v\n%s", to, err, out)
			}
		}
	})
}

// FuzzPassage looks over streams whole and byte by byte, which must come to the same.
func FuzzPassage(f *testing.F) {
	seed(f, "stream")
	f.Fuzz(func(t *testing.T, n uint, data []byte) {
		one, other := dialect.NewPassage(pick(n)), dialect.NewPassage(pick(n))
		seen, err := one.Feed(data)
		fine(t, err)
		var pieces dialect.Seen
		var perr error
		for i := 0; i < len(data) && perr == nil; i++ {
			pieces, perr = other.Feed(data[i : i+1])
		}
		if d := cmp.Diff(seen, pieces); len(data) > 0 && (err == nil && d != "" || (err == nil) != (perr == nil)) {
			t.Fatalf("%v, %v (-whole +pieces):\n%s", err, perr, d)
		}
		if seen.Whole > len(data) {
			t.Fatalf("%d of %d bytes", seen.Whole, len(data))
		}
	})
}
