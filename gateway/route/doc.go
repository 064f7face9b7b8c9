// Package route answers "which endpoint takes this call, and why?". It is pure: a state, a need and the time give a decision. Health, learned capacity, expected times,
// admission and the retry budget are its state; sockets and virtual time are two shells around it.
//
// A shell does this for each call, and passes in the time and the dice (Need.Random):
//
//	d := s.Decide(need, now)                      // Chosen, or Wait, or Refused with RetryAfter
//	s.Begin(need.ID, d.Chosen, need, now)         // reserves capacity; takes the place of the probe
//	s.Heard(need.ID, d.Chosen, limits, now)       // if the headers of the answer speak of limits
//	s.FirstToken(need.ID, d.Chosen, now)          // of a stream
//	advice := s.End(outcome, now)                 // settles, learns, and says whether to go on elsewhere
//	need.Tried = append(need.Tried, d.Chosen)     // and again, when s.Retry(now) lets it
//
// A refusal of which the advice is Judge goes to a second endpoint like a retry; when that refuses too, or nobody is left, the caller sees the first refusal. A hedge is begun with
// the chosen endpoint in Need.Tried. Attempts beyond the first are paid for by [State.Retry]; the next step of a cascade is not. When a decision says Wait, the call goes into a
// [Queue], behind those that are there already; after every End, and when the earliest Wait has come, the shell asks Next with Decide as canTake, and Expire for those who have
// waited enough. When Decide says neither Chosen nor Wait to a call with Tried, the caller sees how its last attempt ended.
//
// A [State] is not safe for concurrent use: the shell holds one lock around each call of its methods, and around Decide and Begin together, because a probe that was
// decided is taken only by Begin. [State.Take] is both in one. Every method is a matter of a microsecond, so one lock serves a whole process. A [Queue] needs the lock too.
//
// Decide changes nothing: it may be asked what it would do at any time.
//
// # Evidence
//
// Each endpoint has a breaker, and so has each account (a refused key) and each provider in a region (a shared ancestor that fails for several models). A breaker opens on
// runs of failures, on a high share of them, and on first tokens that come far later than is normal there; it opens for a time that doubles, or until Retry-After, whichever is
// later, and then lets one call through. A call that was cancelled, or that the caller got wrong, says nothing about an endpoint. A refusal (4xx) may be either's fault: where it
// matters the same call is tried at a second endpoint, and what that one says decides.
//
// # Capacity
//
// Limits of the catalog are token buckets, corrected by what the headers say. Where 429s come without known limits, a rate is learned: a part less after each, a little more with
// time. An endpoint without head-room is never chosen; when none has any, the decision says when the first will.
package route
