package engine

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// kindRequested is the one event in the stream of an idempotency key: what was asked under it, and the answer.
const kindRequested decouple.EventKind = "request.answered"

// MaxKey bounds an idempotency key, in bytes.
const MaxKey = 200

// request is the payload of request.answered. It is committed together with what was asked for, so that on every node, and after every crash, a key stands for one request.
type request struct {
	Key  string         `json:"key"`
	Verb string         `json:"verb"`         // start, fork, open, signal or say
	Hash string         `json:"hash"`         // of what was asked for
	Run  decouple.RunID `json:"run"`          // that was begun, or told
	ID   string         `json:"id,omitempty"` // of the signal or input
}

// newRequest is a request under a key; without a key it is nil.
func newRequest[T any](key, verb string, what T) (*request, error) {
	if key == "" {
		return nil, nil
	}
	if len(key) > MaxKey || !utf8.ValidString(key) || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, decouple.Errorf(decouple.Invalid, "an idempotency key is a text of up to %d characters without line ends", MaxKey)
	}
	b, err := json.Marshal(what)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append([]byte(verb+"\n"), b...))
	return &request{Key: key, Verb: verb, Hash: hex.EncodeToString(sum[:])}, nil
}

// requestStream is where what was asked under a key is kept. Keys may hold anything, so that it is named by their hash.
func requestStream(tenant decouple.TenantID, key string) decouple.Stream {
	sum := sha256.Sum256([]byte(key))
	return decouple.Stream{Tenant: tenant, Kind: decouple.StreamRequest, ID: hex.EncodeToString(sum[:])}
}

// answered finds the answer that a request was given before; Conflict says that its key was used for another one.
func (e *Engine) answered(ctx context.Context, tenant decouple.TenantID, r *request) (was request, ok bool, err error) {
	if r == nil {
		return was, false, nil
	}
	stream := requestStream(tenant, r.Key)
	events, err := e.Store.Read(ctx, stream, 0, 1)
	if err != nil || len(events) == 0 {
		return was, false, err
	}
	if err := json.Unmarshal(events[0].Payload, &was); err != nil {
		return was, false, decouple.Errorf(decouple.Internal, "event %d of %s cannot be read: %w", events[0].Seq, stream, err)
	}
	if was.Verb != r.Verb || was.Hash != r.Hash {
		return was, false, anotherRequest(r.Key, was.Verb, was.Run)
	}
	return was, true, nil
}

func anotherRequest(key, verb string, run decouple.RunID) error {
	return decouple.Errorf(decouple.Conflict, "the idempotency key %q was used for another request (%s, run %s): take a new key for a new request", key, verb, run)
}

// keep has a mutation keep what is asked for by it. A key that was used meanwhile makes it a Conflict.
func (r *request) keep(m *journal.Mutation, tenant decouple.TenantID, by decouple.Actor) error {
	if r == nil {
		return nil
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	m.Stream, m.Expect = requestStream(tenant, r.Key), 0
	m.Events = []journal.NewEvent{{Kind: kindRequested, KindVersion: kindVersion, Actor: by, RootRun: r.Run.Root(), Payload: b}}
	return nil
}

// letter is a message for the inbox of a run that has not ended.
type letter[T any] struct {
	tenant decouple.TenantID
	to     decouple.RunID
	kind   string
	from   string
	body   T
	by     decouple.Actor
	with   []journal.Put // goes in the same commit
}

// send puts a letter in its inbox, under the key of a request if there is one.
func send[T any](ctx context.Context, e *Engine, l letter[T], r *request) error {
	rows, err := e.Store.Runs(ctx, journal.RunFilter{Tenant: l.tenant, ID: l.to})
	switch {
	case err != nil:
		return err
	case len(rows) == 0:
		return decouple.Errorf(decouple.NotFound, "there is no run %s", l.to)
	case rows[0].Status == decouple.RunEnded:
		return decouple.Errorf(decouple.Conflict, "run %s has ended already", l.to)
	}
	b, err := json.Marshal(l.body)
	if err != nil {
		return err
	}
	b, pins, err := e.shrink(ctx, rows[0].Run, b)
	if err != nil {
		return err
	}
	m := journal.Mutation{
		ID: decouple.CommitID(l.kind + "/" + string(l.to) + "/" + rand.Text()[:10]), Stream: decouple.RunStream(l.tenant, l.to), Pin: pins,
		Put: append([]journal.Put{{To: l.to, Kind: l.kind, From: l.from, Body: b}}, l.with...),
	}
	if err := r.keep(&m, l.tenant, l.by); err != nil {
		return err
	}
	_, err = e.Store.Commit(ctx, m)
	if decouple.KindOf(err) == decouple.Conflict && r != nil {
		if _, ok, aerr := e.answered(ctx, l.tenant, r); ok || aerr != nil { // another node was asked the same at once
			return aerr
		}
	}
	return err
}
