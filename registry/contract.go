package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/placement"
)

// StreamContract is the kind of a contract's stream: its versions, and what was signed off of its clauses.
const StreamContract decouple.StreamKind = "contract"

// The kinds of event in a contract's stream.
const (
	ContractPut         decouple.EventKind = "contract.put"
	ContractWithdrawn   decouple.EventKind = "contract.withdrawn"
	ContractSignedOff   decouple.EventKind = "contract.signed_off"
	ContractSignOffOver decouple.EventKind = "contract.sign_off_over"
)

// contractPut is what is stored of a version: the whole file.
type contractPut struct {
	File string `json:"file"`
	Hash string `json:"hash"` // SHA-256 of the text
	Text string `json:"text"`
}

type contractWithdrawn struct {
	Why string `json:"why,omitempty"`
}

// contractSignedOff is a person's word that a disputed or held clause does not stand in the way.
type contractSignedOff struct {
	Clause  string         `json:"clause"` // without the contract's id
	Class   string         `json:"class,omitempty"`
	Why     string         `json:"why,omitempty"`
	Expires time.Time      `json:"expires,omitzero"`
	Run     decouple.RunID `json:"run,omitempty"`
}

// ContractVersion is a version of a contract as it is shown, or its withdrawal.
type ContractVersion struct {
	Tenant    decouple.TenantID `json:"tenant,omitempty"` // empty is all: it is a file of this node
	ID        string            `json:"id"`
	Version   int               `json:"version"` // from 1; 0 is a file of this node
	Hash      string            `json:"hash,omitempty"`
	Title     string            `json:"title,omitempty"`
	File      string            `json:"file,omitempty"`
	Clauses   int               `json:"clauses"`
	Entered   time.Time         `json:"entered,omitzero"`
	By        decouple.Actor    `json:"by,omitzero"`
	Withdrawn bool              `json:"withdrawn,omitempty"`
	Why       string            `json:"why,omitempty"`  // it was withdrawn
	Text      string            `json:"text,omitempty"` // of the file, where one version is shown
}

// SignedOff is a sign-off as it is shown.
type SignedOff struct {
	Tenant  decouple.TenantID `json:"tenant"`
	Clause  string            `json:"clause"` // contract/clause
	Class   string            `json:"class,omitempty"`
	Run     decouple.RunID    `json:"run,omitempty"` // for this run only
	Why     string            `json:"why,omitempty"`
	By      decouple.Actor    `json:"by"`
	At      time.Time         `json:"at"`
	Expires time.Time         `json:"expires,omitzero"`
	Over    time.Time         `json:"over,omitzero"` // when it was taken back, or its clause changed

	of string // what the clause was when it was signed off
}

// HoldsAt says whether the sign-off holds at a time.
func (s SignedOff) HoldsAt(t time.Time) bool {
	return !t.Before(s.At) && (s.Expires.IsZero() || t.Before(s.Expires)) && (s.Over.IsZero() || t.Before(s.Over))
}

// until is when it ends; zero is never.
func (s SignedOff) until() time.Time {
	if s.Expires.IsZero() || !s.Over.IsZero() && s.Over.Before(s.Expires) {
		return s.Over
	}
	return s.Expires
}

// contractState is a contract's stream folded.
type contractState struct {
	seq      decouple.Seq
	versions []ContractVersion
	parsed   []placement.Contract // beside versions
	signed   []SignedOff
	err      error // a version that cannot be read: nothing may be decided by a guess
}

// current is the newest version, if it is in force.
func (s *contractState) current() (ContractVersion, bool) {
	if s == nil || len(s.versions) == 0 {
		return ContractVersion{}, false
	}
	v := s.versions[len(s.versions)-1]
	return v, !v.Withdrawn
}

// named finds a version by its number or the beginning of its hash; an empty name is the newest.
func (s *contractState) named(name string) (int, error) {
	for i := len(s.versions) - 1; i >= 0; i-- {
		v := s.versions[i]
		if !v.Withdrawn && (name == "" || name == itoa(v.Version) || len(name) >= 4 && strings.HasPrefix(v.Hash, name)) {
			return i, nil
		}
	}
	return 0, decouple.Errorf(decouple.NotFound, "the contract has no version %q; `decouple contracts history` lists them", name)
}

// apply folds an event into a contract. An error is of that contract alone.
func (s *contractState) apply(e decouple.Event) error {
	s.seq = e.Seq
	if e.KindVersion != 1 {
		return decouple.Errorf(decouple.Unavailable, "the event %s of the contract %s is of a kind that this version does not know: use the newer program", e.ID, e.Stream.ID)
	}
	switch e.Kind {
	case ContractPut:
		return s.put(e)
	case ContractWithdrawn:
		p, err := payloadOf[contractWithdrawn](e)
		v := ContractVersion{Tenant: e.Stream.Tenant, ID: e.Stream.ID, Version: len(s.versions) + 1, Entered: e.Time, By: e.Actor, Withdrawn: true, Why: p.Why}
		s.versions = append(s.versions, v)
		s.parsed = append(s.parsed, placement.Contract{ID: v.ID, Entered: e.Time, Withdrawn: true})
		s.outdate(e.Time)
		return err
	case ContractSignedOff:
		p, err := payloadOf[contractSignedOff](e)
		s.signed = append(s.signed, SignedOff{Tenant: e.Stream.Tenant, Clause: e.Stream.ID + "/" + p.Clause, Class: p.Class, Run: p.Run, Why: p.Why, By: e.Actor, At: e.Time, Expires: p.Expires, of: s.wording(p.Clause)})
		return err
	case ContractSignOffOver:
		p, err := payloadOf[contractSignedOff](e)
		s.signed = slices.Clone(s.signed) // a snapshot has the old ones
		for i := range s.signed {
			if so := &s.signed[i]; so.Clause == e.Stream.ID+"/"+p.Clause && so.Class == p.Class && so.Run == p.Run && so.HoldsAt(e.Time) {
				so.Over = e.Time
			}
		}
		return err
	}
	return decouple.Errorf(decouple.Unavailable, "the event %s of the contract %s is of a kind that this version does not know: use the newer program", e.ID, e.Stream.ID)
}

// put folds a version.
func (s *contractState) put(e decouple.Event) error {
	p, err := payloadOf[contractPut](e)
	if err != nil {
		return err
	}
	v := ContractVersion{Tenant: e.Stream.Tenant, ID: e.Stream.ID, Version: len(s.versions) + 1, Hash: p.Hash, File: p.File, Entered: e.Time, By: e.Actor}
	c, err := placement.Parse(p.File, []byte(p.Text))
	if err != nil {
		err = decouple.Errorf(decouple.Unavailable, "version %d of the contract %s cannot be read by this program, so nothing is decided until there is one that can: %w", v.Version, v.ID, err)
		c = placement.Contract{ID: v.ID, Withdrawn: true}
	}
	c.Entered, v.Title, v.Clauses = e.Time, c.Title, len(c.Clauses)
	s.versions, s.parsed = append(s.versions, v), append(s.parsed, c)
	if err == nil { // of a version that cannot be read, nobody here knows what it changes, and nothing is decided
		s.outdate(e.Time)
	}
	return err
}

// outdate ends the sign-offs of clauses that the newest version does not have as they were: nobody has signed off what they say now.
func (s *contractState) outdate(at time.Time) {
	s.signed = slices.Clone(s.signed) // a snapshot has the old ones
	for i := range s.signed {
		so := &s.signed[i]
		if _, clause, _ := strings.Cut(so.Clause, "/"); so.HoldsAt(at) && so.of != s.wording(clause) {
			so.Over = at
		}
	}
}

// wording is all that the newest version says in a clause, or nothing.
func (s *contractState) wording(clause string) string {
	if len(s.parsed) == 0 {
		return ""
	}
	for _, k := range s.parsed[len(s.parsed)-1].Clauses {
		if k.ID == clause {
			b, _ := json.Marshal(k) // of texts and numbers only
			return string(b)
		}
	}
	return ""
}

// payloadOf reads what an event of a contract holds.
func payloadOf[T any](e decouple.Event) (T, error) {
	var p T
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return p, decouple.Errorf(decouple.Internal, "the event %s of the contract %s cannot be read: %w", e.ID, e.Stream.ID, err)
	}
	return p, nil
}

// HashContract is the hash of a contract's file, by which its versions are named.
func HashContract(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
