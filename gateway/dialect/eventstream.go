package dialect

import (
	"encoding/binary"
	"hash/crc32"

	"decouple.dev/decouple"
)

// The binary framing application/vnd.amazon.eventstream: a prelude of two lengths and their checksum, headers, the payload, and a checksum of it all.
const (
	preludeSize  = 12
	leastMessage = preludeSize + 4
	maxMessage   = 24 << 20 // what Amazon permits, and some
)

// binaryEvent is a message of an event stream.
type binaryEvent struct {
	kind    string // event, exception or error
	name    string // of the event or exception
	message string // of an error, which has no payload
	payload []byte
}

// binaryFrames cuts an event stream into its messages.
type binaryFrames struct {
	held  []byte
	whole int
}

// feed gives every message that p completes, only until the next one.
func (f *binaryFrames) feed(p []byte, each func(binaryEvent) error) error {
	b := p
	if len(f.held) > 0 {
		f.held = append(f.held, p...)
		b = f.held
	}
	for len(b) >= preludeSize {
		total := int(binary.BigEndian.Uint32(b))
		if crc32.ChecksumIEEE(b[:8]) != binary.BigEndian.Uint32(b[8:]) || total < leastMessage || total > maxMessage {
			return errBinary()
		}
		if len(b) < total {
			break
		}
		e, ok := parseBinary(b[:total])
		if !ok {
			return errBinary()
		}
		f.whole += total
		b = b[total:]
		if err := each(e); err != nil {
			return err
		}
	}
	f.held = append(f.held[:0], b...)
	return nil
}

func errBinary() error {
	return decouple.Errorf(decouple.Unavailable, "the stream is not an event stream of Amazon, or was damaged on its way")
}

func parseBinary(b []byte) (binaryEvent, bool) {
	end := len(b) - 4
	if crc32.ChecksumIEEE(b[:end]) != binary.BigEndian.Uint32(b[end:]) {
		return binaryEvent{}, false
	}
	headers := int(binary.BigEndian.Uint32(b[4:]))
	if headers > end-preludeSize {
		return binaryEvent{}, false
	}
	e := binaryEvent{payload: b[preludeSize+headers : end]}
	return e, e.headers(b[preludeSize : preludeSize+headers])
}

// headers reads those that matter; a message without a type is an event.
func (e *binaryEvent) headers(b []byte) bool {
	e.kind = "event"
	for len(b) > 0 {
		n := int(b[0])
		if len(b) < n+2 {
			return false
		}
		name, kind := string(b[1:1+n]), b[1+n]
		value, rest, ok := headerValue(kind, b[n+2:])
		if !ok {
			return false
		}
		b = rest
		switch name {
		case ":message-type":
			e.kind = string(value)
		case ":event-type", ":exception-type", ":error-code":
			e.name = string(value)
		case ":error-message":
			e.message = string(value)
		}
	}
	return true
}

// headerSizes are the sizes of values by their type; those of types 6 and 7 are written before them.
var headerSizes = [10]int{0, 0, 1, 2, 4, 8, -1, -1, 8, 16}

func headerValue(kind byte, b []byte) (value, rest []byte, ok bool) {
	if int(kind) >= len(headerSizes) {
		return nil, nil, false
	}
	n := headerSizes[kind]
	if n < 0 {
		if len(b) < 2 {
			return nil, nil, false
		}
		n = int(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) < n {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// AppendEventStream appends a message of an event stream: kind is event or exception, name that of the event or exception, payload its JSON.
func AppendEventStream(dst []byte, kind, name string, payload []byte) []byte {
	from := len(dst)
	dst = append(dst, make([]byte, preludeSize)...)
	dst = appendHeader(dst, ":"+kind+"-type", name)
	dst = appendHeader(dst, ":content-type", "application/json")
	dst = appendHeader(dst, ":message-type", kind)
	headers := len(dst) - from - preludeSize
	dst = append(dst, payload...)
	m := dst[from:]
	binary.BigEndian.PutUint32(m, uint32(len(m)+4))
	binary.BigEndian.PutUint32(m[4:], uint32(headers))
	binary.BigEndian.PutUint32(m[8:], crc32.ChecksumIEEE(m[:8]))
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(m))
}

func appendHeader(dst []byte, name, value string) []byte {
	dst = append(append(dst, byte(len(name))), name...)
	dst = binary.BigEndian.AppendUint16(append(dst, 7), uint16(len(value)))
	return append(dst, value...)
}
