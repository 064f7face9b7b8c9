package sign

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"strconv"
	"unicode/utf8"

	"decouple.dev/decouple"
)

// MaxEnvelope is the size of an envelope that is opened, in bytes.
const MaxEnvelope = 256 << 20

// maxType is the length of a payload's type.
const maxType = 200

// Public is a key that signatures are checked with. The zero value checks none.
type Public struct{ key ed25519.PublicKey }

// envelope is the stored form, in the order of its fields.
type envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     string      `json:"payload"`
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
}

// PAE is the pre-authentication encoding of DSSE version 1, which is what is signed: type and payload with their lengths, so that no two pairs have the same bytes.
func PAE(payloadType string, payload []byte) []byte {
	b := make([]byte, 0, len(payload)+len(payloadType)+64)
	b = append(b, "DSSEv1 "...)
	b = strconv.AppendInt(b, int64(len(payloadType)), 10)
	b = append(b, ' ')
	b = append(b, payloadType...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	b = append(b, ' ')
	return append(b, payload...)
}

// Envelope signs a payload of a type, such as "application/vnd.decouple.drill+json", and gives the envelope: one line of JSON.
func (k *Key) Envelope(payloadType string, payload []byte) ([]byte, error) {
	if payloadType == "" || len(payloadType) > maxType || !utf8.ValidString(payloadType) {
		return nil, decouple.Errorf(decouple.Internal, "a payload's type must be a text of at most %d bytes", maxType)
	}
	sig := ed25519.Sign(k.private, PAE(payloadType, payload))
	return envelope{payloadType, base64.StdEncoding.EncodeToString(payload), []signature{{k.Public().ID(), base64.StdEncoding.EncodeToString(sig)}}}.bytes()
}

func (e envelope) bytes() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, decouple.Errorf(decouple.Internal, "an envelope cannot be written: %w", err)
	}
	return b.Bytes(), nil
}

// Open checks an envelope with a public key and gives its payload, which must be of the type that the caller expects. What is no envelope is Invalid; what is one
// that this key has not signed, or of another type, is Denied.
func Open(b []byte, payloadType string, by Public) ([]byte, error) {
	e, payload, sig, err := decode(b)
	switch {
	case err != nil:
		return nil, err
	case len(by.key) != ed25519.PublicKeySize:
		return nil, decouple.Errorf(decouple.Invalid, "there is no public key to check the signature with: `decouple exit key` prints it")
	case e.PayloadType != payloadType:
		return nil, decouple.Errorf(decouple.Denied, "the signed document is of the type %q and not %q: it is another sort of result", clip(e.PayloadType), payloadType)
	case e.Signatures[0].KeyID != by.ID():
		return nil, decouple.Errorf(decouple.Denied, "the document says that the key %s signed it, and the public key given is %s: ask the installation that made it for its key (`decouple exit key`)", clip(e.Signatures[0].KeyID), by.ID())
	case !ed25519.Verify(by.key, PAE(e.PayloadType, payload), sig):
		return nil, decouple.Errorf(decouple.Denied, "the signature does not hold: the document has been changed since the key %s signed it", by.ID())
	}
	return payload, nil
}

// decode reads an envelope that is written in the one way.
func decode(b []byte) (envelope, []byte, []byte, error) {
	var e envelope
	if len(b) > MaxEnvelope {
		return e, nil, nil, decouple.Errorf(decouple.TooLarge, "the signed document has %d bytes, over %d", len(b), MaxEnvelope)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return e, nil, nil, decouple.Errorf(decouple.Invalid, "the signed document is not a DSSE envelope: it is damaged at about byte %d", d.InputOffset())
	}
	if len(e.Signatures) != 1 {
		return e, nil, nil, decouple.Errorf(decouple.Invalid, "the signed document has %d signatures and not one", len(e.Signatures))
	}
	payload, err := base64.StdEncoding.Strict().DecodeString(e.Payload)
	if err != nil {
		return e, nil, nil, decouple.Errorf(decouple.Invalid, "the payload of the signed document is not base64")
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(e.Signatures[0].Sig)
	if err != nil || len(sig) != ed25519.SignatureSize {
		return e, nil, nil, decouple.Errorf(decouple.Invalid, "the signature of the signed document is not one of Ed25519")
	}
	again, err := e.bytes()
	if err != nil || !bytes.Equal(again, b) {
		return e, nil, nil, decouple.Errorf(decouple.Invalid, "the signed document is not written as it was made: it differs at byte %d", differs(again, b))
	}
	return e, payload, sig, nil
}

// differs is the first byte at which two texts do.
func differs(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// clip makes a foreign text fit for an error: short and printable.
func clip(s string) string {
	q := strconv.QuoteToASCII(s)
	q = q[1 : len(q)-1]
	if len(q) > 80 {
		q = q[:80] + "..."
	}
	return q
}

// ID is the SHA-256 of the key, in 64 hexadecimal digits: the name of the key in envelopes, and what two people compare over the telephone.
func (p Public) ID() string {
	sum := sha256.Sum256(p.key)
	return hex.EncodeToString(sum[:])
}

// PEM is the key as openssl reads it.
func (p Public) PEM() string {
	der, err := x509.MarshalPKIXPublicKey(p.key)
	if err != nil {
		return ""
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// ParsePublic reads the PEM block of a public key, with nothing but space around it.
func ParsePublic(text []byte) (Public, error) {
	block, rest := pem.Decode(bytes.TrimSpace(text))
	if block == nil || block.Type != "PUBLIC KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return Public{}, decouple.Errorf(decouple.Invalid, "this is no public key: `decouple exit key` prints one, which begins with -----BEGIN PUBLIC KEY-----")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	key, ok := parsed.(ed25519.PublicKey)
	if err != nil || !ok {
		return Public{}, decouple.Errorf(decouple.Invalid, "this public key is not one of Ed25519: `decouple exit key` prints one")
	}
	return Public{key}, nil
}
