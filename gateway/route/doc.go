// Package route answers "which endpoint takes this call, and why?". It is pure: a state, a need and the time give a decision. Health, learned capacity, expected times,
// admission and the retry budget are its state; sockets and virtual time are two shells around it.
package route
