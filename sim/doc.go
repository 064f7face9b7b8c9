// Package sim answers "what would the world do?": simulated clouds with their hardware, quotas, queues, prompt caches, prices, faults and invoices, all from one seed.
//
// The world itself (world.go and the files whose names begin with world_) is pure: [World.Ask] takes a call and the time and says what becomes of it, [World.Done] takes how it
// ended and gives the line of the invoice. It has no clock and no socket, so that millions of calls can be run in virtual time, and the same seed gives the same [World.Trace].
// [Serve] is one shell around it: every cloud on a loopback port, in its vendor's own wire protocol.
//
// Everything is calibrated to public figures and is no benchmark of any vendor. The invoice is worked out here by arithmetic of its own, because it certifies those of others.
package sim
