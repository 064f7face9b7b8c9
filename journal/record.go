package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"

	"decouple.dev/decouple"
)

// recordVersion begins every record; a reader refuses what it does not know.
const recordVersion = 1

// Encode gives the canonical bytes of an event: header and payload, without position, id and checksum. It is what the checksum covers
// and what stores keep.
func Encode(e decouple.Event) []byte {
	b := make([]byte, 0, 160+len(e.Payload))
	b = append(b, recordVersion)
	b = appendString(b, string(e.Stream.Tenant), string(e.Stream.Kind), e.Stream.ID)
	b = binary.AppendUvarint(b, uint64(e.Seq))
	b = appendString(b, string(e.Kind))
	b = binary.AppendUvarint(b, uint64(e.KindVersion))
	b = binary.AppendVarint(b, e.Time.UnixMicro())
	b = appendString(b, string(e.Actor.Kind), e.Actor.ID, string(e.Causation), string(e.RootRun), string(e.Trace), string(e.Subject), string(e.Commit))
	b = binary.AppendUvarint(b, uint64(len(e.Payload)))
	return append(b, e.Payload...)
}

func appendString(b []byte, ss ...string) []byte {
	for _, s := range ss {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// Decode is the inverse of Encode. What is not a whole record, and nothing but one, is Internal.
func Decode(b []byte) (decouple.Event, error) {
	d := decoder{rest: b}
	if v := d.byte(); v != recordVersion && !d.bad {
		return decouple.Event{}, decouple.Errorf(decouple.Internal, "an event record has version %d; this program knows %d", v, recordVersion)
	}
	var e decouple.Event
	e.Stream = decouple.Stream{Tenant: decouple.TenantID(d.string()), Kind: decouple.StreamKind(d.string()), ID: d.string()}
	e.Seq = decouple.Seq(d.uvarint())
	e.Kind = decouple.EventKind(d.string())
	e.KindVersion = int(d.uvarint())
	e.Time = time.UnixMicro(d.varint()).UTC()
	e.Actor = decouple.Actor{Kind: decouple.ActorKind(d.string()), ID: d.string()}
	e.Causation = decouple.EventID(d.string())
	e.RootRun = decouple.RunID(d.string())
	e.Trace = decouple.TraceID(d.string())
	e.Subject = decouple.SubjectID(d.string())
	e.Commit = decouple.CommitID(d.string())
	e.Payload = []byte(d.string())
	if d.bad || len(d.rest) > 0 {
		return decouple.Event{}, decouple.Errorf(decouple.Internal, "an event record of %d bytes is damaged", len(b))
	}
	return e, nil
}

// decoder reads fields off the front of rest; bad stays set after the first one that is not whole.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) take(n uint64) []byte {
	if d.bad || n > uint64(len(d.rest)) {
		d.bad = true
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.take(uint64(n))
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.take(uint64(n))
	return v
}

func (d *decoder) string() string { return string(d.take(d.uvarint())) }

// Chain is the checksum of a record that follows one with checksum prev; the first of a stream follows zeros.
func Chain(prev [32]byte, record []byte) [32]byte {
	b := make([]byte, 0, 32+len(record))
	b = append(b, prev[:]...)
	return sha256.Sum256(append(b, record...))
}

// EventIDOf is the id that an event with this checksum has.
func EventIDOf(sum [32]byte) decouple.EventID { return decouple.EventID(hex.EncodeToString(sum[:16])) }
