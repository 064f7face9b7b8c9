// Package fleet answers "how would a fleet of this size fare?". It plays a fleet of agents and programs against simulated clouds in virtual time: the router, its queue, its retry
// budget and the placement policy are those that the gateway runs, and only sockets and clocks are replaced. It is pure: everything follows from a [Plan] and its seed, and two runs
// of one plan have the same [Result.Trace].
//
//	p, err := fleet.Read("plan.yaml", data) // or a Plan put together in Go
//	p.Policies = []fleet.Change{{Policy: policy}}
//	res, err := fleet.Run(ctx, p)
//
// # What is simulated
//
// A workload is a stream of runs; a run is a number of model calls with the time of its tools between them. Each call goes as in the gateway: placement says which endpoints are
// permitted, the router chooses, or the call waits in the queue; the simulated cloud ([sim.World]) says what becomes of the attempt; first tokens, the silence between tokens,
// second opinions on refusals, hedges, cascades, the commit point of a stream and the retry budget are heeded as the gateway heeds them. A run whose call fails ends there, unless
// its workload comes again. Money is what the clouds' own invoices say.
//
// # What is not
//
// Budgets and rates of keys, the journal, tools, and the time that this program itself takes. Clouds are calibrated to public figures and are no benchmark of any vendor.
//
// # Size
//
// Memory holds the runs that are under way, never all of them: times are kept in histograms, and counts in slices of time. Work grows with the number of calls and nothing else.
package fleet
