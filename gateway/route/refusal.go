package route

import (
	"maps"
	"time"
)

// refusals is the evidence of an endpoint's 4xx, of which nobody knows whose fault they are.
type refusals struct {
	no, yes   fading
	run       int     // refusals since the last success
	norm      float64 // the share of refusals that is usual here
	okAt      int64
	acquitted [4]mark // whose calls a second endpoint refused too, lately
	next      int
	convicted int     // calls that a second endpoint accepted, since it was acquitted or tripped
	by        string  // the key of the first of them
	byAll     bool    // no other key's
	others    [2]mark // the last two keys that used it
}

// mark is a key and a time.
type mark struct {
	key string
	at  int64
}

// trial is a refused call that waits for a second opinion.
type trial struct {
	of       *endpoint
	key      string
	began    int64
	at       int64
	random   uint64
	opinions int // that did not count
}

const (
	refusalHalf  = 10 * time.Second   // of the counts of refusals
	refusalRun   = 5                  // refusals in a row that make an endpoint suspect
	refusalShare = 0.2                // and the share of them that does
	usualMost    = 0.15               // refusals that are taken for usual, at most
	judgeEvery   = int64(time.Minute) // between second opinions on the calls of a key that was wrong
	mostTrials   = 4096
	mostOpinions = 2 // that do not count, because who gave them may be broken too
	trialFor     = int64(10 * time.Minute)
)

// suspect tells an endpoint that refuses more than it used to.
func (r *refusals) suspect(t int64, cfg *Config) bool {
	if r.no.n == 0 {
		return false
	}
	no := r.no.value(t, refusalHalf)
	if no < 3.5 {
		return false
	}
	if r.run >= refusalRun {
		return true
	}
	yes := r.yes.value(t, refusalHalf)
	return no/(no+yes) >= max(refusalShare, 4*r.norm)
}

// credible tells an endpoint that accepts calls, as far as is known.
func (r *refusals) credible(t int64) bool {
	return r.run == 0 && r.okAt != 0 && t-r.okAt < 2*judgeEvery
}

// accepted counts a call that was taken.
func (r *refusals) accepted(key string, t int64) {
	r.yes.add(1, t, refusalHalf)
	r.run, r.okAt = 0, t
	r.norm -= 0.005 * r.norm
	r.used(key, t)
}

// refused counts a call that was not.
func (r *refusals) refused(key string, t int64) {
	r.no.add(1, t, refusalHalf)
	r.run++
	r.norm = min(usualMost, r.norm+0.005*(1-r.norm))
	r.used(key, t)
}

// used remembers the last two keys.
func (r *refusals) used(key string, t int64) {
	if r.others[0].key != key {
		r.others[1] = r.others[0]
	}
	r.others[0] = mark{key, t}
}

// wrong tells whether the last call of a key was refused by a second endpoint too, lately.
func (r *refusals) wrong(key string, t int64) bool {
	for _, m := range r.acquitted {
		if m.at != 0 && m.key == key && t-m.at < judgeEvery {
			return true
		}
	}
	return false
}

// acquit is told that a second endpoint refused the call too.
func (r *refusals) acquit(key string, t int64) {
	r.no, r.run, r.convicted = fading{}, 0, 0
	r.mark(key, t)
}

// mark remembers that a call of a key was refused elsewhere too.
func (r *refusals) mark(key string, t int64) {
	r.acquitted[r.next] = mark{key, t}
	r.next = (r.next + 1) % len(r.acquitted)
}

// convict is told that a second endpoint accepted the call, and says whether that is enough to find the endpoint at fault. One call is enough when nothing works there; when other
// calls do, it takes two keys, or three calls where there is one key only: a caller with strange requests must not be able to close an endpoint for the others.
func (r *refusals) convict(x *trial, same bool, t int64, cfg *Config) bool {
	if r.convicted == 0 {
		r.by, r.byAll = x.key, true
	}
	r.convicted++
	r.byAll = r.byAll && r.by == x.key
	works := r.okAt != 0 && t-r.okAt < int64(cfg.Window)/2 && r.run < refusalRun
	alone := r.others[1].at == 0 || t-r.others[1].at > int64(cfg.Window)
	switch {
	case same && !works:
		return true
	case !r.byAll:
		return true
	}
	return r.convicted >= 3 && (alone || !works)
}

// refusedBy takes in a 4xx and says whether a second endpoint should be asked whose fault it is.
func (s *State) refusedBy(f *flight, o *Outcome, t int64) Advice {
	e := f.e
	credible := e.refusal.credible(t)
	e.refusal.refused(f.key, t)
	if old, ok := s.trials[o.Call]; ok && old.of != e {
		f.release()
		if !credible && old.opinions < mostOpinions {
			// It may be as broken as the first.
			old.opinions++
			old.of.refusal.mark(f.key, t)
			s.trials[o.Call] = old
			return Advice{Judge: true, Why: "two endpoints refused the call, and the second may be broken too: a third tells"}
		}
		return Advice{Why: "two endpoints refused the call: it is the caller's to mend"}
	}
	probe := f.probe()
	for i, b := range e.breakers() {
		if f.probing(i) {
			// It has told nothing yet. The next probe waits as long as the first one did.
			b.probe, b.until = 0, max(b.until, t+backOff(0, f.random, &s.cfg))
		}
	}
	if !probe && !e.refusal.suspect(t, &s.cfg) && e.refusal.wrong(f.key, t) {
		return Advice{Why: "the caller's last refused call was refused by a second endpoint too: this one is taken to be wrong as well"}
	}
	if len(s.trials) >= mostTrials {
		// Calls that nobody took further.
		maps.DeleteFunc(s.trials, func(_ string, x trial) bool { return t-x.at > trialFor })
	}
	if len(s.trials) >= mostTrials {
		return Advice{Why: "too many refused calls wait for a second opinion"}
	}
	s.trials[o.Call] = trial{of: e, key: f.key, began: f.began, at: t, random: f.random}
	return Advice{Judge: true, Why: "the refusal may be the endpoint's own fault: a second endpoint tells"}
}

// verdict ends a trial when a second endpoint has spoken.
func (s *State) verdict(f *flight, o *Outcome, advice Advice, t int64) {
	x, ok := s.trials[o.Call]
	if !ok || x.of == f.e {
		return
	}
	switch o.Kind {
	case OK:
		delete(s.trials, o.Call)
		if x.of.refusal.convict(&x, x.of.Model == f.e.Model, t, &s.cfg) {
			x.of.refusal = refusals{norm: x.of.refusal.norm, others: x.of.refusal.others}
			s.trip(&flight{e: x.of, began: x.began, random: x.random}, t, "it refused a call that "+string(f.e.ID)+" accepted: the fault is its own")
		}
	case Refused, CallerFault:
		if advice.Judge {
			return
		}
		delete(s.trials, o.Call)
		x.of.refusal.acquit(x.key, t)
		f.e.refusal.acquit(x.key, t)
	}
}
