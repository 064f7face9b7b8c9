package exit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"time"
	"unicode/utf8"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// eventLine is an event as a bundle has it. Where JSON cannot give its bytes back, Record has the journal's own, and nothing else but position and sum is set.
type eventLine struct {
	Position      decouple.Position   `json:"position"`
	Tenant        decouple.TenantID   `json:"tenant,omitempty"`
	Kind          decouple.StreamKind `json:"stream,omitempty"`
	ID            string              `json:"id,omitempty"`
	Seq           decouple.Seq        `json:"seq,omitempty"`
	Event         decouple.EventKind  `json:"event,omitempty"`
	Version       int                 `json:"version,omitempty"`
	Time          time.Time           `json:"time,omitzero"`
	Actor         decouple.Actor      `json:"actor,omitzero"`
	Causation     decouple.EventID    `json:"causation,omitempty"`
	Root          decouple.RunID      `json:"root,omitempty"`
	Trace         decouple.TraceID    `json:"trace,omitempty"`
	Subject       decouple.SubjectID  `json:"subject,omitempty"`
	Commit        decouple.CommitID   `json:"commit,omitempty"`
	Sum           string              `json:"sum"`
	Record        []byte              `json:"record,omitempty"`
	PayloadBase64 []byte              `json:"payload_base64,omitempty"`
	Payload       json.RawMessage     `json:"payload,omitempty"` // last, and written as it is
}

// runLine is a row of the view of runs.
type runLine struct {
	Run      decouple.Run       `json:"run"`
	Label    string             `json:"label,omitempty"`
	Status   decouple.RunStatus `json:"status"`
	Left     bool               `json:"left,omitempty"`
	Wait     decouple.Wait      `json:"wait,omitzero"`
	Cause    decouple.Cause     `json:"cause,omitzero"`
	Seq      decouple.Seq       `json:"seq"`
	Inbox    journal.InboxSeq   `json:"inbox,omitempty"`
	Consumed journal.InboxSeq   `json:"consumed,omitempty"`
	Until    journal.InboxSeq   `json:"until,omitempty"`
	Wake     time.Time          `json:"wake,omitzero"`
	Steps    int                `json:"steps,omitempty"`
	Usage    decouple.Usage     `json:"usage,omitzero"`
	Created  time.Time          `json:"created"`
	Updated  time.Time          `json:"updated"`
}

// messageLine is a message of an inbox.
type messageLine struct {
	Tenant     decouple.TenantID `json:"tenant"`
	Run        decouple.RunID    `json:"run"`
	Seq        journal.InboxSeq  `json:"seq"`
	Kind       string            `json:"kind"`
	From       string            `json:"from"`
	BodyBase64 []byte            `json:"body_base64,omitempty"`
	Body       json.RawMessage   `json:"body,omitempty"` // last, and written as it is
}

// commitLine recognises a repeated commit.
type commitLine struct {
	ID       decouple.CommitID `json:"id"`
	Seq      decouple.Seq      `json:"seq"`
	Position decouple.Position `json:"position"`
	Event    decouple.EventID  `json:"event,omitempty"`
	Time     time.Time         `json:"time"`
}

// keyLine is the key that a subject's blobs are addressed with.
type keyLine struct {
	Tenant  decouple.TenantID  `json:"tenant"`
	Subject decouple.SubjectID `json:"subject,omitempty"`
	Key     string             `json:"key"`
}

// blobLine is a blob, whose content is a file of its own.
type blobLine struct {
	Tenant  decouple.TenantID  `json:"tenant"`
	Subject decouple.SubjectID `json:"subject,omitempty"`
	ID      decouple.BlobID    `json:"id"`
	Size    int64              `json:"size"`
	Created time.Time          `json:"created"`
	File    string             `json:"file"`
}

// encode writes a value as one line of JSON.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, decouple.Errorf(decouple.Internal, "a line of the bundle cannot be written: %w", err)
	}
	return b.Bytes(), nil
}

// decode reads one line of JSON, and nothing that it does not know.
func decode(line []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return decouple.Errorf(decouple.Invalid, "it cannot be read: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return decouple.Errorf(decouple.Invalid, "it holds more than one value")
	}
	return nil
}

// maxDepth bounds the brackets of JSON that stands in a line: readers refuse what is nested too deep.
const maxDepth = 5000

// plain says that JSON bytes can stand in a line as they are and are read back the same.
func plain(b []byte) bool {
	return len(b) > 0 && bytes.Count(b, []byte("["))+bytes.Count(b, []byte("{")) < maxDepth && b[0] > ' ' && b[len(b)-1] > ' ' && utf8.Valid(b) && !bytes.ContainsAny(b, "\r\n") && json.Valid(b) && !bytes.Equal(b, []byte("null"))
}

// withLast adds a last field, as it is, to a line.
func withLast(line []byte, name string, raw []byte) []byte {
	line = append(line[:len(line)-2], `,"`+name+`":`...)
	line = append(line, raw...)
	return append(line, "}\n"...)
}

// encodeEvent writes an event.
func encodeEvent(e *decouple.Event) ([]byte, error) {
	l := eventLine{
		Position: e.Position, Tenant: e.Stream.Tenant, Kind: e.Stream.Kind, ID: e.Stream.ID, Seq: e.Seq, Event: e.Kind, Version: e.KindVersion, Time: e.Time, Actor: e.Actor,
		Causation: e.Causation, Root: e.RootRun, Trace: e.Trace, Subject: e.Subject, Commit: e.Commit, Sum: hex.EncodeToString(e.Checksum[:]),
	}
	for _, s := range []string{string(l.Tenant), string(l.Kind), l.ID, string(l.Event), string(l.Actor.Kind), l.Actor.ID, string(l.Causation), string(l.Root), string(l.Trace), string(l.Subject), string(l.Commit)} {
		if !utf8.ValidString(s) {
			return encode(eventLine{Position: l.Position, Sum: l.Sum, Record: journal.Encode(*e)})
		}
	}
	if y := e.Time.Year(); y < 1 || y > 9999 || l.Time.IsZero() {
		return encode(eventLine{Position: l.Position, Sum: l.Sum, Record: journal.Encode(*e)})
	}
	if len(e.Payload) > 0 && !plain(e.Payload) {
		l.PayloadBase64 = e.Payload
	}
	line, err := encode(l)
	if err == nil && l.PayloadBase64 == nil && len(e.Payload) > 0 {
		line = withLast(line, "payload", e.Payload)
	}
	return line, err
}

// decodeEvent is the inverse of encodeEvent. The checksum is what the line says, and not checked.
func decodeEvent(line []byte) (decouple.Event, error) {
	var l eventLine
	if err := decode(line, &l); err != nil {
		return decouple.Event{}, err
	}
	sum, err := hex.DecodeString(l.Sum)
	if err != nil || len(sum) != 32 {
		return decouple.Event{}, decouple.Errorf(decouple.Invalid, "its sum is not one of SHA-256")
	}
	e := decouple.Event{
		Stream: decouple.Stream{Tenant: l.Tenant, Kind: l.Kind, ID: l.ID}, Seq: l.Seq, Kind: l.Event, KindVersion: l.Version, Time: l.Time.UTC(), Actor: l.Actor, Causation: l.Causation,
		RootRun: l.Root, Trace: l.Trace, Subject: l.Subject, Commit: l.Commit, Payload: l.Payload,
	}
	if l.PayloadBase64 != nil {
		e.Payload = l.PayloadBase64
	}
	if l.Record != nil {
		if e, err = journal.Decode(l.Record); err != nil {
			return e, decouple.Errorf(decouple.Invalid, "its record cannot be read: %w", err)
		}
	}
	e.Position, e.Checksum = l.Position, [32]byte(sum)
	e.ID = journal.EventIDOf(e.Checksum)
	return e, nil
}

func encodeRun(r *journal.StoredRun) ([]byte, error) {
	return encode(runLine{
		Run: r.Run, Label: r.Label, Status: r.Status, Left: r.Left, Wait: r.Wait, Cause: r.Cause, Seq: r.Seq, Inbox: r.Inbox, Consumed: r.Consumed, Until: r.Until, Wake: r.Wake,
		Steps: r.Steps, Usage: r.Usage, Created: r.Created, Updated: r.Updated,
	})
}

func decodeRun(line []byte) (*journal.StoredRun, error) {
	var l runLine
	if err := decode(line, &l); err != nil {
		return nil, err
	}
	return &journal.StoredRun{Left: l.Left, RunRow: journal.RunRow{
		Run: l.Run, Label: l.Label, Status: l.Status, Wait: l.Wait, Cause: l.Cause, Seq: l.Seq, Inbox: l.Inbox, Consumed: l.Consumed, Until: l.Until, Wake: l.Wake, Steps: l.Steps,
		Usage: l.Usage, Created: l.Created, Updated: l.Updated,
	}}, nil
}

func encodeMessage(m *journal.StoredMessage) ([]byte, error) {
	l := messageLine{Tenant: m.Tenant, Run: m.Run, Seq: m.Seq, Kind: m.Kind, From: m.From}
	if len(m.Body) > 0 && !plain(m.Body) {
		l.BodyBase64 = m.Body
	}
	line, err := encode(l)
	if err == nil && l.BodyBase64 == nil && len(m.Body) > 0 {
		line = withLast(line, "body", m.Body)
	}
	return line, err
}

func decodeMessage(line []byte) (*journal.StoredMessage, error) {
	var l messageLine
	if err := decode(line, &l); err != nil {
		return nil, err
	}
	m := &journal.StoredMessage{Tenant: l.Tenant, Run: l.Run, Message: journal.Message{Seq: l.Seq, Kind: l.Kind, From: l.From, Body: l.Body}}
	if l.BodyBase64 != nil {
		m.Body = l.BodyBase64
	}
	return m, nil
}

func encodeCommit(c *journal.StoredCommit) ([]byte, error) {
	return encode(commitLine{c.ID, c.Seq, c.Position, c.Event, c.Time})
}

func decodeCommit(line []byte) (*journal.StoredCommit, error) {
	var l commitLine
	if err := decode(line, &l); err != nil {
		return nil, err
	}
	return &journal.StoredCommit{ID: l.ID, Receipt: journal.Receipt{Seq: l.Seq, Position: l.Position, Event: l.Event, Time: l.Time}}, nil
}

func encodeKey(k *journal.SubjectKey) ([]byte, error) {
	return encode(keyLine{k.Tenant, k.Subject, hex.EncodeToString(k.Key)})
}

func decodeKey(line []byte) (*journal.SubjectKey, error) {
	var l keyLine
	if err := decode(line, &l); err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(l.Key)
	if err != nil || len(key) == 0 {
		return nil, decouple.Errorf(decouple.Invalid, "its key is not hexadecimal")
	}
	return &journal.SubjectKey{Tenant: l.Tenant, Subject: l.Subject, Key: key}, nil
}
