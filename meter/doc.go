// Package meter answers "what did it cost?": usage lines, prices applied to them, budgets and their slices, sums by whoever asks, and the export of costs. Everything in it is a
// pure fold: events and amounts go in, amounts come out.
package meter
