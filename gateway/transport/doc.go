// Package transport answers "how do bytes get to an upstream and back?". It is an HTTP/1.1 client for the path on which every call of a model goes: [Client.Do] writes a request
// whose body is in memory and gives back a [Response] whose body is read as it comes.
//
// A request runs in the goroutine of its caller: one connection, taken from the idle ones of its [Target] or dialled, one write, reads. No goroutine belongs to a connection, none to a
// request (but for a body over 64 kB, which is written beside the reading, so that an early answer is seen). The end of a context puts the deadline of the connection into the past.
//
// It follows no redirect, decodes no content encoding, keeps no cookie and no trailer. It is strict where leniency lets one message pass for two: what could be framed in two ways is
// refused, and a connection about which anything is in doubt is closed, never used again.
//
// Addresses are judged after names are resolved (guard.go): a target named by a loopback address reaches this machine only, others no private address unless that is allowed.
package transport
