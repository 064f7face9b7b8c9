package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"decouple.dev/decouple"
)

// Stage is how far a request got.
type Stage string

// The stages of a request, in order.
const (
	StageDial      Stage = "dial"       // a connection is made, through the proxy if there is one
	StageTLS       Stage = "tls"        // it is encrypted
	StageWrite     Stage = "write"      // the request is written; also where a request that may not be written is refused
	StageFirstByte Stage = "first-byte" // nothing of the answer has come
	StageHeader    Stage = "header"     // some of the answer's head has come
	StageBody      Stage = "body"       // the head is whole
)

// Error is why a request brought no answer, or not all of it.
type Error struct {
	Stage   Stage
	Host    string // the target's, with its port if it is not the scheme's own
	Sent    bool   // some of the request left this machine: the server may have begun to work
	Timeout bool   // a deadline passed: of the connection, of the first byte, of the body, or of the context
	Err     error  // wraps the context's error if the context ended
}

// stages are the words of Error.
var stages = map[Stage]string{
	StageDial: "connecting to", StageTLS: "encrypting the connection to", StageWrite: "writing the request to", StageFirstByte: "waiting for an answer of",
	StageHeader: "reading the head of the answer of", StageBody: "reading the answer of",
}

// Error names the stage, the host and the cause. It holds no field and no byte of a request or an answer.
func (e *Error) Error() string {
	why := "it took too long"
	if !e.Timeout {
		why = clean(e.Err.Error())
	}
	return fmt.Sprintf("%s %s: %s", stages[e.Stage], e.Host, why)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Kind is the kind of the failure, by which retry and failover are decided.
func (e *Error) Kind() decouple.Kind {
	var known *decouple.Error
	var certificate *tls.CertificateVerificationError
	var name *net.DNSError
	switch {
	case errors.Is(e.Err, context.Canceled):
		return decouple.Canceled
	case e.Timeout:
		return decouple.Deadline
	case errors.As(e.Err, &known):
		return known.Kind
	case errors.As(e.Err, &certificate):
		return decouple.Denied
	case errors.As(e.Err, &name) && name.IsNotFound:
		return decouple.NotFound
	}
	return decouple.Unavailable
}

// fault makes the error of a stage; the end of ctx comes before whatever it caused.
func fault(ctx context.Context, stage Stage, host string, err error) *Error {
	if ended := ctx.Err(); ended != nil {
		err = ended
	}
	if err == io.EOF {
		err = fmt.Errorf("the connection was closed: %w", io.ErrUnexpectedEOF)
	}
	if op, ok := err.(*net.OpError); ok {
		if known := new(decouple.Error); op.Op != "dial" || errors.As(op.Err, &known) {
			err = op.Err // the addresses that op names say nothing here
		}
	}
	return &Error{Stage: stage, Host: host, Timeout: late(err), Err: err}
}

// late says that err is a deadline that passed.
func late(err error) bool {
	var n net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// clean takes out what a foreign text could do to a terminal or a log.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return ' '
		}
		return r
	}, s)
}
