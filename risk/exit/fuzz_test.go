package exit_test

import (
	"bytes"
	"context"
	"reflect"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/risk/exit"
)

type ctxt = context.Context

// FuzzBundle reads archives that nobody signed.
func FuzzBundle(f *testing.F) {
	h, err := exit.Header("events/000001.jsonl", 3)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(h)
	f.Add(append(append(append([]byte{}, h...), make([]byte, 512)...), make([]byte, 1024)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := exit.OpenBytes(t.Context(), b, key(t).Public()); err == nil {
			t.Error("a bundle that nobody signed is taken")
		} else if k := decouple.KindOf(err); k != decouple.Denied && k != decouple.Invalid {
			t.Errorf("%s: %v", k, err)
		}
	})
}

// FuzzLines reads lines, and writes those that it could read as it would read them again.
func FuzzLines(f *testing.F) {
	for folder, line := range map[string]string{
		"events":   `{"position":1,"tenant":"t","stream":"run","id":"r","seq":1,"event":"a.b","version":1,"time":"2026-11-30T00:00:00Z","sum":"` + zeros + `","payload":{"a":1}}`,
		"runs":     `{"run":{"id":"r","tenant":"t","root":"r","agent":"a","version":"v"},"status":"parked","wait":{"kind":"person"},"seq":1,"created":"2026-11-30T00:00:00Z","updated":"2026-11-30T00:00:00Z"}`,
		"messages": `{"tenant":"t","run":"r","seq":1,"kind":"k","from":"f","body":[1]}`,
		"commits":  `{"id":"c","seq":1,"position":1,"time":"2026-11-30T00:00:00Z"}`,
		"keys":     `{"tenant":"t","key":"00"}`,
	} {
		f.Add(folder, []byte(line))
	}
	f.Fuzz(func(t *testing.T, folder string, line []byte) {
		first, err := exit.Lines(folder, line)
		if err != nil {
			return
		}
		if second, err := exit.Lines(folder, first); err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s\n%s\n%v", first, second, err)
		}
	})
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

// FuzzEvent writes events of any bytes, and demands that they are read back with their checksum.
func FuzzEvent(f *testing.F) {
	f.Add("t", "id", []byte(`{"a":1}`), int64(1_700_000_000_000_000))
	f.Add("\xff", "\x00<", []byte("\n[1 ]"), int64(-1))
	f.Add("t", "", []byte("null"), int64(0))
	f.Fuzz(func(t *testing.T, tenant, id string, payload []byte, at int64) {
		e := decouple.Event{Position: 3, Stream: decouple.Stream{Tenant: decouple.TenantID(tenant), Kind: "run", ID: id}, Seq: 2, Kind: "a", KindVersion: 1, Time: time.UnixMicro(at).UTC(), Payload: payload}
		e.Checksum = journal.Chain([32]byte{1}, journal.Encode(e))
		e.ID = journal.EventIDOf(e.Checksum)
		line, err := exit.EncodeEvent(&e)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Count(line, []byte("\n")) != 1 {
			t.Fatalf("it is no line: %q", line)
		}
		back, err := exit.DecodeEvent(line)
		if err != nil || !bytes.Equal(journal.Encode(back), journal.Encode(e)) || back.ID != e.ID || back.Position != e.Position {
			t.Fatalf("%q %v\n%q", line, err, payload)
		}
		if back.Payload, e.Payload = nil, nil; !reflect.DeepEqual(back, e) {
			t.Fatalf("%+v\n%+v", back, e)
		}
	})
}
