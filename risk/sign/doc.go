// Package sign answers "who says so?": it signs results with an installation's key and opens what was signed.
//
// A signed document is a DSSE envelope, version 1 of the in-toto project: a JSON object with payloadType, payload (base64) and one signature, which is made by
// Ed25519 (RFC 8032) over the pre-authentication encoding of type and payload. There is one way to write an envelope, and [Open] takes no other: a document with
// any byte changed is refused, those that are under no signature too. A public key is a PEM block that openssl reads.
package sign
