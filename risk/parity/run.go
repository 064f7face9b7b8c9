package parity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
)

// Model answers for one endpoint; the gateway does.
type Model interface {
	Answer(ctx context.Context, req decouple.Request) (decouple.Answer, error)
}

// Evaluation is what is to be run.
type Evaluation struct {
	ID         string
	Suite      Suite
	Primary    catalog.EndpointID
	Alternates []catalog.EndpointID
	Model      func(catalog.EndpointID) Model // that asks this endpoint and no other
	For        decouple.Asker                 // as whom it is asked: contracts judge the class
	Repeats    int                            // of every case; 1
	Parallel   int                            // cases at once; 4
	Margin     float64                        // how much worse an alternate may be, as a share; 0.1
	Seed       uint64                         // of the bootstrap
	Now        func() time.Time               // time.Now
	Progress   func(done, of int)             // told of every case; nil is nobody
}

// Prefix begins the ids of evaluations, and so the runs of their calls: those are nobody's work, and are left out where work is weighed.
const Prefix = "par_"

// Limits of an evaluation.
const (
	mostRepeats  = 50
	mostParallel = 32
	mostRounds   = 4 // calls of a model in one trial
)

// check fills in what is not set and refuses what cannot be.
func (e *Evaluation) check() error {
	orElse(&e.Repeats, 1)
	orElse(&e.Parallel, 4)
	if e.Margin == 0 {
		e.Margin = 0.1
	}
	if e.Now == nil {
		e.Now = time.Now
	}
	if e.Progress == nil {
		e.Progress = func(int, int) {}
	}
	switch {
	case len(e.Suite.Cases) == 0:
		return decouple.Errorf(decouple.Invalid, "there are no cases")
	case e.Primary == "" || len(e.Alternates) == 0:
		return decouple.Errorf(decouple.Invalid, "name a primary and at least one alternate; `decouple endpoints ls` lists the endpoints")
	case e.Repeats < 1 || e.Repeats > mostRepeats:
		return decouple.Errorf(decouple.Invalid, "repeats is between 1 and %d", mostRepeats)
	case e.Parallel < 1 || e.Parallel > mostParallel:
		return decouple.Errorf(decouple.Invalid, "parallel is between 1 and %d", mostParallel)
	case !(e.Margin > 0 && e.Margin < 1):
		return decouple.Errorf(decouple.Invalid, "the margin is a share above 0 and under 1, such as 0.1")
	}
	for i, a := range e.Alternates {
		if a == e.Primary {
			return decouple.Errorf(decouple.Invalid, "%s cannot be its own alternate", a)
		}
		for _, b := range e.Alternates[:i] {
			if a == b {
				return decouple.Errorf(decouple.Invalid, "the alternate %s is named twice", a)
			}
		}
	}
	return nil
}

func orElse(n *int, value int) {
	if *n == 0 {
		*n = value
	}
}

// Run asks every endpoint every case and compares. What endpoints do wrong is in the reports; an error is that it could not be run.
func Run(ctx context.Context, e Evaluation) ([]Report, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	ends := append([]catalog.EndpointID{e.Primary}, e.Alternates...)
	results := make([][][]Measured, len(ends)) // by endpoint, by case
	for i := range results {
		results[i] = make([][]Measured, len(e.Suite.Cases))
	}
	done := make(chan struct{}, len(e.Suite.Cases))
	told := make(chan struct{})
	go func() {
		defer close(told)
		n := 0
		for range done {
			n++
			e.Progress(n, len(e.Suite.Cases))
		}
	}()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(e.Parallel)
	for c := range e.Suite.Cases {
		g.Go(func() error {
			// Turn about, so that an hour in which everything is slow is slow for all.
			for k := range ends {
				i := (k + c) % len(ends)
				for range e.Repeats {
					t, err := e.try(ctx, &e.Suite.Cases[c], ends[i])
					if err != nil {
						return err
					}
					results[i][c] = append(results[i][c], t)
				}
			}
			done <- struct{}{}
			return nil
		})
	}
	err := g.Wait()
	close(done)
	<-told
	if err != nil {
		return nil, decouple.Errorf(decouple.KindOf(err), "the evaluation was not finished: %w", err)
	}
	return e.reports(results), nil
}

// reports compares each alternate with the primary.
func (e *Evaluation) reports(results [][][]Measured) []Report {
	var out []Report
	for i, alternate := range e.Alternates {
		r := Report{ID: e.ID, At: e.Now().UTC().Truncate(time.Millisecond), Suite: e.Suite.Name, Hash: e.Suite.Hash(), Repeats: e.Repeats, Class: e.For.Class, Margin: e.Margin, Seed: e.Seed,
			Primary: Side{Endpoint: e.Primary}, Alternate: Side{Endpoint: alternate}}
		var samples []Sample
		for c := range e.Suite.Cases {
			samples = append(samples, Sample{&e.Suite.Cases[c], results[0][c], results[i+1][c]})
		}
		r.Compare(samples)
		out = append(out, r)
	}
	return out
}

// Hash names the cases of a suite: the same cases have the same one.
func (s Suite) Hash() string {
	h := sha256.New()
	for _, c := range s.Cases {
		h.Write([]byte(text(c)))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// try has one conversation: tools are answered until the model has said its last word. Only the end of ctx is an error.
func (e *Evaluation) try(ctx context.Context, c *Case, at catalog.EndpointID) (Measured, error) {
	var m Measured
	if ctx.Err() != nil {
		return m, ctx.Err()
	}
	model := e.Model(at)
	began := e.Now()
	req := decouple.Request{Run: decouple.RunID(e.ID), For: e.For, Model: string(at), Messages: append([]decouple.Message(nil), c.Messages...), Tools: c.Tools, MaxTokens: c.MaxOut}
	if len(c.Schema) > 0 {
		req.Format = &decouple.Shape{Name: "answer", Schema: c.Schema, Strict: true}
	}
	req.Tokens = func(s string) {
		if s != "" && m.FirstToken == 0 {
			m.FirstToken = max(1, e.Now().Sub(began))
		}
	}
	for round := 1; ; round++ {
		req.Step = round
		a, err := model.Answer(ctx, req)
		m.Usage = m.Usage.Add(a.Usage)
		if ctx.Err() != nil {
			return m, ctx.Err()
		}
		if err != nil {
			m.Err = err
			break
		}
		calls := a.Message.Calls()
		m.Calls = append(m.Calls, calls...)
		m.Text, m.Cut = strings.TrimSpace(a.Message.Text()), a.Finish == decouple.FinishLength
		m.Refused = m.Refused || a.Finish == decouple.FinishFilter
		for _, p := range a.Message.Parts {
			m.Refused = m.Refused || p.Refusal
		}
		if len(calls) == 0 || !c.Research || round == mostRounds {
			break
		}
		req.Messages = append(req.Messages, a.Message)
		results := decouple.Message{Role: decouple.ToolRole}
		for i := range calls {
			r := c.reply(calls[i])
			results.Parts = append(results.Parts, decouple.Part{Result: &r})
		}
		req.Messages = append(req.Messages, results)
	}
	m.Took = e.Now().Sub(began)
	return m, nil
}
