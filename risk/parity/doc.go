// Package parity answers "is the alternate as good?": before an endpoint counts as an alternate for another one, both are given the same cases, and what they do is compared.
//
// A case (case.go) is a conversation with what may be asked of its answer: that tools are called with arguments that follow their schemas, that an answer is JSON of a given form, that quotations
// stand letter for letter in the given sources, that what must be refused is refused and nothing else. judge.go looks at what came, statistics.go says how far the figures can be trusted, and
// verdict.go whether the alternate is no worse than the primary by more than a margin, or whether there are too few cases to say. Only run.go asks models, and event.go keeps what came of it.
package parity
